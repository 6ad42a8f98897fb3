"""What a spore looks like: the five taxa of the sample, and invented ones for pretraining."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FAMILIES = ("round", "oval", "lemon", "club", "spindle", "rod", "chain", "cluster", "spiny", "angular")
"""Shape families that :mod:`spore_yolo.dataset.sample.shapes` can outline."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Taxon:
    """One kind of spore. Lengths are pixels of a field drawn at scale 1.

    Attributes:
        name: Its class.
        family: One of :data:`FAMILIES`.
        length: Median length of the body.
        aspect: Width over length.
        colour: How strongly it takes away red, green and blue; ``(0.5, 0.7, 1.1)`` is brown.
        density: Absorbance of the thickest part; 0.1 is glassy, 1.5 nearly black.
        spread: Standard deviation of the logarithm of the length.
        wall: Thickness of the wall.
        wall_density: Absorbance that the wall adds.
        septa: Least and most cross walls.
        muriform: Chance that a compartment has a lengthwise wall too.
        curve: Bend of the long axis from end to end, in radians.
        spines: Height of the spines or warts over the radius.
        texture: Unevenness of the interior.
        glass: Strength of refraction: bright centre, bright fringe outside, fine dark outline.
        nucleus: Absorbance of a dark irregular nucleus, 0 for none.
        pallor: How much paler the middle is than the margin, as in a red blood cell.
    """

    name: str
    family: str
    length: float
    aspect: float
    colour: Colour
    density: float
    spread: float = 0.12
    wall: float = 2.0
    wall_density: float = 0.4
    septa: tuple[int, int] = (0, 0)
    muriform: float = 0.0
    curve: float = 0.0
    spines: float = 0.0
    texture: float = 0.2
    glass: float = 0.15
    nucleus: float = 0.0
    pallor: float = 0.0


TARGET = "Alternaria"
"""The rarest taxon of the sample, and the one it is about."""

SAMPLE_TAXA = (
    Taxon(
        name="Cladosporium",
        family="oval",
        length=26,
        aspect=0.52,
        colour=(0.58, 0.68, 1.05),
        density=0.45,
        spread=0.18,
        wall=1.8,
        wall_density=0.5,
        septa=(0, 1),
        texture=0.12,
        glass=0.22,
    ),
    Taxon(
        name="Puccinia",
        family="spiny",
        length=58,
        aspect=0.86,
        colour=(0.22, 0.72, 1.45),
        density=0.5,
        spread=0.09,
        wall=3.2,
        wall_density=0.55,
        spines=0.06,
        texture=0.35,
        glass=0.16,
    ),
    Taxon(
        name="Epicoccum",
        family="cluster",
        length=46,
        aspect=0.92,
        colour=(0.62, 0.8, 1.05),
        density=1.3,
        spread=0.14,
        wall=2.5,
        wall_density=0.5,
        spines=0.07,
        texture=0.28,
    ),
    Taxon(
        name="Fusarium",
        family="spindle",
        length=102,
        aspect=0.115,
        colour=(0.8, 0.7, 0.9),
        density=0.07,
        spread=0.14,
        wall=1.6,
        wall_density=0.3,
        septa=(3, 5),
        curve=0.75,
        texture=0.2,
        glass=0.34,
    ),
    Taxon(
        name=TARGET,
        family="club",
        length=125,
        aspect=0.36,
        colour=(0.56, 0.69, 1.15),
        density=0.55,
        spread=0.11,
        wall=2.6,
        wall_density=0.5,
        septa=(5, 8),
        muriform=0.55,
        curve=0.18,
        texture=0.18,
        glass=0.12,
    ),
)
"""The taxa of the sample, commonest first. Sizes suit :data:`SAMPLE_UM_PER_PX`: Alternaria is 50 x 18 um."""

SAMPLE_UM_PER_PX = 0.4

NEAREST = 1.0
"""An invented taxon lies at least this far (:func:`distance`) from each of the sample's five."""


def distance(one: Taxon, other: Taxon) -> float:
    """How far apart two taxa look.

    The Euclidean distance over four parts, each of which is 1 where a person would not confuse the two: shape family
    (1 if it differs), doublings of the length, transmitted colour (difference of 0.25 in the mean channel), and
    septation (difference of ``log2(1 + mean septa)``).
    """
    family = float(one.family != other.family)
    size = abs(math.log2(one.length / other.length))
    seen = [np.exp(-taxon.density * np.asarray(taxon.colour)) for taxon in (one, other)]
    colour = float(np.abs(seen[0] - seen[1]).mean()) / 0.25
    septa = abs(math.log2(1 + sum(one.septa) / 2) - math.log2(1 + sum(other.septa) / 2))
    return math.hypot(family, size, colour, septa)


def random_taxa(rng: np.random.Generator, number: int | None = None) -> list[Taxon]:
    """Invents taxa of any shape, size (8 to 150 pixels), colour and wall, none of them like those of the sample.

    A taxon too small and too clear to be seen is thrown away and another one invented, and so is one that lies nearer
    than :data:`NEAREST` to one of :data:`SAMPLE_TAXA`.

    Args:
        rng: Random numbers.
        number: How many; 1 to 5 at random if not given.
    """
    number = int(rng.integers(1, 6)) if number is None else number
    taxa: list[Taxon] = []
    while len(taxa) < number:
        taxon = _invent(rng, f"taxon_{len(taxa)}")
        seen = taxon.density + taxon.wall_density + 0.7 * taxon.glass
        if seen * math.sqrt(taxon.length / 30) > 0.4 and is_new(taxon):
            taxa.append(taxon)
    return taxa


