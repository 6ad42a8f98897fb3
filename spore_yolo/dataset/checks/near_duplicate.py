"""SPR019: two boxes round one object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.duplicate import SAME
from spore_yolo.dataset.checks.placing import at_boxes, place_text
from spore_yolo.labels.table import COORDINATES

CODE = "SPR019"

LEAST_IOU = 0.8
"""Overlap from which two boxes are taken to mean one object; spores that touch or lie on each other share far less."""

MOST_PAIRS = 50_000_000
"""How many pairs of boxes are compared; bounds the time where labels are a heap of boxes without sense."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def _find(material: Material) -> list[Finding]:
    boxes = material.boxes
    candidates = np.flatnonzero(~(boxes["ignored"] | boxes.duplicated(SAME)).to_numpy())
    images, names = boxes["image"].factorize()
    corners = boxes[COORDINATES].to_numpy(dtype=np.float64)
    twins = _twins(corners[candidates], images[candidates])
    earlier = candidates[np.minimum(twins.one, twins.other)]
    later = candidates[np.maximum(twins.one, twins.other)]
    order = np.lexsort((earlier, later))
    earlier, later, iou = earlier[order], later[order], twins.iou[order]
    kinds, files, lines = (boxes[name].to_numpy() for name in ("class", "label_file", "line"))
    messages = (
        f"{kinds[row]} lies on {'another' if kinds[row] == kinds[first] else kinds[first]}"
        f" ({place_text(files[first], lines[first])}) with an IoU of {overlap:.2f}: is it one object?"
        for row, first, overlap in zip(later, earlier, iou, strict=True)
    )
    pairs = [(int(row), int(first)) for row, first in zip(later, earlier, strict=True)]
    findings = at_boxes(material, CODE, Severity.WARNING, pairs, messages)
    for image in np.unique(images[candidates][twins.given_up]):
        message = f"{names[image]} has so many boxes at one place that not all were compared with each other"
        findings.append(Finding(CODE, Severity.NOTE, message, str(material.path), image=str(names[image])))
    return findings


@dataclass(frozen=True)
class _Twins:
    """Pairs of boxes: ``one`` and ``other`` are ``(P,)``, ``given_up`` the boxes not compared with all others."""

    one: Ints
    other: Ints
    iou: Floats
    given_up: Ints


def _twins(corners: Floats, images: Ints) -> _Twins:
    """Pairs that overlap by :data:`LEAST_IOU`, for each box at most one among those that begin further right.

    The left sides of two boxes differ by at most (1 - IoU) of the width of the one that begins first: the common width
    is at least the IoU's share of either width. So in the order of the left sides only the next few can be twins.
    """
    order = np.lexsort((corners[:, 1], corners[:, 0], images))
    left, top, right, bottom = corners[order].T.copy()
    image, width, height = images[order], right - left, bottom - top
    # A hair's breadth makes up for rounding.
    reach = left + (1 - LEAST_IOU) * width + 1e-6
    at = np.arange(len(order) - 1)
    found: list[tuple[Ints, Ints, Floats]] = []
    step = compared = 0
    while len(at) and compared < MOST_PAIRS:
        step += 1
        compared += len(at)
        at = at[at + step < len(order)]
        at = at[(left[at + step] <= reach[at]) & (image[at + step] == image[at])]
        # What holds for the left sides holds for the upper ones.
        below = np.abs(top[at + step] - top[at])
        one = at[below <= (1 - LEAST_IOU) * np.maximum(height[at], height[at + step]) + 1e-6]
        other = one + step
        wide = np.minimum(right[one], right[other]) - np.maximum(left[one], left[other])
        high = np.minimum(bottom[one], bottom[other]) - np.maximum(top[one], top[other])
        common = np.clip(wide, 0, None) * np.clip(high, 0, None)
        iou = common / (width[one] * height[one] + width[other] * height[other] - common)
        hit = iou >= LEAST_IOU - 1e-12
        found.append((order[one[hit]], order[other[hit]], iou[hit]))
        at = at[~np.isin(at, one[hit], assume_unique=True)]
    none = np.zeros(0, dtype=np.int64)
    one, other, iou = (np.concatenate(arrays) for arrays in zip((none, none, np.zeros(0)), *found, strict=True))
    return _Twins(one, other, iou, order[at])


CHECK = Check(
    code=CODE,
    title="two boxes round one object",
    severity=Severity.WARNING,
    effect="One of the two can never be found, and two classes for one object teach the classifier a contradiction.",
    mend="Look at both: keep the better box with the right class, take the other out.",
    find=_find,
)
