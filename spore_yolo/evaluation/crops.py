"""Recall and specificity over crops: the detector's own boxes, the classifier's true work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spore_yolo.evaluation.intervals import Figures
from spore_yolo.evaluation.metrics import yes_or_no_figures
from spore_yolo.evaluation.scoring import slide_numbers
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint, called
from spore_yolo.labels.crop_truth import crop_truth
from spore_yolo.labels.table import COORDINATES

LEAST_SCORE = 0.05
"""The detector_score from which on a candidate is a crop.

Below it lie masses of proposals that no threshold would ever let in; as negatives they would bring any specificity
close to 1. The bound is fixed, so that pairs with different operating points are measured on the same kind of crops.
"""

CROP_COLUMNS = [
    *("slide", "group", "class", "detector_score", "class_score", *COORDINATES),
    *("truth", "iou", "called", "left_out"),
]


def crops_table(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, point: OperatingPoint
) -> pd.DataFrame:
    """What each crop is, and what it is called.

    The rule is that of :func:`spore_yolo.labels.crop_truth.crop_truth`.

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
    # Predictions without scores are crops too.
    rows = candidates[~(candidates["detector_score"] < LEAST_SCORE)].reset_index(drop=True)
    labels, ignored = boxes[~boxes["ignored"]], boxes[boxes["ignored"]]
    shows = crop_truth(
        rows[COORDINATES].to_numpy(dtype=np.float64),
        labels[COORDINATES].to_numpy(dtype=np.float64),
        ignored[COORDINATES].to_numpy(dtype=np.float64),
        (
            slide_numbers(rows["slide"], images),
            slide_numbers(labels["image"], images),
            slide_numbers(ignored["image"], images),
        ),
    )
    truth = np.full(len(rows), "", dtype=object)
    truth[shows.debris] = DEBRIS
    found = shows.label >= 0
    truth[found] = labels["class"].to_numpy(dtype=object)[shows.label[found]]
    final = called(
        rows["class"].to_numpy(),
        rows["detector_score"].to_numpy(dtype=np.float64),
        rows["class_score"].to_numpy(dtype=np.float64),
        point,
    )
    group = rows["slide"].map(images.set_index("image")["group"])
    rows = rows.assign(group=group, truth=truth, iou=shows.iou, called=final, left_out=shows.left_out)
    return rows[CROP_COLUMNS]


def crop_figures(crops: pd.DataFrame, classes: Sequence[str]) -> dict[str, Figures]:
    """For each class, how well crops of it are told from all others.

    Args:
        crops: The crops, columns ``group, truth, called, left_out``.
        classes: Class names.

    Returns:
        For each class the figures of :func:`spore_yolo.evaluation.metrics.yes_or_no_figures`: positives are the crops
        of the class, negatives all others whose truth is known, debris included.
    """
    known = crops[crops["left_out"] == ""]
    truth, final = known["truth"].to_numpy(dtype=object), known["called"].to_numpy(dtype=object)
    group = pd.factorize(known["group"])[0]
    return {name: yes_or_no_figures(truth == name, final == name, group) for name in classes}
