"""Outlines of bodies, and what is known of every pixel in and round them: its distance from the outline."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from spore_yolo.dataset.sample.taxa import Taxon

Plane = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

SHIFT = 4  # bits of a pixel's fraction that OpenCV's drawing takes


@dataclass
class Body:
    """A body on its own patch.

    Attributes:
        depth: Shape ``(height, width)``; distance from the outline in pixels, positive inside.
        septa: Shape ``(height, width)``; 1 on a cross wall, 0 elsewhere.
        length: Length along the axis in pixels.
        width: Greatest width across it.
    """

    depth: Plane
    septa: Plane
    length: float
    width: float


def resized(plane: npt.NDArray[np.float32], size: tuple[int, int], interpolation: int) -> npt.NDArray[np.float32]:
    """A plane at another size, given as ``(width, height)``."""
    return np.asarray(cv2.resize(plane, size, interpolation=interpolation), np.float32)


def blurred(plane: npt.NDArray[np.float32], blur: float) -> npt.NDArray[np.float32]:
    """A plane, or a picture, blurred by a Gaussian of the given standard deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), blur), np.float32)


def cloud(rng: np.random.Generator, shape: tuple[int, ...], cell: float, octaves: int = 1, fade: float = 0.5) -> Plane:
    """Smooth noise of mean 0 and standard deviation near 1.

    Args:
        rng: Random numbers.
        shape: Height and width of the result.
        cell: Pixels between the nodes of the coarsest features.
        octaves: How many times finer features, each of half the size, are added.
        fade: Strength of each octave over that of the coarser one.
    """
    height, width = shape
    octaves = min(octaves, 1 + max(0, int(math.log2(cell))))
    rows, columns = math.ceil(height / cell) + 2, math.ceil(width / cell) + 2
    total = rng.standard_normal((rows, columns), dtype=np.float32)
    for octave in range(1, octaves):
        rows, columns, cell = 2 * rows, 2 * columns, cell / 2
        finer = rng.standard_normal((rows, columns), dtype=np.float32)
        total = resized(total, (columns, rows), cv2.INTER_CUBIC) + np.float32(fade**octave) * finer
    size = (math.ceil(columns * cell), math.ceil(rows * cell))
    total = resized(total, size, cv2.INTER_CUBIC)
    top, left = int(rng.integers(0, size[1] - height + 1)), int(rng.integers(0, size[0] - width + 1))
    spread = 0.75 * math.sqrt(sum(fade ** (2 * octave) for octave in range(octaves)))
    return np.asarray(total[top : top + height, left : left + width] / np.float32(spread))


