from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import betabinom, norm, t

from spore_yolo.evaluation.intervals import (
    LEAST_GROUPS,
    Interval,
    figure,
    jackknife_interval,
    mean_interval,
    rate_difference,
    rate_figure,
    rate_interval,
    share_bounds,
    share_difference,
    share_figure,
    share_interval,
)

Floats = npt.NDArray[np.float64]

WHOLE = np.array([1, 2, 3, 5, 8, 13, 21, 34, 4, 4], dtype=np.float64)
PART = np.array([1, 1, 3, 4, 5, 13, 17, 30, 4, 0], dtype=np.float64)
OTHER = np.array([1, 2, 3, 4, 7, 12, 17, 31, 4, 1], dtype=np.float64)

SEVEN = np.full(LEAST_GROUPS - 1, 5.0)


def bounds(interval: Interval | None) -> Interval:
    assert interval is not None
    return interval


def without_each(part: Floats, whole: Floats) -> Floats:
    """Delete-one-group values by their definition."""
    rows = [np.arange(len(whole)) != left_out for left_out in range(len(whole))]
    return np.array([part[row].sum() / whole[row].sum() for row in rows])


def jackknife_error(values: Floats, centre: float | None = None) -> float:
    groups = len(values)
    return float(np.sqrt((groups - 1) / groups * np.sum((values - (values.mean() if centre is None else centre)) ** 2)))


def reach_of_t(whole: Floats) -> float:
    return float(t.ppf(0.975, whole.sum() ** 2 / np.sum(whole**2) - 1))


def allowed(deviation: float, skewness: float) -> float:
    """How many standard errors of deviation do not contradict a share: 1.96, and the skewness."""
    z = float(norm.ppf(0.975))
    correction = np.sign(deviation) * min(max(skewness, -1), 1) * (z**2 - 1) / 6
    return float(z + (correction if correction < 0 else correction / 2))


@st.composite
def shares(draw: st.DrawFn) -> tuple[Floats, Floats]:
    whole = draw(st.lists(st.integers(1, 60), min_size=LEAST_GROUPS, max_size=14))
    part = [draw(st.integers(0, number)) for number in whole]
    return np.array(part, dtype=np.float64), np.array(whole, dtype=np.float64)


