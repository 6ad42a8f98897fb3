"""Recall and specificity over slides: is the class on the slide, and was it reported?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from spore_yolo.evaluation.metrics import Figures, yes_or_no_figures
from spore_yolo.evaluation.scoring import Scored


def slide_figures(detections: Scored, boxes: pd.DataFrame) -> dict[str, Figures]:
    """For each class, how well slides that bear it are told from slides that do not.

    A class is present on a slide that has a label of it, and is reported by any detection of it, wherever it lies. A
    slide without a label of the class is left out for it, and counted, where nobody knows: an ignored box bears the
    class, or every detection of the class lies on an ignored box.

    Args:
        detections: The matched detections.
        boxes: The boxes table of the split.

    Returns:
        For each class the figures of :func:`spore_yolo.evaluation.metrics.yes_or_no_figures`, and ``left_out``.
    """
    slides = detections.images["image"]
    found, ignored = detections.candidates, boxes[boxes["ignored"]]
    figures = {}
    for name in detections.classes:
        rows = found[found["class"] == name]
        present = slides.isin(detections.truth.loc[detections.truth["class"] == name, "slide"]).to_numpy()
        reported = slides.isin(rows["slide"]).to_numpy()
        surely = slides.isin(rows.loc[~rows["on_ignored"], "slide"]).to_numpy()
        unsure = slides.isin(ignored.loc[ignored["class"] == name, "image"]).to_numpy() | (reported & ~surely)
        known = present | ~unsure
        figures[name] = yes_or_no_figures(present[known], reported[known]) | {"left_out": int(np.sum(~known))}
    return figures
