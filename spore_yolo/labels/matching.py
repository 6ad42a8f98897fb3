"""Matches boxes to boxes by the rules of COCO, on all slides at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PAIRS_AT_ONCE = 4_000_000
"""How many pairs of boxes are compared at once; bounds the memory."""


@dataclass(frozen=True)
class Overlaps:
    """The pairs of boxes that share an area.

    Attributes:
        first, second: ``(P,)``, the places of the two boxes in their arrays; by ``first``, then by ``second``.
        common: ``(P,)``, the area that they share.
        iou: ``(P,)``, their intersection over union.
    """

    first: Ints
    second: Ints
    common: Floats
    iou: Floats

    def where(self, kept: npt.NDArray[np.bool_]) -> Overlaps:
        """Some of the pairs; ``kept`` is ``(P,)``."""
        return Overlaps(self.first[kept], self.second[kept], self.common[kept], self.iou[kept])


@dataclass(frozen=True)
class Matching:
    """Which candidate found which labelled box.

    Attributes:
        truth_of: ``(N,)``, for each candidate the index of its labelled box, or -1.
        iou: ``(N,)``, the IoU of that match; 0 without one.
        on_ignored: ``(N,)``, whether a candidate without a match lies on an ignored box and so counts in nothing.
    """

    truth_of: Ints
    iou: Floats
    on_ignored: npt.NDArray[np.bool_]


def box_area(boxes: Floats) -> Floats:
    """Areas of boxes ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), dtype=np.float64)


def box_iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes in ``(x_min, y_min, x_max, y_max)``, ``(N, 4)`` and ``(M, 4)`` to ``(N, M)``."""
    pairs = overlaps(first, second)
    matrix = np.zeros((len(first), len(second)))
    matrix[pairs.first, pairs.second] = pairs.iou
    return matrix


def overlaps(first: Floats, second: Floats, slides: tuple[Ints, Ints] | None = None) -> Overlaps:
    """Finds which boxes of one kind overlap which of another.

    Args:
        first: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``.
        second: ``(M, 4)``.
        slides: ``(N,)`` and ``(M,)``, the number of the slide that each lies on; without them all lie on one.
    """
    if not len(first) or not len(second):
        return Overlaps(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
    on_first, on_second = slides or (np.zeros(len(first), dtype=np.int64), np.zeros(len(second), dtype=np.int64))
    # One line on which the slides lie end to end: what overlaps box A on it begins between A's left side less the
    # widest box and A's right side. The hair's breadth makes up for rounding on a long line; the areas decide.
    left = min(first[:, 0].min(), second[:, 0].min())
    widest = float((second[:, 2] - second[:, 0]).max())
    length = max(first[:, 2].max(), second[:, 2].max()) - left + widest + 2
    begins = on_second * length + (second[:, 0] - left)
    order = np.argsort(begins, kind="stable")
    begins = begins[order]
    at = on_first * length
    low = np.searchsorted(begins, at + (first[:, 0] - left - widest) - 1e-2, side="left")
    high = np.searchsorted(begins, at + (first[:, 2] - left) + 1e-2, side="right")
    numbers = high - low
    parts: list[tuple[Ints, Ints, Floats]] = []
    ends = np.cumsum(numbers)
    begin = 0
    while begin < len(first):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + PAIRS_AT_ONCE, side="right")))
        count = numbers[begin:end]
        one = np.repeat(np.arange(begin, end), count)
        within = np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
        other = order[np.repeat(low[begin:end], count) + within]
        shared = _common(first[one], second[other])
        real = (shared > 0) & (on_first[one] == on_second[other])
        parts.append((one[real], other[real], shared[real]))
        begin = end
    one, other, shared = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((other, one))
    one, other, shared = one[order], other[order], shared[order]
    union = box_area(first)[one] + box_area(second)[other] - shared
    return Overlaps(one, other, shared, np.asarray(shared / union, dtype=np.float64))


def _common(first: Floats, second: Floats) -> Floats:
    """Areas in common, box by box."""
    width = np.minimum(first[:, 2], second[:, 2]) - np.maximum(first[:, 0], second[:, 0])
    height = np.minimum(first[:, 3], second[:, 3]) - np.maximum(first[:, 1], second[:, 1])
    return np.asarray(np.clip(width, 0, None) * np.clip(height, 0, None), dtype=np.float64)


def least_overlap(iou: float) -> float:
    """The overlap that a match needs: COCO's own floor, which keeps an IoU of exactly 1 but for rounding."""
    return min(iou, 1 - 1e-10)


