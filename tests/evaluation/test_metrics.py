from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.evaluation.metrics import by_importance, compute_metrics, metrics_text, share, yes_or_no_figures
from spore_yolo.evaluation.scoring import detections_of, score_candidates
from tests.evaluation import hand_worked


@pytest.mark.parametrize(
    ("part", "whole", "value"),
    [
        pytest.param(1, 4, 0.25, id="a quarter"),
        pytest.param(0, 4, 0.0, id="none of four"),
        pytest.param(0, 0, None, id="none of none is not 100%"),
    ],
)
def test_share(part: int, whole: int, value: float | None) -> None:
    assert share(part, whole) == {"value": value, "n": whole}


def test_specificity_without_negatives_is_unknown() -> None:
    figures = yes_or_no_figures(np.array([True, True]), np.array([True, False]))
    assert figures["specificity"] == {"value": None, "n": 0}
    assert figures["recall"] == {"value": 0.5, "n": 2}


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_agrees_with_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    truth, said = np.array(pairs, dtype=bool).T
    figures = yes_or_no_figures(truth, said)
    tn, fp, fn, tp = sklearn_metrics.confusion_matrix(truth, said, labels=[False, True]).ravel()
    assert (figures["tp"], figures["fp"], figures["tn"], figures["fn"]) == (tp, fp, tn, fn)
    if truth.any():
        assert figures["recall"]["value"] == sklearn_metrics.recall_score(truth, said)
    if not truth.all():
        # Specificity is the recall of the negative class.
        assert figures["specificity"]["value"] == sklearn_metrics.recall_score(truth, said, pos_label=False)


def test_targets_come_first_and_each_class_once() -> None:
    names = by_importance(["a", "b", "c"], ["c", "unknown"])
    assert list(names) == ["c", "a", "b"]
    assert names["c"] == "c (target)"
    assert names["a"] == "a"


def test_table_leads_with_the_target() -> None:
    detections = detections_of(hand_worked.candidates(), hand_worked.point())
    scored = score_candidates(detections, hand_worked.boxes(), hand_worked.images(), hand_worked.CLASSES)
    metrics = compute_metrics(scored, dict.fromkeys(hand_worked.CLASSES, (None, None)))
    lines = metrics_text(metrics, ["smut"]).splitlines()
    assert " ".join(lines[2].split()) == "smut (target) 3 1 2 1 0.333 0.500 - - 0.20 0.40"
    assert " ".join(lines[-1].split()) == "all 7 2 5 6 0.286 0.250 - - 1.20 2.40"
