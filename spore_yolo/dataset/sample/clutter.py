"""What lies on a slide and is no labelled spore: soil, minerals, discs, fibres, and things that look like spores."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from spore_yolo.dataset.sample.optics import Drawn, blur_of, draw_spore, expose
from spore_yolo.dataset.sample.shapes import Plane, Points, blurred, cloud, measure
from spore_yolo.dataset.sample.taxa import Taxon

BROWN = np.array([0.62, 0.82, 1.1], np.float32)


def soil_clump(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A lump of soil: fractal outline, uneven thickness, grains and gaps.

    Args:
        rng: Random numbers.
        size: Greatest extent in pixels.
        sharpness: Blur in focus, in pixels.
    """
    focus = float(rng.normal(0, 2.0))
    side = math.ceil(size * 1.3) + 12
    y, x = np.mgrid[:side, :side].astype(np.float32) / (side / 2) - 1
    turn, squeeze = rng.uniform(0, math.pi), rng.uniform(1.0, 1.9)
    along = x * math.cos(turn) + y * math.sin(turn)
    across = (y * math.cos(turn) - x * math.sin(turn)) * squeeze
    hill = 1 - 1.3 * np.hypot(along, across)
    relief = hill + 0.3 * cloud(rng, (side, side), max(8.0, size / 3), 6, 0.55)
    relief -= 5 * np.clip(np.hypot(x, y) - 0.82, 0, None)  # nothing reaches the patch's border
    # Small grains break the border up and make the thickness uneven; gaps let light through.
    fine = cloud(rng, (side, side), 5.0, 2, 0.8)
    relief += 0.05 * fine
    solid = np.clip(relief * size / 9, 0, 1)
    thick = np.sqrt(np.clip(relief, 0, None)) * (1 + 0.45 * cloud(rng, (side, side), max(6.0, size / 9), 4, 0.75))
    gaps = np.clip(1.3 - cloud(rng, (side, side), max(5.0, size / 12), 2) * 0.8, 0.15, 1)
    grains = np.clip(cloud(rng, (side, side), 4.0, 2, 0.9), -1.6, 1.6)
    density = rng.uniform(0.5, 1.1) * min(1.6, 0.75 + size / 500)
    lump = 0.42 + density * 1.9 * np.clip(thick, 0.02, None) * gaps
    absorbed = solid * np.maximum(0.04, 2.2 * np.tanh(lump / 2.2) + 0.2 * grains)
    hue = BROWN + np.array([-0.1, 0.0, 0.12], np.float32) * np.float32(rng.uniform(-0.9, 0.9))
    patches = cloud(rng, (side, side), max(8.0, size / 8), 2)[:, :, None]
    warmth = 1 + 0.08 * np.clip(patches, -1, 1.5) * np.array([-1.0, 0.1, 0.8], np.float32)
    # Edges of single grains glint.
    slope = np.asarray(cv2.Laplacian(blurred(relief, 1.2), cv2.CV_32F))
    glint = np.clip(-slope * 0.9, -0.16, 0.3) * np.clip(solid * 1.5, 0, 1)
    glint += np.where(fine > 2.1, 0.35, 0) * solid
    blur = blur_of(focus, sharpness)
    light = np.exp(-absorbed[:, :, None] * hue * warmth) * (1 + glint)[:, :, None]
    mask = blurred(solid, 2.0) > 0.35
    return Drawn(blurred(light, blur), mask, size, size / float(squeeze), focus)


