"""What a box that a detector proposed shows, by the labels: one of them, debris, or nobody can say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spore_yolo.labels.matching import Floats, box_area, box_iou, intersection

SAME = 0.5
"""The IoU from which on a box shows what the label says."""

NOTHING = 0.1
"""The IoU below which a box shows debris; between the two nobody can say what it shows."""


@dataclass(frozen=True)
class CropTruth:
    """What boxes show.

    Attributes:
        label: ``(N,)``, the index of the label that a box shows, or -1.
        iou: ``(N,)``, the IoU with the label that a box overlaps best; 0 without labels.
        debris: ``(N,)``, whether a box shows debris.
        left_out: ``(N,)``, ``"ignored"`` for boxes on an ignored box, ``"between"`` for those that overlap a label too
            much for debris and too little for its class, else ``""``.
    """

    label: npt.NDArray[np.int64]
    iou: Floats
    debris: npt.NDArray[np.bool_]
    left_out: npt.NDArray[np.object_]


def crop_truth(boxes: Floats, labels: Floats, ignored: Floats) -> CropTruth:
    """Holds proposed boxes beside the labels of their slide.

    A box shows the label that it overlaps best, if their IoU is at least :data:`SAME`; several boxes may show one
    label. A box without such a label is left out if half of it is covered by an ignored box or its IoU with one is at
    least :data:`NOTHING`, or if its IoU with a label is. All the others show debris.

    Args:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``.
        labels: ``(M, 4)``, labelled boxes.
        ignored: ``(K, 4)``, ignored boxes.
    """
    iou, label = np.zeros(len(boxes)), np.full(len(boxes), -1, dtype=np.int64)
    if len(labels) and len(boxes):
        overlaps = box_iou(boxes, labels)
        iou, label = overlaps.max(axis=1), overlaps.argmax(axis=1).astype(np.int64)
    left_out = np.full(len(boxes), "", dtype=object)
    left_out[iou >= NOTHING] = "between"
    if len(ignored) and len(boxes):
        covered = intersection(boxes, ignored) >= SAME * box_area(boxes)[:, None]
        left_out[(covered | (box_iou(boxes, ignored) >= NOTHING)).any(axis=1)] = "ignored"
    left_out[iou >= SAME] = ""
    label[iou < SAME] = -1
    return CropTruth(label, iou, (label < 0) & (left_out == ""), left_out)
