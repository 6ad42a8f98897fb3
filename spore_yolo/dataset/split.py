"""The grouped split: whole groups are dealt out so that each split gets its share of every class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError, UsageError
from spore_yolo.files.structured import read_pairs

SPLITS = ("train", "val", "test", "calibration")

ABSENT = 1000.0
"""What it costs that a split lacks a class; more than all distances together."""

Floats = npt.NDArray[np.float64]

# Swaps are tried for every pair of groups up to this many groups; beyond it, moving single groups is fine enough.
MAX_GROUPS_FOR_SWAPS = 200


def parse_shares(text: str) -> tuple[int, ...]:
    """Reads ``60,20,20`` or, with a calibration part, ``50,15,20,15``.

    Raises:
        UsageError: The shares are not three or four whole numbers that add up to 100.
    """
    try:
        shares = tuple(int(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) not in (3, 4) or sum(shares) != 100 or min(shares) < 1:
        raise UsageError(
            "--split: expected three or four whole numbers of at least 1 that add up to 100"
            f" (train,val,test[,calibration]), found {text!r}"
        )
    return shares


def read_split(path: Path) -> dict[str, str]:
    """Reads a split that is given, a CSV file with the columns ``group,split``.

    Raises:
        SporeYoloError: The file is missing, has other columns, or names an unknown split.
        InputProblems: A group stands there twice with different splits.
    """
    splits = read_pairs(path, "group", "split")
    unknown = sorted(set(splits.values()) - set(SPLITS))
    if unknown:
        raise SporeYoloError(f"{path}: expected the splits {', '.join(SPLITS)}, found {', '.join(unknown)}")
    return splits


def given_split(groups: Iterable[str], given: Mapping[str, str], path: Path) -> dict[str, str]:
    """The given split of each group.

    Raises:
        InputProblems: The file does not name every group.
    """
    missing = [Problem(path, None, f"does not name group {group}") for group in groups if group not in given]
    if missing:
        raise InputProblems("The given split is not whole:", missing, "Add the groups, or let the split be dealt.")
    return {group: given[group] for group in groups}


def split_groups(
    counts: Mapping[str, Sequence[float]],
    shares: Sequence[int],
    seed: int,
    fixed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Deals groups out to splits.

    The cost of a split is the sum, over its columns (images and boxes of each class), of the squared distances between
    the share it got and the share it should get; that a split lacks a column which enough groups hold outweighs all
    distances.
    Groups are dealt out from the largest to the smallest, then moved and swapped as long as the cost falls.

    Args:
        counts: For each group, the number of images and of boxes of each class (any fixed order of columns).
        shares: Percent for train, val, test and, where wanted, calibration.
        seed: Decides between groups and splits that are equally good.
        fixed: Groups that already have a split and keep it.

    Returns:
        The split of every group in ``counts``.

    Raises:
        UsageError: There are fewer groups than splits.
    """
    names = SPLITS[: len(shares)]
    fixed = {group: split for group, split in (fixed or {}).items() if group in counts}
    if len(counts) < len(names):
        raise UsageError(
            f"expected at least {len(names)} groups to split into {', '.join(names)}, found {len(counts)}"
            f" ({', '.join(sorted(counts))}); use a finer --group-by or add slides"
        )
    groups = sorted(counts)
    order = np.random.default_rng(seed).permutation(len(groups))
    groups = [groups[index] for index in order]
    weights = np.array([counts[group] for group in groups], dtype=np.float64)
    holders = (weights > 0).sum(axis=0)
    totals = weights.sum(axis=0)
    weights = weights[:, totals > 0] / totals[totals > 0]
    deal = _Deal(weights, np.array(shares) / 100.0, holders[totals > 0])

    where = np.full(len(groups), -1)
    for index, group in enumerate(groups):
        if group in fixed:
            where[index] = names.index(fixed[group])
    free = np.flatnonzero(where < 0)
    for place in sorted(free.tolist(), key=lambda i: -weights[i].sum()):
        where[place] = min(range(len(names)), key=lambda split: deal.cost_with(where, place, split))
    deal.improve(where, free)
    return {group: names[split] for group, split in sorted(zip(groups, where, strict=True))}


class _Deal:
    def __init__(self, weights: Floats, targets: Floats, holders: npt.NDArray[np.int64]) -> None:
        self.weights = weights
        self.targets = targets
        # A column that fewer groups hold than there are splits cannot be everywhere.
        self.spreadable = holders >= len(targets)

    def cost(self, where: npt.NDArray[np.int64]) -> float:
        got = np.stack([self.weights[where == split].sum(axis=0) for split in range(len(self.targets))])
        distance = float(((got - self.targets[:, None]) ** 2).sum())
        return distance + ABSENT * float((got[:, self.spreadable] <= 0).sum())

    def cost_with(self, where: npt.NDArray[np.int64], index: int, split: int) -> float:
        before = where[index]
        where[index] = split
        cost = self.cost(where)
        where[index] = before
        return cost

    def improve(self, where: npt.NDArray[np.int64], free: npt.NDArray[np.int64]) -> None:
        """Moves and swaps free groups until none of it helps; changes ``where``."""
        best = self.cost(where)
        improved = True
        while improved:
            improved = False
            for index in free:
                for split in range(len(self.targets)):
                    cost = self.cost_with(where, index, split)
                    if cost < best - 1e-12:
                        where[index], best, improved = split, cost, True
            if len(free) > MAX_GROUPS_FOR_SWAPS:
                continue
            for position, first in enumerate(free):
                for second in free[position + 1 :]:
                    if where[first] == where[second]:
                        continue
                    where[first], where[second] = where[second], where[first]
                    cost = self.cost(where)
                    if cost < best - 1e-12:
                        best, improved = cost, True
                    else:
                        where[first], where[second] = where[second], where[first]
