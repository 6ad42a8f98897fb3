from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.evaluation.operating_point import Curve, choose_point, curve_from, curve_of, rounded_down
from spore_yolo.evaluation.scoring import score_candidates

Make = Callable[..., pd.DataFrame]


def curve(*points: tuple[float, float, float]) -> Curve:
    thresholds, recall, precision = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    return Curve(thresholds, recall, precision, boxes=100)


def test_highest_recall_with_the_wanted_precision() -> None:
    point = choose_point(curve((0.9, 0.2, 1.0), (0.6, 0.5, 0.7), (0.4, 0.6, 0.76), (0.1, 0.9, 0.3)))
    # The curve dips below 0.75 and comes back: the later point counts.
    assert (point.threshold, point.recall, point.precision, point.reached) == (0.4, 0.6, 0.76, True)


def test_of_equal_recall_the_more_precise() -> None:
    assert choose_point(curve((0.9, 0.5, 1.0), (0.8, 0.5, 0.9))).threshold == 0.9


def test_most_precise_point_where_the_precision_cannot_be_reached() -> None:
    point = choose_point(curve((0.9, 0.1, 0.5), (0.5, 0.3, 0.6), (0.1, 0.4, 0.6), (0.05, 0.5, 0.2)))
    assert (point.threshold, point.reached) == (0.1, False)


def test_no_candidates() -> None:
    point = choose_point(Curve(np.zeros(0), np.zeros(0), np.zeros(0), boxes=3))
    assert (point.threshold, point.reached) == (1.0, False)


@given(st.floats(0.01, 1.0))
def test_threshold_never_cuts_the_candidate_that_set_it(score: float) -> None:
    point = choose_point(curve((score, 1.0, 1.0)))
    assert score - 1e-5 <= point.threshold <= score


@given(st.integers(0, 100_000), st.floats(0, 1))
def test_rounding_down_is_exact(step: int, score: float) -> None:
    written = step / 1e5
    assert rounded_down(np.array([written])).tolist() == [written]  # 0.29 * 1e5 is a little less than 29,000
    (down,) = rounded_down(np.array([score]))
    assert down <= score
    assert down == round(float(down), 5)
    # The next step would be too much: whatever reaches a threshold still does after rounding.
    assert (round(down * 1e5) + 1) / 1e5 > score
    assert (score >= written) == (down >= written)


def test_false_alarms_may_become_fewer_as_candidates_come_in() -> None:
    # A candidate that takes a box from another, which then lies on an ignored box only, undoes a false alarm.
    result = curve_from(np.array([0.5, 0.9, 0.7]), np.array([1, 1, 0]), np.array([-1, 0, 1]), boxes=4)
    assert result.thresholds.tolist() == [0.9, 0.7, 0.5]
    assert result.recall.tolist() == [0.25, 0.25, 0.5]
    assert result.precision.tolist() == [1.0, 0.5, 1.0]


def test_equal_scores_come_in_together(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    boxes = make_boxes([("1.jpg", "a", 0, 0, 10, 10)])
    candidates = make_candidates([("1.jpg", "a", 0.5, 0, 0, 10, 10), ("1.jpg", "a", 0.5, 50, 50, 60, 60)])
    result = curve_of(score_candidates(candidates, boxes, make_images({"1.jpg": "g"}), ["a"]), ["a"])
    assert result.thresholds.tolist() == [0.5]
    assert result.precision.tolist() == [0.5]


def test_agrees_with_scikit_learn(
    random_split: Callable[[int], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]],
) -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    candidates, boxes, images = random_split(7)
    scored = score_candidates(candidates, boxes, images, ["a", "b"])
    ours = curve_of(scored, ["a", "b"])
    rows = scored.candidates[~scored.candidates["on_ignored"]]
    precision, _, thresholds = sklearn_metrics.precision_recall_curve(rows["truth"] >= 0, rows["score"])
    assert np.allclose(ours.thresholds, thresholds[::-1])
    assert np.allclose(ours.precision, precision[:-1][::-1])
