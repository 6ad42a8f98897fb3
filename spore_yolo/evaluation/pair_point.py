"""Chooses the operating point of a pair, on the validation split only: one detector threshold, one a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.metrics import counts_by_group
from spore_yolo.evaluation.operating_point import (
    MIN_PRECISION,
    ChosenPoint,
    Curve,
    choose_point,
    curve_from,
    rounded_down,
)
from spore_yolo.evaluation.scoring import detections_of, score_candidates
from spore_yolo.inference.manifest import OperatingPoint
from spore_yolo.inference.proposals import CANDIDATE_SCORE
from spore_yolo.labels.matching import Floats, box_iou, match_boxes
from spore_yolo.labels.table import COORDINATES

DEFAULT_CLASS_THRESHOLD = 0.5
"""For a class of which validation shows nothing found: as likely as not."""

GIVEN_UP = (
    0,
    0.0025,
    0.005,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
)
"""The thresholds on detector_score that are tried give up these shares of the boxes that candidates find.

They lie close where little is given up: that is where the highest recall is.
"""

IOU = 0.5

Ints = npt.NDArray[np.int64]
NO_BOXES = np.zeros((0, 4))


@dataclass(frozen=True)
class ChosenPairPoint:
    """An operating point and what it gives on the split that it was chosen on.

    Attributes:
        point: The thresholds.
        recall, precision: Of each class over boxes; ``None`` where there are no boxes, or no detections.
        mean_recall, mean_precision: Over the classes that the choice was made for; a precision of ``None`` counts as 0.
        not_reached: The classes with labelled boxes that miss the wanted precision.
        by_default: The classes with :data:`DEFAULT_CLASS_THRESHOLD`, since no candidate finds a box of them.
    """

    point: OperatingPoint
    recall: dict[str, float | None]
    precision: dict[str, float | None]
    mean_recall: float
    mean_precision: float
    not_reached: list[str]
    by_default: list[str]

    def notes(self, min_precision: float = MIN_PRECISION) -> list[str]:
        """What the user should know of the choice, a sentence a line."""
        lines = []
        imprecise = [name for name in self.not_reached if name not in self.by_default]
        if imprecise:
            lines.append(
                f"no threshold gives {', '.join(imprecise)} a precision of {min_precision:g} on validation; the most"
                " precise one was taken"
            )
        if self.by_default:
            lines.append(
                f"on validation no {', '.join(self.by_default)} was found, so its threshold on class_score is a guess:"
                f" {DEFAULT_CLASS_THRESHOLD:g}"
            )
        return lines


def choose_pair_point(
    candidates: pd.DataFrame,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    classes: Sequence[str],
    targets: Sequence[str],
    min_precision: float = MIN_PRECISION,
    also: Sequence[float] = (),
) -> ChosenPairPoint:
    """The thresholds of highest recall at a wanted precision.

    For each of some thresholds on detector_score, every class gets the threshold on class_score that
    :func:`spore_yolo.evaluation.operating_point.choose_point` takes: of those with the wanted precision the one with
    the highest recall; where none has it the most precise one. A class of which no candidate finds a box gets
    :data:`DEFAULT_CLASS_THRESHOLD`: its most precise threshold would be one that lets nothing in. Then the detector
    threshold is taken at which most of the wanted classes reach the precision; of those the one with the highest mean
    recall over the wanted classes, then with the highest mean precision, then the highest threshold.

    The detector thresholds are 0.01, where candidates begin, those that give up :data:`GIVEN_UP` of the boxes that
    candidates find, and ``also``. For each of them the curve over class_score is exact: what filtering and then
    matching, ranked by score, would give at every one of its points.

    Args:
        candidates: Columns of ``candidates.csv``.
        boxes: The boxes table of the split.
        images: The images table of the split.
        classes: What the pair names.
        targets: The wanted classes; all of them if empty. Those without labelled boxes have no say; if no target has
            any, all classes do.
        min_precision: The wanted precision.
        also: More thresholds on detector_score to try, such as the detector's own.
    """
    ignored = {name: part[COORDINATES].to_numpy() for name, part in boxes[boxes["ignored"]].groupby("image")}
    labelled = boxes[~boxes["ignored"]]
    contests = {
        name: _Contest(candidates[candidates["class"] == name], labelled[labelled["class"] == name], ignored)
        for name in classes
    }
    present = [name for name in classes if contests[name].boxes]
    wanted = [name for name in present if name in targets] or present
    best: dict[str, ChosenPoint] = {}
    best_key = (-1, -1.0, -1.0)
    best_threshold = CANDIDATE_SCORE
    for threshold in _detector_thresholds(candidates, boxes, images, wanted, also):
        points = {name: _class_point(contests[name].curve(threshold), min_precision) for name in classes}
        chosen = [points[name] for name in wanted]
        key = (
            sum(point.reached for point in chosen),
            _mean([point.recall for point in chosen]),
            _mean([point.precision for point in chosen]),
        )
        if key > best_key:
            best, best_key, best_threshold = points, key, threshold
    point = OperatingPoint.model_validate(
        {"detector": best_threshold, "class": {name: best[name].threshold for name in classes}}
    )
    scored = score_candidates(detections_of(candidates, point), boxes, images, classes, IOU)
    recall: dict[str, float | None] = {}
    precision: dict[str, float | None] = {}
    for name in classes:
        tp, fp, fn = (float(count.sum()) for count in counts_by_group(scored, name).values())
        recall[name] = tp / (tp + fn) if tp + fn else None
        precision[name] = tp / (tp + fp) if tp + fp else None
    return ChosenPairPoint(
        point=point,
        recall=recall,
        precision=precision,
        mean_recall=_mean([recall[name] or 0.0 for name in wanted]),
        mean_precision=_mean([precision[name] or 0.0 for name in wanted]),
        not_reached=[name for name in present if (precision[name] or 0.0) < min_precision],
        by_default=[name for name in classes if not best[name].recall],
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _class_point(curve: Curve, min_precision: float) -> ChosenPoint:
    if not curve.recall.any():
        return ChosenPoint(DEFAULT_CLASS_THRESHOLD, 0.0, 0.0, reached=False)
    return choose_point(curve, min_precision)


def _detector_thresholds(
    candidates: pd.DataFrame,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    classes: Sequence[str],
    also: Sequence[float],
) -> list[float]:
    """The thresholds to try, falling."""
    labelled = boxes[boxes["class"].isin(list(classes)) | boxes["ignored"]]
    scored = score_candidates(candidates, labelled, images, classes, IOU)
    found = scored.candidates.loc[scored.candidates["truth"] >= 0, "detector_score"].to_numpy(dtype=np.float64)
    thresholds = {CANDIDATE_SCORE, *also}
    if len(found):
        thresholds |= set(rounded_down(np.quantile(found, GIVEN_UP, method="lower")).tolist())
    return sorted(thresholds, reverse=True)


@dataclass(frozen=True)
class _Knot:
    """Candidates that compete for several labelled boxes, or some of which lie on an ignored box.

    Attributes:
        members: Their places among the candidates of the class, rising.
        truth: ``(M, 4)``, the labelled boxes.
        ignored: ``(K, 4)``, the ignored boxes of the slide.
    """

    members: Ints
    truth: Floats
    ignored: Floats


class _Contest:
    """The candidates of one class, sorted by what they compete for, so that every threshold is tried in no time.

    A candidate's fate depends only on those that overlap a labelled box with it. Where there is one box, the first
    candidate to come in finds it, and all others are false alarms. Only the few knots must be matched again for each
    threshold.
    """

    def __init__(self, candidates: pd.DataFrame, truth: pd.DataFrame, ignored: dict[str, Floats]) -> None:
        rows, truth = candidates.reset_index(drop=True), truth.reset_index(drop=True)
        self.boxes = len(truth)
        self.corners = rows[COORDINATES].to_numpy(dtype=np.float64)
        self.scores = rows["score"].to_numpy(dtype=np.float64)
        self.detector_scores = rows["detector_score"].to_numpy(dtype=np.float64)
        # Compared with thresholds of five decimals, these are as good as the scores themselves.
        self.class_scores = rounded_down(rows["class_score"].to_numpy(dtype=np.float64))
        corners, count = truth[COORDINATES].to_numpy(dtype=np.float64), len(rows)
        self.covered = np.zeros(count, dtype=bool)
        edges: list[tuple[Ints, Ints]] = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))]
        labels = {slide: part.index.to_numpy() for slide, part in truth.groupby("image")}
        slides = rows["slide"].to_numpy()
        for slide, part in rows.groupby("slide"):
            places = part.index.to_numpy()
            if slide in ignored:
                self.covered[places] = match_boxes(
                    self.corners[places], self.scores[places], NO_BOXES, ignored[slide], IOU
                ).on_ignored
            if slide in labels:
                first, second = np.nonzero(box_iou(self.corners[places], corners[labels[slide]]) >= IOU)
                edges.append((places[first], labels[slide][second]))
        self.contest, label_contest = _connected(edges, count, self.boxes)
        contests = count + self.boxes
        labels_in = np.bincount(label_contest, minlength=contests)[self.contest]
        covered_in = np.bincount(self.contest, weights=self.covered, minlength=contests)[self.contest]
        self.simple = (labels_in == 1) & (covered_in == 0)
        tangled = (labels_in > 0) & ~self.simple
        self.knots = []
        for contest in np.unique(self.contest[tangled]):
            members = np.flatnonzero(self.contest == contest)
            over = ignored.get(slides[members[0]], NO_BOXES)
            self.knots.append(_Knot(members, corners[label_contest == contest], over))

    def curve(self, threshold: float) -> Curve:
        """The exact precision-recall curve over class_score of what passes a threshold on detector_score."""
        passing = self.detector_scores >= threshold
        order = np.argsort(-self.class_scores, kind="stable")
        order = order[passing[order]]
        found, false = np.zeros(len(self.scores), dtype=np.int64), (~self.covered).astype(np.int64)
        simple = order[self.simple[order]]
        _, first = np.unique(self.contest[simple], return_index=True)
        found[simple[first]], false[simple[first]] = 1, 0
        for knot in self.knots:
            members = knot.members[passing[knot.members]]
            before = np.zeros(2, dtype=np.int64)
            for score in np.unique(self.class_scores[members])[::-1]:
                inside = members[self.class_scores[members] >= score]
                matching = match_boxes(self.corners[inside], self.scores[inside], knot.truth, knot.ignored, IOU)
                hits = matching.truth_of >= 0
                after = np.array([hits.sum(), (~hits & ~matching.on_ignored).sum()])
                coming = members[self.class_scores[members] == score]
                # Those of one score come in together; one of them stands for all.
                found[coming], false[coming] = 0, 0
                found[coming[0]], false[coming[0]] = after - before
                before = after
        return curve_from(self.class_scores[order], found[order], false[order], self.boxes)


def _connected(edges: list[tuple[Ints, Ints]], candidates: int, labels: int) -> tuple[Ints, Ints]:
    """Numbers the sets of candidates and labelled boxes that hang together: ``(N,)`` and ``(M,)``."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = (np.concatenate(ends) for ends in zip(*edges, strict=True))
    size = candidates + labels
    graph = coo_array((np.ones(len(first)), (first, candidates + second)), shape=(size, size))
    _, numbers = connected_components(graph, directed=False)
    numbers = np.asarray(numbers, dtype=np.int64)
    return numbers[:candidates], numbers[candidates:]
