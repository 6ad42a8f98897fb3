from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.evaluation.intervals import figure, share_interval
from spore_yolo.evaluation.metrics import by_importance, cell, compute_metrics, metrics_text, yes_or_no_figures
from spore_yolo.evaluation.scoring import detections_of, score_candidates
from tests.evaluation import hand_worked
from tests.evaluation.hand_worked import stated

NO_AP = {"ap50": figure(None, 0, 0, None), "ap50_95": figure(None, 0, 0, None)}


def test_specificity_without_negatives_is_unknown() -> None:
    figures = stated(yes_or_no_figures(np.array([True, True]), np.array([True, False])))
    assert figures["specificity"] == {"value": None, "n": 0}
    assert figures["recall"] == {"value": 0.5, "n": 2}


def test_groups_are_the_units_of_intervals() -> None:
    """A group without negatives has no say in the specificity."""
    truth, said = np.array([True, False] * 9 + [True]), np.array([True, True] + [True, False] * 8 + [False])
    figures = yes_or_no_figures(truth, said, np.array([*np.repeat(np.arange(9), 2), 9]))
    part, whole = np.array([0, *[1] * 8], dtype=float), np.ones(9)
    assert figures["specificity"]["groups"] == 9
    assert figures["specificity"]["interval"] == pytest.approx(share_interval(part, whole))
    assert figures["recall"]["groups"] == 10


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
    metrics = compute_metrics(scored, dict.fromkeys([*hand_worked.CLASSES, None], NO_AP))
    lines = metrics_text(metrics, ["smut"]).splitlines()
    assert " ".join(lines[2].split()) == "smut (target) 3 1 2 1 0.333 0.500 - - 0.20 0.40"
    assert " ".join(lines[-1].split()) == "all 7 2 5 6 0.286 0.250 - - 1.20 2.40"


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        pytest.param({"value": None, "interval": None}, None, id="nothing known"),
        pytest.param({"value": 0.5, "interval": None}, "0.500", id="too few groups to tell"),
        pytest.param({"value": 0.5, "interval": [0.412, 0.588]}, "0.500\n0.41-0.59", id="with its interval below"),
    ],
)
def test_cell(figure: dict[str, Any], text: str | None) -> None:
    assert cell(figure) == text
