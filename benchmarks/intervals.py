"""How often the 95 % intervals hold the truth, with groups that differ: by simulation, beside other methods.

    python benchmarks/intervals.py
    python benchmarks/intervals.py shares --groups 30 --draws 10000 --laws slides

`shares` draws groups' sizes from a law, groups' recalls from a beta distribution and found boxes from binomials. The
truth is the recall over all boxes of all groups there are, E[found] / E[boxes]. The method "ours" is
`spore_yolo.evaluation.intervals`; samples without a miss stand apart. Cells of 30 groups and more whose coverage lies
outside 93 to 97 % are marked with "!" and listed at the end. `differences` and `rates` are the same for paired
differences of two systems and for false alarms by slide.

The command with defaults takes about a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import t as student
from tabulate import tabulate

from spore_yolo.evaluation.intervals import CONFIDENCE, rate_interval, share_bounds, share_difference

Floats = npt.NDArray[np.float64]
Bounds = tuple[Floats, Floats]

RECALLS, ALIKENESS = (0.6, 0.8, 0.9, 0.95), (0.05, 0.15, 0.3)
GROUPS = [8, 12, 20, 29, 30, 60, 120]
LEAST, MOST = 0.93, 0.97
RESAMPLES, RESAMPLED = 200, 500
"""Resamples of the bootstrap, and of how many samples a cell: it is the slowest and the worst."""

SLOPE = 0.25
"""By how much the logit of a group's recall changes when it has e (2.7) times as many boxes, in laws with a slope."""


def slides(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return np.clip(np.rint(rng.lognormal(np.log(15), 1, shape)), 1, 500)


def fields(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return (1 + rng.negative_binomial(2, 2 / 9, shape)).astype(np.float64)


def targets(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.integers(1, 5, shape).astype(np.float64)


LAWS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, ...]], Floats], float, str]] = {
    "slides": (slides, 0.0, "1 to 500 boxes a group, lognormal, median 15, mean 25, sigma 1"),
    "fields": (fields, 0.0, "mean 8 boxes a group, 1 more than negative binomial of size 2"),
    "targets": (targets, 0.0, "1 to 4 boxes a group"),
    "dense-worse": (slides, -SLOPE, "as slides; groups with more boxes have a lower recall"),
    "dense-better": (slides, SLOPE, "as slides; groups with more boxes have a higher recall"),
}


def mean_recalls(law: str, recall: float) -> Callable[[Floats], Floats]:
    """The mean recall of groups by their size, such that over all boxes it is the recall."""
    draw, slope, _ = LAWS[law]
    if not slope:
        return lambda sizes: np.full(sizes.shape, recall)
    sizes = draw(np.random.default_rng(0), (1_000_000,))
    level = brentq(lambda a: np.average(expit(a + slope * np.log(sizes)), weights=sizes) - recall, -20, 20)
    return lambda sizes: expit(level + slope * np.log(sizes))


def ratio(part: Floats, whole: Floats) -> tuple[Floats, Floats]:
    """The share and its linearised variance with the correction G / (G - 1)."""
    groups, total = whole.shape[1], whole.sum(axis=1)
    value = part.sum(axis=1) / total
    residuals = part - value[:, None] * whole
    return value, groups / (groups - 1) * np.sum(residuals**2, axis=1) / total**2


def t_on_the_logit(part: Floats, whole: Floats, _: np.random.Generator) -> Bounds:
    value, variance = ratio(part, whole)
    reach = student.ppf((1 + CONFIDENCE) / 2, whole.shape[1] - 1) * np.sqrt(variance) / (value * (1 - value))
    return expit(logit(value) - reach), expit(logit(value) + reach)


def wilson(part: Floats, whole: Floats, _: np.random.Generator) -> Bounds:
    """With the boxes divided by the design effect, and t (Dean and Pagano 2015)."""
    value, variance = ratio(part, whole)
    factor = student.ppf((1 + CONFIDENCE) / 2, whole.shape[1] - 1) ** 2 * variance / (value * (1 - value))
    reach = np.sqrt(factor * value * (1 - value) + factor**2 / 4)
    return (value + factor / 2 - reach) / (1 + factor), (value + factor / 2 + reach) / (1 + factor)


