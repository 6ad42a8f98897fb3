"""Which crops are laid out by what the classifier sees in them, and which false alarms look alike."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.scoring import Scored, slide_numbers
from spore_yolo.labels.table import COORDINATES

MOST = 20_000
"""How many crops are laid out at most; a browser draws as many points without stumbling."""

LOOKS = 8
"""Into how many looks false alarms are sorted at most."""

ALIKE = 5
"""How many false alarms there must be for each look."""

CROP_COLUMNS = ["slide", "class", "outcome", "score", *COORDINATES, "row"]


def choose_crops(detections: Scored, most: int = MOST) -> tuple[pd.DataFrame, int]:
    """Every miss and false alarm, and as many hits, drawn at random with a fixed seed, as there is room for.

    Where misses and false alarms alone are too many, they are drawn in the same way and there are no hits.

    Args:
        detections: The detections, matched class by class.
        most: How many to choose at most.

    Returns:
        The crops in the order of the slides, columns :data:`CROP_COLUMNS`: ``outcome`` is ``tp``, ``fp`` (the
        detection's box) or ``fn`` (the label's), ``row`` the row number in ``candidates``, or for ``fn`` in ``truth``.
        And of how many they were chosen.
    """
    found, missed = detections.candidates, detections.truth[detections.truth["found_by"] < 0]
    counted = found[~found["on_ignored"]]
    parts = [
        counted.assign(outcome=np.where(counted["truth"] >= 0, "tp", "fp"), row=counted.index),
        missed.assign(outcome="fn", row=missed.index, score=np.nan),
    ]
    crops = pd.concat([part[CROP_COLUMNS] for part in parts], ignore_index=True)
    hit = crops["outcome"] == "tp"
    mistakes, hits = crops[~hit], crops[hit]
    mistakes = mistakes.sample(min(len(mistakes), most), random_state=0)
    hits = hits.sample(min(len(hits), most - len(mistakes)), random_state=0)
    chosen = pd.concat([mistakes, hits]).sort_index()
    order = np.argsort(slide_numbers(chosen["slide"], detections.images), kind="stable")
    return chosen.iloc[order].reset_index(drop=True), len(crops)


def looks_of(features: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Sorts crops into looks: k-means on the main components of their features, each brought to length 1.

    Args:
        features: ``(N, D)``, what the classifier sees in each crop.

    Returns:
        ``(N,)``, the number of each crop's look: 1 has the most crops. There are up to :data:`LOOKS`, and no more than
        one for each :data:`ALIKE` crops, but at least one.
    """
    count = max(1, min(LOOKS, len(features) // ALIKE))
    if count == 1:
        return np.ones(len(features), dtype=np.int64)
    cluster, decomposition = (
        importlib.import_module("sklearn.cluster"),
        importlib.import_module("sklearn.decomposition"),
    )
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.asarray(features / np.maximum(length, 1e-12), dtype=np.float64)
    with warnings.catch_warnings():
        # Crops that the classifier sees as one and the same are no news.
        warnings.simplefilter("ignore")
        parts = decomposition.PCA(min(32, *unit.shape), random_state=0).fit_transform(unit)
        labels = cluster.KMeans(count, n_init=4, random_state=0).fit_predict(parts)
    order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    return np.asarray(np.argsort(order)[labels] + 1, dtype=np.int64)
