"""From a detector's raw output to what it proposes on one tile: non-maximum suppression, within that tile alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CANDIDATE_SCORE = 0.01
"""The detector_score from which on a proposal is a candidate."""

Floats = npt.NDArray[np.float32]
Found = npt.NDArray[np.float64]
"""What one tile gave: ``(n, 6)``, ``x_min, y_min, x_max, y_max`` in pixels of the model, score, class number."""


def proposals(raw: Floats, iou: float, most: int) -> Found:
    """What a detector proposes on one tile, each object once a class, by falling score.

    The same as Ultralytics' ``non_max_suppression``, but without its time limit, which leaves a dense tile empty.

    Args:
        raw: ``(4 + C, anchors)``: ``x, y, width, height``, centre first, in pixels of the model; a probability a class.
        iou: IoU above which two boxes of one class are one object.
        most: How many may stay.
    """
    best = raw[4:].max(axis=0)
    likely = np.flatnonzero(best > CANDIDATE_SCORE)
    classes = raw[4:, likely].argmax(axis=0)
    centre, half = raw[:2, likely].T, raw[2:4, likely].T / 2
    rows = np.column_stack([centre - half, centre + half, best[likely], classes])
    parts = [suppressed(rows[classes == number], iou) for number in np.unique(classes)]
    rows = np.concatenate([np.zeros((0, 6)), *parts])
    return rows[np.argsort(-rows[:, 4], kind="stable")[:most]]


def suppressed(rows: Found, iou: float) -> Found:
    """Of boxes that lie on each other the best, by falling score, whatever their classes.

    A detector proposes a spore that it cannot name once for each name. Where a classifier gives the names, it would
    count twice.

    Args:
        rows: ``(n, 6)``; see :data:`Found`.
        iou: IoU above which two boxes are one object.
    """
    from torch import from_numpy
    from torchvision.ops import nms

    kept = nms(from_numpy(rows[:, :4].copy()), from_numpy(rows[:, 4].copy()), iou).numpy()
    return np.asarray(rows[kept], dtype=np.float64)
