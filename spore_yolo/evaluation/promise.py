"""A promise on recall: thresholds that keep it with a stated confidence, whatever the pair and the slides are like.

The method is Learn then Test (Angelopoulos, Bates, Candès, Jordan, Lei 2021, arXiv:2110.01052): the thresholds of
:func:`fixed_order` are tested one after another, from the most permissive on, for "the miss rate is higher than
allowed", and the first that cannot be refuted ends it. Its units are groups, since boxes of one group are alike. The
loss of a group is its miss rate: missed labelled boxes by labelled boxes, of one class; groups without a labelled box
of the class have none and do not count.

Many tests need no correction: their order is fixed before the calibration groups are seen, and no promise can be wrong
unless the first point in that order that misses more than allowed passes its test, which happens with probability
1 - confidence at most. Several targets need none either: a point passes only where every target's own p-value is small,
that of a target which misses more than allowed included (intersection-union test, Berger 1982).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from scipy.special import rel_entr
from scipy.stats import binom

from spore_yolo.evaluation.crops import crops_table
from spore_yolo.evaluation.operating_point import rounded_down
from spore_yolo.evaluation.scoring import detections_of, score_candidates
from spore_yolo.inference.manifest import OperatingPoint, called
from spore_yolo.inference.proposals import CANDIDATE_SCORE
from spore_yolo.labels.matching import Floats

Bound = Literal["betting", "hoeffding-bentkus"]
Losses = dict[str, Floats]
"""For each target the miss rates of its groups, ``(G,)``, in an order that has nothing to do with them."""

Specificity = dict[str, float | None]

STEPS = (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5)
"""The thresholds that are tried give up these parts of the allowed miss rate, as validation shows it."""

MOST_GROUPS = 100_000
"""Nobody labels more groups than this for a promise."""


def hoeffding_bentkus(miss_rate: float, groups: int, allowed: float) -> float:
    """The p-value of Hoeffding and Bentkus for "the expected loss is higher than allowed".

    The smaller of Hoeffding's in its sharp form, ``exp(-n KL(miss_rate, allowed))``, and of Bentkus',
    ``e P(Binomial(n, allowed) <= ceil(n miss_rate))`` (Bates, Angelopoulos, Lei, Malik, Jordan 2021, arXiv:2101.02703,
    and arXiv:2110.01052, proposition 1). The smaller of the two is valid, since both bound the tail of one and the same
    mean. It knows the losses by their mean only, and so is sharp where each is 0 or 1.

    Args:
        miss_rate: Mean of the losses, which lie between 0 and 1.
        groups: How many there are.
        allowed: The highest expected loss.
    """
    low = min(miss_rate, allowed)
    hoeffding = np.exp(-groups * (rel_entr(low, allowed) + rel_entr(1 - low, 1 - allowed)))
    # The sum of fractions such as 1/3 misses a whole number by a rounding error, which must not lift it to the next.
    bentkus = np.e * binom.cdf(np.ceil(np.round(groups * miss_rate, 9)), groups, allowed)
    return float(min(hoeffding, bentkus))


def betting(losses: Floats, allowed: float, delta: float) -> float:
    """The p-value of a bet against "the expected loss is higher than allowed".

    One starts with a capital of 1 and, group by group, stakes a part of it on the loss being lower than allowed; the
    stake depends on the groups before only. Were the expected loss higher, no way of betting would make the capital
    grow on average, and it would ever reach ``1 / p`` with probability ``p`` at most (Ville's inequality). So the
    p-value is 1 by the highest capital. The stakes are those of Waudby-Smith and Ramdas (2024, arXiv:2010.09686) in the
    form of arXiv:2101.02703: they are the bolder the more the losses before were alike, so that it needs far fewer
    groups than :func:`hoeffding_bentkus` where a group has many boxes and few are missed everywhere.

    Args:
        losses: ``(G,)``, between 0 and 1, in an order that was not chosen by them.
        allowed: The highest expected loss, above 0.
        delta: The p-value that is hoped for, which decides how bold the stakes are.
    """
    before = np.arange(1, len(losses) + 1)
    mean = (0.5 + np.cumsum(losses)) / (1 + before)
    variance = (0.25 + np.cumsum((losses - mean) ** 2)) / (1 + before)
    known = np.concatenate([[0.25], variance])[: len(losses)]
    stakes = np.minimum(1, np.sqrt(2 * np.log(1 / delta) / (len(losses) * known)))
    capital = np.cumsum(np.log1p(-stakes * (losses - allowed)))
    return float(np.exp(-capital.max(initial=0.0)))


def p_value(losses: Floats, allowed: float, delta: float, bound: Bound) -> float:
    """How likely losses like these, or lower ones, are at most, were the expected one higher than allowed."""
    if bound == "betting":
        return betting(losses, allowed, delta)
    return hoeffding_bentkus(_mean(losses), len(losses), allowed)


def bound_for(labelled: Mapping[str, Floats]) -> Bound:
    """The bound to use, chosen on other groups than those that it is used on.

    Args:
        labelled: For each target, ``(G,)`` labelled boxes of each group that has some.

    Returns:
        :func:`hoeffding_bentkus` where a typical group has one box, so that its miss rate is 0 or 1; else
        :func:`betting`.
    """
    alone = [np.median(counts) <= 1 for counts in labelled.values() if len(counts)]
    return "hoeffding-bentkus" if alone and all(alone) else "betting"


def fixed_sequence(p_values: Iterable[float], delta: float) -> int:
    """How many hypotheses, tested in a fixed order, are refuted before the first that is not (Bauer 1991)."""
    refuted = 0
    for value in p_values:
        if value > delta:
            break
        refuted += 1
    return refuted


def highest_promise(losses: Floats, delta: float, bound: Bound) -> float:
    """The highest recall that these groups promise, rounded down to three decimals; 0 without groups."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(losses, middle, delta, bound) <= delta else (middle, high)
    return math.floor(1000 * (1 - high)) / 1000


def groups_needed(losses: Floats, allowed: float, delta: float, bound: Bound) -> int | None:
    """How many groups would carry a promise, if more came that miss as those seen do.

    Args:
        losses: ``(G,)`` of groups that do not carry it; without any, groups without a miss are taken for granted.
        allowed: The highest expected loss.
        delta: 1 - confidence.
        bound: The bound.

    Returns:
        All groups together; ``None`` where they miss too much for any number, or for :data:`MOST_GROUPS`.
    """
    seen = losses if len(losses) else np.zeros(1)
    if seen.mean() >= allowed:
        return None

    def enough(groups: int) -> bool:
        if bound == "hoeffding-bentkus":
            return hoeffding_bentkus(_mean(seen), groups, allowed) <= delta
        return betting(np.resize(seen, groups), allowed, delta) <= delta

    too_few, many = len(losses), 2 * len(seen)
    while not enough(many):
        too_few, many = many, 2 * many
        if many > 2 * MOST_GROUPS:
            return None
    while many - too_few > 1:
        middle = (too_few + many) // 2
        too_few, many = (too_few, middle) if enough(middle) else (middle, many)
    return many


class Part(Protocol):
    """Groups with what a pair finds on them; :class:`LabelledPart` is the real one."""

    def losses(self, point: OperatingPoint) -> Losses:
        """For each target the miss rates of its groups at an operating point."""

    def specificity(self, point: OperatingPoint) -> Specificity:
        """For each target the specificity over crops at an operating point; ``None`` without negatives."""

    def finders(self) -> dict[str, Floats]:
        """For each target ``(N, 2)``: detector_score and class_score of the candidates that find a box of it."""


def fixed_order(part: Part, stored: OperatingPoint, recall: float) -> list[OperatingPoint]:
    """The operating points to test, in the order of the tests.

    A grid is made of thresholds on detector_score and of levels of class_score, a level being a threshold a target;
    both are quantiles of the scores of candidates that find a target, so that they give up :data:`STEPS` of the allowed
    miss rate. Of the grid those points stay that are efficient here: none has at least their recall of the worst target
    and a higher mean specificity of the targets. They are ordered by falling recall of the worst target, after the most
    permissive point of all. Where a point tightens the one before it by several steps, those between are tested on the
    way, which costs nothing: what is milder misses no more.

    Args:
        part: Groups that are not those of the calibration.
        stored: The pair's own operating point, whose thresholds on other classes stay.
        recall: The recall to promise.
    """
    finders = part.finders()
    shares = np.minimum(np.array(STEPS) * (1 - recall), 1)
    together = np.concatenate([scores[:, 0] for scores in finders.values()])
    detectors = sorted({CANDIDATE_SCORE, *_quantiles(together, shares)})
    levels = [dict.fromkeys(finders, 0.0)]
    quantiles = {target: _quantiles(scores[:, 1], shares) for target, scores in finders.items()}
    for place in range(len(shares)):
        level = {target: of_target[place] if of_target else 0.0 for target, of_target in quantiles.items()}
        if level != levels[-1]:
            levels.append(level)
    if not stored.class_:  # no classifier, no class_score
        levels = [{}]
    points = [[_point(detector, stored, level) for level in levels] for detector in detectors]
    worst = [[min(1 - _mean(losses) for losses in part.losses(point).values()) for point in row] for row in points]
    specificity = [[mean_known(part.specificity(point)) for point in row] for row in points]
    return [points[row][column] for row, column in efficient_path(np.array(worst), np.array(specificity))]


def efficient_path(recall: Floats, specificity: Floats) -> list[tuple[int, int]]:
    """The order of the cells of a grid whose rows and columns become stricter.

    Args:
        recall: ``(D, K)``.
        specificity: ``(D, K)``.

    Returns:
        Row and column of each cell on the way: the mildest, then the efficient ones by falling recall, each after the
        cells between it and the one before it where it is stricter in both.
    """
    cells = [(row, column) for row in range(recall.shape[0]) for column in range(recall.shape[1])]
    # Of cells alike in both the mildest comes first, and the others are not efficient.
    cells.sort(key=lambda cell: (-recall[cell], -specificity[cell], sum(cell), cell))
    path, highest = [(0, 0)], -np.inf
    for cell in cells:
        if specificity[cell] > highest:
            highest = specificity[cell]
            path += [step for step in _between(path[-1], cell) if step not in path]
    return path


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells from one to another, which is the last; only that one where it is milder in one direction."""
    rows, columns = end[0] - start[0], end[1] - start[1]
    steps = max(rows, columns)
    if min(rows, columns) < 0 or steps == 0:
        return [end]
    return [(start[0] + rows * step // steps, start[1] + columns * step // steps) for step in range(1, steps + 1)]


@dataclass(frozen=True)
class Choice:
    """What testing came to.

    Attributes:
        point: Of the operating points that passed that with the highest mean specificity of the targets; ``None`` where
            nothing can be promised.
        passed: How many of the points passed.
        losses: Of each target, at the chosen point; at the most permissive one where there is none.
        specificity: Of each target over crops, there.
        most_permissive: The losses at the most permissive point.
        highest: The highest recall that can be promised for all targets, at the most permissive point.
    """

    point: OperatingPoint | None
    passed: int
    losses: Losses
    specificity: Specificity
    most_permissive: Losses
    highest: float


def choose_promised(
    part: Part, points: Sequence[OperatingPoint], recall: float, confidence: float, bound: Bound
) -> Choice:
    """Tests operating points in their order and takes the best of those that pass.

    Among those that pass any may be taken, by these very groups too: the confidence is for all of them together.

    Args:
        part: The calibration groups.
        points: The order of the tests, from :func:`fixed_order` on other groups.
        recall: The recall to promise for each target, as the mean over groups.
        confidence: How often, at least, such a choice is to keep it.
        bound: The bound, from :func:`bound_for` on other groups.
    """
    allowed, delta = 1 - recall, 1 - confidence

    def worst(point: OperatingPoint) -> float:
        return max(p_value(losses, allowed, delta, bound) for losses in part.losses(point).values())

    passed = fixed_sequence((worst(point) for point in points), delta)
    specificity = [part.specificity(point) for point in points[: max(1, passed)]]
    # Of equal ones the last, which is the strictest.
    best = max(range(len(specificity)), key=lambda place: (mean_known(specificity[place]), place))
    permissive = part.losses(points[0])
    return Choice(
        point=points[best] if passed else None,
        passed=passed,
        losses=part.losses(points[best]),
        specificity=specificity[best],
        most_permissive=permissive,
        highest=min(highest_promise(losses, delta, bound) for losses in permissive.values()),
    )


class LabelledPart:
    """Labelled groups and what a pair found on them.

    Args:
        candidates: Columns of ``candidates.csv``; those on other images are left out.
        boxes: The boxes table; likewise.
        images: The images table of the groups.
        targets: The classes to promise for.

    Attributes:
        labelled: For each target, ``(G,)``, the labelled boxes of each group that has some, in the order of the losses.
    """

    def __init__(
        self, candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, targets: Sequence[str]
    ) -> None:
        candidates = candidates[candidates["slide"].isin(images["image"])]
        boxes = boxes[boxes["image"].isin(images["image"])]
        self._images, self._targets = images, list(targets)
        self._candidates = candidates[candidates["class"].isin(self._targets)]
        self._boxes = boxes[boxes["class"].isin(self._targets) | boxes["ignored"]]
        crops = crops_table(candidates, boxes, images, OperatingPoint(detector=0.0))
        self._crops = crops[crops["left_out"] == ""]
        wanted = self._boxes[~self._boxes["ignored"]]
        group = wanted["image"].map(images.set_index("image")["group"])
        self._order = {
            target: sorted(group[wanted["class"] == target].unique(), key=shuffled) for target in self._targets
        }
        self.labelled = {
            target: group[wanted["class"] == target].value_counts().reindex(order).to_numpy(dtype=np.float64)
            for target, order in self._order.items()
        }

    def losses(self, point: OperatingPoint) -> Losses:
        """For each target the miss rates of its groups at an operating point."""
        found = detections_of(self._candidates, point)
        truth = score_candidates(found, self._boxes, self._images, self._targets).truth
        missed = (truth["found_by"] < 0).groupby([truth["class"], truth["group"]]).mean()
        return {
            target: missed.loc[target].reindex(order).to_numpy(dtype=np.float64) if order else np.zeros(0)
            for target, order in self._order.items()
        }

    def specificity(self, point: OperatingPoint) -> Specificity:
        """For each target the specificity over crops at an operating point; ``None`` without negatives."""
        crops = self._crops
        final = called(
            crops["class"].to_numpy(), crops["detector_score"].to_numpy(), crops["class_score"].to_numpy(), point
        )
        truth = crops["truth"].to_numpy(dtype=object)
        others = {target: final[truth != target] != target for target in self._targets}
        return {target: float(right.mean()) if len(right) else None for target, right in others.items()}

    def finders(self) -> dict[str, Floats]:
        """For each target ``(N, 2)``: detector_score and class_score of the candidates that find a box of it."""
        rows = score_candidates(self._candidates, self._boxes, self._images, self._targets).candidates
        rows = rows[rows["truth"] >= 0]
        columns = ["detector_score", "class_score"]
        return {target: rows.loc[rows["class"] == target, columns].to_numpy(np.float64) for target in self._targets}


def shuffled(name: str) -> str:
    """A key that puts groups into an order which has nothing to do with them and is always the same."""
    return hashlib.sha256(name.encode()).hexdigest()


def halves(images: pd.DataFrame, boxes: pd.DataFrame, targets: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Deals groups into two halves, always the same; those with a labelled target are halved as such.

    Args:
        images: The images table.
        boxes: The boxes table.
        targets: The classes to promise for.

    Returns:
        The images of the half that fixes the order of the tests, and of the half that calibrates.
    """
    holding = boxes.loc[boxes["class"].isin(list(targets)) & ~boxes["ignored"], "image"]
    with_target = set(images.loc[images["image"].isin(holding), "group"])
    groups = sorted(images["group"].unique(), key=lambda group: (group not in with_target, shuffled(group)))
    calibrating = images["group"].isin(groups[::2])
    return images[~calibrating], images[calibrating]


def mean_known(values: Specificity) -> float:
    """The mean over targets of what is known; 0 where nothing is."""
    known = [value for value in values.values() if value is not None]
    return float(np.mean(known)) if known else 0.0


def _point(detector: float, stored: OperatingPoint, level: Mapping[str, float]) -> OperatingPoint:
    return OperatingPoint.model_validate({"detector": detector, "class": {**stored.class_, **level}})


def _quantiles(scores: Floats, shares: Floats) -> list[float]:
    """The scores below which these shares lie, rounded down as thresholds are; none where there are no scores."""
    if not len(scores) or np.isnan(scores).any():
        return []
    return [float(value) for value in rounded_down(np.quantile(scores, shares, method="lower"))]


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0