class TestShare:
    @pytest.mark.parametrize("found", [9, 15, 28])
    def test_groups_of_one_box_against_the_closed_form(self, found: int) -> None:
        """With one box a group nothing can be alike: Wilson's limits with the binomial's skewness."""
        whole, part = np.ones(30), (np.arange(30) < found).astype(np.float64)
        share = found / 30

        def excess(p: float) -> float:
            deviation = (share - p) / np.sqrt(p * (1 - p) / 30)
            return float(abs(deviation)) - allowed(float(deviation), float((1 - 2 * p) / np.sqrt(30 * p * (1 - p))))

        expected = brentq(excess, 0.05, share), brentq(excess, share, 0.9999)
        assert bounds(share_interval(part, whole)) == pytest.approx(expected, abs=2e-4)

    def test_against_scipy(self) -> None:
        share = float(PART.sum() / WHOLE.sum())

        def excess(p: float) -> float:
            def unlikely(x: float) -> float:
                both = np.exp(-x)
                return float(-betabinom.logpmf(PART, WHOLE, p * both, (1 - p) * both).sum())

            both = np.exp(-minimize_scalar(unlikely, bounds=(-8, 7), method="bounded").x)
            groups = betabinom(WHOLE, p * both, (1 - p) * both)
            variance, skewness = groups.var(), groups.stats("s")
            deviation = (share - p) * WHOLE.sum() / np.sqrt(variance.sum())
            of_sum = np.sum(skewness * variance**1.5) / variance.sum() ** 1.5
            return float(abs(deviation)) - allowed(float(deviation), float(of_sum))

        expected = brentq(excess, 0.2, share), brentq(excess, share, 0.99)
        assert bounds(share_interval(PART, WHOLE)) == pytest.approx(expected, abs=2e-3)

    def test_without_a_miss_groups_are_all_or_nothing(self) -> None:
        assert share_interval(np.full(30, 7.0), np.full(30, 7.0)) == pytest.approx((0.025 ** (1 / 30), 1))
        assert share_interval(np.zeros(30), np.full(30, 7.0)) == pytest.approx((0, 1 - 0.025 ** (1 / 30)))
        # 10 groups of 1 and 10 of 3 are worth 40 ** 2 / 100 = 16 of one size.
        whole = np.repeat([1.0, 3.0], 10)
        assert share_interval(whole, whole) == pytest.approx((0.025 ** (1 / 16), 1))

    def test_groups_not_boxes_are_the_units(self) -> None:
        """Ten times the boxes in groups that are all or nothing tell nothing more."""
        part = (np.arange(20) < 15).astype(np.float64)
        few, many = (
            bounds(share_interval(10 * part, np.full(20, 10.0))),
            bounds(share_interval(100 * part, np.full(20, 100.0))),
        )
        assert few == pytest.approx(many, abs=5e-3)
        # While groups that are quite alike with each other are as good as so many boxes.
        low, high = bounds(share_interval(np.full(20, 75.0), np.full(20, 100.0)))
        assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 2000), rel=0.05)

    def test_holds_the_truth_as_often_as_it_says(self) -> None:
        """The hard corner; a percentile bootstrap holds it here in 79 of 100 samples."""
        rng = np.random.default_rng(5)
        whole = np.clip(np.rint(rng.lognormal(np.log(15), 1, (1000, 30))), 1, 500)
        both = 1 / 0.3 - 1
        part = rng.binomial(whole.astype(int), rng.beta(0.95 * both, 0.05 * both, whole.shape)).astype(np.float64)
        low, high = share_bounds(part, whole)
        assert 0.93 <= np.mean((low <= 0.95) & (high >= 0.95)) <= 0.98
        # And it says something: at 0.95, lower bounds of 0.5 would hold as well.
        assert np.median(low) > 0.75

    def test_many_samples_at_once_are_the_same_as_one_by_one(self) -> None:
        low, high = share_bounds(np.stack([PART, WHOLE]), np.stack([WHOLE, WHOLE]))
        assert (low[0], high[0]) == pytest.approx(bounds(share_interval(PART, WHOLE)))
        assert (low[1], high[1]) == pytest.approx(bounds(share_interval(WHOLE, WHOLE)))

    @settings(max_examples=25, deadline=None)
    @given(shares(), st.randoms(use_true_random=False))
    def test_properties(self, sample: tuple[Floats, Floats], random: Any) -> None:
        part, whole = sample
        low, high = bounds(share_interval(part, whole))
        share = part.sum() / whole.sum()
        assert 0 <= low <= share <= high <= 1
        assert low < high
        order = np.array(random.sample(range(len(whole)), len(whole)))
        assert share_interval(part[order], whole[order]) == pytest.approx((low, high), abs=1e-6)
        empty = np.append(whole, [0.0, 0.0])
        assert share_interval(np.append(part, [0.0, np.nan]), empty) == (low, high)
        mirrored = bounds(share_interval(whole - part, whole))
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=2e-3)
        narrower, wider = bounds(share_interval(part, whole, 0.8)), bounds(share_interval(part, whole, 0.99))
        assert wider[0] <= low <= narrower[0]
        assert narrower[1] <= high <= wider[1]

    @pytest.mark.parametrize(
        ("part", "whole"),
        [
            pytest.param(np.full(9, 3.0), np.full(9, 2.0), id="more found than there are"),
            pytest.param(np.full(9, -1.0), np.full(9, 2.0), id="fewer than none"),
            pytest.param(np.full(9, np.nan), np.full(9, 2.0), id="unknown"),
            pytest.param(np.full(9, 1.0), np.full(8, 2.0), id="other groups"),
            pytest.param(np.full(9, 0.0), np.full(9, -2.0), id="negative wholes"),
        ],
    )
    def test_refuses_what_is_no_share(self, part: Floats, whole: Floats) -> None:
        with pytest.raises(ValueError, match="expected"):
            share_interval(part, whole)


