from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from spore_yolo.evaluation.embeddings import ALIKE, CROP_COLUMNS, LOOKS, choose_crops, looks_of
from spore_yolo.evaluation.scoring import Scored, matches_table, score_candidates
from spore_yolo.labels.table import COORDINATES

Split = Callable[[int], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]


@pytest.fixture
def scored(random_split: Split) -> Scored:
    candidates, boxes, images = random_split(0)
    return score_candidates(candidates, boxes, images, ["a", "b"])


def told(crops: pd.DataFrame) -> Counter[tuple[object, ...]]:
    columns = ["slide", "class", "outcome", *COORDINATES]
    return Counter(crops[columns].itertuples(index=False, name=None))


def test_all_but_those_on_ignored_boxes(scored: Scored) -> None:
    crops, among = choose_crops(scored)
    matches = matches_table(scored)
    assert (matches["outcome"] == "ignored").any()
    assert told(crops) == told(matches[matches["outcome"] != "ignored"])
    assert among == len(crops)
    assert list(crops.columns) == CROP_COLUMNS


def test_they_come_in_the_order_of_the_slides(scored: Scored) -> None:
    crops, _ = choose_crops(scored)
    numbers = crops["slide"].map({image: number for number, image in enumerate(scored.images["image"])})
    assert numbers.is_monotonic_increasing
    assert crops.index.tolist() == list(range(len(crops)))


def test_rows_lead_back(scored: Scored) -> None:
    crops, _ = choose_crops(scored)
    for outcome, table in {"tp": scored.candidates, "fp": scored.candidates, "fn": scored.truth}.items():
        part = crops[crops["outcome"] == outcome]
        assert len(part)
        np.testing.assert_array_equal(table.loc[part["row"], COORDINATES], part[COORDINATES])


def test_misses_and_false_alarms_come_before_hits(scored: Scored) -> None:
    everything, among = choose_crops(scored)
    counts = Counter(everything["outcome"])
    mistakes = counts["fp"] + counts["fn"]
    most = mistakes + 5
    crops, of = choose_crops(scored, most)
    assert of == among
    assert Counter(crops["outcome"]) == {"tp": 5, "fp": counts["fp"], "fn": counts["fn"]}
    assert told(crops) <= told(everything)
    pd.testing.assert_frame_equal(crops, choose_crops(scored, most)[0])


def test_too_many_mistakes_are_drawn_from(scored: Scored) -> None:
    crops, _ = choose_crops(scored, 12)
    assert len(crops) == 12
    assert not (crops["outcome"] == "tp").any()


def test_looks_are_the_clusters_largest_first() -> None:
    rng = np.random.default_rng(0)
    sizes = [5, 40, 20, 9, 8, 7, 6, 15]
    truth = np.repeat(np.arange(LOOKS), sizes)
    directions = np.eye(LOOKS, 16)[truth]
    # How bright a crop is, the length of its features, makes no other look of it.
    features = (directions + rng.normal(0, 0.01, directions.shape)) * rng.uniform(1, 50, (len(truth), 1))
    looks = looks_of(features)
    assert sorted(Counter(looks).items()) == list(enumerate(sorted(sizes, reverse=True), start=1))
    assert all(len(set(looks[truth == number])) == 1 for number in range(LOOKS))
    np.testing.assert_array_equal(looks, looks_of(features))


@pytest.mark.parametrize(("count", "looks"), [(0, 0), (1, 1), (2 * ALIKE - 1, 1), (2 * ALIKE, 2), (3 * ALIKE, 3)])
def test_few_crops_have_few_looks(count: int, looks: int) -> None:
    features = np.random.default_rng(0).uniform(0, 1, (count, 7))
    assert len(set(looks_of(features))) == looks


@pytest.mark.filterwarnings("error")
def test_crops_that_are_seen_alike_in_all_are_one_look() -> None:
    assert set(looks_of(np.ones((30, 4)))) == {1}
