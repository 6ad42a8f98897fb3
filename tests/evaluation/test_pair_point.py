from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spore_yolo.evaluation.operating_point import rounded_down
from spore_yolo.evaluation.pair_point import DEFAULT_CLASS_THRESHOLD, GIVEN_UP, choose_pair_point
from spore_yolo.evaluation.scoring import Scored, detections_of, score_candidates
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint
from spore_yolo.inference.proposals import CANDIDATE_SCORE
from spore_yolo.labels.matching import match_boxes
from spore_yolo.labels.table import COORDINATES, boxes_table
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS

Make = Callable[..., pd.DataFrame]


def random_pair(
    seed: int, classes: str, slides: int, labels: int, side: float, false: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Labels, some ignored, on slides so small that spores crowd, and candidates that find and name most of them."""
    rng = np.random.default_rng(seed)
    names = [f"{number}.jpg" for number in range(slides)]
    images = pd.DataFrame({"image": names, "group": names, "width": 1000, "height": 1000})
    rows, found = [], []
    for _ in range(labels):
        slide, name = str(rng.choice(names)), str(rng.choice(list(classes)))
        x, y, w, h = *rng.uniform(0, side, 2), *rng.uniform(20, 60, 2)
        rows.append((slide, name, x, y, x + w, y + h, bool(rng.random() < 0.05), "l.csv", 1))
        for _ in range(int(rng.integers(0, 4))):
            dx, dy, dw, dh = rng.normal(0, 0.12, 4)
            said = name if rng.random() < 0.8 else str(rng.choice([*classes, DEBRIS]))
            scores = (rng.uniform(0.01, 1), rng.beta(3, 1))
            found.append((slide, said, *scores, x + dx * w, y + dy * h, x + (1 + dw) * w, y + (1 + dh) * h))
    for _ in range(false):
        x, y = rng.uniform(0, side, 2)
        said = str(rng.choice([*classes, DEBRIS]))
        found.append((str(rng.choice(names)), said, rng.uniform(0.01, 1), rng.uniform(0.2, 1), x, y, x + 40, y + 40))
    table = pd.DataFrame(found, columns=["slide", "class", "detector_score", "class_score", *COORDINATES])
    table = table.assign(score=table["detector_score"] * table["class_score"], detector_class="spore")
    return table[CANDIDATE_COLUMNS], boxes_table(rows), images


def figures(scored: Scored, name: str) -> tuple[float, float]:
    rows = scored.candidates[(scored.candidates["class"] == name) & ~scored.candidates["on_ignored"]]
    boxes, hits = (scored.truth["class"] == name).sum(), (rows["truth"] >= 0).sum()
    return (hits / boxes if boxes else 0.0), (hits / len(rows) if len(rows) else 0.0)


def best_by_trying_everything(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, wanted: str, least: float
) -> tuple[int, float, float]:
    """Classes that reach the precision, mean recall and mean precision, of the best of all thresholds in the grid.

    Every threshold of every class is tried by filtering and matching anew.
    """
    labelled = boxes[boxes["class"].isin(list(wanted)) | boxes["ignored"]]
    everything = score_candidates(candidates, labelled, images, list(wanted))
    found = everything.candidates.loc[everything.candidates["truth"] >= 0, "detector_score"].to_numpy()
    grid = {CANDIDATE_SCORE}
    if len(found):
        grid |= set(rounded_down(np.quantile(found, GIVEN_UP, method="lower")))
    points_of = {name: all_points(candidates[candidates["class"] == name], boxes, name, grid) for name in wanted}
    keys = []
    for threshold in grid:
        chosen = []
        for name in wanted:
            points = points_of[name][threshold]
            good = [point for point in points if point[1] >= least]
            if good:
                chosen.append((1, *max(good)))
            else:
                precision, recall = max([(point[1], point[0]) for point in points], default=(0.0, 0.0))
                chosen.append((0, recall, precision))
        reached, recall, precision = zip(*chosen, strict=True)
        keys.append((sum(reached), float(np.mean(recall)), float(np.mean(precision))))
    return max(keys)


def all_points(
    candidates: pd.DataFrame, boxes: pd.DataFrame, name: str, grid: set[float]
) -> dict[float, list[tuple[float, float]]]:
    """Recall and precision of one class at every threshold on class_score, for each threshold on detector_score."""
    labelled = boxes[(boxes["class"] == name) & ~boxes["ignored"]]
    slides = []
    for slide, part in candidates.groupby("slide"):
        ignored = boxes[(boxes["image"] == slide) & boxes["ignored"]][COORDINATES].to_numpy()
        scores = [part[column].to_numpy() for column in ("detector_score", "class_score", "score")]
        truth = labelled[labelled["image"] == slide][COORDINATES].to_numpy()
        slides.append((*scores, part[COORDINATES].to_numpy(), truth, ignored))
    result: dict[float, list[tuple[float, float]]] = {}
    for threshold in grid:
        result[threshold] = []
        passing = candidates["detector_score"].to_numpy() >= threshold
        for least in np.unique(rounded_down(candidates["class_score"].to_numpy()[passing])):
            hits = detections = 0
            for detector_scores, class_scores, scores, corners, truth, ignored in slides:
                keep = (detector_scores >= threshold) & (class_scores >= least)
                matching = match_boxes(corners[keep], scores[keep], truth, ignored)
                hits += int((matching.truth_of >= 0).sum())
                detections += int((~matching.on_ignored).sum())
            result[threshold].append((hits / len(labelled), hits / detections if detections else 0.0))
    return result


@pytest.mark.parametrize(
    ("classes", "wanted", "least"),
    [
        pytest.param("a", "a", 0.75, id="one class"),
        pytest.param("abc", "abc", 0.75, id="three classes, no target"),
        pytest.param("abc", "b", 0.9, id="one target of three"),
        pytest.param("ab", "ab", 0.999, id="a precision that is hardly ever reached"),
    ],
)
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), false=st.integers(0, 40))
def test_no_point_of_the_grid_is_better(classes: str, wanted: str, least: float, seed: int, false: int) -> None:
    candidates, boxes, images = random_pair(seed, classes, slides=2, labels=20, side=160, false=false)
    assume(set(wanted) <= set(boxes.loc[~boxes["ignored"], "class"]))
    targets = [] if wanted == classes else list(wanted)
    chosen = choose_pair_point(candidates, boxes, images, list(classes), targets, least)
    reached, recall, precision = best_by_trying_everything(candidates, boxes, images, wanted, least)
    # The figures are those of filtering and then matching at the point, so nothing was chosen on other figures.
    scored = score_candidates(detections_of(candidates, chosen.point), boxes, images, list(classes))
    for name in classes:
        assert ((chosen.recall[name] or 0.0), (chosen.precision[name] or 0.0)) == figures(scored, name)
    assert sum(name not in chosen.not_reached for name in wanted) == reached
    assert chosen.mean_recall == pytest.approx(recall)
    assert chosen.mean_precision == pytest.approx(precision)


def test_thresholds_have_five_decimals_and_keep_what_set_them() -> None:
    candidates, boxes, images = random_pair(1, "ab", slides=4, labels=60, side=900, false=30)
    chosen = choose_pair_point(candidates, boxes, images, ["a", "b"], [])
    for threshold in (chosen.point.detector, *chosen.point.class_.values()):
        assert threshold == round(threshold, 5)
    # candidates.csv has five decimals too: read from there, the same are detections.
    rounded = candidates.round({"detector_score": 5, "class_score": 5})
    assert set(detections_of(candidates, chosen.point).index) <= set(detections_of(rounded, chosen.point).index)


def test_class_without_boxes_gets_the_default_and_is_named(
    make_images: Make, make_boxes: Make, make_pair_candidates: Make
) -> None:
    candidates = make_pair_candidates(
        [("1.jpg", "rust", 0.9, 0.8, 0, 0, 20, 20), ("1.jpg", "smut", 0.9, 0.99, 50, 0, 70, 20)]
    )
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 20, 20)])
    chosen = choose_pair_point(candidates, boxes, make_images({"1.jpg": "g"}), ["rust", "smut"], ["smut"])
    # The target has no boxes on validation, so the choice is made for rust.
    assert chosen.point.class_ == {"rust": 0.8, "smut": DEFAULT_CLASS_THRESHOLD}
    assert (chosen.by_default, chosen.not_reached) == (["smut"], [])
    assert (chosen.mean_recall, chosen.recall["smut"]) == (1.0, None)
    assert len(chosen.notes()) == 1
    assert "smut" in chosen.notes()[0]


def test_class_that_is_never_found_is_not_shut_out(
    make_images: Make, make_boxes: Make, make_pair_candidates: Make
) -> None:
    candidates = make_pair_candidates([("1.jpg", "rust", 0.9, 0.99, 50, 0, 70, 20)])
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 20, 20)])
    chosen = choose_pair_point(candidates, boxes, make_images({"1.jpg": "g"}), ["rust"], [])
    assert chosen.point.class_ == {"rust": DEFAULT_CLASS_THRESHOLD}
    assert (chosen.by_default, chosen.not_reached) == (["rust"], ["rust"])
    assert len(chosen.notes()) == 1


def test_class_that_misses_the_precision_gets_its_most_precise_point(
    make_images: Make, make_boxes: Make, make_pair_candidates: Make
) -> None:
    candidates = make_pair_candidates(
        [
            ("1.jpg", "rust", 0.9, 0.9, 50, 0, 70, 20),  # false
            ("1.jpg", "rust", 0.9, 0.8, 0, 0, 20, 20),  # precision 1 of 2 from here on
            ("1.jpg", "rust", 0.9, 0.7, 90, 0, 110, 20),  # false: 1 of 3
        ]
    )
    boxes = make_boxes([("1.jpg", "rust", 0, 0, 20, 20)])
    chosen = choose_pair_point(candidates, boxes, make_images({"1.jpg": "g"}), ["rust"], [])
    assert chosen.point.class_ == {"rust": 0.8}
    assert (chosen.precision["rust"], chosen.not_reached, chosen.by_default) == (0.5, ["rust"], [])
    assert "rust a precision of 0.75" in chosen.notes()[0]


def test_without_any_boxes_nothing_is_known(make_images: Make, make_boxes: Make, make_pair_candidates: Make) -> None:
    images = make_images({"1.jpg": "g"})
    for rows in ([], [("1.jpg", "rust", 0.9, 0.99, 50, 0, 70, 20)]):
        chosen = choose_pair_point(make_pair_candidates(rows), make_boxes([]), images, ["rust"], [])
        assert chosen.point == OperatingPoint.model_validate({"detector": 0.01, "class": {"rust": 0.5}})
        assert chosen.by_default == ["rust"]
        assert chosen.mean_recall == 0.0


def test_a_validation_split_of_full_size_takes_seconds() -> None:
    candidates, boxes, images = random_pair(0, "abcde", slides=60, labels=5000, side=3000, false=22500)
    assert len(candidates) > 28000
    start = time.process_time()
    choose_pair_point(candidates, boxes, images, list("abcde"), ["e"])
    assert time.process_time() - start < 20