class TestRate:
    def test_is_the_jackknife_on_the_logarithm(self) -> None:
        count = np.array([0, 3, 1, 0, 12, 2, 2, 7, 0, 1], dtype=np.float64)
        rate = count.sum() / WHOLE.sum()
        reach = reach_of_t(WHOLE) * jackknife_error(without_each(count, WHOLE), rate) / rate
        assert rate_interval(count, WHOLE) == pytest.approx((rate * np.exp(-reach), rate * np.exp(reach)))

    def test_nothing_counted(self) -> None:
        """3.7 by the slides: the rule of three, two-sided."""
        assert rate_interval(np.zeros(30), np.full(30, 2.0)) == pytest.approx((0, 3.689 / 60), rel=1e-3)
        # 10 groups of 1 and 10 of 3 are worth 16 groups of 2.
        assert rate_interval(np.zeros(20), np.repeat([1.0, 3.0], 10)) == pytest.approx((0, 3.689 / 32), rel=1e-3)

    def test_one_group_with_nearly_all_slides_leaves_it_open(self) -> None:
        low, high = bounds(rate_interval(np.append(np.zeros(9), 5.0), np.append(np.ones(9), 1e9)))
        assert 0 <= low <= 5e-9 <= high < np.inf

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=LEAST_GROUPS, max_size=20))
    def test_properties(self, rows: list[tuple[int, int]]) -> None:
        count, exposure = np.array(rows, dtype=np.float64).T
        low, high = bounds(rate_interval(count, exposure))
        rate = count.sum() / exposure.sum()
        assert 0 <= low <= rate * (1 + 1e-12)
        assert rate <= high * (1 + 1e-12)
        assert rate_interval(count, 10 * exposure) == pytest.approx((low / 10, high / 10))
        wider = bounds(rate_interval(count, exposure, 0.99))
        assert wider[0] <= low
        assert wider[1] >= high

    def test_refuses_negative_counts(self) -> None:
        with pytest.raises(ValueError, match="expected counts"):
            rate_interval(np.full(9, -1.0), np.ones(9))


class TestMean:
    def test_equal_groups_give_the_interval_of_a_mean(self) -> None:
        values = np.array([-3.0, 1, 4, 0, 2, -1, 5, 2, 0])
        expected = t.interval(0.95, 8, values.mean(), values.std(ddof=1) / 3)
        assert mean_interval(values, np.ones(9)) == pytest.approx(expected)

    def test_unequal_groups_give_the_jackknife(self) -> None:
        total = PART - OTHER
        mean = total.sum() / WHOLE.sum()
        reach = reach_of_t(WHOLE) * jackknife_error(without_each(total, WHOLE), mean)
        assert mean_interval(total, WHOLE) == pytest.approx((mean - reach, mean + reach))


class TestJackknife:
    def test_of_a_mean_is_the_interval_of_the_mean(self) -> None:
        values = np.array([-3.0, 1, 4, 0, 2, -1, 5, 2, 0])
        interval = jackknife_interval(float(values.mean()), without_each(values, np.ones(9)), "plain")
        assert interval == pytest.approx(mean_interval(values, np.ones(9)))

    def test_of_a_share_is_on_the_logit(self) -> None:
        values, value = without_each(PART, WHOLE), float(PART.sum() / WHOLE.sum())
        low, high = bounds(jackknife_interval(value, values, "share"))
        reach = t.ppf(0.975, 9) * jackknife_error(values) / (value * (1 - value))
        odds = value / (1 - value)
        expected = [odds * np.exp(sign * reach) / (1 + odds * np.exp(sign * reach)) for sign in (-1, 1)]
        assert (low, high) == pytest.approx(tuple(expected))

    def test_ends(self) -> None:
        assert jackknife_interval(1.0, np.ones(30), "share") == pytest.approx((0.025 ** (1 / 30), 1))
        assert jackknife_interval(0.0, np.zeros(30), "share") == pytest.approx((0, 1 - 0.025 ** (1 / 30)))
        assert jackknife_interval(0.4, np.full(30, 0.4), "share") == pytest.approx((0.4, 0.4))

    def test_unknown_values_do_not_count(self) -> None:
        values = np.append(without_each(PART, WHOLE), np.nan)
        assert jackknife_interval(0.8, values, "share") == jackknife_interval(0.8, values[:-1], "share")
        assert jackknife_interval(float("nan"), values, "share") is None


