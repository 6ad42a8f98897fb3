"""Measures a spore: length, width and area, from its outline where that can be seen, else from its box.

The box of a spore that lies diagonally is much wider than the spore. So the body is separated from the ground by its
colour: the ground's is the median outside of the box, and Otsu's threshold (N. Otsu, "A threshold selection method from
gray-level histograms", 1979) on the distance from it says where the body begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, pi
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 64
"""The box's longer side, in pixels, while its spore is measured: every spore costs the same, and small ones are not
measured in whole pixels."""

GROUND = 0.3
"""How far the ground is looked at around the box, as a share of the box's longer side."""

WINDOWS = ((0.2, 0.02), (0.04, 0.1))
"""Where the body is looked for: how far beyond the box, as a share likewise, and the largest share of its outline that
may lie on that window's border. The wide one leaves room for boxes that are a little off; the narrow one leaves out
neighbours that all but touch. Spores that do touch have no outline of their own."""

MIN_FILL = 0.1
"""The least share of its box that a body fills; a thin one that lies diagonally fills little."""

MIN_INSIDE = 0.7
"""The least share of the body's upright frame that lies in the box."""


@dataclass(frozen=True)
class Measurement:
    """The size of a spore in pixels of its slide.

    Attributes:
        length_px: The longer side of the smallest rectangle, at any angle, that holds the spore.
        width_px: Across the spore through the middle of the largest circle in it. For straight spores it is the
            shorter side of that rectangle, for curved ones the width of the body.
        area_px: Its area in square pixels.
        by: ``outline``, or ``box`` where no plausible outline was seen: then length and width are the sides of the
            upright box, which is too wide where the spore lies diagonally, and the area is that of the ellipse in it.
    """

    length_px: float
    width_px: float
    area_px: float
    by: Literal["outline", "box"]


@dataclass(frozen=True)
class _Outline:
    """What was seen of a body in a window.

    Attributes:
        points: ``(N, 2)`` in ``(x, y)``, the outline in pixels of the window, to fractions of a pixel.
        body: The body's pixels, above 0, of the shape of the window; holes are filled.
    """

    points: npt.NDArray[np.float32]
    body: npt.NDArray[np.uint8]


def measure(pixels: npt.NDArray[np.uint8], box: Sequence[float] | npt.NDArray[np.float64]) -> Measurement:
    """Measures the spore in a box.

    Args:
        pixels: The slide, RGB of shape ``(height, width, 3)``.
        box: ``(x_min, y_min, x_max, y_max)`` in pixels of the slide, 0-based, max exclusive.
    """
    x_min, y_min, x_max, y_max = (float(value) for value in box)
    sides = (x_max - x_min, y_max - y_min)
    by_box = Measurement(max(sides), min(sides), pi / 4 * sides[0] * sides[1], "box")
    if min(sides) <= 0:
        return by_box
    margin = GROUND * max(sides)
    left, top = max(0, int(x_min - margin)), max(0, int(y_min - margin))
    crop = pixels[top : max(0, ceil(y_max + margin)), left : max(0, ceil(x_max + margin))]
    if 0 in crop.shape:
        return by_box
    scale = SIDE / max(sides)
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    crop = np.asarray(cv2.resize(crop, size, interpolation=how), dtype=np.uint8)
    x_min, x_max = (x_min - left) * scale, (x_max - left) * scale
    y_min, y_max = (y_min - top) * scale, (y_max - top) * scale
    distance = _distance_from_ground(crop, (x_min, y_min, x_max, y_max))
    if distance is None:
        return by_box
    for slack, most_cut in WINDOWS:
        x, y = max(0, int(x_min - slack * SIDE)), max(0, int(y_min - slack * SIDE))
        window = distance[y : ceil(y_max + slack * SIDE), x : ceil(x_max + slack * SIDE)]
        outline = _outline(window, (x_min - x, y_min - y, x_max - x, y_max - y), most_cut)
        if outline is not None:
            length = max(cv2.minAreaRect(outline.points)[1])
            area = cv2.countNonZero(outline.body)
            return Measurement(length / scale, _width(outline) / scale, area / scale**2, "outline")
    return by_box


