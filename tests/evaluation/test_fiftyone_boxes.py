"""What boxes bear, on the split that is worked out on paper (hand_worked.py) and on random ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from spore_yolo.evaluation.fiftyone_boxes import Shown, Tables, nearest_gaps, tables_of
from spore_yolo.evaluation.scoring import score_candidates
from spore_yolo.evaluation.traits import border_distance, box_traits
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint
from spore_yolo.labels.table import COORDINATES
from tests.evaluation.fiftyone_case import by_hand, shown

Split = Callable[[int], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]


@pytest.fixture
def tables() -> Tables:
    return tables_of(by_hand())


def random_case(random_split: Split, seed: int) -> Shown:
    return shown(*random_split(seed), ["a", "b"], OperatingPoint(detector=0.3))


def test_every_box_is_in_its_field_with_its_sharpness(tables: Tables) -> None:
    """Sharpness is the row number, R1 to I1 and c0 to c13."""
    assert tables.fields["ground_truth"]["sharpness"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert tables.fields["ignored"]["sharpness"].tolist() == [7]
    assert sorted(tables.fields["predictions"]["sharpness"]) == [0, 1, 2, 3, 5, 6, 8, 10, 11]
    assert tables.fields["candidates"]["sharpness"].tolist() == list(range(14))
    crops = tables.fields["crops"]
    assert sorted(crops.loc[crops["outcome"] == "fn", "sharpness"]) == [1, 2, 3, 4, 6]
    assert sorted(crops.loc[crops["outcome"] != "fn", "sharpness"]) == [0, 1, 2, 3, 5, 8, 10, 11]


def test_density_counts_all_labels_of_the_slide(tables: Tables) -> None:
    """Half a megapixel a slide: 3, 3, 2 (with the ignored one), 0 and 0 labels."""
    expected = {"s1.jpg": 6.0, "s2.jpg": 6.0, "s3.jpg": 4.0, "s4.jpg": 0.0, "s5.jpg": 0.0}
    for path in ("ground_truth", "ignored", "predictions", "candidates", "crops"):
        rows = tables.fields[path]
        assert dict(zip(rows["slide"], rows["density"], strict=True)).items() <= expected.items()


def test_neighbours_of_labels_and_of_what_was_found(tables: Tables) -> None:
    truth, candidates = tables.fields["ground_truth"], tables.fields["candidates"]
    # R1 to R2: 80 px apart, 20 px wide. S1 to S2: 60 px both ways.
    assert truth.loc[0, "neighbour"] == pytest.approx(80 / 20)
    assert truth.loc[3, "neighbour"] == pytest.approx(np.hypot(60, 60) / 40)
    # c0 found R1, so its neighbour is R2; c1 found nothing and lies on R1.
    assert candidates.loc[0, "neighbour"] == pytest.approx(80 / 20)
    assert candidates.loc[1, "neighbour"] == 0
    # c6 lies in I1, c10 is alone.
    assert candidates.loc[6, "neighbour"] == 0
    assert np.isnan(candidates.loc[10, "neighbour"])


def test_a_detection_that_is_its_label_has_the_label_s_traits(random_split: Split) -> None:
    case = random_case(random_split, 0)
    found = case.boxes[~case.boxes["ignored"]].rename(columns={"image": "slide"})
    found = found.assign(score=0.9, detector_class=found["class"], detector_score=0.9, class_score=np.nan)
    tables = tables_of(replace(case, candidates=found))
    expected = box_traits(case.boxes, case.images)[~case.boxes["ignored"]].assign(slide=found["slide"])
    # Of twins each may find the other.
    columns = ["slide", "side_px", "density", "neighbour"]
    for path in ("candidates", "ground_truth"):
        rows = tables.fields[path][columns]
        pd.testing.assert_frame_equal(
            rows.sort_values(columns, ignore_index=True),
            expected[columns].replace(np.inf, np.nan).sort_values(columns, ignore_index=True),
        )


def test_nearest_gaps_agree_with_those_of_labels() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (60, 2))
    boxes = np.hstack([corners, corners + rng.uniform(2, 60, (60, 2))])
    slides = rng.integers(0, 3, 60)
    gaps = nearest_gaps((boxes, slides), (boxes, slides), np.arange(60))
    for slide in range(3):
        np.testing.assert_allclose(gaps[slides == slide], border_distance(boxes[slides == slide]))
    assert (nearest_gaps((boxes, slides), (boxes, slides), np.full(60, -1)) == 0).all()
    assert np.isinf(nearest_gaps((boxes, slides), (boxes[:0], slides[:0]), np.full(60, -1))).all()


def test_candidates_say_what_they_would_be(tables: Tables) -> None:
    # c4, too unsure, would find S2, and c7, too weak, R4; c13 would be a false alarm; c9 and c12 are debris.
    would_be = ["tp", "fp", "fp", "fp", "tp", "tp", "ignored", "tp", "fp", DEBRIS, "fp", "fp", DEBRIS, "fp"]
    assert tables.fields["candidates"]["would_be"].tolist() == would_be


@pytest.mark.parametrize("least", [0.01, 0.2, 0.5, 0.8])
def test_moving_the_score_moves_along_the_curve(random_split: Split, least: float) -> None:
    """Candidates from a score on, counted by what they would be, are what matching them alone gives."""
    case = random_case(random_split, 2)
    rows = tables_of(case).fields["candidates"]
    rows = rows[rows["score"] >= least]
    alone = case.candidates[case.candidates["score"] >= least]
    scored = score_candidates(alone, case.boxes, case.images, case.classes, case.iou)
    hits = int((scored.candidates["truth"] >= 0).sum())
    ignored = int(scored.candidates["on_ignored"].sum())
    counts = rows["would_be"].value_counts().reindex(["tp", "fp", "ignored"], fill_value=0)
    assert counts.tolist() == [hits, len(alone) - hits - ignored, ignored]
    assert hits > 0


def test_doubts(tables: Tables) -> None:
    """No candidate overlaps R2, and c2 overlaps R3 with IoU 0.3; nothing surely found is unlabelled."""
    doubt = tables.fields["ground_truth"]["doubt"]
    assert doubt[doubt.notna()].to_dict() == {1: "nothing there", 2: "nothing there"}
    assert tables.fields["predictions"]["doubt"].isna().all()


def test_a_sure_detection_beside_a_label_is_no_forgotten_label() -> None:
    """c10 as sure as the hit of rust, once where nothing is, once with IoU 0.2 on a label."""
    case = by_hand()
    case.candidates.loc[10, "score"] = 0.81
    doubt = tables_of(case).fields["predictions"].set_index("sharpness")["doubt"]
    assert doubt[doubt.notna()].to_dict() == {10: "not labelled"}
    label = case.boxes.iloc[[0]].assign(image="s4.jpg", x_min=300, y_min=300, x_max=320, y_max=304)
    beside = replace(case, boxes=pd.concat([case.boxes, label], ignore_index=True))
    assert tables_of(beside).fields["predictions"]["doubt"].isna().all()


def test_mistakenness_by_hand(tables: Tables) -> None:
    """R1 is found with 0.81, S1 is called rust with 0.42, S3 is found with 0.4; nothing lies on the others."""
    expected = [(1 - 0.81) / 2, np.nan, np.nan, (1 + 0.42) / 2, np.nan, (1 - 0.4) / 2, np.nan]
    np.testing.assert_allclose(tables.fields["ground_truth"]["mistakenness"], expected)


def test_boxes_of_crops_that_are_laid_out_are_looked_at_once() -> None:
    asked: list[pd.DataFrame] = []

    def features(crops: pd.DataFrame) -> np.ndarray:
        asked.append(crops)
        return np.arange(len(crops) * 2.0).reshape(-1, 2)

    tables = tables_of(replace(by_hand(), features=features))
    (crops,) = asked
    assert list(crops.columns) == ["slide", *COORDINATES]
    pd.testing.assert_frame_equal(crops, tables.fields["crops"][crops.columns])
    assert tables.crops_of == len(crops) == 13


def test_too_few_crops_are_not_laid_out() -> None:
    case = by_hand()
    case = replace(case, boxes=case.boxes.iloc[:2], candidates=case.candidates.iloc[:1])
    tables = tables_of(replace(case, features=lambda crops: pytest.fail("for nothing")))
    assert tables.features is None
    assert "crops" not in tables.fields
    assert tables.crops_of == 2