def percentile_bootstrap(part: Floats, whole: Floats, rng: np.random.Generator) -> Bounds:
    part, whole = part[:RESAMPLED], whole[:RESAMPLED]
    groups = whole.shape[1]
    shares = np.empty((RESAMPLES, len(part)))
    for sample in range(RESAMPLES):
        weights = rng.multinomial(groups, np.full(groups, 1 / groups), len(part))
        shares[sample] = np.sum(weights * part, axis=1) / np.sum(weights * whole, axis=1)
    low, high = np.quantile(shares, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return low, high


METHODS: dict[str, Callable[[Floats, Floats, np.random.Generator], Bounds]] = {
    "ours": lambda part, whole, _: share_bounds(part, whole),
    "t on logit": t_on_the_logit,
    "Wilson, deff": wilson,
    "bootstrap": percentile_bootstrap,
}


def held(bounds: Bounds, truth: float) -> npt.NDArray[np.bool_]:
    return (bounds[0] <= truth) & (truth <= bounds[1])


def percent(flags: npt.NDArray[np.bool_]) -> str:
    return f"{100 * flags.mean():.1f}" if len(flags) else "-"


def measure_shares(arguments: argparse.Namespace) -> None:
    outside: list[str] = []
    cells = 0
    summary: dict[tuple[str, int], list[list[float]]] = {}
    for law in arguments.laws:
        sizes_of = LAWS[law][0]
        rows = []
        for groups in arguments.groups:
            for recall in RECALLS:
                for alike in ALIKENESS:
                    rng = np.random.default_rng([arguments.seed, groups, round(1000 * recall), round(1000 * alike)])
                    whole = sizes_of(rng, (arguments.draws, groups))
                    mean = mean_recalls(law, recall)(whole)
                    both = 1 / alike - 1
                    part = rng.binomial(whole.astype(np.int64), rng.beta(mean * both, (1 - mean) * both)) * 1.0
                    missed = part.sum(axis=1) < whole.sum(axis=1)
                    # Without a hit only "ours" has an interval; at these recalls that is one sample in thousands.
                    usual = missed & (part.sum(axis=1) > 0)
                    row, numbers = [groups, recall, alike], []
                    for name, method in METHODS.items():
                        low, high = method(part[usual], whole[usual], rng)
                        hit = held((low, high), recall)
                        bad = name == "ours" and groups >= 30 and not LEAST <= hit.mean() <= MOST
                        row.append(percent(hit) + ("!" if bad else ""))
                        numbers += [float(hit.mean()), float(np.mean(high - low))]
                        if name == "ours":
                            row.append(f"{100 * np.mean(low > recall):.1f}, {100 * np.mean(high < recall):.1f}")
                            if bad:
                                where = f"{law}, {groups} groups, recall {recall:g}, correlation {alike:g}"
                                outside.append(f"{where}: {percent(hit)} %")
                    row += [f"{width:.3f}" for width in numbers[1::2][:2]]
                    whole_ones = ~missed
                    low, high = share_bounds(part[whole_ones], whole[whole_ones])
                    row += [f"{100 * whole_ones.mean():.1f}", percent(held((low, high), recall))]
                    rows.append(row)
                    cells += groups >= 30
                    summary.setdefault((law, groups), []).append(numbers)
        headers = ["groups", "recall", "corr.", "ours", "above, below"]
        headers += [*list(METHODS)[1:], "width", "of t", "no miss %", "cover"]
        print(f"\nShares, {law}: {LAWS[law][2]}. Coverage in %\n", flush=True)
        print(tabulate(rows, headers, tablefmt="github", disable_numparse=True), flush=True)
    print("\nShares: lowest, mean and highest coverage of the cells, and mean width by that of t on the logit\n")
    lines = []
    for (law, groups), found in summary.items():
        table = np.array(found)
        ranges = [
            f"{100 * column.min():.1f}, {100 * column.mean():.1f}, {100 * column.max():.1f}" for column in table.T[::2]
        ]
        lines.append([law, groups, *ranges, f"{np.mean(table[:, 1] / table[:, 3]):.2f}"])
    print(tabulate(lines, ["law", "groups", *METHODS, "width"], tablefmt="github", disable_numparse=True))
    print(f"\nof {cells} cells of 30 groups and more, {len(outside)} lie outside 93 to 97 %:", *outside, sep="\n  ")


def measure_differences(arguments: argparse.Namespace) -> None:
    """Two systems see the same boxes; their recalls in a group share a beta part and have a normal one each (logit)."""
    rows = []
    for law in ("slides", "fields", "targets"):
        for groups in arguments.groups:
            row: list[object] = [law, groups]
            for a, b in ((0.8, 0.8), (0.95, 0.95), (0.8, 0.85), (0.9, 0.95)):
                rng = np.random.default_rng([arguments.seed, groups, round(1000 * a), round(1000 * b)])

                def recalls(shape: tuple[int, ...], a: float, b: float, rng: np.random.Generator) -> Bounds:
                    both = 1 / 0.15 - 1
                    of_group = logit(np.clip(rng.beta(a * both, (1 - a) * both, shape), 1e-4, 1 - 1e-4))
                    own = rng.normal(0, 0.5, (2, *shape))
                    return expit(of_group + own[0]), expit(of_group + own[1] + logit(b) - logit(a))

                truth = 0.0
                if a != b:
                    of_a, of_b = recalls((1_000_000,), a, b, np.random.default_rng(0))
                    truth = float(np.mean(of_b - of_a))
                whole = LAWS[law][0](rng, (arguments.draws, groups))
                part_a, part_b = (rng.binomial(whole.astype(np.int64), p) for p in recalls(whole.shape, a, b, rng))
                found = [
                    share_difference(*sample) or (np.nan, np.nan)
                    for sample in zip(part_a, whole, part_b, whole, strict=True)
                ]
                low, high = np.array(found).T
                row.append(percent(held((low, high), truth)))
                row.append(f"{np.mean(high - low):.3f}" if a == b else percent((low > 0) | (high < 0)))
            rows.append(row)
    headers = [
        "law",
        "groups",
        "0.8 = 0.8",
        "width",
        "0.95 = 0.95",
        "width",
        "0.8, +0.04",
        "told",
        "0.9, +0.05",
        "told",
    ]
    print("\nPaired differences: coverage in %; 100 less it is the error of the first kind where both are equal;")
    print('"told": how often the interval leaves out 0\n')
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True), flush=True)


