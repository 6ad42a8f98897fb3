"""What a box that a detector proposed shows, by the labels: one of them, debris, or nobody can say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spore_yolo.labels.matching import Floats, Ints, box_area, covered, overlaps

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

    label: Ints
    iou: Floats
    debris: npt.NDArray[np.bool_]
    left_out: npt.NDArray[np.object_]


def crop_truth(
    boxes: Floats, labels: Floats, ignored: Floats, slides: tuple[Ints, Ints, Ints] | None = None
) -> CropTruth:
    """Holds proposed boxes beside the labels of their slide.

    A box shows the label that it overlaps best, if their IoU is at least :data:`SAME`; several boxes may show one
    label. A box without such a label is left out if half of it is covered by an ignored box or its IoU with one is at
    least :data:`NOTHING`, or if its IoU with a label is. All the others show debris.

    Args:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``.
        labels: ``(M, 4)``, labelled boxes.
        ignored: ``(K, 4)``, ignored boxes.
        slides: ``(N,)``, ``(M,)`` and ``(K,)``, the number of the slide that each lies on; without them all lie on one.
    """
    iou, label = np.zeros(len(boxes)), np.full(len(boxes), -1, dtype=np.int64)
    pairs = overlaps(boxes, labels, (slides[0], slides[1]) if slides else None)
    # The best pair of each box first; of equal ones that with the first label.
    order = np.lexsort((pairs.second, -pairs.iou, pairs.first))
    best = order[np.append(True, np.diff(pairs.first[order]) > 0)] if len(order) else order
    iou[pairs.first[best]], label[pairs.first[best]] = pairs.iou[best], pairs.second[best]
    left_out = np.full(len(boxes), "", dtype=object)
    left_out[iou >= NOTHING] = "between"
    over = overlaps(boxes, ignored, (slides[0], slides[2]) if slides else None)
    on_ignored = covered(over, box_area(boxes), SAME)
    on_ignored[over.first[over.iou >= NOTHING]] = True
    left_out[on_ignored] = "ignored"
    left_out[iou >= SAME] = ""
    label[iou < SAME] = -1
    return CropTruth(label, iou, (label < 0) & (left_out == ""), left_out)