class TestDifference:
    def test_by_hand(self) -> None:
        """8 groups of 10 boxes; b finds one more in two groups, one fewer in none: 2 / 80 more."""
        a = np.array([8.0, 9, 7, 10, 6, 9, 8, 9])
        b = a + np.array([1.0, 0, 1, 0, 0, 0, 0, 0])
        # Groups' differences are 0.1 twice and 0 six times: mean 0.025, variance 0.015 / 7, by 8 groups.
        reach = 2.3646 * np.sqrt(0.015 / 7 / 8)
        tens = np.full(8, 10.0)
        assert share_difference(a, tens, b, tens) == pytest.approx((0.025 - reach, 0.025 + reach), abs=1e-5)
        assert rate_difference(a, b, tens) == pytest.approx((0.025 - reach, 0.025 + reach), abs=1e-5)

    def test_different_wholes_give_the_jackknife(self) -> None:
        """As for precision: b has other detections than a, in other groups."""
        whole_b = np.array([2, 2, 3, 5, 9, 13, 20, 34, 4, 0], dtype=np.float64)
        part_b = np.minimum(OTHER, whole_b)
        values = without_each(part_b, whole_b) - without_each(PART, WHOLE)
        value = part_b.sum() / whole_b.sum() - PART.sum() / WHOLE.sum()
        reach = reach_of_t(WHOLE / WHOLE.sum() + whole_b / whole_b.sum()) * jackknife_error(values, value)
        assert share_difference(PART, WHOLE, part_b, whole_b) == pytest.approx((value - reach, value + reach))

    def test_twins_differ_by_nothing(self) -> None:
        assert share_difference(PART, WHOLE, PART, WHOLE) == (0, 0)
        assert rate_difference(PART, PART, WHOLE) == (0, 0)

    @settings(max_examples=50, deadline=None)
    @given(shares(), st.data())
    def test_swapped_systems_swap_the_sign(self, sample: tuple[Floats, Floats], data: st.DataObject) -> None:
        part, whole = sample
        other = np.array([data.draw(st.integers(0, int(number))) for number in whole], dtype=np.float64)
        low, high = bounds(share_difference(part, whole, other, whole))
        assert -1 <= low <= (other.sum() - part.sum()) / whole.sum() + 1e-12
        assert share_difference(other, whole, part, whole) == pytest.approx((-high, -low))

    def test_refuses_other_groups(self) -> None:
        with pytest.raises(ValueError, match="the same groups"):
            share_difference(PART, WHOLE, PART[:-1], WHOLE[:-1])


def test_fewer_than_eight_groups_are_too_few_to_tell() -> None:
    more = np.append(SEVEN, 0.0)
    assert share_interval(more, more) is None
    assert rate_interval(more, more) is None
    assert mean_interval(more, more) is None
    assert jackknife_interval(0.5, SEVEN, "plain") is None
    assert share_difference(more, more, more, more) is None
    assert rate_difference(more, more, more) is None


def test_figures() -> None:
    assert figure(0.5, 12, 4, None) == {"value": 0.5, "n": 12, "groups": 4, "interval": None, "more_groups": 4}
    nothing = {"value": None, "n": 0, "groups": 0, "interval": None, "more_groups": 8}
    assert figure(None, 0, 0, (0.0, 1.0)) == nothing
    assert share_figure(np.zeros(3), np.zeros(3)) == nothing
    low, high = bounds(share_interval(PART, WHOLE))
    whole = np.append(WHOLE, 0.0)
    expected = {"value": 78 / 95, "n": 95, "groups": 10, "interval": [low, high], "more_groups": 0}
    assert share_figure(np.append(PART, 0.0), whole) == expected
    few = rate_figure(np.array([3.0, 0.0]), np.array([0.5, 1.0]))
    assert few == {"value": 2.0, "n": 1.5, "groups": 2, "interval": None, "more_groups": 6}
