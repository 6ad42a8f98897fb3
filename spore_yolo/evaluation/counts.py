"""Counts a slide: how far the number of detections is from the number of labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.intervals import Figures, figure, jackknife_interval, mean_interval

Floats = npt.NDArray[np.float64]

LIMITS = 1.96
"""Standard deviations on either side of the bias between which 95 % of slides lie."""


def count_figures(table: pd.DataFrame, name: str) -> Figures:
    """How well the detections of a class count its labels, slide by slide.

    All slides count: what lies on ignored boxes is in neither number.

    Args:
        table: Columns ``group, class, labelled, detected``; see :func:`spore_yolo.evaluation.presence.slides_table`.
        name: The class.

    Returns:
        - ``bias``: the figure of the mean of detected less labelled; above 0 are too many.
        - ``sd``: the standard deviation of these differences, and ``limits_of_agreement``, ``[low, high]``, bias - 1.96
          and + 1.96 of it, between which 95 % of slides lie (J. M. Bland, D. G. Altman, "Statistical methods for
          assessing agreement between two methods of clinical measurement", 1986). Slides of a group are alike, so the
          variance is that between groups and that within them (Bland and Altman, "Agreement between methods of
          measurement with multiple observations per individual", 2007). ``None`` below 2 slides.
        - ``r2``: the figure of R2 of detected as the prediction of labelled: 1 - the sum of squared differences by
          that of labelled from its mean. It is about the line detected = labelled, not about a fitted one: 1 where all
          counts agree, 0 where the mean number would say as much, below 0 where it would say more. ``None`` where all
          slides bear the same number.
        - ``n``: slides.
    """
    rows = table[table["class"] == name]
    labelled, detected = (rows[column].to_numpy(dtype=np.float64) for column in ("labelled", "detected"))
    number = pd.factorize(rows["group"])[0]
    difference, slides = detected - labelled, len(rows)
    size, total = _per_group(number, np.ones(slides)), _per_group(number, difference)
    bias = float(difference.mean()) if slides else None
    sd = _standard_deviation(difference, number)
    return {
        "bias": figure(bias, slides, len(size), mean_interval(total, size)),
        "sd": sd,
        "limits_of_agreement": None if bias is None or sd is None else [bias - LIMITS * sd, bias + LIMITS * sd],
        "r2": _r2_figure(labelled, difference, number),
        "n": slides,
    }


def _standard_deviation(difference: Floats, number: npt.NDArray[np.int64]) -> float | None:
    """Of single slides, from the variances between and within groups by a one-way analysis of variance."""
    slides = len(difference)
    if slides < 2:
        return None
    size = _per_group(number, np.ones_like(difference))
    groups = len(size)
    if groups in (1, slides):
        return float(difference.std(ddof=1))
    mean = _per_group(number, difference) / size
    within = float(np.sum((difference - mean[number]) ** 2)) / (slides - groups)
    between = float(np.sum(size * (mean - difference.mean()) ** 2)) / (groups - 1)
    share = (slides**2 - float(np.sum(size**2))) / ((groups - 1) * slides)
    return float(np.sqrt(within + max(0.0, (between - within) / share)))


def _r2_figure(labelled: Floats, difference: Floats, number: npt.NDArray[np.int64]) -> Figures:
    size = _per_group(number, np.ones_like(difference))
    if len(np.unique(labelled)) < 2:
        return figure(None, len(labelled), len(size), None)
    # About the mean of all, so that sums of squares lose no digits when groups are taken out of them.
    centred = labelled - labelled.mean()
    residual, total, square = (_per_group(number, part) for part in (difference**2, centred, centred**2))
    value = float(1 - residual.sum() / square.sum())
    left = len(labelled) - size
    spread = square.sum() - square - (total.sum() - total) ** 2 / np.where(left > 0, left, np.nan)
    interval = None
    # Counts are whole numbers: where two are left that differ, their spread is at least 1/2.
    if (spread > 0.25).all():
        interval = jackknife_interval(value, 1 - (residual.sum() - residual) / spread, "plain")
    return figure(value, len(labelled), len(size), interval and (interval[0], min(1.0, interval[1])))


def _per_group(number: npt.NDArray[np.int64], values: Floats) -> Floats:
    return np.bincount(number, weights=values).astype(np.float64)
