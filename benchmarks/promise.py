"""Is the promise on recall kept? Many calibrations on drawn groups, held against the true recall of their population.

    python benchmarks/promise.py

The boxes of a group are alike: each group has an effect of its own on how surely the detector and the classifier see
its spores, so that some groups are missed far more than others. A draw is 40 groups that fix the order of the
thresholds and as many groups as stated that calibrate; both go through `spore_yolo.evaluation.promise` as they do in
`spore-yolo calibrate`. The truth is measured on 50,000 other groups. Beside it the naive way: of the same thresholds
those of highest specificity at which the same groups show at least the wanted recall.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from tabulate import tabulate

from spore_yolo.evaluation.promise import bound_for, choose_promised, fixed_order, mean_known
from spore_yolo.inference.manifest import OperatingPoint
from spore_yolo.labels.matching import Floats, Ints

SPORE = "spore"
STORED = OperatingPoint(detector=0.3, class_={SPORE: 0.5})
GROUPS = (20, 48, 100, 200)
RECALLS = (0.85, 0.95)
ORDERING = 40
POPULATION = 50_000
NEVER_SEEN = 0.002
"""Spores that the detector does not propose at any threshold."""


@dataclass(frozen=True)
class Drawn:
    """Groups with the scores of what was proposed on them.

    Attributes:
        group: ``(N,)``, the group of each spore; every group has one at least.
        spores: ``(N, 2)``, detector_score and class_score; -1 for those that were not proposed.
        debris: ``(M, 2)``, of crops that show none.
    """

    group: Ints
    spores: Floats
    debris: Floats

    @property
    def labelled(self) -> dict[str, Floats]:
        """Spores of each group."""
        return {SPORE: np.bincount(self.group).astype(np.float64)}

    def losses(self, point: OperatingPoint) -> dict[str, Floats]:
        """The miss rate of each group."""
        missed = ~_passing(self.spores, point)
        return {SPORE: np.bincount(self.group, missed) / np.bincount(self.group)}

    def specificity(self, point: OperatingPoint) -> dict[str, float | None]:
        """The share of the debris that is rejected."""
        return {SPORE: float(1 - _passing(self.debris, point).mean())}

    def finders(self) -> dict[str, Floats]:
        """The scores of the spores that were proposed."""
        return {SPORE: self.spores[self.spores[:, 0] >= 0]}


def _passing(scores: Floats, point: OperatingPoint) -> np.ndarray:
    return (scores[:, 0] >= point.detector) & (scores[:, 1] >= point.class_[SPORE])


def draw(rng: np.random.Generator, groups: int, boxes: float) -> Drawn:
    """Draws groups of one spore and, on average, ``boxes - 1`` more."""
    group = np.repeat(np.arange(groups), 1 + rng.poisson(boxes - 1, groups))
    effect = rng.normal(0, 0.7, (groups, 2))
    spores = expit(rng.normal((2.6, 3.0), (1.2, 1.3), (len(group), 2)) + effect[group])
    spores[rng.random(len(group)) < NEVER_SEEN] = -1
    of_debris = np.repeat(np.arange(groups), 25)
    debris = expit(rng.normal((-1.0, -1.0), (1.2, 1.8), (len(of_debris), 2)) + effect[of_debris] / 2)
    return Drawn(group, spores, debris[debris[:, 0] >= 0.05])


class Tally:
    """What became of the draws of one way of choosing."""

    def __init__(self, population: Drawn, recall: float) -> None:
        self.population, self.recall = population, recall
        self.achieved: list[float] = []
        self.specificity: list[float] = []

    def count(self, point: OperatingPoint | None) -> None:
        """Holds the point that a draw chose against the population; ``None`` where it chose none."""
        if point is not None:
            self.achieved.append(1 - float(self.population.losses(point)[SPORE].mean()))
            self.specificity.append(mean_known(self.population.specificity(point)))

    def cells(self) -> list[str]:
        """How many draws chose a point, the share that kept the recall, and means of recall and specificity."""
        if not self.achieved:
            return ["0", "-", "-", "-"]
        achieved = np.array(self.achieved)
        kept = f"{(achieved >= self.recall).mean():.1%}"
        return [f"{len(achieved):,}", kept, f"{achieved.mean():.4f}", f"{np.mean(self.specificity):.4f}"]


def naive(part: Drawn, points: list[OperatingPoint], recall: float) -> OperatingPoint | None:
    """Of the points at which these groups show the wanted recall, that of highest specificity."""
    good = [point for point in points if 1 - part.losses(point)[SPORE].mean() >= recall]
    return max(good, key=lambda point: mean_known(part.specificity(point)), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--confidence", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for boxes in (8, 1):
        rng = np.random.default_rng(arguments.seed)
        population = draw(rng, POPULATION, boxes)
        highest = 1 - population.losses(OperatingPoint(detector=0.01, class_={SPORE: 0.0}))[SPORE].mean()
        rows = []
        for recall in RECALLS:
            for groups in GROUPS:
                promised, naively = Tally(population, recall), Tally(population, recall)
                bounds = set()
                for _ in range(arguments.draws):
                    ordering, part = draw(rng, ORDERING, boxes), draw(rng, groups, boxes)
                    points = fixed_order(ordering, STORED, recall)
                    bound = bound_for(ordering.labelled)
                    bounds.add(bound)
                    promised.count(choose_promised(part, points, recall, arguments.confidence, bound).point)
                    naively.count(naive(part, points, recall))
                cannot = f"{arguments.draws - len(promised.achieved):,}"
                rows.append([recall, groups, *promised.cells(), cannot, *naively.cells()])
        each = "one labelled box a group" if boxes == 1 else f"{boxes} labelled boxes a group on average"
        print(f"\n{each}; bound: {', '.join(bounds)}; recall at the most permissive thresholds {highest:.4f}")
        print(f"{arguments.draws:,} draws, confidence {arguments.confidence:g}\n")
        way = ["kept", "recall achieved", "specificity"]
        headers = ["recall", "groups", "promised", *way, "cannot promise", "naive", *(f"naive: {name}" for name in way)]
        print(tabulate(rows, headers, tablefmt="github", disable_numparse=True), flush=True)


if __name__ == "__main__":
    main()