def match_pairs(pairs: Overlaps, rank: Ints, iou: float = 0.5) -> tuple[Ints, Floats]:
    """Matches candidates to labelled boxes, from the surest down, each to the free one that it overlaps most.

    These are COCO's rules (Lin et al. 2014; pycocotools ``COCOeval.evaluateImg``); of equal overlaps the last labelled
    box is taken. All contests go on at the same time: in each round every candidate takes the free box that it
    overlaps most if no surer one that is still without a box overlaps that box too. What comes out is what going from
    the surest down gives, in as many rounds as the longest chain of rivals has members.

    Args:
        pairs: Candidates (``first``) and labelled boxes (``second``) that may match.
        rank: ``(N,)``, 0 for the surest candidate of all; no two alike.
        iou: Least overlap of a match.

    Returns:
        For each candidate the place of its labelled box or -1, and the IoU of the match or 0.
    """
    truth_of, match_iou = np.full(len(rank), -1, dtype=np.int64), np.zeros(len(rank))
    left = pairs.where(pairs.iou >= least_overlap(iou))
    # By candidate, its best pair first.
    order = np.lexsort((-left.second, -left.iou, left.first))
    first, second, overlap = left.first[order], left.second[order], left.iou[order]
    taken = np.zeros(int(second.max()) + 1 if len(second) else 0, dtype=bool)
    while len(first):
        surest = np.full(len(taken), len(rank), dtype=np.int64)
        np.minimum.at(surest, second, rank[first])
        best = np.append(True, first[1:] != first[:-1]) & (surest[second] == rank[first])
        winners, won = first[best], second[best]
        truth_of[winners], match_iou[winners], taken[won] = won, overlap[best], True
        kept = (truth_of[first] < 0) & ~taken[second]
        first, second, overlap = first[kept], second[kept], overlap[kept]
    return truth_of, match_iou


def covered(pairs: Overlaps, area: Floats, share: float) -> npt.NDArray[np.bool_]:
    """Whether one of the second boxes covers at least a share of a first one.

    Args:
        pairs: The overlaps.
        area: ``(N,)``, areas of the first boxes.
        share: The share.
    """
    result = np.zeros(len(area), dtype=bool)
    result[pairs.first[pairs.common / area[pairs.first] >= share]] = True
    return result


def match_boxes(
    candidates: Floats,
    scores: Floats,
    truth: Floats,
    ignored: Floats,
    iou: float = 0.5,
    slides: tuple[Ints, Ints, Ints] | None = None,
) -> Matching:
    """Matches candidates to labelled boxes by COCO's rules.

    Ignored boxes are COCO's crowds, on which a candidate lies when the intersection covers at least ``iou`` of the
    candidate. Candidates below a threshold do not change how those above it are matched, so one matching serves every
    operating point.

    Args:
        candidates: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``.
        scores: ``(N,)``; of equal scores the first in the array is the surer; those without a score (NaN) come last.
        truth: ``(M, 4)``, labelled boxes.
        ignored: ``(K, 4)``, ignored boxes.
        iou: Least overlap of a match.
        slides: ``(N,)``, ``(M,)`` and ``(K,)``, the number of the slide that each lies on; without them all lie on
            one. Boxes that must not match, as those of two classes, may be given slides of their own.
    """
    rank = np.empty(len(candidates), dtype=np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(candidates))
    on_truth = (slides[0], slides[1]) if slides else None
    truth_of, match_iou = match_pairs(overlaps(candidates, truth, on_truth), rank, iou)
    on = covered(
        overlaps(candidates, ignored, (slides[0], slides[2]) if slides else None),
        box_area(candidates),
        least_overlap(iou),
    )
    return Matching(truth_of, match_iou, on & (truth_of < 0))