def measure(
    outlines: list[Points], lines: list[Points], margin: float, line_width: float, length: float, width: float
) -> Body:
    """Paints outlines (filled, joined) and lines, and measures every pixel's distance from the outline.

    Args:
        outlines: Polygons of shape ``(n, 2)`` in (x, y) pixels round the origin.
        lines: Cross walls, polylines of the same kind.
        margin: Free pixels round the body, for the blur and the fringes.
        line_width: Thickness of the lines in pixels.
        length: Passed on.
        width: Passed on.
    """
    corners = np.concatenate(outlines)
    reach = np.abs(corners).max(axis=0) + margin
    half = np.ceil(reach).astype(int)
    scale = 4 if half.max() < 24 else 2 if half.max() < 110 else 1
    shape = (int(2 * half[1] + 1) * scale, int(2 * half[0] + 1) * scale)
    offset = half + 0.5

    # A pixel's centre lies half a pixel from its corner, where OpenCV counts from.
    def painted(points: Points) -> npt.NDArray[np.int32]:
        return np.asarray(np.round(((points + offset) * scale - 0.5) * 2**SHIFT), np.int32)

    filled = np.zeros(shape, np.uint8)
    for outline in outlines:
        cv2.fillPoly(filled, [painted(outline)], (255,), lineType=cv2.LINE_8, shift=SHIFT)
    inside = cv2.distanceTransform(filled, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(255 - filled, cv2.DIST_L2, 5)
    depth: Plane = np.asarray((inside - outside) / scale, np.float32)
    walls = np.zeros(shape, np.uint8)
    for line in lines:
        thickness = max(1, round(line_width * scale))
        cv2.polylines(walls, [painted(line)], False, (255,), thickness, cv2.LINE_AA, SHIFT)
    septa: Plane = np.asarray(walls / np.float32(255), np.float32)
    if scale > 1:
        size = (shape[1] // scale, shape[0] // scale)
        depth, septa = resized(depth, size, cv2.INTER_AREA), resized(septa, size, cv2.INTER_AREA)
    return Body(depth, septa, length, width)


def spore_body(rng: np.random.Generator, taxon: Taxon, scale: float, margin: float) -> Body:
    """One individual of a taxon, turned at random.

    Args:
        rng: Random numbers.
        taxon: What to draw.
        scale: Magnification; 1 draws ``taxon.length`` pixels.
        margin: Free pixels round it.
    """
    length = taxon.length * scale * float(np.exp(rng.normal(0, taxon.spread)))
    width = max(3.0, length * taxon.aspect * float(np.exp(rng.normal(0, 0.07))))
    turn = float(rng.uniform(0, 2 * math.pi))
    outlines, lines = _outline(rng, taxon, length, width)
    middle = (np.concatenate(outlines).max(axis=0) + np.concatenate(outlines).min(axis=0)) / 2
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return measure(
        [(outline - middle) @ rotation for outline in outlines],
        [(line - middle) @ rotation for line in lines],
        margin,
        max(0.7, taxon.wall * scale * 0.55),
        length,
        width,
    )


def _outline(rng: np.random.Generator, taxon: Taxon, length: float, width: float) -> tuple[list[Points], list[Points]]:
    septa = int(rng.integers(taxon.septa[0], taxon.septa[1] + 1))
    if taxon.family in ("round", "spiny", "angular"):
        return _radial(rng, taxon, length, width, septa)
    if taxon.family == "cluster":
        return _cluster(rng, taxon, length, width)
    if taxon.family == "chain":
        return _chain(rng, taxon, length, width, max(2, septa + 1))
    return _along_axis(rng, taxon, length, width, septa)


def _radial(
    rng: np.random.Generator, taxon: Taxon, length: float, width: float, septa: int
) -> tuple[list[Points], list[Points]]:
    angles = np.linspace(0, 2 * math.pi, 180, endpoint=False)
    radius = np.ones_like(angles)
    for wave in range(2, 6):
        strength = {"angular": 0.07, "round": 0.018, "spiny": 0.02}[taxon.family]
        radius += rng.normal(0, strength / math.sqrt(wave - 1)) * np.cos(wave * angles + rng.uniform(0, 6.3))
    if taxon.family == "angular":
        corners = rng.integers(4, 8)
        radius *= 1 + 0.09 * np.abs(np.cos(corners * angles / 2 + rng.uniform(0, 6.3)))
    if taxon.spines:
        number = max(9, round(math.pi * length / max(5.0, length * 0.11)))
        teeth = np.maximum(0, np.cos(number * angles + 0.8 * np.cos(3 * angles + rng.uniform(0, 6.3)))) ** 3
        radius += taxon.spines * teeth * rng.uniform(0.6, 1.2, len(angles)).round(1)
    outline = np.stack([length / 2 * radius * np.cos(angles), width / 2 * radius * np.sin(angles)], axis=1)
    lines = [
        np.array([[length * (place - 0.5), -width / 2], [length * (place - 0.5), width / 2]])
        * np.array([1.0, 2 * math.sqrt(max(0.02, place * (1 - place)))])
        for place in (np.arange(septa) + 1) / (septa + 1)
    ]
    return [outline], lines


def _cluster(rng: np.random.Generator, taxon: Taxon, length: float, width: float) -> tuple[list[Points], list[Points]]:
    """Cells pressed into a ball: a warty outline, and walls between the cells."""
    outline, _ = _radial(rng, replace(taxon, family="spiny"), length * 0.92, width * 0.92, 0)
    outlines = list(outline)
    angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    for around in np.linspace(0, 2 * math.pi, 7, endpoint=False) + rng.normal(0, 0.25, 7):
        size = rng.uniform(0.2, 0.28) * length
        centre = np.array([math.cos(around) * length, math.sin(around) * width]) * rng.uniform(0.26, 0.33)
        outlines.append(centre + size * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    centre = rng.normal(0, 0.06, 2) * length
    lines = []
    for around in np.linspace(0, 2 * math.pi, 5, endpoint=False) + rng.normal(0, 0.3, 5):
        end = 0.46 * np.array([math.cos(around) * length, math.sin(around) * width])
        bend = (centre + end) / 2 + rng.normal(0, 0.05, 2) * length
        lines.append(np.stack([centre, bend, end]))
    return outlines, lines


def _chain(
    rng: np.random.Generator, taxon: Taxon, length: float, width: float, cells: int
) -> tuple[list[Points], list[Points]]:
    places = (np.arange(cells) + 0.5) / cells - 0.5
    bend = taxon.curve * rng.normal(0.6, 0.4)
    angles = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    outlines = []
    for place in places:
        long, high = length / cells * rng.uniform(0.5, 0.58), width / 2 * rng.uniform(0.85, 1.05)
        cell = np.stack([long * np.cos(angles), high * np.sin(angles)], axis=1)
        tilt = bend * place
        rotation = np.array([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]])
        outlines.append(cell @ rotation + length * np.array([place, bend * place**2 / 2]))
    lines = [np.array([[x * length, -width * 0.3], [x * length, width * 0.3]]) for x in (places[1:] + places[:-1]) / 2]
    return outlines, [line + np.array([0.0, bend * (line[0, 0] / length) ** 2 / 2 * length]) for line in lines]


def _profile(rng: np.random.Generator, family: str, along: Points) -> Points:
    """Half width over the greatest half width, from end to end."""
    if family == "oval":
        return np.asarray((4 * along * (1 - along)) ** rng.uniform(0.45, 0.55))
    if family == "lemon":
        return np.asarray(np.sin(math.pi * along) ** rng.uniform(1.0, 1.5))
    if family == "spindle":
        return np.asarray(np.sin(math.pi * along ** rng.uniform(0.8, 1.25)) ** rng.uniform(0.55, 0.75))
    if family == "rod":
        blunt = rng.uniform(0.03, 0.1)
        return np.asarray(np.sqrt(np.clip(1 - np.clip(1 - np.minimum(along, 1 - along) / blunt, 0, 1) ** 2, 0, 1)))
    widest, neck = rng.uniform(0.24, 0.34), rng.uniform(0.58, 0.76)
    beak = rng.uniform(0.13, 0.22)
    base = np.sqrt(np.clip(1 - ((along - widest) / widest) ** 2, 0, 1)) ** 0.85
    fall = np.clip((along - widest) / (neck - widest), 0, 1)
    body = beak + (1 - beak) * (0.5 + 0.5 * np.cos(math.pi * fall)) ** 0.85
    tip = np.sqrt(np.clip((1 - along) / 0.03, 0, 1)) * (1 - 0.35 * np.clip((along - neck) / (1 - neck), 0, 1))
    return np.asarray(np.where(along < widest, base, body * np.where(along > neck, tip, 1)))


def _along_axis(
    rng: np.random.Generator, taxon: Taxon, length: float, width: float, septa: int
) -> tuple[list[Points], list[Points]]:
    """A body of revolution round a bent axis, with cross walls."""
    along = np.linspace(0, 1, 90)
    half = width / 2 * _profile(rng, taxon.family, along)
    reach = 0.94 if taxon.family == "club" else 1.0
    places = reach * (np.arange(septa) + 1 + rng.normal(0, 0.1, septa)) / (septa + 1)
    for place in places:
        half *= 1 - 0.07 * np.exp(-(((along - place) / 0.018) ** 2))
    half *= 1 + 0.03 * np.sin(2 * math.pi * (along * rng.uniform(1, 3) + rng.random()))
    heading = taxon.curve * rng.normal(1, 0.3) * (along - 0.5) + 0.12 * taxon.curve * np.sin(7 * along)
    step = length / (len(along) - 1)
    axis = np.stack([np.cumsum(np.cos(heading)) * step, np.cumsum(np.sin(heading)) * step], axis=1)
    normal = np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    left, right = axis + half[:, None] * normal, axis - half[:, None] * normal
    lines = []
    edges = [round(place * (len(along) - 1)) for place in places]
    for edge in edges:
        bulge = axis[edge] + rng.normal(0, 0.008) * length * np.array([1.0, 0.0])
        lines.append(np.stack([left[edge], bulge, right[edge]]))
    for first, second in zip([0, *edges], [*edges, len(along) - 1], strict=True):
        roomy = half[(first + second) // 2] > 0.55 * half.max()
        if roomy and rng.random() < taxon.muriform:
            shares = rng.uniform(-0.45, 0.45, 2)[:, None]
            ends = axis[[first, second]] + shares * half[[first, second], None] * normal[[first, second]]
            lines.append(ends)
    return [np.concatenate([left, right[::-1]])], lines
