"""How a field was lit, stained and photographed, and how much lies on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from spore_yolo.dataset.sample.optics import Colours
from spore_yolo.dataset.sample.shapes import cloud, resized
from spore_yolo.dataset.sample.taxa import Taxon, chamber_taxa, random_taxa, smear_taxa

AIR_CLUTTER: Mapping[str, float] = {
    "soil": 1.5,
    "mineral": 3.0,
    "disc": 3.0,
    "fibre": 0.35,
    "hypha": 0.6,
    "plant hair": 0.35,
    "tissue": 0.4,
    "cell scrap": 0.4,
    "bubble": 0.5,
    "starch": 0.9,
    "pollen": 0.25,
    "brown grain": 6.0,
}
"""Mean pieces a megapixel on the sample's fields."""


@dataclass(frozen=True)
class Style:
    """Light, stain, camera and clutter of a field.

    Attributes:
        ground: Colour of the empty ground, red, green, blue, 0 to 255.
        bands: Depth of the horizontal illumination bands, as a share of the light.
        vignette: Loss of light in the corners.
        unevenness: Depth of the smooth irregularities of the ground.
        noise: Standard deviation of the sensor's noise, in grey levels.
        sharpness: Blur in focus, in pixels.
        focus_spread: Standard deviation of the objects' distance from the focal plane, in um.
        scale: Magnification; 1 draws objects at the sizes of their taxa.
        contrast: Multiplies what objects add or take away; below 1 everything is paler.
        tint: Multiplies red, green and blue at the end: the white balance.
        clutter: Mean pieces of debris a megapixel, by kind.
        grid: Spacing of grid lines in pixels, 0 for none.
        density: Spores a megapixel where no counts are given.
        overlap: The share of a spore that may lie on another one.
    """

    ground: tuple[float, float, float] = (205, 205, 199)
    bands: float = 0.02
    vignette: float = 0.1
    unevenness: float = 0.012
    noise: float = 3.0
    sharpness: float = 0.9
    focus_spread: float = 2.0
    scale: float = 1.0
    contrast: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    clutter: Mapping[str, float] = field(default_factory=lambda: dict(AIR_CLUTTER))
    grid: float = 0.0
    density: float = 15.0
    overlap: float = 0.1


def group_style(rng: np.random.Generator) -> Style:
    """The light, stain and camera of one trap on one day of the sample."""
    grey = rng.uniform(188, 218)
    warmth = rng.normal(0, 3.5)
    richness = float(np.exp(rng.normal(0, 0.25)))
    return Style(
        ground=(grey + warmth, grey + rng.normal(0, 2), grey - warmth - 3),
        bands=float(rng.uniform(0.004, 0.014)),
        vignette=float(rng.uniform(0.03, 0.16)),
        unevenness=float(rng.uniform(0.006, 0.018)),
        noise=float(rng.uniform(2.0, 4.5)),
        sharpness=float(rng.uniform(0.75, 1.15)),
        focus_spread=float(rng.uniform(1.2, 2.6)),
        contrast=float(rng.uniform(0.88, 1.12)),
        tint=(float(rng.normal(1, 0.012)), 1.0, float(rng.normal(1, 0.015))),
        clutter={kind: mean * richness for kind, mean in AIR_CLUTTER.items()},
    )


def random_scene(rng: np.random.Generator) -> tuple[list[Taxon], Style]:
    """Invented taxa and a style that suits them, for a tile to train on.

    Half the scenes are air-sampler fields of :func:`random_taxa`, the others counting chambers, stained smears and
    clean dense mounts.
    """
    look = str(rng.choice(["air", "chamber", "smear", "mount"], p=[0.45, 0.2, 0.15, 0.2]))
    if look == "chamber":
        return chamber_taxa(rng), _random_style(rng, density=_between(rng, 60, 900), clutter=0.25, pale=True)
    if look == "smear":
        taxa = smear_taxa(rng)
        room = 1e6 / taxa[0].length ** 2
        return taxa, _random_style(rng, density=room * _between(rng, 0.3, 1.1), clutter=0.03, overlap=0.3, pale=True)
    taxa = random_taxa(rng)
    room = 1e6 / float(np.mean([taxon.length**2 * taxon.aspect for taxon in taxa]))
    if look == "mount":
        return taxa, _random_style(rng, density=min(700.0, room * _between(rng, 0.02, 0.3)), clutter=0.3, overlap=0.2)
    return taxa, _random_style(rng, density=min(150.0, room * _between(rng, 0.004, 0.08)), clutter=1.0)