def is_new(taxon: Taxon) -> bool:
    """Whether a taxon lies at least :data:`NEAREST` from every taxon of the sample."""
    return all(distance(taxon, known) >= NEAREST for known in SAMPLE_TAXA)


def chamber_taxa(rng: np.random.Generator) -> list[Taxon]:
    """One invented glassy conidium of a counting chamber: bright, darkly outlined, some 20 pixels."""
    family = str(rng.choice(["round", "lemon", "oval"], p=[0.25, 0.4, 0.35]))
    while True:
        taxon = Taxon(
            name="conidium",
            family=family,
            length=float(rng.uniform(13, 34)),
            aspect=float(rng.uniform(0.85, 1.0) if family == "round" else rng.uniform(0.35, 0.7)),
            colour=_colour(rng, 0.3),
            density=float(rng.uniform(0.02, 0.25)),
            wall=float(rng.uniform(1.2, 2.4)),
            wall_density=float(rng.uniform(0.4, 1.0)),
            septa=(0, int(rng.integers(0, 3))),
            texture=float(rng.uniform(0.0, 0.3)),
            glass=float(rng.uniform(0.35, 0.8)),
        )
        if is_new(taxon):
            return [taxon]


def smear_taxa(rng: np.random.Generator) -> list[Taxon]:
    """Three invented kinds of a stained smear: many round cells, a few with a nucleus, and small dots."""
    size = float(rng.uniform(60, 110))
    red = (rng.uniform(0.05, 0.35), rng.uniform(0.7, 1.1), rng.uniform(0.4, 0.9))
    purple = (rng.uniform(0.6, 0.9), rng.uniform(1.0, 1.4), rng.uniform(0.2, 0.6))
    pallor = float(rng.uniform(0.0, 0.7))
    wall_density = float(rng.uniform(0.0, 0.3))
    cell = Taxon(
        name="cell",
        family="round",
        length=size,
        aspect=0.93,
        colour=red,
        density=float(rng.uniform(0.3, 0.7)),
        spread=0.08,
        wall=3.0,
        wall_density=wall_density,
        texture=0.1,
        glass=0.04,
        pallor=pallor,
    )
    nucleated = Taxon(
        name="nucleated",
        family="round",
        length=size * float(rng.uniform(1.2, 1.7)),
        aspect=0.93,
        colour=purple,
        density=float(rng.uniform(0.2, 0.45)),
        spread=0.1,
        wall=3.0,
        wall_density=0.1,
        texture=0.4,
        glass=0.03,
        nucleus=float(rng.uniform(0.7, 1.4)),
    )
    dot = Taxon(
        name="dot",
        family="round",
        length=size * float(rng.uniform(0.17, 0.3)),
        aspect=0.85,
        colour=purple,
        density=0.6,
        spread=0.2,
        wall=1.5,
        wall_density=0.1,
        texture=0.5,
    )
    return [cell, nucleated, dot]


def _invent(rng: np.random.Generator, name: str) -> Taxon:
    family = str(rng.choice(FAMILIES))
    slender = family in ("spindle", "rod", "chain")
    length = float(np.exp(rng.uniform(math.log(22 if slender else 8), math.log(150))))
    aspect = {
        "round": (0.85, 1.0),
        "oval": (0.35, 0.8),
        "lemon": (0.35, 0.75),
        "club": (0.2, 0.6),
        "spindle": (0.07, 0.3),
        "rod": (0.08, 0.35),
        "chain": (0.15, 0.35),
        "cluster": (0.7, 1.0),
        "spiny": (0.7, 1.0),
        "angular": (0.6, 1.0),
    }[family]
    dark = rng.random()
    septate = slender or rng.random() < 0.35
    least = int(rng.integers(1, 5)) if septate and length > 30 else 0
    return Taxon(
        name=name,
        family=family,
        length=length,
        aspect=float(max(rng.uniform(*aspect), min(1.0, 5 / length))),
        colour=_colour(rng, 1.0),
        density=float(0.04 + 1.5 * dark**1.6),
        spread=float(rng.uniform(0.03, 0.2)),
        wall=float(rng.uniform(1.0, 1.5 + length / 25)),
        wall_density=float(rng.uniform(0.1, 0.9)),
        septa=(least, least + int(rng.integers(0, 4))) if least else (0, 0),
        muriform=float(rng.random() < 0.3) * float(rng.uniform(0.2, 0.9)),
        curve=float(rng.uniform(0, 1.4 if slender else 0.4)),
        spines=float(rng.uniform(0.03, 0.14)) if family == "spiny" else float(rng.choice([0, 0, 0.05])),
        texture=float(rng.uniform(0, 0.6)),
        glass=float(rng.uniform(0.02, 0.6)) * (1.2 - dark),
        nucleus=float(rng.choice([0.0, 0.0, 0.0, rng.uniform(0.3, 1.0)])) if length > 25 else 0.0,
        pallor=float(rng.choice([0.0, 0.0, rng.uniform(0.1, 0.6)])),
    )


def _colour(rng: np.random.Generator, strength: float) -> Colour:
    """A colour between grey (strength 0) and any hue, with brown and olive the likeliest, as in fungi."""
    browns = np.array([0.35, 0.7, 1.1]) + rng.normal(0, 0.15, 3)
    anything = rng.uniform(0.2, 1.3, 3)
    hue = browns if rng.random() < 0.6 else anything
    red, green, blue = (float(value) for value in np.clip(0.75 + strength * (hue - 0.75), 0.05, 1.5))
    return red, green, blue