RATES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "all alike": lambda rng, shape: np.ones(shape),
    "gamma, shape 1": lambda rng, shape: rng.gamma(1, 1, shape),
    "gamma, shape 1/4": lambda rng, shape: rng.gamma(0.25, 4, shape),
    "6 of 10 without": lambda rng, shape: (rng.random(shape) < 0.4) / 0.4,
}
"""How groups' rates differ from the mean rate, by a factor of mean 1."""


def measure_rates(arguments: argparse.Namespace) -> None:
    rows = []
    for name, factor in RATES.items():
        for groups in arguments.groups:
            row: list[object] = [name, groups]
            for rate in (0.02, 0.2, 2.0, 50.0):
                rng = np.random.default_rng([arguments.seed, groups, round(1000 * rate)])
                exposure = rng.integers(1, 7, (arguments.draws, groups)).astype(np.float64)
                counts = rng.poisson(rate * exposure * factor(rng, exposure.shape)).astype(np.float64)
                some = counts.sum(axis=1) > 0
                found = [rate_interval(*sample) or (np.nan, np.nan) for sample in zip(counts, exposure, strict=True)]
                low, high = np.array(found).T
                hit = held((low, high), rate)
                row.append(f"{percent(hit[some])} ({100 * np.mean(~some):.0f}: {percent(hit[~some])})")
            rows.append(row)
    headers = ["groups differ", "groups", "0.02 a slide", "0.2", "2", "50"]
    print("\nRates, 1 to 6 slides a group: coverage in % where anything was counted (share of the other samples in %:")
    print("their coverage)\n")
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True), flush=True)


MEASURES = {"shares": measure_shares, "differences": measure_differences, "rates": measure_rates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"any of {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--draws", type=int, default=2000, help="samples a cell (default: %(default)s)")
    parser.add_argument("--groups", type=int, nargs="+", default=GROUPS)
    parser.add_argument("--laws", nargs="+", choices=LAWS, default=list(LAWS)[:4])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if wrong := set(arguments.what) - set(MEASURES):
        parser.error(f"expected {', '.join(MEASURES)}, found {', '.join(sorted(wrong))}")
    print("python", shlex.join(sys.argv))
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    print(f"{platform.machine()}, {versions}; {arguments.draws:,} samples a cell, seed {arguments.seed}", flush=True)
    start = time.process_time()
    for what in arguments.what or MEASURES:
        # Samples without a miss have no logit; they are measured apart.
        with np.errstate(divide="ignore", invalid="ignore"):
            MEASURES[what](arguments)
    print(f"\n{(time.process_time() - start) / 60:.1f} minutes of one core")


if __name__ == "__main__":
    main()