def mineral_grain(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A glassy grain: sharp corners, clear facets, a dark rim and a bright line inside it."""
    focus = float(rng.normal(0, 2.5))
    blur = blur_of(focus, sharpness)
    number = int(rng.integers(5, 10))
    angles = (np.arange(number) + rng.uniform(-0.42, 0.42, number)) * 2 * math.pi / number
    corners = size / 2 * np.stack([np.cos(angles), rng.uniform(0.6, 1) * np.sin(angles)], axis=1)
    corners *= rng.uniform(0.75, 1.05, len(angles))[:, None]
    corners -= corners.mean(axis=0)
    outline = _roughened(rng, corners, 0.25 + size * 0.003)
    ridge = rng.uniform(-0.2, 0.2, 2) * size
    facets = [np.stack([ridge, corner]) for corner in corners[rng.random(len(corners)) < 0.6]]
    body = measure([outline], facets, 8 + 3 * blur, 1.0, size, size)
    depth = body.depth
    coverage = np.clip(depth + 0.5, 0, 1)
    rim_width = rng.uniform(1.2, 2.0) + size * 0.022
    height, width = depth.shape
    rim = coverage * np.exp(-np.square(np.maximum(0, depth - rim_width * 0.7) / rim_width))
    # Light falls in at a slant: the rim is heavier on one side.
    y, x = np.mgrid[:height, :width].astype(np.float32)
    slant = rng.uniform(0, 2 * math.pi)
    rim *= 1 + 0.9 * ((x - width / 2) * math.cos(slant) + (y - height / 2) * math.sin(slant)) / size
    bumps = cloud(rng, depth.shape, size * 0.35, 3, 0.6)
    tint = np.array([1.0, 1.0, 1.05], np.float32) + rng.uniform(-0.15, 0.3) * np.array([-0.4, 0, 1], np.float32)
    absorbed = coverage * (0.06 + 0.1 * np.clip(bumps, -0.5, 2)) + rim * rng.uniform(0.8, 1.7)
    bright = np.exp(-np.square((depth - 2.6 * rim_width) / (0.8 * rim_width))) * coverage
    halo = np.exp(-np.square((depth + 2.4) / 1.8))
    bent = 0.22 * bright + 0.12 * halo + 0.1 * coverage * bumps - 0.14 * blurred(body.septa, 1.0)
    return expose(absorbed[:, :, None] * tint, bent.astype(np.float32), coverage, body, focus, blur)


def blurred_disc(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """Something far above or below the focal plane: a round disc with a soft rim, bright or dark."""
    focus = float(rng.choice([-1, 1]) * rng.uniform(25, 60))
    body = measure([_ellipse(size, size * rng.uniform(0.93, 1))], [], 16, 1.0, size, size)
    depth = body.depth
    soft = rng.uniform(1.6, 3.5)
    coverage = np.clip(depth / soft + 0.5, 0, 1)
    ring = np.exp(-np.square((depth - rng.uniform(2, 4)) / rng.uniform(1.8, 3.5)))
    second = np.exp(-np.square((depth - size * 0.2) / (size * 0.05)))
    strength = rng.uniform(0.08, 0.3)
    uneven = 1 + 0.25 * cloud(rng, depth.shape, size * 0.5)
    sign = 1.0 if focus > 0 else -0.55
    absorbed = sign * strength * (0.4 * coverage + ring + 0.25 * second) * uneven
    tint = np.array([0.95, 1.0, 1.1], np.float32) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    outer = np.exp(-np.square((depth + 4) / 3.0))
    bent = (sign * 0.35 * strength * outer).astype(np.float32)
    return expose(absorbed[:, :, None].astype(np.float32) * tint, bent, coverage, body, focus, 1.2 + sharpness)


def fibre(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A textile or plant fibre: long, bent, of even width, with two dark edges."""
    width = float(rng.uniform(4, 11))
    axis = _axis(rng, size, float(rng.uniform(0.3, 1.8)))
    return _tube(rng, axis, np.full(len(axis), width / 2), sharpness, tint=(0.9, 1.0, 1.15), dense=0.12)


def hypha(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A piece of brown mycelium: thin, parallel-sided, cross-walled, often branched off blunt."""
    width = float(rng.uniform(7, 13))
    axis = _axis(rng, size, float(rng.uniform(0.2, 1.2)))
    half = width / 2 * (1 + 0.06 * np.sin(np.linspace(0, 9, len(axis))))
    return _tube(rng, axis, half, sharpness, tint=(0.62, 0.75, 1.1), dense=0.4, septa=int(size / 32))


def plant_hair(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A leaf hair: tapers like a beaked conidium, but thick-walled, clear, pale and without cross walls."""
    axis = _axis(rng, size, float(rng.uniform(0.1, 0.7)))
    along = np.linspace(0, 1, len(axis))
    half = size * rng.uniform(0.09, 0.15) * (1 - along) ** rng.uniform(0.7, 1.1) + 1.2
    half *= np.clip(along / 0.04, 0.55, 1)
    return _tube(rng, axis, half, sharpness, tint=(0.5, 0.52, 1.05), dense=0.2, wall=3.2)


def club_of_tissue(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A club-shaped scrap of plant tissue: olive-brown as Alternaria, but granular, ragged, without walls or beak."""
    axis = _axis(rng, size, float(rng.uniform(0.0, 0.6)))
    along = np.linspace(0, 1, len(axis))
    profile = np.sqrt(np.clip(4 * along * (1 - along), 0, 1)) * (1 - 0.35 * along)
    half = size * rng.uniform(0.15, 0.22) * profile * (1 + 0.13 * cloud(rng, (1, len(axis)), 9.0, 2)[0]) + 0.6
    return _tube(rng, axis, half, sharpness, tint=(0.6, 0.74, 1.15), dense=0.62, wall=1.2, grain=0.33)


def cell_scrap(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A scrap of leaf skin: a few angular cells with thin brown walls, empty inside."""
    focus = float(rng.normal(0, 2))
    blur = blur_of(focus, sharpness)
    corners = 8
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False) + rng.normal(0, 0.15, corners)
    radius = size / 2 * rng.uniform(0.6, 1.0, corners)
    outline = np.stack([radius * np.cos(angles), radius * np.sin(angles) * 0.7], axis=1)
    middle = rng.normal(0, 0.08, (3, 2)) * size
    lines = [np.stack([middle[index % 3], outline[index]]) for index in range(0, corners, 2)]
    lines.append(middle)
    body = measure([_roughened(rng, outline, size * 0.015)], lines, 5 + 3 * blur, 1.6, size, size * 0.7)
    coverage = np.clip(body.depth + 0.5, 0, 1)
    wall = coverage * np.exp(-np.square(np.maximum(0, body.depth - 1) / 1.5))
    uneven = 1 + 0.4 * cloud(rng, body.depth.shape, size * 0.2, 2)
    absorbed = (0.16 * coverage * uneven + 0.5 * (wall + body.septa * coverage))[:, :, None] * BROWN
    bent = 0.12 * np.exp(-np.square((body.depth + 2) / 1.6))
    return expose(absorbed.astype(np.float32), bent.astype(np.float32), coverage, body, focus, blur)


def bubble(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """An air bubble: a perfect circle, a thick black rim, a bright middle with a second ring."""
    focus = float(rng.normal(0, 2))
    body = measure([_ellipse(size, size)], [], 10, 1.0, size, size)
    depth = body.depth
    coverage = np.clip(depth + 0.5, 0, 1)
    rim = np.exp(-np.square(np.maximum(0, depth - size * 0.07) / (size * 0.06))) * coverage
    ring = np.exp(-np.square((depth - size * 0.27) / (size * 0.025)))
    bent = 0.25 * coverage * np.clip(depth / depth.max(), 0, 1) + 0.15 * np.exp(-np.square((depth + 2) / 1.5))
    absorbed = (1.6 * rim + 0.16 * ring)[:, :, None] * np.ones(3, np.float32)
    return expose(absorbed, bent.astype(np.float32), coverage, body, focus, blur_of(focus, sharpness))


def starch_grain(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A starch grain: clear and colourless, egg-shaped, with a dark cleft in its middle."""
    return draw_spore(rng, STARCH, scale=size / STARCH.length, focus=float(rng.normal(0, 2)), sharpness=sharpness)


def pollen_grain(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A pollen grain: larger than any spore of the sample, yellow, smooth, with a thick pale wall."""
    return draw_spore(rng, POLLEN, scale=size / POLLEN.length, focus=float(rng.normal(0, 3)), sharpness=sharpness)


def brown_grain(rng: np.random.Generator, size: float, sharpness: float) -> Drawn:
    """A crumb of soil of a spore's size: angular, opaque, without a wall."""
    crumb = Taxon("", "angular", size, float(rng.uniform(0.55, 0.95)), (0.62, 0.8, 1.05), 1.1, texture=0.35, glass=0.05)
    return draw_spore(rng, crumb, scale=1, focus=float(rng.normal(0, 2.5)), sharpness=sharpness)


STARCH = Taxon("", "oval", 30, 0.8, (0.9, 0.9, 1.0), 0.04, 0.1, 1.5, 0.25, texture=0.1, glass=0.5, nucleus=0.12)
POLLEN = Taxon("", "round", 96, 0.95, (0.25, 0.42, 1.3), 0.36, 0.1, 6.0, 0.3, texture=0.3, glass=0.2)

Drawer = Callable[[np.random.Generator, float, float], Drawn]

KINDS: dict[str, tuple[Drawer, float, float]] = {
    "soil": (soil_clump, 50, 750),
    "mineral": (mineral_grain, 22, 120),
    "disc": (blurred_disc, 30, 60),
    "fibre": (fibre, 180, 700),
    "hypha": (hypha, 70, 260),
    "plant hair": (plant_hair, 80, 190),
    "tissue": (club_of_tissue, 70, 150),
    "cell scrap": (cell_scrap, 50, 140),
    "bubble": (bubble, 24, 90),
    "starch": (starch_grain, 18, 44),
    "pollen": (pollen_grain, 76, 120),
    "brown grain": (brown_grain, 8, 38),
}
"""How each kind is drawn, and its least and greatest size in pixels at scale 1."""


def draw_debris(rng: np.random.Generator, kind: str, *, scale: float, sharpness: float) -> Drawn:
    """Draws one piece of a kind; small pieces are commoner than large ones."""
    drawer, least, greatest = KINDS[kind]
    size = float(np.exp(rng.uniform(math.log(least), math.log(greatest)))) * scale
    return drawer(rng, max(6.0, size), sharpness)


def _tube(
    rng: np.random.Generator,
    axis: Points,
    half: Points,
    sharpness: float,
    *,
    tint: tuple[float, float, float],
    dense: float,
    septa: int = 0,
    wall: float = 1.5,
    grain: float = 0.15,
) -> Drawn:
    focus = float(rng.normal(0, 2.2))
    blur = blur_of(focus, sharpness)
    tangent = np.gradient(axis, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    left, right = axis + half[:, None] * normal, axis - half[:, None] * normal
    ends = rng.integers(3, len(axis) - 3, septa)
    lines = [np.stack([left[end], right[end]]) for end in ends]
    length = float(np.linalg.norm(np.diff(axis, axis=0), axis=1).sum())
    body = measure([np.concatenate([left, right[::-1]])], lines, 5 + 3 * blur, 1.4, length, float(2 * half.max()))
    depth = body.depth
    coverage = np.clip(depth + 0.5, 0, 1)
    edge = coverage * np.exp(-np.square(np.maximum(0, depth - wall / 2) / (0.6 * wall)))
    uneven: Plane = np.maximum(0.1, 1 + grain * cloud(rng, depth.shape, 9.0, 3, 0.8))
    strength = dense * float(np.exp(rng.normal(0, 0.25)))
    absorbed = strength * coverage * uneven + 0.5 * edge + 0.45 * body.septa * coverage
    middle = np.clip(depth / max(1.0, float(depth.max())), 0, 1)
    bent = 0.14 * coverage * middle + 0.13 * np.exp(-np.square((depth + 2) / 1.6))
    colours = absorbed[:, :, None] * (np.asarray(tint, np.float32) * rng.normal(1, 0.05, 3).astype(np.float32))
    return expose(colours.astype(np.float32), bent.astype(np.float32), coverage, body, focus, blur)


def _axis(rng: np.random.Generator, length: float, bend: float) -> Points:
    """A wandering line of the given length, centred on the origin."""
    steps = np.linspace(0, 1, 60)
    heading = rng.uniform(0, 2 * math.pi) + bend * (
        rng.normal() * (steps - 0.5) + 0.5 * np.sin(2 * math.pi * (steps * rng.uniform(0.5, 1.6) + rng.random()))
    )
    axis = np.stack([np.cumsum(np.cos(heading)), np.cumsum(np.sin(heading))], axis=1) * length / len(steps)
    return np.asarray(axis - (axis.max(axis=0) + axis.min(axis=0)) / 2)


def _ellipse(length: float, width: float) -> Points:
    angles = np.linspace(0, 2 * math.pi, 120, endpoint=False)
    return np.stack([length / 2 * np.cos(angles), width / 2 * np.sin(angles)], axis=1)


def _roughened(rng: np.random.Generator, corners: Points, roughness: float) -> Points:
    """A polygon whose sides are broken into small uneven steps."""
    shares = np.linspace(0, 1, 12, endpoint=False)[:, None]
    sides = [start + shares * (end - start) for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    points = np.concatenate(sides)
    return np.asarray(points + rng.normal(0, roughness, points.shape))
