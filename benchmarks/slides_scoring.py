"""What the contestants of ``slides.py`` found, compared with the labels of the slide."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.average_precision import average_precision
from spore_yolo.labels.matching import match_boxes, overlaps
from spore_yolo.labels.table import COORDINATES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

IOU = 0.5

PRECISION = 0.9
"""At which recalls are compared: who joins tiles otherwise trades the one for the other at the same confidence."""


@dataclass(frozen=True)
class Found:
    """Boxes on one slide.

    Attributes:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide.
        scores: ``(N,)``.
        classes: ``(N,)``, names.
    """

    boxes: Floats
    scores: Floats
    classes: npt.NDArray[np.str_]

    def where(self, kept: npt.NDArray[np.bool_]) -> Found:
        """Some of them; ``kept`` is ``(N,)``."""
        return Found(self.boxes[kept], self.scores[kept], self.classes[kept])

    def write(self, path: Path) -> None:
        """Writes them as ``.npz``."""
        np.savez(path, boxes=self.boxes, scores=self.scores, classes=self.classes)

    @classmethod
    def read(cls, path: Path) -> Found:
        """Reads what :meth:`write` wrote."""
        with np.load(path) as content:
            return cls(content["boxes"], content["scores"], content["classes"].astype(str))


@dataclass(frozen=True)
class Windows:
    """The tiles that a contestant cut a slide into.

    Attributes:
        x, y: ``(begin, end)`` of the columns and of the rows, in pixels of the slide, rising.
    """

    x: list[tuple[int, int]]
    y: list[tuple[int, int]]

    @classmethod
    def of(cls, boxes: Any) -> Windows:
        """Out of the windows themselves, ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``."""
        rows = np.asarray(boxes, dtype=np.int64).reshape(-1, 4).tolist()
        return cls(sorted({(row[0], row[2]) for row in rows}), sorted({(row[1], row[3]) for row in rows}))

    @property
    def count(self) -> int:
        """How many tiles there are."""
        return len(self.x) * len(self.y)

    def shared_zone(self, centres: Floats) -> npt.NDArray[np.int64]:
        """For each centre ``(N, 2)`` and each axis the number of the overlap of two tiles that it lies in, or -1."""
        zones = np.full(centres.shape, -1, dtype=np.int64)
        for axis, windows in enumerate((self.x, self.y)):
            for number, (before, after) in enumerate(itertools.pairwise(windows)):
                zones[(centres[:, axis] >= after[0]) & (centres[:, axis] <= before[1]), axis] = number
        return zones


@dataclass(frozen=True)
class Quality:
    """How good what was found is.

    Attributes:
        detections: How many there are.
        recall, precision: Matched greedily by falling score at IoU 0.5, class by class.
        recall_at_precision: The highest recall at a precision of :data:`PRECISION` or more, whatever the confidence.
        doubles: Detections without a match that overlap, by an IoU of 0.5 or more, a label which another detection
            has already.
        doubles_at_borders: Those of them that lie where tiles overlap, together with that other detection.
        doubles_per_1000: Doubles per 1,000 labelled boxes.
    """

    detections: int
    recall: float
    precision: float
    recall_at_precision: float
    doubles: int
    doubles_at_borders: int
    doubles_per_1000: float


def quality(found: Found, labels: pd.DataFrame, windows: Windows) -> dict[str, Any]:
    """How good detections are; the fields of :class:`Quality`.

    Args:
        found: The detections that count.
        labels: Columns ``class``, the box, ``ignored``.
        windows: The contestant's tiles.
    """
    names = sorted({*found.classes.tolist(), *labels["class"]})
    number = {name: place for place, name in enumerate(names)}
    truth, ignored = labels[~labels["ignored"]], labels[labels["ignored"]]
    wanted = truth[COORDINATES].to_numpy(dtype=np.float64)
    # A class is a slide of its own, and an ignored box lies on all of them.
    mine = np.array([number[name] for name in found.classes], dtype=np.int64)
    theirs = truth["class"].map(number).to_numpy(dtype=np.int64)
    spared = np.repeat(ignored[COORDINATES].to_numpy(dtype=np.float64), len(names), axis=0)
    matching = match_boxes(
        found.boxes, found.scores, wanted, spared, IOU, (mine, theirs, np.tile(np.arange(len(names)), len(ignored)))
    )
    hit = matching.truth_of >= 0
    counted = hit | ~matching.on_ignored
    order = np.argsort(-found.scores, kind="stable")
    hits, all_counted = hit[order].cumsum(), np.maximum(1, counted[order].cumsum())
    precise = hits / all_counted >= PRECISION
    owner = np.full(len(truth), -1, dtype=np.int64)
    owner[matching.truth_of[hit]] = np.flatnonzero(hit)
    pairs = overlaps(found.boxes, wanted, (mine, theirs))
    same = (pairs.iou >= IOU) & ~hit[pairs.first] & counted[pairs.first] & (owner[pairs.second] >= 0)
    doubles, partners = pairs.first[same], owner[pairs.second[same]]
    zones = windows.shared_zone((found.boxes[:, :2] + found.boxes[:, 2:]) / 2)
    border = ((zones[doubles] >= 0) & (zones[doubles] == zones[partners])).any(axis=1)
    number_of_doubles = len(np.unique(doubles))
    return asdict(
        Quality(
            detections=len(found.boxes),
            recall=round(float(hit.sum()) / max(1, len(truth)), 4),
            precision=round(float(hit.sum()) / max(1, int(counted.sum())), 4),
            recall_at_precision=round(float(hits[precise].max(initial=0)) / max(1, len(truth)), 4),
            doubles=number_of_doubles,
            doubles_at_borders=len(np.unique(doubles[border])),
            doubles_per_1000=round(1000 * number_of_doubles / max(1, len(truth)), 2),
        )
    )


def ap50(found: Found, labels: pd.DataFrame) -> float | None:
    """AP50 of everything found, the mean over the classes with labels."""
    slide = "slide"
    candidates = pd.DataFrame(found.boxes, columns=COORDINATES).assign(
        slide=slide, score=found.scores, **{"class": found.classes}
    )
    images = pd.DataFrame({"image": [slide], "group": [slide]})
    classes = sorted(set(labels["class"]))
    value = average_precision(candidates, labels.assign(image=slide), images, classes)[None]["ap50"]["value"]
    return None if value is None else round(float(value), 4)