def _distance_from_ground(
    crop: npt.NDArray[np.uint8], box: tuple[float, float, float, float]
) -> npt.NDArray[np.float32] | None:
    """How far each pixel's colour is from the ground's; ``None`` where the box leaves no ground to see."""
    x_min, y_min, x_max, y_max = (max(0, round(value)) for value in box)
    outside = np.ones(crop.shape[:2], dtype=bool)
    outside[y_min:y_max, x_min:x_max] = False
    ground = crop[::2, ::2][outside[::2, ::2]]
    if len(ground) == 0:
        return None
    difference = cv2.GaussianBlur(crop, (5, 5), 0).astype(np.float32) - np.median(ground, axis=0).astype(np.float32)
    return np.asarray(np.sqrt(cv2.transform(difference * difference, np.ones((1, 3), dtype=np.float32))))


def _outline(
    distance: npt.NDArray[np.float32], box: tuple[float, float, float, float], most_cut: float
) -> _Outline | None:
    """The outline of the largest body in a window, if it is plausible for what lies in the box.

    Args:
        distance: Of each pixel's colour from the ground's.
        box: ``(x_min, y_min, x_max, y_max)`` in pixels of the window.
        most_cut: The largest share of the outline that may lie on the window's border.
    """
    levels = np.asarray(distance * (255 / max(float(distance.max()), 1.0)), dtype=np.uint8)
    threshold, body = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    body = cv2.morphologyEx(body, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    # Outer outlines only: a spore with a dark wall and a clear inside is whole.
    contours, _ = cv2.findContours(body, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    contour = max(contours, key=cv2.contourArea)
    x_min, y_min, x_max, y_max = box
    x, y, width, height = cv2.boundingRect(contour)
    inside = max(0.0, min(x + width, x_max) - max(x, x_min)) * max(0.0, min(y + height, y_max) - max(y, y_min))
    if inside < MIN_INSIDE * width * height:
        return None
    if not (x < (x_min + x_max) / 2 < x + width and y < (y_min + y_max) / 2 < y + height):
        return None
    points = contour.reshape(-1, 2).astype(np.int32)
    if ((points == 0) | (points == (levels.shape[1] - 1, levels.shape[0] - 1))).any(axis=1).mean() > most_cut:
        return None
    body = cv2.drawContours(np.zeros_like(body), [contour], -1, 255, thickness=cv2.FILLED)
    if cv2.countNonZero(body) < MIN_FILL * (x_max - x_min) * (y_max - y_min):
        return None
    return _Outline(_to_the_edge(points, levels, threshold), np.asarray(body, dtype=np.uint8))


def _to_the_edge(
    points: npt.NDArray[np.int32], levels: npt.NDArray[np.uint8], threshold: float
) -> npt.NDArray[np.float32]:
    """Moves the outermost pixels of a body to where the levels fall to the threshold, by no more than a pixel.

    An outline through the middle of pixels makes a body too narrow, by an amount that depends on its angle.
    """
    columns, rows = points.T
    slopes = [cv2.Sobel(levels, cv2.CV_32F, dx, dy, scale=1 / 8)[rows, columns] for dx, dy in ((1, 0), (0, 1))]
    slope = np.stack(slopes, axis=1)
    steepness = np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    excess = levels[rows, columns].astype(np.float32)[:, None] - threshold
    return np.asarray(points - np.clip(excess / steepness, 0, 1) * slope / steepness, dtype=np.float32)


def _width(outline: _Outline) -> float:
    """Across the body through the middle of the largest circle in it, in pixels of the window."""
    depth = cv2.distanceTransform(outline.body, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rays = outline.points - np.array(cv2.minMaxLoc(depth)[3], dtype=np.float32)
    lengths = np.linalg.norm(rays, axis=1)
    # That pixel may be off the middle by half a pixel: so the way to the nearest edge and the way to the other side.
    opposite = lengths[rays @ rays[lengths.argmin()] < 0]
    return float(lengths.min() + opposite.min(initial=lengths.max()))
