from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.evaluation.crops import CROP_COLUMNS
from spore_yolo.evaluation.report import (
    FILES,
    PLOTS,
    detector_alone,
    evaluate_candidates,
    evaluate_pair,
    write_evaluation,
)
from spore_yolo.evaluation.scoring import matches_table
from spore_yolo.inference.manifest import OperatingPoint
from spore_yolo.labels.writers import CANDIDATE_COLUMNS
from tests.evaluation import hand_worked
from tests.evaluation.test_hand_worked import manifest

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
    write_evaluation(folder, evaluation, CASE[0], {"split": "test", **evaluation.metrics}, "hand-worked, test")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, *PLOTS])
    assert json.loads((folder / "metrics.json").read_text()) == {"split": "test", **evaluation.metrics}
    assert len(pd.read_csv(folder / "matches.csv")) == len(matches_table(evaluation.scored))
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
    assert evaluation.metrics["overall"]["recall"] == 0.0
    assert evaluation.metrics["per_class"]["rust"]["specificity_crops"] == {"value": None, "n": 0}
    assert evaluation.metrics["per_class"]["rust"]["specificity_slides"] == {"value": 1.0, "n": 3}
    write_evaluation(tmp_path / "report", evaluation, candidates[:0], evaluation.metrics, "nothing")
    assert len(pd.read_csv(tmp_path / "report" / "crops.csv")) == 0
