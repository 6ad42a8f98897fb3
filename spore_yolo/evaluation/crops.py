"""Recall and specificity over crops: the detector's own boxes, the classifier's true work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.metrics import Figures, yes_or_no_figures
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint, called
from spore_yolo.labels.matching import Floats, box_area, box_iou, intersection
from spore_yolo.labels.table import COORDINATES

LEAST_SCORE = 0.05
"""The detector_score from which on a candidate is a crop.

Below it lie masses of proposals that no threshold would ever let in; as negatives they would bring any specificity
close to 1. The bound is fixed, so that pairs with different operating points are measured on the same kind of crops.
"""

SAME = 0.5
"""The IoU from which on a candidate is of its label's class."""

NOTHING = 0.1
"""The IoU below which a candidate is debris; between the two nobody can say what the crop shows."""

CROP_COLUMNS = [
    *("slide", "group", "class", "detector_score", "class_score", *COORDINATES),
    *("truth", "iou", "called", "left_out"),
]


def crops_table(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, point: OperatingPoint
) -> pd.DataFrame:
    """What each crop is, and what it is called.

    The truth of a candidate is the class of the label that it overlaps best, if their IoU is at least :data:`SAME`;
    several candidates may have the same label. A candidate without such a label is left out as ``ignored`` if it lies
    on an ignored box, that is if half of it is covered by one or its IoU with one is at least :data:`NOTHING`. Else it
    is left out as ``between`` if its IoU with a label is at least :data:`NOTHING`. All the others are debris.

    Args:
        candidates: Columns of ``candidates.csv``.
        boxes: The boxes table of the split.
        images: The images table of the split.
        point: The operating point that says what a candidate is called.

    Returns:
        A row a candidate from :data:`LEAST_SCORE` on, columns :data:`CROP_COLUMNS`. ``truth`` and ``called`` are
        classes or debris, ``iou`` is that with the label overlapped best; ``left_out`` is ``ignored``, ``between`` or
        empty, and ``truth`` is empty where it is not.
    """
    rows = candidates[candidates["detector_score"] >= LEAST_SCORE].reset_index(drop=True)
    labels = dict(iter(boxes[~boxes["ignored"]].groupby("image")))
    ignored = {name: part[COORDINATES].to_numpy() for name, part in boxes[boxes["ignored"]].groupby("image")}
    best, truth = np.zeros(len(rows)), np.full(len(rows), DEBRIS, dtype=object)
    left_out = np.full(len(rows), "", dtype=object)
    for slide, part in rows.groupby("slide"):
        corners, places = part[COORDINATES].to_numpy(), part.index.to_numpy()
        if slide in labels:
            overlaps = box_iou(corners, labels[slide][COORDINATES].to_numpy())
            best[places] = overlaps.max(axis=1)
            truth[places] = labels[slide]["class"].to_numpy()[overlaps.argmax(axis=1)]
        if slide in ignored:
            left_out[places] = np.where(_on_ignored(corners, ignored[slide]), "ignored", "")
    left_out[(left_out == "") & (best >= NOTHING)] = "between"
    left_out[best >= SAME] = ""
    truth[best < SAME] = DEBRIS
    truth[left_out != ""] = ""
    final = called(
        rows["class"].to_numpy(),
        rows["detector_score"].to_numpy(dtype=np.float64),
        rows["class_score"].to_numpy(dtype=np.float64),
        point,
    )
    groups = dict(zip(images["image"], images["group"], strict=True))
    rows = rows.assign(group=rows["slide"].map(groups), truth=truth, iou=best, called=final, left_out=left_out)
    return rows[CROP_COLUMNS]


def _on_ignored(corners: Floats, ignored: Floats) -> npt.NDArray[np.bool_]:
    """Whether boxes ``(N, 4)`` lie on one of the ignored boxes ``(K, 4)``."""
    covered = intersection(corners, ignored) >= SAME * box_area(corners)[:, None]
    return np.asarray((covered | (box_iou(corners, ignored) >= NOTHING)).any(axis=1))


def crop_figures(crops: pd.DataFrame, classes: Sequence[str]) -> dict[str, Figures]:
    """For each class, how well crops of it are told from all others.

    Args:
        crops: The crops, columns ``truth, called, left_out``.
        classes: Class names.

    Returns:
        For each class the figures of :func:`spore_yolo.evaluation.metrics.yes_or_no_figures`: positives are the crops
        of the class, negatives all others whose truth is known, debris included.
    """
    known = crops[crops["left_out"] == ""]
    truth, final = known["truth"].to_numpy(dtype=object), known["called"].to_numpy(dtype=object)
    return {name: yes_or_no_figures(truth == name, final == name) for name in classes}
