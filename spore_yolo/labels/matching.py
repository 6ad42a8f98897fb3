"""Matches boxes to boxes by the rules of COCO."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matching:
    """Which candidate found which labelled box.

    Attributes:
        truth_of: ``(N,)``, for each candidate the index of its labelled box, or -1.
        iou: ``(N,)``, the IoU of that match; 0 without one.
        on_ignored: ``(N,)``, whether a candidate without a match lies on an ignored box and so counts in nothing.
    """

    truth_of: npt.NDArray[np.int64]
    iou: Floats
    on_ignored: npt.NDArray[np.bool_]


def intersection(first: Floats, second: Floats) -> Floats:
    """Areas in common of boxes in ``(x_min, y_min, x_max, y_max)``, ``(N, 4)`` and ``(M, 4)`` to ``(N, M)``."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray(np.clip(bottom_right - top_left, 0, None).prod(axis=2), dtype=np.float64)


def box_area(boxes: Floats) -> Floats:
    """Areas of boxes ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), dtype=np.float64)


def box_iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes, ``(N, 4)`` and ``(M, 4)`` to ``(N, M)``."""
    common = intersection(first, second)
    union = box_area(first)[:, None] + box_area(second)[None, :] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def match_boxes(candidates: Floats, scores: Floats, truth: Floats, ignored: Floats, iou: float = 0.5) -> Matching:
    """Matches candidates to labelled boxes, from the surest down, each to the free one that it overlaps most.

    These are COCO's rules (Lin et al. 2014; pycocotools ``COCOeval.evaluateImg``): ignored boxes are its crowds, on
    which a candidate lies when the intersection covers at least ``iou`` of the candidate. Candidates below a threshold
    do not change how those above it are matched, so one matching serves every operating point.

    Args:
        candidates: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``.
        scores: ``(N,)``; of equal scores the first in the array is the surer.
        truth: ``(M, 4)``, labelled boxes.
        ignored: ``(K, 4)``, ignored boxes.
        iou: Least overlap of a match.
    """
    count = len(candidates)
    truth_of = np.full(count, -1, dtype=np.int64)
    match_iou = np.zeros(count)
    overlaps = box_iou(candidates, truth)
    free = np.ones(len(truth), dtype=bool)
    # COCO's own floor keeps an IoU that is exactly the threshold but for rounding.
    least = min(iou, 1 - 1e-10)
    for index in np.argsort(-scores, kind="stable"):
        if not free.any():
            break
        row = np.where(free, overlaps[index], -1.0)
        # Of equal overlaps COCO takes the last.
        best = len(row) - 1 - int(np.argmax(row[::-1]))
        if row[best] >= least:
            truth_of[index], match_iou[index], free[best] = best, row[best], False
    area = box_area(candidates)
    common = intersection(candidates, ignored)
    covered = np.divide(common, area[:, None], out=np.zeros_like(common), where=area[:, None] > 0)
    on_ignored = (truth_of < 0) & (covered >= least).any(axis=1)
    return Matching(truth_of, match_iou, np.asarray(on_ignored))
