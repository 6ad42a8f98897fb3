from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from spore_yolo.evaluation.crops import CROP_COLUMNS
from spore_yolo.evaluation.presence import SLIDE_COLUMNS
from spore_yolo.evaluation.report import (
    FILES,
    PLOTS,
    detector_alone,
    evaluate_candidates,
    evaluate_pair,
    write_evaluation,
)
from spore_yolo.evaluation.scoring import detections_of, matches_table
from spore_yolo.inference.manifest import OperatingPoint
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS
from tests.evaluation import hand_worked
from tests.evaluation.hand_worked import stated
from tests.evaluation.test_hand_worked import manifest

ABOUT = {
    "dataset": "hand-worked",
    "dataset_fingerprint": "abc",
    "split": "test",
    "operating_point": hand_worked.point().model_dump(by_alias=True),
    "operating_point_name": None,
    "iou": 0.5,
    "targets": hand_worked.TARGETS,
    "classes_merged_to_spore": False,
    "warnings": [],
    "pair": None,
    "slides": 5,
    "groups": 4,
    "megapixels": 2.5,
}
CASE = (hand_worked.candidates(), hand_worked.boxes(), hand_worked.images())


def test_without_a_classifier_there_is_nothing_to_put_side_by_side(
    random_split: Callable[[int], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]],
) -> None:
    candidates, boxes, images = random_split(0)
    plain = manifest().model_copy(update={"classes": ["a", "b"], "classifier": None})
    point = OperatingPoint(detector=0.5)
    metrics = evaluate_pair(candidates, boxes, images, plain, point).metrics
    assert metrics == evaluate_candidates(candidates, boxes, images, ["a", "b"], point).metrics
    assert set(metrics) == {"overall", "per_class", "per_group", "crops"}


@pytest.mark.parametrize(
    ("figures", "threshold"),
    [
        pytest.param({"detector_alone": {"threshold": 0.35}}, 0.35, id="its own, from before the classifier"),
        pytest.param({}, 0.2, id="the pair's, where none was stored"),
        pytest.param({"detector_alone": {}}, 0.2, id="the pair's, where other things were stored"),
    ],
)
def test_threshold_of_the_detector_alone(figures: dict[str, Any], threshold: float) -> None:
    alone = detector_alone(*CASE, manifest().model_copy(update={"figures": figures}))
    assert alone["threshold"] == threshold
    # From 0.2 on c8, c11 and c12 come in too, all false.
    assert alone["overall"]["fp"] == {0.35: 4, 0.2: 7}[threshold]


def test_at_another_detector_threshold_the_classes_keep_theirs() -> None:
    point = hand_worked.point().model_copy(update={"detector": 0.1})
    evaluation = evaluate_pair(*CASE, manifest(), point, label_calls=hand_worked.label_calls())
    # c7 finds R4 now; c4 is still too unsure.
    assert evaluation.metrics["per_class"]["rust"]["tp"] == 2
    assert evaluation.metrics["per_class"]["smut"]["tp"] == 1
    assert evaluation.metrics["detector_alone"]["threshold"] == 0.35


def test_everything_is_written_and_says_the_same(tmp_path: Path) -> None:
    point = hand_worked.point()
    evaluation = evaluate_pair(*CASE, manifest(), point, label_calls=hand_worked.label_calls())
    folder = tmp_path / "report"
    write_evaluation(folder, evaluation, CASE[0], ABOUT | evaluation.metrics, "hand-worked, test")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, *PLOTS])
    assert json.loads((folder / "metrics.json").read_text()) == ABOUT | evaluation.metrics
    assert len(pd.read_csv(folder / "matches.csv")) == len(matches_table(evaluation.scored))
    slides = pd.read_csv(folder / "slides.csv")
    assert slides.columns.tolist() == SLIDE_COLUMNS
    assert len(slides) == 5 * len(hand_worked.CLASSES)
    crops = pd.read_csv(folder / "crops.csv", keep_default_na=False)
    assert crops.columns.tolist() == CROP_COLUMNS
    assert (crops["left_out"] == "").sum() == 11
    confusion = pd.read_csv(folder / "confusion.csv", index_col="truth")
    pd.testing.assert_frame_equal(confusion, evaluation.confusion)
    candidates = pd.read_csv(folder / "candidates.csv")
    assert candidates.columns.tolist() == CANDIDATE_COLUMNS
    # What was written is enough to come to the same figures.
    again = evaluate_candidates(candidates, *CASE[1:], hand_worked.CLASSES, point)
    assert again.metrics["per_class"] == evaluation.metrics["per_class"]


def test_a_pair_that_finds_nothing(tmp_path: Path) -> None:
    candidates, boxes, images = CASE
    evaluation = evaluate_pair(
        candidates[:0], boxes, images, manifest(), hand_worked.point(), label_calls=hand_worked.label_calls()
    )
    assert evaluation.metrics["overall"]["recall"]["value"] == 0.0
    assert stated(evaluation.metrics["per_class"]["rust"]["specificity_crops"]) == {"value": None, "n": 0}
    assert stated(evaluation.metrics["per_class"]["rust"]["specificity_slides"]) == {"value": 1.0, "n": 3}
    write_evaluation(tmp_path / "report", evaluation, candidates[:0], ABOUT | evaluation.metrics, "nothing")
    assert len(pd.read_csv(tmp_path / "report" / "crops.csv")) == 0


def test_predictions_without_scores_have_counts_but_nothing_that_ranks(tmp_path: Path) -> None:
    candidates, boxes, images = CASE
    scored = detections_of(candidates, hand_worked.point())
    unscored = scored.assign(score=float("nan"), detector_score=float("nan"), class_score=float("nan"))
    point = OperatingPoint(detector=0.0)
    metrics = evaluate_candidates(unscored, boxes, images, hand_worked.CLASSES, point).metrics
    same = evaluate_candidates(scored, boxes, images, hand_worked.CLASSES, point).metrics
    for name in hand_worked.CLASSES:
        ours, theirs = metrics["per_class"][name], same["per_class"][name]
        for key in ("tp", "fp", "fn", "recall", "precision", "recall_slides", "specificity_slides", "counts"):
            assert ours[key] == theirs[key]
        assert ours["ap50"]["value"] is ours["presence"]["roc_auc"]["value"] is None
    evaluation = evaluate_candidates(unscored, boxes, images, hand_worked.CLASSES, point)
    about = ABOUT | {"operating_point": None}
    write_evaluation(tmp_path / "report", evaluation, unscored, about | evaluation.metrics, "without scores")
    assert not (tmp_path / "report" / "precision_recall.png").exists()


def test_the_report_shows_what_was_missed(tmp_path: Path) -> None:
    evaluation = evaluate_candidates(*CASE, hand_worked.CLASSES, hand_worked.point())
    opened = []

    def open_slide(slide: str) -> npt.NDArray[np.uint8]:
        opened.append(slide)
        return np.full((600, 800, 3), 200, dtype=np.uint8)

    write_evaluation(tmp_path / "r", evaluation, CASE[0], ABOUT | evaluation.metrics, "hand-worked, test", open_slide)
    assert len(opened) == len(set(opened)) >= 3
    assert "data:image/jpeg" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
