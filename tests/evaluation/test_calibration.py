from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn import metrics as sklearn

from spore_yolo.evaluation.calibration import (
    BINS,
    RELIABILITY_COLUMNS,
    balanced_log_loss,
    calibration_figures,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    reliability,
)
from spore_yolo.evaluation.intervals import share_interval

NONE = np.zeros(0, dtype=np.int64)


@st.composite
def opinions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities of 2 to 4 classes, and the truth; scikit-learn clips what is less likely than ``exp(-36)``."""
    classes, count = draw(st.integers(2, 4)), draw(st.integers(1, 8))
    row = st.lists(st.floats(-8, 8, width=32), min_size=classes, max_size=classes)
    logits = np.array(draw(st.lists(row, min_size=count, max_size=count)), dtype=np.float64)
    truth = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    return log_softmax(logits, axis=1), np.array(truth, dtype=np.int64)


@given(opinions(), st.floats(0.5, 20))
def test_log_loss_is_that_of_scikit_learn(case: tuple[np.ndarray, np.ndarray], temperature: float) -> None:
    values, truth = case
    probabilities = softmax(values / temperature, axis=1)
    expected = sklearn.log_loss(truth, probabilities, labels=np.arange(values.shape[1]))
    assert log_loss(values, truth, temperature) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(opinions(), st.floats(0.5, 20))
def test_balanced_log_loss_is_scikit_learns_with_balanced_weights(
    case: tuple[np.ndarray, np.ndarray], temperature: float
) -> None:
    from sklearn.utils.class_weight import compute_sample_weight

    values, truth = case
    expected = sklearn.log_loss(
        truth,
        softmax(values / temperature, axis=1),
        labels=np.arange(values.shape[1]),
        sample_weight=compute_sample_weight("balanced", truth),
    )
    assert balanced_log_loss(values, truth, temperature) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_log_losses_by_hand() -> None:
    values = np.log([[0.5, 0.5], [0.25, 0.75], [0.25, 0.75], [0.25, 0.75]])
    truth = np.array([0, 1, 1, 1])
    assert log_loss(values, truth) == pytest.approx((np.log(2) + 3 * np.log(4 / 3)) / 4)
    # Each class counts once, however many crops it has.
    assert balanced_log_loss(values, truth) == pytest.approx((np.log(2) + np.log(4 / 3)) / 2)


def test_certainty_is_no_division_by_zero() -> None:
    values = np.array([[0.0, -900.0], [-900.0, 0.0]])
    assert log_loss(values, np.array([0, 1])) == 0.0
    assert log_loss(values, np.array([1, 0])) == pytest.approx(900)
    assert log_loss(values, np.array([1, 0]), temperature=10) == pytest.approx(90)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5, 6.0])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    """The truth is drawn by the probabilities; the classifier then exaggerates its logits by the temperature."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, 4))
    truth = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((len(logits), 1))).sum(axis=1)
    values = log_softmax(logits * temperature, axis=1)
    found = fit_temperature(values, truth)
    assert found == pytest.approx(temperature, rel=0.05)
    figures = calibration_figures(values, truth, found)
    assert figures["ece"] == pytest.approx(0, abs=0.01)
    assert (figures["temperature"], figures["n"]) == (found, 20_000)
    if temperature != 1:
        assert figures["ece_before"] > 3 * figures["ece"]


def test_no_other_temperature_is_better() -> None:
    rng = np.random.default_rng(2)
    values = log_softmax(rng.normal(0, 3, (200, 3)), axis=1)
    truth = np.where(rng.random(200) < 0.7, values.argmax(axis=1), rng.integers(0, 3, 200))
    best = log_loss(values, truth, fit_temperature(values, truth))
    tried = [log_loss(values, truth, temperature) for temperature in np.geomspace(0.05, 20, 400)]
    assert best <= min(tried) + 1e-6


@pytest.mark.parametrize(
    ("right", "low", "high"),
    [pytest.param(True, 0.05, 0.1, id="never wrong"), pytest.param(False, 19, 20, id="always wrong")],
)
def test_the_temperature_stays_within_bounds(right: bool, low: float, high: float) -> None:
    values = np.log(np.tile([0.8, 0.1, 0.1], (10, 1)))
    truth = np.full(10, 0 if right else 1)
    assert low <= fit_temperature(values, truth) <= high


def test_ece_by_hand() -> None:
    # Named with 0.9 (bin 14 of 15): two of four right. Named with 0.6 (bin 9): one of one right.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.4, 0.6]])
    truth = np.array([0, 1, 1, 0, 1])
    assert expected_calibration_error(probabilities, truth) == pytest.approx(4 / 5 * 0.4 + 1 / 5 * 0.4)


