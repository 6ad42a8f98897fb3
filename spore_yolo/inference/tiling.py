"""Tiles: the grid of windows that covers a slide, and which tile owns which point.

Neighbouring tiles overlap. The border between them runs through the middle of the overlap, so the *cores* of all tiles
cover the slide without gap or overlap: every point has one owner. The idea that one block is responsible for each
object is StarDist's (Weigert et al., WACV 2020, ``big.py``).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import SporeYoloError

GREY = 114
"""What fills up a tile where the slide ends; Ultralytics' own grey."""

JITTER = 4.0
"""Pixels of the model by which a detector's box edges may differ between two tiles that see the same spore."""

BAND = 2 * JITTER
"""Half the width, in pixels of the model, of the band along a border in which tiles may disagree about a centre."""


@dataclass(frozen=True)
class Tile:
    """A window of a slide.

    Attributes:
        row, column: Its place in the grid.
        x_min, y_min, x_max, y_max: The window in pixels of the slide, max exclusive; never beyond the slide.
        core: The part it owns, ``(x_min, y_min, x_max, y_max)`` in pixels of the slide; infinite at the slide's border.
    """

    row: int
    column: int
    x_min: int
    y_min: int
    x_max: int
    y_max: int
    core: tuple[float, float, float, float]

    @property
    def window(self) -> tuple[int, int, int, int]:
        """``(x_min, y_min, x_max, y_max)`` in pixels of the slide."""
        return self.x_min, self.y_min, self.x_max, self.y_max


@dataclass(frozen=True)
class TileGrid:
    """The tiles of one slide.

    Attributes:
        width, height: Size of the slide in pixels.
        size: Side of a tile in pixels of the slide; a slide smaller than that is one tile of its own size.
        overlap: Least overlap of neighbouring tiles in pixels of the slide.
    """

    width: int
    height: int
    size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.overlap >= self.size and max(self.width, self.height) > self.size:
            raise SporeYoloError(
                f"tiles of {self.size} px cannot overlap by {self.overlap} px: the largest spore does not fit into a"
                " tile; use larger tiles or a smaller scale"
            )

    @cached_property
    def tiles(self) -> list[Tile]:
        """All tiles, row by row."""
        columns, rows = _windows(self.width, self.size, self.overlap), _windows(self.height, self.size, self.overlap)
        return [
            Tile(r, c, x[0], y[0], x[1], y[1], core=(cx[0], cy[0], cx[1], cy[1]))
            for r, (y, cy) in enumerate(zip(rows, _cores(rows), strict=True))
            for c, (x, cx) in enumerate(zip(columns, _cores(columns), strict=True))
        ]


@dataclass(frozen=True)
class TilingSettings:
    """How a detector goes over a slide.

    Attributes:
        tile_size: Side of a tile in pixels of the model.
        scale: Pixels of the model per pixel of the slide.
        largest_box: Longest side of the largest spore, in pixels of the slide.
        nms_iou: IoU above which two boxes of one tile are one spore.
        max_detections_per_tile: Most candidates that one tile may give.
    """

    tile_size: int
    scale: float
    largest_box: float
    nms_iou: float
    max_detections_per_tile: int

    @property
    def tile_side(self) -> int:
        """Side of a tile in pixels of the slide."""
        return round(self.tile_size / self.scale)

    def grid(self, width: int, height: int) -> TileGrid:
        """The tiles of a slide of that size in pixels."""
        return TileGrid(width, height, self.tile_side, overlap_for(self.largest_box, self.scale))

    def resampled(self, factor: float) -> TilingSettings:
        """The settings for slides whose pixels are ``factor`` times as large as those that these speak of."""
        return replace(self, scale=self.scale * factor, largest_box=self.largest_box / factor)


def overlap_for(largest_box: float, scale: float) -> int:
    """The overlap, in pixels of the slide, that shows every spore whole to the tiles that may report it.

    A tile reports spores whose centre lies in its core or in the band beyond it. Such a spore reaches at most half its
    size, the band and the jitter beyond the border, and the tile reaches half of the overlap beyond it.

    Args:
        largest_box: Longest side of the largest spore, in pixels of the slide.
        scale: Pixels of the model per pixel of the slide.
    """
    return math.ceil(largest_box + 2 * (BAND + JITTER) / scale)


def distance_to_core(
    centres: npt.NDArray[np.float64], core: tuple[float, float, float, float]
) -> npt.NDArray[np.float64]:
    """How far points lie outside a core.

    Args:
        centres: ``(N, 2)`` in ``(x, y)``, pixels of the slide.
        core: ``(x_min, y_min, x_max, y_max)``; a point on the lower edge is inside, on the upper edge outside.

    Returns:
        ``(N,)``, the larger of the two distances along x and y; 0 inside.
    """
    below = np.array(core[:2]) - centres
    # A point exactly on the upper edge belongs to the next tile, at the smallest distance there is.
    above = np.nextafter(centres, np.inf) - np.array(core[2:])
    outside: npt.NDArray[np.float64] = np.maximum(0.0, np.maximum(below, above).max(axis=1))
    return outside


def rescale(pixels: npt.NDArray[np.uint8], scale: float, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Enlarges or shrinks a window to the model's scale; training and prediction use the same interpolation.

    Args:
        pixels: The window, RGB.
        scale: Pixels of the model per pixel of the slide.
        size: Width and height of the result, where rounding must not decide it.
    """
    height, width = pixels.shape[:2]
    size = size or (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized: npt.NDArray[np.uint8] = np.asarray(cv2.resize(pixels, size, interpolation=interpolation), dtype=np.uint8)
    return resized


def _windows(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Windows of ``size`` evenly spaced over ``length``, neighbours overlapping by at least ``overlap``."""
    if length <= size:
        return [(0, length)]
    count = math.ceil((length - overlap) / (size - overlap))
    starts = [round(i * (length - size) / (count - 1)) for i in range(count)]
    return [(start, start + size) for start in starts]


def _cores(windows: list[tuple[int, int]]) -> list[tuple[float, float]]:
    borders = [(before[1] + after[0]) / 2 for before, after in itertools.pairwise(windows)]
    edges = [-math.inf, *borders, math.inf]
    return list(itertools.pairwise(edges))
