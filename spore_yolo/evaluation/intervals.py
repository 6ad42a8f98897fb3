"""How far a figure carries: 95 % intervals that take groups, not boxes, as the units.

Boxes of one slide, trap or farm are alike, so a thousand boxes of ten groups say little more than ten numbers do. How
often these intervals hold the truth is measured by ``benchmarks/intervals.py``; see ``docs/intervals.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, logit
from scipy.stats import norm
from scipy.stats import t as student

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]
Figures = dict[str, Any]

LEAST_GROUPS = 8
"""With fewer groups there is no interval: they are too few to tell."""

CONFIDENCE = 0.95

LOGIT_ALIKENESS = (-8.0, 7.0)
"""Between these the likeliest alikeness is sought: from 0.0003, boxes hardly alike, to 0.999, groups all or nothing."""


def share_interval(part: Floats, whole: Floats, confidence: float = CONFIDENCE) -> Interval | None:
    """The interval of a share, such as recall: the sum of ``part`` by the sum of ``whole``.

    It holds the shares that the data do not contradict (a score interval, as Wilson's is for one proportion). For each
    share p that is tried, the variance of the observed one is that of the beta-binomial model, p (1 - p) times the sum
    of n (1 + (n - 1) r) by the square of the sum of n, over groups of n boxes; r, how alike boxes of one group are (the
    intra-group correlation), is the likeliest given p. The limits follow the model's skewness, counted as 1 at
    most (Cornish and Fisher 1938): in full towards 0.5, where it makes the interval shorter, by half towards the nearer
    end, since in full the interval covers more than is asked. Variances of the groups' residuals, as in t intervals and
    in Wilson's with a design effect, are too small just when the few bad groups happened not to be in the sample.

    A sample without a miss, or without a hit, says nothing about r. Its limit then is the exact one for groups that are
    all or nothing, ((1 - confidence) / 2) ** (1 / k) or 1 less it, with as many groups of one size as are worth those
    there, k = (sum of n) ** 2 / sum of n ** 2 (Kish 1965).

    Args:
        part: ``(G,)``, one number a group, such as the boxes found.
        whole: ``(G,)``, what it is a part of, such as the labelled boxes. Groups with 0 do not count.
        confidence: How often such intervals hold the true share.

    Returns:
        Lower and upper bound, between 0 and 1, with the estimate between them; ``None`` below 8 groups.

    Raises:
        ValueError: Lengths differ, a number is not finite, or a part is below 0 or above its whole.
    """
    part, whole = _counted(part, whole)
    if np.any(part < 0) or np.any(part > whole):
        raise ValueError("expected parts between 0 and their wholes")
    if len(whole) < LEAST_GROUPS:
        return None
    low, high = share_bounds(part[None], whole[None], confidence)
    return float(low[0]), float(high[0])


def share_bounds(part: Floats, whole: Floats, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """:func:`share_interval` of many samples at once, whatever their number of groups.

    Args:
        part: ``(D, G)``, a row a sample.
        whole: ``(D, G)``; each row has some.
        confidence: How often such intervals hold the true share.

    Returns:
        Lower and upper bounds, ``(D,)`` each.
    """
    value = part.sum(axis=1) / whole.sum(axis=1)
    z = float(norm.ppf((1 + confidence) / 2))
    # Both limits at once, since one call costs as much as another.
    ends = np.repeat([0.0, 1.0], len(value))
    parts, wholes, values = (np.concatenate([numbers, numbers]) for numbers in (part, whole, value))
    low, high = _share_limits(parts, wholes, values, ends, z).reshape(2, -1)
    exact = ((1 - confidence) / 2) ** (1 / _worth(whole))
    low = np.where(value == 1, exact, np.where(value == 0, 0.0, np.minimum(low, value)))
    high = np.where(value == 0, 1 - exact, np.where(value == 1, 1.0, np.maximum(high, value)))
    return low, high


def rate_interval(count: Floats, exposure: Floats, confidence: float = CONFIDENCE) -> Interval | None:
    """The interval of a rate, such as false alarms per slide: the sum of ``count`` by the sum of ``exposure``.

    Student's t on the logarithm of the rate, with the jackknife variance over groups and k - 1 degrees of freedom,
    where k is the number of equal groups that are worth those there, (sum of exposure) ** 2 / sum of exposure ** 2
    (Kish 1965).

    Where nothing was counted the upper bound is that of the rule of three with groups as the units: -log((1 -
    confidence) / 2) by the exposure of k groups of mean size, 3.7 at 95 %. It holds if groups that count anything count
    one; alarms that come by the dozen in one group of a hundred are not seen in thirty.

    Args:
        count: ``(G,)``, how many each group has.
        exposure: ``(G,)``, such as its slides or megapixels. Groups with 0 do not count.
        confidence: How often such intervals hold the true rate.

    Returns:
        Lower and upper bound, from 0 on, with the estimate between them; ``None`` below 8 groups.

    Raises:
        ValueError: Lengths differ, a number is not finite, or a count is below 0.
    """
    count, exposure = _counted(count, exposure)
    if np.any(count < 0):
        raise ValueError("expected counts from 0 on")
    if len(exposure) < LEAST_GROUPS:
        return None
    value = float(count.sum() / exposure.sum())
    worth = float(_worth(exposure))
    if value == 0:
        return 0.0, float(-np.log((1 - confidence) / 2) / (worth * exposure.mean()))
    reach = _t(worth - 1, confidence) * _spread(_influence(count, exposure)) / value
    # A group that holds nearly all of the exposure leaves the rate open, not infinite.
    factor = float(np.exp(min(reach, 300.0)))
    return value / factor, value * factor


def mean_interval(total: Floats, number: Floats, confidence: float = CONFIDENCE) -> Interval | None:
    """The interval of a ratio of sums that may be anything, such as the mean error of counts per slide.

    Student's t with the jackknife variance over groups and the degrees of freedom of :func:`rate_interval`.

    Args:
        total: ``(G,)``, the sum of each group.
        number: ``(G,)``, how many it is the sum of. Groups with 0 do not count.
        confidence: How often such intervals hold the true mean.

    Returns:
        Lower and upper bound; ``None`` below 8 groups.

    Raises:
        ValueError: Lengths differ, or a number is not finite.
    """
    total, number = _counted(total, number)
    if len(number) < LEAST_GROUPS:
        return None
    value = float(total.sum() / number.sum())
    reach = _t(float(_worth(number)) - 1, confidence) * _spread(_influence(total, number))
    return value - reach, value + reach


def jackknife_interval(
    value: float, without: Floats, scale: Literal["share", "plain"], confidence: float = CONFIDENCE
) -> Interval | None:
    """The interval of any smooth figure, from its values with each group left out.

    Student's t with the jackknife variance and G - 1 degrees of freedom, for a share on the logit. A share of 0 or 1
    has no logit; its limit is that of G groups that are all or nothing, as in :func:`share_interval`.

    Args:
        value: The figure of all groups.
        without: ``(G,)``, the figure without each group; those that are NaN do not count.
        scale: ``share`` for a figure between 0 and 1 such as AP, ``plain`` for any other.
        confidence: How often such intervals hold the true figure.

    Returns:
        Lower and upper bound; ``None`` below 8 groups or when the figure is NaN.
    """
    without = np.asarray(without, dtype=np.float64)
    without = without[np.isfinite(without)]
    groups = len(without)
    if groups < LEAST_GROUPS or not np.isfinite(value):
        return None
    reach = _t(groups - 1, confidence) * _spread(without - without.mean())
    if scale == "plain":
        return value - reach, value + reach
    if value in (0, 1):
        bound = ((1 - confidence) / 2) ** (1 / groups)
        return (bound, 1.0) if value == 1 else (0.0, 1 - bound)
    reach /= value * (1 - value)
    low, high = float(expit(logit(value) - reach)), float(expit(logit(value) + reach))
    return min(low, value), max(high, value)


def share_difference(
    part_a: Floats, whole_a: Floats, part_b: Floats, whole_b: Floats, confidence: float = CONFIDENCE
) -> Interval | None:
    """The interval of the share of b less that of a, two systems on the same groups.

    Student's t with the jackknife variance of the difference over groups; the degrees of freedom are those of
    :func:`rate_interval`, by the mean of both systems' shares of the wholes.

    Args:
        part_a: ``(G,)``, such as the boxes that a found in each group.
        whole_a: ``(G,)``, what it is a part of.
        part_b: ``(G,)``, the same of b, groups in the same order.
        whole_b: ``(G,)``, the same of b; equal to that of a for recall, not for precision.
        confidence: How often such intervals hold the true difference.

    Returns:
        Lower and upper bound, between -1 and 1; ``None`` where either has fewer than 8 groups with a whole. Two systems
        that are the same in every group give ``(0, 0)``: on these groups they do not differ, elsewhere nobody knows.

    Raises:
        ValueError: Lengths differ, or a number is not finite.
    """
    part_a, whole_a = _checked(part_a, whole_a)
    part_b, whole_b = _checked(part_b, whole_b)
    if part_a.shape != part_b.shape:
        raise ValueError(f"expected the same groups of both systems, found {len(part_a)} and {len(part_b)}")
    if min(np.sum(whole_a > 0), np.sum(whole_b > 0)) < LEAST_GROUPS:
        return None
    counted = (whole_a > 0) | (whole_b > 0)
    influence = (_influence(part_b, whole_b) - _influence(part_a, whole_a))[counted]
    worth = float(_worth(whole_a / whole_a.sum() + whole_b / whole_b.sum()))
    value = float(part_b.sum() / whole_b.sum() - part_a.sum() / whole_a.sum())
    reach = _t(worth - 1, confidence) * _spread(influence)
    return max(-1.0, value - reach), min(1.0, value + reach)


def rate_difference(
    count_a: Floats, count_b: Floats, exposure: Floats, confidence: float = CONFIDENCE
) -> Interval | None:
    """The interval of the rate of b less that of a, two systems on the same groups; see :func:`mean_interval`.

    Args:
        count_a: ``(G,)``, such as the false alarms of a in each group.
        count_b: ``(G,)``, the same of b, groups in the same order.
        exposure: ``(G,)``, such as the slides of each group. Groups with 0 do not count.
        confidence: How often such intervals hold the true difference.

    Returns:
        Lower and upper bound; ``None`` below 8 groups. Two systems that are the same in every group give ``(0, 0)``.

    Raises:
        ValueError: Lengths differ, or a number is not finite.
    """
    difference = np.asarray(count_b, dtype=np.float64) - np.asarray(count_a, dtype=np.float64)
    return mean_interval(difference, exposure, confidence)


def figure(value: float | None, n: float, groups: int, interval: Interval | None) -> Figures:
    """A figure as reports hold it.

    Args:
        value: The figure; ``None`` where it cannot be known.
        n: What it is a share of: boxes, crops, slides.
        groups: How many groups have a share in it.
        interval: Its interval.

    Returns:
        ``value, n, groups, interval`` and ``more_groups``, how many groups more an interval needs.
    """
    bounds = None if value is None or interval is None else list(interval)
    more = max(0, LEAST_GROUPS - groups)
    return {"value": value, "n": n, "groups": groups, "interval": bounds, "more_groups": more}


def share_figure(part: Floats, whole: Floats) -> Figures:
    """The :func:`figure` of a share; see :func:`share_interval`."""
    return _ratio_figure(part, whole, share_interval(part, whole))


def rate_figure(count: Floats, exposure: Floats) -> Figures:
    """The :func:`figure` of a rate; see :func:`rate_interval`. ``n`` is the whole exposure."""
    return _ratio_figure(count, exposure, rate_interval(count, exposure))


def _ratio_figure(part: Floats, whole: Floats, interval: Interval | None) -> Figures:
    part, whole = _counted(part, whole)
    n = float(whole.sum())
    value = float(part.sum()) / n if n else None
    return figure(value, int(n) if n.is_integer() else n, len(whole), interval)


def _checked(part: Floats, whole: Floats) -> tuple[Floats, Floats]:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    if part.ndim != 1 or part.shape != whole.shape:
        raise ValueError(f"expected two numbers a group, found shapes {part.shape} and {whole.shape}")
    if not (np.all(np.isfinite(whole)) and np.all(np.isfinite(part[whole > 0])) and np.all(whole >= 0)):
        raise ValueError("expected finite numbers, and wholes from 0 on")
    return np.where(whole > 0, part, 0.0), whole


def _counted(part: Floats, whole: Floats) -> tuple[Floats, Floats]:
    """The groups that count."""
    part, whole = _checked(part, whole)
    return part[whole > 0], whole[whole > 0]


def _worth(whole: Floats) -> Floats:
    """How many groups of one size are worth these, over the last axis (Kish 1965)."""
    return np.asarray(whole.sum(axis=-1) ** 2 / np.sum(whole**2, axis=-1))


def _influence(part: Floats, whole: Floats) -> Floats:
    """``(G,)``: the ratio of sums less that without each group."""
    total = whole.sum()
    return np.asarray((part - part.sum() / total * whole) / (total - whole))


def _spread(influence: Floats) -> float:
    """The jackknife's standard error, from what each group changes."""
    groups = len(influence)
    return float(np.sqrt((groups - 1) / groups * np.sum(influence**2)))


def _t(freedom: float, confidence: float) -> float:
    return float(student.ppf((1 + confidence) / 2, max(1.0, freedom)))


def _share_limits(part: Floats, whole: Floats, value: Floats, end: Floats, z: float) -> Floats:
    """``(D,)``: between the estimate and an end (0 or 1), the share at which the data begin to contradict it."""
    # The deviation is nearly straight on this scale.
    near, far = np.arcsin(np.sqrt(value)), np.arcsin(np.sqrt(end))
    at_near, at_far = np.full(len(value), -z), np.full(len(value), np.inf)
    for _ in range(8):
        middle = (near + far) / 2
        # The likelihood knows no shares of 0 and 1 themselves.
        excess = _excess(part, whole, value, np.clip(np.sin(middle) ** 2, 1e-12, 1 - 1e-12), z)
        beyond = excess > 0
        near, at_near = np.where(beyond, near, middle), np.where(beyond, at_near, excess)
        far, at_far = np.where(beyond, middle, far), np.where(beyond, excess, at_far)
    # Where no share contradicted, the far point is the end itself, and the weight 0.
    limit = np.where(np.isfinite(at_far), near - at_near / (at_far - at_near) * (far - near), far)
    return np.asarray(np.sin(limit) ** 2)


def _excess(part: Floats, whole: Floats, value: Floats, share: Floats, z: float) -> Floats:
    """``(D,)``: by how much the deviation from a share is above what the share allows, in standard errors."""
    p = share[:, None]
    alike = expit(_likeliest(lambda x: _log_likelihood(part, whole, p, x), len(value)))[:, None]
    pq = p * (1 - p)
    variances = whole * pq * (1 + (whole - 1) * alike)
    # Of the beta-binomial distribution: its third central moment, with 1 / r - 1 for the sum of its two parameters.
    third = variances * (1 - 2 * p) * (1 + (2 * whole - 1) * alike) / (1 + alike)
    error = np.sqrt(variances.sum(axis=1))
    # Clipped so that more confidence is always wider.
    skewness = np.clip(third.sum(axis=1) / error**3, -1, 1)
    correction = np.sign(value - share) * skewness * (z**2 - 1) / 6
    allowed = z + np.where(correction < 0, correction, correction / 2)
    return np.asarray(np.abs(value - share) * whole.sum(axis=1) / error - allowed)


def _log_likelihood(part: Floats, whole: Floats, share: Floats, logit_alikeness: Floats) -> Floats:
    """``(D,)``: of the beta-binomial model, up to a constant."""
    both = np.exp(-logit_alikeness)[:, None]
    a, b = share * both, (1 - share) * both
    groups = gammaln(part + a) + gammaln(whole - part + b) - gammaln(whole + both)
    each = gammaln(both) - gammaln(a) - gammaln(b)
    return np.asarray(groups.sum(axis=1) + part.shape[1] * each[:, 0])


def _likeliest(log_likelihood: Callable[[Floats], Floats], draws: int) -> Floats:
    """``(D,)``: where each likelihood is highest, by golden sections of :data:`LOGIT_ALIKENESS`."""
    golden = (5**0.5 - 1) / 2
    low, high = (np.full(draws, end) for end in LOGIT_ALIKENESS)
    left, right = high - golden * (high - low), low + golden * (high - low)
    of_left, of_right = log_likelihood(left), log_likelihood(right)
    for _ in range(13):
        lower = of_left >= of_right
        low, high = np.where(lower, low, left), np.where(lower, right, high)
        new = np.where(lower, high - golden * (high - low), low + golden * (high - low))
        of_new = log_likelihood(new)
        left, right = np.where(lower, new, right), np.where(lower, left, new)
        of_left, of_right = np.where(lower, of_new, of_right), np.where(lower, of_left, of_new)
    return np.asarray(np.where(of_left >= of_right, left, right))
