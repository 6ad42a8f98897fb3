from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from spore_yolo.inference import bands as module
from spore_yolo.inference.bands import read_bands
from spore_yolo.inference.slides import ArraySlide, Slide
from spore_yolo.inference.tiling import TileGrid


class StoredSlide(Slide):
    """A slide in rows of 50 that remembers what was read of it."""

    def __init__(self, pixels: np.ndarray, row_step: int = 50) -> None:
        super().__init__("stored", pixels.shape[1], pixels.shape[0], row_step=row_step)
        self.pixels, self.windows = pixels, list[tuple[int, int, int, int]]()

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
        x_min, y_min, x_max, y_max = window
        assert 0 <= x_min < x_max <= self.width and 0 <= y_min < y_max <= self.height
        self.windows.append(window)
        return self.pixels[y_min:y_max, x_min:x_max].copy()


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


GRIDS = {
    "many tiles": ((430, 390), 96, 30),
    "one tile": ((80, 60), 96, 30),
    "one row": ((400, 90), 96, 30),
    "one column": ((90, 400), 96, 30),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("panel", [1, 150, 10_000])
@pytest.mark.parametrize("reach", [0, 25, 70])
def test_every_tile_comes_once_with_its_own_pixels(
    name: str, panel: int, reach: int, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PANEL", panel)
    (width, height), size, overlap = GRIDS[name]
    pixels, grid = noise(width, height), TileGrid(width, height, size, overlap)
    for slide in (StoredSlide(pixels), ArraySlide(pixels)):
        seen = []
        for band in read_bands(slide, grid, reach, pool):
            rows, columns = band.pixels.shape[:2]
            held = pixels[band.y_min : band.y_min + rows, band.x_min : band.x_min + columns]
            assert np.array_equal(band.pixels, held)
            for index, tile in band.tiles:
                assert tile == grid.tiles[index]
                assert np.array_equal(band.window(tile), pixels[tile.y_min : tile.y_max, tile.x_min : tile.x_max])
                # The core and what lies within reach of it.
                x_min, y_min, x_max, y_max = np.clip(tile.core, 0, [width, height] * 2)
                assert band.x_min <= max(0, x_min - reach) and band.y_min <= max(0, y_min - reach)
                assert band.x_min + columns >= min(width, x_max + reach)
                assert band.y_min + rows >= min(height, y_max + reach)
                seen.append(index)
        assert sorted(seen) == list(range(len(grid.tiles)))


@pytest.mark.parametrize("row_step", [1, 50, 1000])
def test_no_row_is_read_twice(row_step: int, pool: ThreadPoolExecutor) -> None:
    pixels, grid = noise(430, 390), TileGrid(430, 390, 96, 30)
    slide = StoredSlide(pixels, row_step)
    list(read_bands(slide, grid, 20, pool))
    rows = [row for _, y_min, _, y_max in slide.windows for row in range(y_min, y_max)]
    assert sorted(rows) == list(range(390))
    assert all(y_min % row_step == 0 for _, y_min, _, _ in slide.windows[1:])


@pytest.mark.parametrize("workers_are", ["free", "busy"])
def test_nobody_reads_any_more_once_the_generator_is_closed(workers_are: str, pool: ThreadPoolExecutor) -> None:
    class Slow(StoredSlide):
        begun, done = 0, 0

        def read(self, window: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
            self.begun += 1
            if self.begun == 1 and workers_are == "busy":  # the band after the first waits behind other work
                pool.submit(go_on.wait, 60)
            time.sleep(0.1)
            self.done += 1
            return super().read(window, level)

    slide, go_on = Slow(noise(430, 390)), threading.Event()
    bands = read_bands(slide, TileGrid(430, 390, 96, 30), 20, pool)
    if workers_are == "busy":  # the other worker
        pool.submit(go_on.wait, 60)
    next(bands)
    time.sleep(0.05)
    bands.close()
    begun = slide.begun
    assert slide.done == begun
    assert begun == 1 or workers_are == "free", "it waited for the other work to end"
    go_on.set()
    time.sleep(0.15)
    assert slide.begun == begun


def test_an_error_while_reading_reaches_whoever_asks(pool: ThreadPoolExecutor) -> None:
    class Broken(StoredSlide):
        def read(self, window: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
            if window[1] > 100:
                raise ValueError("damaged there")
            return super().read(window, level)

    bands = read_bands(Broken(noise(430, 390)), TileGrid(430, 390, 96, 30), 20, pool)
    next(bands)
    with pytest.raises(ValueError, match="damaged there"):
        list(bands)
