"""The classifier by itself: what it calls the labelled boxes, as if the detector had drawn each like a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spore_yolo.evaluation.metrics import Figures, share
from spore_yolo.files.images import read_image
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint, called
from spore_yolo.labels.table import COORDINATES

if TYPE_CHECKING:
    from spore_yolo.inference.classifier import CropNamer
    from spore_yolo.inference.pair import Pair


def call_labels(
    pair: Pair | CropNamer, boxes: pd.DataFrame, slides: Iterable[tuple[str, Path]], point: OperatingPoint
) -> pd.DataFrame:
    """What the classifier calls each labelled box.

    Args:
        pair: A pair with a classifier, or a classifier alone.
        boxes: The boxes table of the split; ignored boxes are left out.
        slides: Name and file of each slide.
        point: The thresholds on class_score; that on detector_score has no part here.

    Returns:
        Columns ``slide, class, class_score, called`` and the box, a row a labelled box; ``class`` is the truth.
    """
    labelled = dict(iter(boxes[~boxes["ignored"]].groupby("image")))
    tables = [pd.DataFrame(columns=["slide", "class", "class_score", "called", *COORDINATES])]
    for slide, path in slides:
        if slide not in labelled:
            continue
        rows = labelled[slide].rename(columns={"image": "slide"})
        names, scores = pair.classify(read_image(path), rows[COORDINATES].to_numpy(dtype=np.float64))
        final = called(names, np.ones(len(rows)), np.asarray(scores, dtype=np.float64), point)
        tables.append(rows.assign(class_score=scores, called=final)[tables[0].columns])
    return pd.concat(tables[1:], ignore_index=True) if len(tables) > 1 else tables[0]


def classifier_figures(calls: pd.DataFrame, classes: Sequence[str]) -> Figures:
    """How well the classifier names labelled boxes.

    Args:
        calls: Columns ``slide, class`` (the truth) and ``called``.
        classes: Class names.

    Returns:
        ``overall`` with ``accuracy`` and ``called_debris``, and ``per_class`` with ``recall`` and ``called_debris``,
        each ``{"value", "n"}`` with the number of labelled boxes.
    """
    truth, final = calls["class"].to_numpy(dtype=object), calls["called"].to_numpy(dtype=object)
    right, debris = truth == final, final == DEBRIS
    per_class = {}
    for name in classes:
        own = truth == name
        per_class[name] = {
            "recall": share(int(right[own].sum()), int(own.sum())),
            "called_debris": share(int(debris[own].sum()), int(own.sum())),
        }
    overall = {
        "accuracy": share(int(right.sum()), len(right)),
        "called_debris": share(int(debris.sum()), len(debris)),
    }
    return {"overall": overall, "per_class": per_class}
