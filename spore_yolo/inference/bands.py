"""Bands: the rows of a slide that a row of tiles and its crops need, read ahead while others are worked on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spore_yolo.inference.slides import Slide
from spore_yolo.inference.tiling import Tile, TileGrid

Pixels = npt.NDArray[np.uint8]
Window = tuple[int, int, int, int]

PANEL = 32_768
"""Pixels; a wider slide is read in panels that are about as wide, so that memory does not grow with its width."""


@dataclass(frozen=True)
class Band:
    """Part of a slide in memory.

    Attributes:
        pixels: ``(height, width, 3)``, RGB.
        x_min, y_min: Where it lies on the slide.
        tiles: The tiles that lie in it, each with its index in the grid.
    """

    pixels: Pixels
    x_min: int
    y_min: int
    tiles: list[tuple[int, Tile]]

    def window(self, tile: Tile) -> Pixels:
        """The pixels of a tile, a view."""
        return self.pixels[
            tile.y_min - self.y_min : tile.y_max - self.y_min, tile.x_min - self.x_min : tile.x_max - self.x_min
        ]


def read_bands(slide: Slide, grid: TileGrid, reach: int, pool: ThreadPoolExecutor) -> Generator[Band, None, None]:
    """Reads a slide from top to bottom, panel by panel; the next band is read while this one is worked on.

    Whoever stops early has to close the generator before the slide: that waits for the read that is under way.

    Args:
        slide: The slide.
        grid: Its tiles.
        reach: How many pixels beyond its tiles' cores a band holds at least, as far as the slide goes.
        pool: Whose threads read.
    """
    bands = _bands(slide, grid, reach)
    following = pool.submit(next, bands, None)
    try:
        while (band := following.result()) is not None:
            following = pool.submit(next, bands, None)
            yield band
    finally:
        if not following.cancel():
            wait([following])


def _bands(slide: Slide, grid: TileGrid, reach: int) -> Iterator[Band]:
    for panel in _panels(grid):
        rows = _Rows(slide)
        for tiles in panel:
            cores = np.array([tile.core for _, tile in tiles])
            inner = np.clip(cores, 0, [slide.width, slide.height] * 2)  # cores at the slide's border are infinite
            x_min = min(int(inner[:, 0].min()) - reach, tiles[0][1].x_min)
            y_min = min(int(inner[:, 1].min()) - reach, tiles[0][1].y_min)
            x_max = max(int(np.ceil(inner[:, 2].max())) + reach, tiles[-1][1].x_max)
            y_max = max(int(np.ceil(inner[:, 3].max())) + reach, tiles[-1][1].y_max)
            left, top = max(0, x_min), max(0, y_min)
            pixels = rows.read((left, top, min(slide.width, x_max), min(slide.height, y_max)))
            yield Band(pixels, left, top, tiles)


def _panels(grid: TileGrid) -> list[list[list[tuple[int, Tile]]]]:
    """The tiles of each panel, row by row; from left to right in each row."""
    numbered = list(enumerate(grid.tiles))
    columns = numbered[-1][1].column + 1
    most = max(1, min(columns, PANEL // max(1, grid.size - grid.overlap)))
    panels: list[list[list[tuple[int, Tile]]]] = []
    for begin in range(0, columns, most):
        rows = [numbered[at + begin : at + min(begin + most, columns)] for at in range(0, len(numbered), columns)]
        panels.append(rows)
    return panels


class _Rows:
    """Windows of one width that move down a slide; rows that two of them share are read once."""

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self._pixels: Pixels = np.zeros((0, 0, 3), dtype=np.uint8)
        self._top = 0

    def read(self, window: Window) -> Pixels:
        """The pixels of the window; each call's is at or below the last one's."""
        if self._slide.in_memory:
            return self._slide.read(window)
        left, top, right, bottom = window
        held = self._top + len(self._pixels)
        if top >= held or self._pixels.shape[1] != right - left:
            self._pixels, held = self._pixels[:0], top
        if bottom > held:
            # As far as whole rows of what is stored together reach: they are not read again then.
            step = self._slide.row_step
            until = min(self._slide.height, -(-bottom // step) * step)
            fresh = self._slide.read((left, held, right, until))
            kept = self._pixels[top - self._top :] if len(self._pixels) else self._pixels
            if len(kept):
                pixels = np.empty((len(kept) + len(fresh), right - left, 3), dtype=np.uint8)
                pixels[: len(kept)] = kept
                pixels[len(kept) :] = fresh
                self._pixels = pixels
            else:
                self._pixels = fresh
            self._top = top
        return self._pixels[top - self._top : bottom - self._top]