def test_within_a_bin_errors_cancel_and_between_bins_they_do_not() -> None:
    truth = np.array([0, 0, 1, 1])
    same_bin = np.array([[0.74, 0.26], [0.74, 0.26], [0.76, 0.24], [0.76, 0.24]])
    # Both lie in (11/15, 12/15]: two of four right, 0.75 on the average.
    assert expected_calibration_error(same_bin, truth) == pytest.approx(0.25)
    two_bins = np.array([[0.72, 0.28], [0.72, 0.28], [0.78, 0.22], [0.78, 0.22]])
    assert expected_calibration_error(two_bins, truth) == pytest.approx((0.28 + 0.78) / 2)


def test_bins_are_closed_above() -> None:
    # Exactly 0.8 = 12/15 lies with 0.75 in bin 12, and their errors cancel: two of four right, 0.775 on the average.
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.75, 0.25], [0.75, 0.25]])
    assert expected_calibration_error(probabilities, np.array([0, 0, 1, 1])) == pytest.approx(0.275)
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0.0


@given(opinions())
def test_ece_is_the_textbook_sum_over_bins(case: tuple[np.ndarray, np.ndarray]) -> None:
    values, truth = case
    probabilities = np.exp(values)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    expected = 0.0
    for number in range(BINS):
        inside = (confidence > number / BINS) & (confidence <= (number + 1) / BINS)
        inside |= (confidence > 1) & (number == BINS - 1)  # 1 but for rounding
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(probabilities, truth) == pytest.approx(expected, abs=1e-9)


def test_without_crops() -> None:
    nothing = np.zeros((0, 3))
    assert fit_temperature(nothing, NONE) == 1.0
    assert expected_calibration_error(nothing, NONE) is None
    assert calibration_figures(nothing, NONE, 1.0) == {"temperature": 1.0, "ece_before": None, "ece": None, "n": 0}


def test_reliability_by_hand() -> None:
    # Named with 0.9 (bin 14 of 15): two of four right. Named with 0.6 (bin 9): one of one.
    bins = reliability(
        np.array([0.9, 0.9, 0.6, 0.9, np.nan, 0.9]),
        np.array([True, False, True, True, True, False]),
        ["a", "a", "a", "b", "b", "b"],
    )
    assert list(bins) == RELIABILITY_COLUMNS
    assert bins[["n", "groups", "score", "right"]].to_numpy() == pytest.approx(
        np.array([[1, 1, 0.6, 1], [4, 2, 0.9, 0.5]])
    )
    assert bins[["low", "high"]].to_numpy() == pytest.approx(np.array([[8, 9], [13, 14]]) / 15)
    assert bins[["right_low", "right_high"]].isna().all(axis=None)  # too few groups to tell


@given(opinions())
def test_reliability_holds_the_ece(case: tuple[np.ndarray, np.ndarray]) -> None:
    values, truth = case
    probabilities = np.exp(values)
    right = probabilities.argmax(axis=1) == truth
    bins = reliability(probabilities.max(axis=1), right, ["g"] * len(truth))
    assert bins["n"].sum() == len(truth)
    gap = (bins["n"] * (bins["right"] - bins["score"]).abs()).sum() / len(truth)
    assert gap == pytest.approx(expected_calibration_error(probabilities, truth), abs=1e-9)


def test_reliability_is_that_of_scikit_learn_and_has_intervals_by_groups() -> None:
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(4)
    score = rng.uniform(0.01, 1, 3000)
    right, groups = rng.random(3000) < score, rng.integers(0, 12, 3000).astype(str)
    bins = reliability(score, right, list(groups))
    share, mean = calibration_curve(right, score, n_bins=BINS)
    assert bins["right"].to_numpy() == pytest.approx(share) and bins["score"].to_numpy() == pytest.approx(mean)
    assert (bins["right_low"] < bins["right"]).all() and (bins["right"] < bins["right_high"]).all()
    inside = (score > bins["low"].iloc[7]) & (score <= bins["high"].iloc[7])
    part = [right[inside & (groups == group)].sum() for group in np.unique(groups)]
    whole = [(inside & (groups == group)).sum() for group in np.unique(groups)]
    expected = share_interval(np.array(part, dtype=np.float64), np.array(whole, dtype=np.float64))
    assert bins.loc[7, ["right_low", "right_high"]].tolist() == pytest.approx(expected)


def test_reliability_without_crops_or_scores() -> None:
    nothing = np.zeros(0)
    assert reliability(nothing, nothing.astype(bool), []).empty
    unscored = reliability(np.array([np.nan]), np.array([True]), ["a"])
    assert unscored.empty and list(unscored) == RELIABILITY_COLUMNS