def _random_style(
    rng: np.random.Generator, *, density: float, clutter: float, overlap: float = 0.12, pale: bool = False
) -> Style:
    grey = rng.uniform(185, 245) if pale else rng.uniform(110, 245)
    cast = rng.normal(0, 0.06, 3)
    if rng.random() < 0.2:
        cast = rng.normal(0, 0.14, 3)
    richness = clutter * float(np.exp(rng.normal(0, 0.7)))
    return Style(
        ground=(grey * (1 + cast[0]), grey * (1 + cast[1]), grey * (1 + cast[2])),
        bands=float(rng.uniform(0, 0.04)),
        vignette=float(rng.uniform(0, 0.3)),
        unevenness=float(rng.uniform(0, 0.04)),
        noise=float(rng.uniform(0.5, 8)),
        sharpness=float(rng.uniform(0.6, 1.8)),
        focus_spread=float(rng.uniform(0.5, 4)),
        scale=float(np.exp(rng.normal(0, 0.2))),
        contrast=float(rng.uniform(0.6, 1.35)),
        tint=(float(rng.normal(1, 0.05)), 1.0, float(rng.normal(1, 0.05))),
        clutter={kind: mean * richness * rng.exponential() for kind, mean in AIR_CLUTTER.items()},
        grid=float(rng.uniform(90, 500)) if rng.random() < 0.25 else 0.0,
        density=density,
        overlap=overlap,
    )


def _between(rng: np.random.Generator, least: float, greatest: float) -> float:
    """A number between two others, each factor as likely as any other."""
    return float(np.exp(rng.uniform(math.log(least), math.log(greatest))))


def empty_ground(rng: np.random.Generator, style: Style, width: int, height: int) -> Colours:
    """The light of a field on which nothing lies, shape ``(height, width, 3)``."""
    rows, columns = math.ceil(height / 4), math.ceil(width / 4)
    y, x = np.linspace(-1, 1, rows, dtype=np.float32)[:, None], np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    centre = rng.normal(0, 0.2, 2)
    light = 1 - style.vignette * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 2
    light += rng.normal(0, 0.02) * x + rng.normal(0, 0.02) * y
    # Bands run across the whole field; their edges sway a little.
    profile = cloud(rng, (rows + 40, 1), 14.0, 3, 0.8)[:, 0]
    sway = np.clip(20 + 3 * cloud(rng, (1, columns), columns / 2)[0], 0, 39)
    low, share = sway.astype(int), sway - np.floor(sway)
    index = np.arange(rows)[:, None] + low[None, :]
    light += style.bands * (profile[index] * (1 - share) + profile[np.minimum(index + 1, rows + 39)] * share)
    light += style.unevenness * cloud(rng, (rows, columns), 60.0, 4, 0.6)
    light += 0.35 * style.unevenness * cloud(rng, (rows, columns), 2.0, 2)
    hue = 1 + 0.15 * style.unevenness * cloud(rng, (rows, columns), 90.0)[:, :, None] * np.array([1, 0, -1], np.float32)
    ground = light[:, :, None] * hue * np.asarray(style.ground, np.float32)
    ground = resized(np.asarray(ground, np.float32), (width, height), cv2.INTER_LINEAR)
    if style.grid:
        _rule(rng, ground, style.grid)
    return ground


def _rule(rng: np.random.Generator, ground: Colours, spacing: float) -> None:
    """Engraves the lines of a counting grid: dark or bright, single or double."""
    strength = rng.uniform(0.08, 0.35) * (1 if rng.random() < 0.7 else -0.6)
    half, pair = rng.uniform(0.8, 2.2), rng.choice([0.0, 0.0, rng.uniform(6, 16)])
    for axis in (0, 1):
        places = np.arange(rng.uniform(0, spacing), ground.shape[axis], spacing)
        along = np.arange(ground.shape[axis], dtype=np.float32)
        dark = np.zeros_like(along)
        for place in [*places, *(places + pair if pair else [])]:
            dark += np.exp(-np.square((along - place) / half)) - 0.3 * np.exp(-np.square((along - place - 3) / 1.5))
        lines = (1 - strength * np.clip(dark, -0.3, 1))[:, None, None]
        ground *= lines.astype(np.float32) if axis == 0 else lines.transpose(1, 0, 2).astype(np.float32)
