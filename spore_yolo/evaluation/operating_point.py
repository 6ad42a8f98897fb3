"""Chooses the threshold on detector_score, on the validation split only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spore_yolo.evaluation.scoring import Scored

MIN_PRECISION = 0.75
"""Of the points with at least this precision, the one with the highest recall is chosen."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Precision and recall over all thresholds, from the highest down.

    Attributes:
        thresholds: Scores at which a candidate comes in, falling, each once.
        recall, precision: At each threshold.
        boxes: Number of labelled boxes.
    """

    thresholds: Floats
    recall: Floats
    precision: Floats
    boxes: int


@dataclass(frozen=True)
class ChosenPoint:
    """A threshold and what it gives on the split that it was chosen on.

    Attributes:
        threshold: Lowest detector_score that counts.
        recall, precision: There.
        reached: Whether the wanted precision was reached.
    """

    threshold: float
    recall: float
    precision: float
    reached: bool


def curve_of(scored: Scored, classes: Sequence[str]) -> Curve:
    """The precision-recall curve over the boxes of some classes together."""
    rows = scored.candidates[scored.candidates["class"].isin(classes) & ~scored.candidates["on_ignored"]]
    hits = rows["truth"].to_numpy() >= 0
    boxes = int(scored.truth["class"].isin(classes).sum())
    return curve_from(rows["score"].to_numpy(dtype=np.float64), hits, ~hits, boxes)


def curve_from(scores: Floats, found: npt.NDArray[np.generic], false: npt.NDArray[np.generic], boxes: int) -> Curve:
    """The precision-recall curve of candidates that come in one by one, the highest score first.

    Args:
        scores: ``(N,)``.
        found: ``(N,)``, by how much each candidate changes the number of boxes found.
        false: ``(N,)``, by how much it changes the number of false alarms.
        boxes: Number of labelled boxes.
    """
    order = np.argsort(-scores, kind="stable")
    scores, tp, fp = scores[order], np.cumsum(found[order]), np.cumsum(false[order])
    # A threshold lets all candidates of its score in at once.
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1) if len(scores) else np.zeros(0, dtype=int)
    tp, fp = tp[last].astype(np.float64), fp[last].astype(np.float64)
    return Curve(
        thresholds=scores[last],
        recall=tp / boxes if boxes else np.zeros(len(last)),
        precision=np.divide(tp, tp + fp, out=np.zeros(len(last)), where=tp + fp > 0),
        boxes=boxes,
    )


def rounded_down(scores: Floats) -> Floats:
    """Scores rounded down to the five decimals in which thresholds are written; never above the score itself.

    Plain ``floor(score * 1e5) / 1e5`` is wrong by a step where the product is rounded, as for 0.29.
    """
    steps = np.floor(scores * 1e5)
    steps = np.where((steps + 1) / 1e5 <= scores, steps + 1, steps)
    steps = np.where(steps / 1e5 > scores, steps - 1, steps)
    return np.asarray(steps / 1e5, dtype=np.float64)


def choose_point(curve: Curve, min_precision: float = MIN_PRECISION) -> ChosenPoint:
    """The point of highest recall whose precision is at least ``min_precision``.

    Where no point reaches it, the most precise one is taken; among equals, the one with more recall.
    """
    if len(curve.thresholds) == 0:
        return ChosenPoint(1.0, 0.0, 0.0, reached=False)
    good = curve.precision >= min_precision
    reached = bool(good.any())
    if reached:
        recall = np.where(good, curve.recall, -1.0)
        # Of equal recall the higher threshold, which is the more precise.
        index = int(np.argmax(recall))
    else:
        index = int(np.lexsort((-curve.recall, -curve.precision))[0])
    # Rounding down keeps the candidate that set the threshold.
    threshold = float(rounded_down(curve.thresholds[index]))
    return ChosenPoint(threshold, float(curve.recall[index]), float(curve.precision[index]), reached)
