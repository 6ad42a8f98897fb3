"""Scale bars, text and dates that a microscope's program burnt into the pixels.

Programs draw them in one pure colour with sharp edges: black, white, or a full red, green, blue, yellow, cyan or
magenta. Light never paints so: what nature shows in such a colour is a ragged spot, a gradient or a burnt-out ground,
and not a straight bar of one thickness or a row of glyphs that stand on one line.

It is made to raise no false alarm rather than to miss nothing: thin coloured letters lose their colour in a JPEG, and
grey bars, arrows and slanting text are not looked for, and a black bar that touches a black line or spore is taken for
a part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

Corners = tuple[float, float, float, float]
"""``x_min, y_min, x_max, y_max`` in pixels."""

Pixels = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

GREY_SLACK = 36
"""Levels by which JPEG and scaling move black and white."""

COLOUR_LEAD = 75
"""Levels by which the channels of a full colour lead the others, also where a thin line was scaled and compressed."""

MOST_COVERED = 0.4
"""A colour that covers more of the image is the ground, not a mark on it."""

GREY_CONTRAST, COLOUR_CONTRAST = 60, 40
"""Levels, of 255, by which a marking differs from what it was drawn on in one channel at least."""

LEAST_BAR = 24
BAR_ASPECT = 5
"""A scale bar is at least so many pixels long, and so many times longer than thick."""

MOST_BARS = 2
"""More bars of one colour are the lines of a counting chamber."""

GLYPH_HEIGHTS = (5, 200)
LEAST_GLYPHS = 3
"""Fewer spots in a row may be a chance."""

MOST_GLYPHS = 2000
"""More spots of one colour are a texture."""

EDGE = 3
"""Pixels beside a marking at which its blurred edge is over."""


def find_markings(pixels: Pixels) -> list[Corners]:
    """Finds burnt-in scale bars and lines of text.

    Args:
        pixels: Array of shape ``(height, width, 3)``, RGB, 8 bit.

    Returns:
        ``x_min, y_min, x_max, y_max`` in pixels, max exclusive, of each bar and each line of text.
    """
    found: list[Corners] = []
    channels = [np.ascontiguousarray(pixels[:, :, place]) for place in range(3)]
    for high in product((False, True), repeat=3):
        mask = _of_colour(channels, high)
        if 0 < cv2.countNonZero(mask) <= MOST_COVERED * mask.size:
            found += _in_colour(pixels, mask, GREY_CONTRAST if len(set(high)) == 1 else COLOUR_CONTRAST)
    return found


def _of_colour(channels: Sequence[Pixels], high: tuple[bool, ...]) -> Pixels:
    """Where the channels that ``high`` names are high and the others low: 1 there, 0 elsewhere."""
    least: Pixels = np.minimum.reduce([c for c, is_high in zip(channels, high, strict=True) if is_high] or channels)
    most: Pixels = np.maximum.reduce([c for c, is_high in zip(channels, high, strict=True) if not is_high] or channels)
    if all(high):
        return (least >= 255 - GREY_SLACK).astype(np.uint8)
    if not any(high):
        return (most <= GREY_SLACK).astype(np.uint8)
    return (least > np.minimum(most, 255 - COLOUR_LEAD) + np.uint8(COLOUR_LEAD)).astype(np.uint8)


def _in_colour(pixels: Pixels, mask: Pixels, contrast: int) -> list[Corners]:
    """The markings in one colour, of which ``mask`` is not 0."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    parts = _Parts(pixels, labels, np.asarray(stats, dtype=np.int64), contrast)
    bars = [part for part in parts.longest() if parts.is_bar(part)]
    if len(bars) > MOST_BARS:
        bars = []
    return [*parts.corners([bar] for bar in bars), *parts.corners(parts.lines_of_text())]


