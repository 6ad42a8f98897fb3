"""What lies where whatever it is called: the confusion matrix with ``background``, and what is found at all.

Boxes are matched without regard to class, which must never be mixed with the matching class by class that recall,
precision and AP come from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spore_yolo.evaluation.intervals import Figures
from spore_yolo.evaluation.metrics import found_figure
from spore_yolo.evaluation.scoring import SPORE, Scored, merged_to_spore, score_candidates

BACKGROUND = "background"
"""Where nothing is labelled, or nothing is detected."""


def confusion_matrix(
    detections: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str], iou: float = 0.5
) -> pd.DataFrame:
    """Counts what labelled boxes are called, after matching without regard to class.

    Args:
        detections: Columns ``slide, class, score`` and the box; ranked by score.
        boxes: The boxes table of the split; detections on ignored boxes count in nothing.
        images: The images table of the split.
        classes: Class names.
        iou: Least IoU of a match.

    Returns:
        ``(C + 1, C + 1)`` counts; rows are the truth, columns what it is called. The last row holds detections where
        nothing is labelled, the last column labelled boxes that no detection lies on.
    """
    matched = _matched(detections.assign(called=detections["class"]), boxes, images, iou)
    rows = matched.candidates[~matched.candidates["on_ignored"]]
    number = {name: place for place, name in enumerate(classes)}
    background = len(classes)
    columns = rows["called"].map(number).to_numpy(dtype=np.int64)
    truth = np.append(matched.truth["label"].map(number).to_numpy(dtype=np.int64), background)
    counts = np.zeros((background + 1, background + 1), dtype=np.int64)
    # A detection without a labelled box has -1 there, which is the background at the end.
    np.add.at(counts, (truth[rows["truth"].to_numpy()], columns), 1)
    missed = (matched.truth["found_by"] < 0).to_numpy()
    np.add.at(counts, (truth[:-1][missed], background), 1)
    names = [*classes, BACKGROUND]
    return pd.DataFrame(counts, index=pd.Index(names, name="truth"), columns=names)


def found_at_all(
    candidates: pd.DataFrame,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    classes: Sequence[str],
    threshold: float,
    iou: float = 0.5,
) -> Figures:
    """Which labelled boxes the detector finds, whatever they are called, even debris: what no classifier can mend.

    Args:
        candidates: Columns of ``candidates.csv``; ranked by detector_score.
        boxes: The boxes table of the split.
        images: The images table of the split.
        classes: Class names.
        threshold: Lowest detector_score that counts.
        iou: Least IoU of a match.

    Returns:
        ``threshold``, and ``overall`` and ``per_class`` recall as figures.
    """
    rows = candidates[~(candidates["detector_score"] < threshold)]
    matched = _matched(rows.assign(score=rows["detector_score"]), boxes, images, iou)
    truth = matched.truth.assign(found=matched.truth["found_by"] >= 0)
    return {
        "threshold": threshold,
        "overall": found_figure(truth),
        "per_class": {name: found_figure(truth[truth["label"] == name]) for name in classes},
    }


def _matched(candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, iou: float) -> Scored:
    merged = merged_to_spore(boxes.assign(label=boxes["class"]))
    return score_candidates(candidates.assign(**{"class": SPORE}), merged, images, [SPORE], iou)
