"""Stacks of planes of focus: the sharpest plane, one plane, or the sharpest of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.slides.slide import Pixels, Slide

Focus = int | Literal["best", "max-contrast"]
"""``best``: the plane that is sharpest, for the whole slide. ``max-contrast``: each pixel from the plane that has most
contrast around it (extended depth of field). A number: that plane, counted from 1, as microscope programs do."""

PATCH = 512
"""Side, in pixels, of the patches by which planes are compared."""

PATCHES = 6
"""Most patches along each side of the slide."""

RADIUS = 8
"""Pixels; contrast is summed over a square that reaches so far, about the size of a small spore."""

MARGIN = RADIUS + 1 + 2
"""How far the pixels lie that decide which plane a pixel is taken from: sum, Laplacian and smoothing together."""


def in_focus(planes: Sequence[Slide], z: Focus) -> Slide:
    """The slide to look at.

    Args:
        planes: The planes of one file, lowest first. Of a single one there is no choice, whatever ``z`` says.
        z: Which plane.

    Raises:
        UnreadableSlide: The file is damaged.
        UsageError: There is no such plane.
    """
    if len(planes) == 1:
        return planes[0]
    if z == "max-contrast":
        return MaxContrastSlide(planes)
    if z == "best":
        index = sharpest(planes)
    elif isinstance(z, int) and 1 <= z <= len(planes):
        index = z - 1
    else:
        raise UsageError(
            f"{planes[0].name}: expected best, max-contrast or a plane from 1 to {len(planes)}, found {z!r}"
        )
    chosen = planes[index]
    chosen.planes, chosen.plane = len(planes), index + 1
    return chosen


def sharpest(planes: Sequence[Slide]) -> int:
    """The index of the plane that is sharpest over the whole slide.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al. 2000, "LAPV"), of slightly smoothed grey so that
    noise counts little, over the squared brightness so that exposure does not count. It is taken over the same patches
    in full resolution, spread over the slide.
    """
    scores = [sum(_sharpness(plane.read(window)) for window in _patches(plane)) for plane in planes]
    return int(np.argmax(scores))


class MaxContrastSlide(Slide):
    """Each pixel comes from the plane that has most contrast around it; of equals, the lowest.

    Contrast is the sum of the absolute Laplacian (Nayar and Nakagawa 1994). Windows agree with the slide as a whole:
    each is read with the margin that its pixels depend on.

    Args:
        planes: The planes, of one size.
    """

    def __init__(self, planes: Sequence[Slide]) -> None:
        first = planes[0]
        super().__init__(first.name, first.width, first.height, first.um_per_px, first.downsamples, first.row_step)
        self._planes = planes
        self.planes = len(planes)

    def size(self, level: int = 0) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        return self._planes[0].size(level)

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """The pixels of a window; every plane is read there."""
        x_min, y_min, x_max, y_max = window
        width, height = self.size(level)
        left, top = max(0, x_min - MARGIN), max(0, y_min - MARGIN)
        wider = left, top, min(width, x_max + MARGIN), min(height, y_max + MARGIN)
        result = self._planes[0].read(wider, level).copy()
        most = _contrast(result)
        for plane in self._planes[1:]:
            pixels = plane.read(wider, level)
            contrast = _contrast(pixels)
            better = contrast > most
            result[better] = pixels[better]
            np.maximum(most, contrast, out=most)
        return np.ascontiguousarray(result[y_min - top : y_max - top, x_min - left : x_max - left])

    def close(self) -> None:
        """Closes the file of all planes."""
        for plane in self._planes:
            plane.close()


def _laplacian(pixels: Pixels) -> npt.NDArray[np.int16]:
    """The Laplacian of the grey of some pixels, smoothed a little."""
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (5, 5), 1.0)
    return np.asarray(cv2.Laplacian(grey, cv2.CV_16S), dtype=np.int16)


def _contrast(pixels: Pixels) -> npt.NDArray[np.float32]:
    """The sum of the absolute Laplacian round each pixel; whole numbers, so it does not depend on the window."""
    strength = np.abs(_laplacian(pixels)).astype(np.float32)
    side = 2 * RADIUS + 1
    return np.asarray(cv2.boxFilter(strength, -1, (side, side), normalize=False), dtype=np.float32)


def _sharpness(pixels: Pixels) -> float:
    return float(_laplacian(pixels).var() / max(1.0, float(pixels.mean())) ** 2)


def _patches(slide: Slide) -> list[tuple[int, int, int, int]]:
    """Windows spread over the slide; all of a small one."""
    columns, rows = (
        np.linspace(0, max(0, side - PATCH), min(PATCHES, -(-side // PATCH))).astype(int).tolist()
        for side in (slide.width, slide.height)
    )
    return [(x, y, min(slide.width, x + PATCH), min(slide.height, y + PATCH)) for y in rows for x in columns]
