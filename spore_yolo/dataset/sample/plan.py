"""What each field of the sample holds, decided before any of them is drawn."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from spore_yolo.dataset.sample.field import Field, draw_field
from spore_yolo.dataset.sample.styles import Style, group_style
from spore_yolo.dataset.sample.taxa import SAMPLE_TAXA, TARGET

SAMPLE_DOMAIN, PRETRAINING_DOMAIN = (int.from_bytes(word, "big") for word in (b"sample", b"pretrain"))
"""First word of every seed: a tile to pretrain on never shares its random numbers with a field of the sample."""

WITH_TARGET, WITHOUT_SPORE = 0.6, 0.15
"""Shares of the fields."""

IMBALANCE = 50
"""Spores of the commonest taxon to one of the rarest."""

BETWEEN = {"Puccinia": 0.15, "Epicoccum": 0.09, "Fusarium": 0.06}
"""Spores of the other taxa to one of the commonest."""

TOUCHING = {TARGET: 0.6, "Puccinia": 0.1, "Epicoccum": 0.15}
"""The chance that a spore lies against a clump of soil."""

GRIDDED = 0.12
"""Share of the fields on which grid lines show."""


@dataclass(frozen=True)
class FieldPlan:
    """What one field will hold.

    Attributes:
        number: Its place in the sample, from 0.
        group: Trap and day.
        image: Its file below ``images``, as ``trap3_2026-05-14/field_02.jpg``.
        style: Its light, stain and camera, shared by the group.
        counts: Spores of each taxon.
    """

    number: int
    group: str
    image: str
    style: Style
    counts: Mapping[str, int]


def pretraining_rng(seed: int, number: int) -> np.random.Generator:
    """The random numbers of the pretraining tile ``number``; never those of a field of the sample."""
    return np.random.default_rng([PRETRAINING_DOMAIN, seed, number])


def plan_sample(fields: int, seed: int) -> list[FieldPlan]:
    """Deals spores out to fields, and fields to groups of 4 to 8.

    60% of the fields hold the target (one to three of it), 15% no spore at all, both exact up to rounding. The
    commonest taxon has :data:`IMBALANCE` spores to one of the target.

    Args:
        fields: How many fields, at least 1.
        seed: Another seed, another sample.
    """
    rng = np.random.default_rng([SAMPLE_DOMAIN, seed])
    order = rng.permutation(fields)
    targets = np.zeros(fields, int)
    with_target = order[: round(WITH_TARGET * fields)]
    targets[with_target] = rng.choice([1, 2, 3], len(with_target), p=[0.8, 0.15, 0.05])
    # A few fields are dense, most are sparse.
    richness = np.exp(rng.normal(0, 0.7, fields))
    richness[order[fields - round(WITHOUT_SPORE * fields) :]] = 0
    shares = richness / richness.sum()
    commonest = IMBALANCE * int(targets.sum())
    counts = {SAMPLE_TAXA[0].name: np.maximum(rng.multinomial(commonest, shares), richness > 0)}
    counts |= {name: rng.multinomial(round(share * commonest), shares) for name, share in BETWEEN.items()}
    counts[TARGET] = targets
    plans: list[FieldPlan] = []
    for group, size in zip(_group_names(rng, fields), _group_sizes(rng, fields), strict=False):
        style = group_style(rng)
        for place in range(size):
            number = len(plans)
            grid = float(rng.uniform(280, 520)) if rng.random() < GRIDDED else 0.0
            held = {name: int(numbers[number]) for name, numbers in counts.items()}
            image = f"{group}/field_{place + 1:02}.jpg"
            plans.append(FieldPlan(number, group, image, replace(style, grid=grid), held))
    return plans


def draw_sample_field(plan: FieldPlan, seed: int) -> Field:
    """Draws a planned field; it depends on the plan, the seed and its number alone, not on what was drawn before."""
    rng = np.random.default_rng([SAMPLE_DOMAIN, seed, plan.number])
    return draw_field(rng, SAMPLE_TAXA, style=plan.style, counts=plan.counts, touching=TOUCHING)


def _group_sizes(rng: np.random.Generator, fields: int) -> list[int]:
    number = max(1, min(fields // 4, math.ceil(fields / 5)))
    sizes = np.full(number, min(4, fields))
    while sizes.sum() < fields:
        sizes[rng.choice(np.flatnonzero(sizes < 8))] += 1
    return [int(size) for size in sizes]


def _group_names(rng: np.random.Generator, fields: int) -> list[str]:
    """Trap and day of more groups than there are, in the order of days; no two alike."""
    first = datetime.date(2026, 5, 1)
    names = []
    day = 0
    for _ in range(fields):
        day += int(rng.integers(1, 4))
        names.append(f"trap{int(rng.integers(1, 6))}_{first + datetime.timedelta(days=day)}")
    return names