class _Parts:
    """The connected parts of one colour.

    Args:
        pixels: The image, shape ``(height, width, 3)``.
        labels: The number of the part that each pixel belongs to, shape ``(height, width)``; 0 is everything else.
        stats: ``x, y, width, height, area`` of each part, shape ``(parts, 5)``.
        contrast: Levels by which the colour must differ from what it was drawn on.
    """

    def __init__(self, pixels: Pixels, labels: npt.NDArray[Any], stats: Integers, contrast: int) -> None:
        self.pixels, self.labels, self.contrast = pixels, labels, contrast
        self.x, self.y, self.width, self.height, self.area = stats.T
        self.right, self.bottom = self.x + self.width, self.y + self.height
        # What reaches the border is a frame round the picture, or a thing that the picture cuts.
        self.inside = (self.x > 0) & (self.y > 0) & (self.right < labels.shape[1]) & (self.bottom < labels.shape[0])
        self.inside[0] = False

    def corners(self, groups: Iterable[Sequence[int]]) -> list[Corners]:
        """The box round each group of parts."""
        return [
            (
                float(self.x[group].min()),
                float(self.y[group].min()),
                float(self.right[group].max()),
                float(self.bottom[group].max()),
            )
            for group in map(np.asarray, groups)
        ]

    def longest(self) -> list[int]:
        """Parts that may be a bar, with ticks at its ends or without."""
        long, short = np.maximum(self.width, self.height), np.minimum(self.width, self.height)
        return [int(part) for part in np.flatnonzero(self.inside & (long >= LEAST_BAR) & (2 * long >= 3 * short))]

    def is_bar(self, part: int) -> bool:
        """Whether a part is a straight bar with sharp edges."""
        own, around, pixels = self._window(part)
        if self.height[part] > self.width[part]:
            own, around, pixels = own.T, around.T, pixels.swapaxes(0, 1)
        columns = own.any(axis=0)
        filled = own[:, columns].mean(axis=1)
        core = np.flatnonzero(filled >= 0.95)
        if not len(core) or core[-1] - core[0] >= len(core) or columns.sum() < BAR_ASPECT * len(core):
            return False
        # One row on each side may be half covered; beyond it only ticks at the ends may stand out.
        apart = np.r_[own[: max(0, core[0] - 1)], own[core[-1] + 2 :]].any(axis=0)[columns]
        if apart[len(apart) // 6 : -(len(apart) // 6)].any():
            return False
        beside = [core[0] - EDGE, core[-1] + EDGE]
        colour = np.median(pixels[core][:, columns], axis=(0, 1))
        if min(beside) < 0 or max(beside) >= len(own):
            return False
        contrast = np.abs(pixels[beside][:, columns] - colour).max(axis=2)
        ends = np.abs(pixels[core][:, [0, -1]] - colour).max(axis=2)
        return bool((contrast >= self.contrast).mean(axis=1).min() >= 0.85 and ends.min() >= self.contrast)

    def lines_of_text(self) -> list[list[int]]:
        """Groups of parts that are glyphs on one line."""
        low, high = GLYPH_HEIGHTS
        size = (self.height >= low) & (self.height <= high) & (self.width <= 2.5 * self.height)
        spots = np.flatnonzero(self.inside & size & (self.area >= self.height))
        if not LEAST_GLYPHS <= len(spots) <= MOST_GLYPHS:
            return []
        neighbours = self._neighbours(spots)
        count, chain = connected_components(csr_matrix(neighbours), directed=False)
        sizes = np.bincount(chain, minlength=count)
        lines = []
        for number in np.flatnonzero(sizes >= LEAST_GLYPHS):
            glyphs = [int(part) for part in spots[chain == number] if self.is_glyph(int(part))]
            if len(glyphs) >= LEAST_GLYPHS and self._on_one_line(np.array(glyphs)):
                lines.append(glyphs)
        return lines

    def is_glyph(self, part: int) -> bool:
        """Whether a part is drawn with a thin stroke and has sharp edges."""
        own, around, pixels = self._window(part)
        stroke = 2 * float(cv2.distanceTransform(own.astype(np.uint8), cv2.DIST_L2, 3).max())
        if stroke > max(3.0, 0.4 * float(self.height[part])):
            return False
        colour = np.median(pixels[own], axis=0)
        near = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8))
        ring = cv2.dilate(near, np.ones((3, 3), np.uint8)).astype(bool) & ~near.astype(bool) & ~around
        contrast = np.abs(pixels[ring] - colour).max(axis=1)
        return bool(len(contrast) and (contrast >= self.contrast).mean() >= 0.8)

    def _neighbours(self, spots: Integers) -> npt.NDArray[np.bool_]:
        """Which spot may follow which on a line, shape ``(spots, spots)``."""
        x, right, top, bottom, height = (
            values[spots] for values in (self.x, self.right, self.y, self.bottom, self.height)
        )
        taller = np.maximum(height[:, None], height)
        gap = x - right[:, None]
        overlap = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
        alike = taller <= 1.8 * np.minimum(height[:, None], height)
        follows: npt.NDArray[np.bool_] = (
            (gap >= -0.3 * taller) & (gap <= 1.8 * taller) & (overlap >= 0.5 * taller) & alike & (x > x[:, None])
        )
        return follows

    def _on_one_line(self, glyphs: Integers) -> bool:
        """Whether most glyphs stand on one straight line and have one of two heights, as letters do."""
        slack = np.maximum(1.0, 0.1 * np.median(self.height[glyphs]))
        bottoms = self.bottom[glyphs]
        standing = np.abs(bottoms - np.median(bottoms)) <= slack
        return bool(standing.sum() >= max(LEAST_GLYPHS, 0.6 * len(glyphs)))

    def _window(self, part: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.int16]]:
        """A part's own pixels, those of other parts, and the colours, with :data:`EDGE` pixels round the part."""
        rows = slice(max(0, self.y[part] - EDGE), self.bottom[part] + EDGE)
        columns = slice(max(0, self.x[part] - EDGE), self.right[part] + EDGE)
        labels = self.labels[rows, columns]
        return labels == part, (labels != part) & (labels > 0), self.pixels[rows, columns].astype(np.int16)
