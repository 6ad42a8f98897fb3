"""Makes the classifier's scores probabilities, and says how far they are from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar

from spore_yolo.evaluation.intervals import share_interval
from spore_yolo.inference.classifier import calibrated

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""

TEMPERATURES = (0.05, 20.0)

RELIABILITY_COLUMNS = ["low", "high", "n", "groups", "score", "right", "right_low", "right_high"]


def log_loss(log_probabilities: Floats, truth: Ints, temperature: float = 1.0) -> float:
    """Mean negative logarithm of the probability that the true class was given.

    Args:
        log_probabilities: ``(N, C)``.
        truth: ``(N,)``, class numbers.
        temperature: Divides the logarithms first.
    """
    scaled = np.asarray(log_probabilities, dtype=np.float64) / temperature
    highest = scaled.max(axis=1, keepdims=True)
    normal = highest[:, 0] + np.log(np.exp(scaled - highest).sum(axis=1))
    return float(np.mean(normal - scaled[np.arange(len(truth)), truth]))


def balanced_log_loss(log_probabilities: Floats, truth: Ints, temperature: float = 1.0) -> float:
    """The log loss averaged within each class first, so that a rare class counts as much as a common one."""
    of_class = [truth == name for name in np.unique(truth)]
    return float(np.mean([log_loss(log_probabilities[rows], truth[rows], temperature) for rows in of_class]))


def fit_temperature(log_probabilities: Floats, truth: Ints) -> float:
    """The temperature that makes the log loss smallest (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        log_probabilities: ``(N, C)`` of crops that the classifier was not trained on.
        truth: ``(N,)``, class numbers.

    Returns:
        A number between 0.05 and 20; 1 without crops.
    """
    if len(truth) == 0:
        return 1.0
    low, high = np.log(TEMPERATURES)
    best = minimize_scalar(
        lambda log_t: log_loss(log_probabilities, truth, float(np.exp(log_t))), bounds=(low, high), method="bounded"
    )
    return float(np.exp(best.x))


def expected_calibration_error(probabilities: Floats, truth: Ints) -> float | None:
    """ECE: how far the probability of the class named is from the share of crops that it names rightly.

    The crops are put into :data:`BINS` equal bins of that probability; the distances of the bins' means are averaged,
    weighted by their number of crops (Naeini et al. 2015; Guo et al. 2017, equation 3).

    Args:
        probabilities: ``(N, C)``.
        truth: ``(N,)``, class numbers.

    Returns:
        A number from 0 to 1; ``None`` without crops.
    """
    if len(truth) == 0:
        return None
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    gaps = np.bincount(_bins(confidence), weights=right.astype(np.float64) - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(truth))


def reliability(confidence: Floats, right: npt.NDArray[np.bool_], groups: Sequence[str]) -> pd.DataFrame:
    """The bins of a reliability diagram: how often crops that were named with a probability were named rightly.

    The bins are those of :func:`expected_calibration_error`, whose value is the mean distance of ``score`` from
    ``right``, weighted by ``n``.

    Args:
        confidence: ``(N,)``, the probability of the class named: class_score. Crops where it is NaN are left out.
        right: ``(N,)``, whether the crop truly shows that class.
        groups: ``(N,)``, the group of each crop.

    Returns:
        A row a bin that holds crops: ``low, high`` (its bounds), ``n`` (crops), ``groups``, ``score`` (mean
        class_score), ``right`` (share), and ``right_low, right_high``, its 95 % interval; NaN with too few groups to
        tell.
    """
    crops = pd.DataFrame({"confidence": confidence, "right": right, "group": groups})
    crops = crops[crops["confidence"].notna()]
    rows = []
    for number, part in crops.groupby(_bins(crops["confidence"].to_numpy(dtype=np.float64))):
        by_group = part.groupby("group", observed=True)["right"].agg(["sum", "count"]).to_numpy(dtype=np.float64)
        interval = share_interval(by_group[:, 0], by_group[:, 1]) or (np.nan, np.nan)
        bounds = (number / BINS, (number + 1) / BINS)
        rows.append((*bounds, len(part), len(by_group), part["confidence"].mean(), part["right"].mean(), *interval))
    return pd.DataFrame(rows, columns=RELIABILITY_COLUMNS)


def calibration_figures(log_probabilities: Floats, truth: Ints, temperature: float) -> dict[str, float | int | None]:
    """ECE before and after the temperature, and on how many crops."""
    return {
        "temperature": temperature,
        "ece_before": expected_calibration_error(calibrated(log_probabilities, 1.0), truth),
        "ece": expected_calibration_error(calibrated(log_probabilities, temperature), truth),
        "n": len(truth),
    }


def _bins(confidence: Floats) -> Ints:
    """The bin of each probability, open below and closed above as in the paper."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
