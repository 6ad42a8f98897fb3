"""What labelled boxes look like, and what the classifier calls them, as if the detector drew each like a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spore_yolo.evaluation.intervals import Figures
from spore_yolo.evaluation.metrics import found_figure
from spore_yolo.evaluation.traits import sharpness_of
from spore_yolo.files.images import read_image
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint, called
from spore_yolo.labels.table import COORDINATES

if TYPE_CHECKING:
    from spore_yolo.inference.classifier import CropNamer
    from spore_yolo.inference.pair import Pair

LABEL_COLUMNS = ["slide", "class", "class_score", "called", "sharpness", *COORDINATES]


def look_at_labels(
    boxes: pd.DataFrame,
    slides: Iterable[tuple[str, Path]],
    namer: Pair | CropNamer | None = None,
    point: OperatingPoint | None = None,
) -> pd.DataFrame:
    """How sharp each labelled box is, and what the classifier calls it.

    Args:
        boxes: The boxes table of the split; ignored boxes are left out.
        slides: Name and file of each slide.
        namer: A pair with a classifier, or a classifier alone; without one nothing is called.
        point: The thresholds on class_score; that on detector_score has no part here.

    Returns:
        :data:`LABEL_COLUMNS`, a row a labelled box, with the index of ``boxes``; ``class`` is the truth. Without a
        classifier ``class_score`` is NaN and ``called`` is empty.
    """
    labelled = dict(iter(boxes[~boxes["ignored"]].groupby("image")))
    tables = []
    for slide, path in slides:
        if slide not in labelled:
            continue
        pixels, rows = read_image(path), labelled[slide].rename(columns={"image": "slide"})
        corners = rows[COORDINATES].to_numpy(dtype=np.float64)
        names, scores = np.full(len(rows), "", dtype=object), np.full(len(rows), np.nan)
        if namer is not None:
            said, scores = namer.classify(pixels, corners)
            names = called(said, np.ones(len(rows)), scores, point or OperatingPoint(detector=0))
        rows = rows.assign(class_score=scores, called=names, sharpness=sharpness_of(pixels, corners))
        tables.append(rows[LABEL_COLUMNS])
    return pd.concat(tables) if tables else pd.DataFrame(columns=LABEL_COLUMNS)


def classifier_figures(calls: pd.DataFrame, classes: Sequence[str], images: pd.DataFrame) -> Figures:
    """How well the classifier names labelled boxes.

    Args:
        calls: Columns ``slide, class`` (the truth) and ``called``.
        classes: Class names.
        images: The images table of the split.

    Returns:
        ``overall`` with ``accuracy`` and ``called_debris``, and ``per_class`` with ``recall`` and ``called_debris``, as
        figures over labelled boxes.
    """
    rows = calls.assign(
        group=calls["slide"].map(images.set_index("image")["group"]),
        right=calls["class"] == calls["called"],
        debris=calls["called"] == DEBRIS,
    )
    per_class = {name: rows[rows["class"] == name] for name in classes}
    return {
        "overall": {"accuracy": found_figure(rows, "right"), "called_debris": found_figure(rows, "debris")},
        "per_class": {
            name: {"recall": found_figure(own, "right"), "called_debris": found_figure(own, "debris")}
            for name, own in per_class.items()
        },
    }
