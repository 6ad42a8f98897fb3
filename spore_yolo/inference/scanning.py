"""Goes over a slide: reads, prepares, detects, cuts crops and classifies side by side, and joins what tiles found.

The slide is read band by band, one ahead. Workers, as many as the backend wants, each take a few tiles of a band, run
the detector on them, suppress what it proposes twice, and cut the crops of what may stay out of the band, which lies in
memory. Where they take all cores they read, too: one more thread would take turns with them, which costs more than the
reading itself. Crops are classified in full batches, across tiles. Everything is collected in the order of the tiles,
whichever worker was faster: so batches hold the same images every time, and a slide gives the same result every time.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from spore_yolo.files.cores import core_count
from spore_yolo.inference.backends.runner import Runner, pool_for
from spore_yolo.inference.bands import Band, read_bands
from spore_yolo.inference.classifier import CropNamer
from spore_yolo.inference.crops import crop_windows, cut_crops
from spore_yolo.inference.emptiness import Emptiness
from spore_yolo.inference.merging import merge_tiles, speaks_for, without_doubles
from spore_yolo.inference.proposals import Found, proposals, suppressed
from spore_yolo.inference.slides import Slide
from spore_yolo.inference.tiling import BAND, GREY, Tile, TilingSettings, rescale

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

STRIDE = 32

LEEWAY = 1.1
"""A detector's own jitter makes boxes up to a tenth larger than the largest spore."""

QUEUE = 4
"""Tasks that wait for each worker: it never runs dry, and memory holds few bands."""

Progress = Callable[[float], None]
"""Is told how many more pixels of the slide have been looked at."""


@dataclass(frozen=True)
class Candidates:
    """What a detector proposes on one slide, and what the classifier says of it.

    Attributes:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide, by falling score.
        scores: ``(N,)``, detector_score.
        classes: ``(N,)``, class numbers of the detector.
        capped_tiles: Tiles that gave as many candidates as they may; more spores may lie there.
        oversized: For each candidate, whether it is larger than the largest spore that the tiles overlap for; at the
            edge of a tile it may be cut.
        probabilities: ``(N, C)``, calibrated, in the order of the classifier's classes; ``None`` without a classifier.
        skipped_tiles: Tiles that were left out as empty.
    """

    boxes: Floats
    scores: Floats
    classes: npt.NDArray[np.int64]
    capped_tiles: int
    oversized: npt.NDArray[np.bool_]
    probabilities: Floats | None = None
    skipped_tiles: int = 0


@dataclass
class _Seen:
    """What the tiles so far gave, in their order.

    Attributes:
        rows: Of each tile, ``(n, 6)`` as :data:`Found`, but in pixels of the slide.
        tile_of: Of each tile, its index ``n`` times.
        capped: Tiles that gave as many candidates as they may.
    """

    rows: list[Found] = field(default_factory=list)
    tile_of: list[npt.NDArray[np.int64]] = field(default_factory=list)
    capped: int = 0


def scan(
    slide: Slide,
    runner: Runner,
    settings: TilingSettings,
    *,
    namer: CropNamer | None = None,
    nms_ious: Sequence[float] | None = None,
    one_class: bool = False,
    batch: int | None = None,
    progress: Progress | None = None,
    skip: Emptiness | None = None,
) -> list[Candidates]:
    """Detects on a whole slide, each spore once, and classifies what was found.

    Args:
        slide: The slide, at the resolution that the settings speak of.
        runner: The detector.
        settings: How to tile.
        namer: The classifier, if there is one; it looks at what the first of ``nms_ious`` gives.
        nms_ious: NMS thresholds, each of which gives a result of its own at the price of one; that of the settings by
            default.
        one_class: Whether candidates of different classes in one place are one; always so where a classifier names.
        batch: Tiles a forward pass; what the runner is fastest with by default.
        progress: Is told of the pixels that have been looked at.
        skip: Tells empty tiles, which are left out; by default all are looked at.

    Returns:
        A result for each NMS threshold.

    Raises:
        SporeYoloError: The slide cannot be read, or the largest spore does not fit into a tile.
    """
    ious = list(nms_ious or [settings.nms_iou])
    grid = settings.grid(slide.width, slide.height)
    shared = _SharedSlide(slide)
    margin = 0.0 if namer is None else namer.part.margin
    reach = math.ceil(LEEWAY * settings.largest_box * (1 + 2 * margin) / 2 + BAND / settings.scale) + 2
    looker = _Looker(shared, runner, settings, ious, one_class or namer is not None, namer)
    seen = [_Seen() for _ in ious]
    with (
        pool_for(runner, None if namer is None else namer.classifier.runner) as pool,
        # Whatever ends this, nobody reads the slide any more then: it may be closed at once.
        _readers(pool, runner) as readers,
        closing(read_bands(shared, grid, reach, readers)) as bands,
    ):
        crops = None if namer is None else _CropQueue(pool, namer)
        empty = _Skipped(shared, settings.scale, skip, progress)
        tasks = _batches(empty.others(bands), batch or runner.batch)
        try:
            for looks in _in_order(pool, looker.look, tasks, runner.workers * QUEUE):
                for look in looks:
                    for into, rows, capped in zip(seen, look.rows, look.capped, strict=True):
                        into.rows.append(rows)
                        into.tile_of.append(np.full(len(rows), look.index, dtype=np.int64))
                        into.capped += capped
                    if crops is not None:
                        crops.add(look.crops)
                if progress is not None:
                    progress(sum(look.pixels for look in looks))
            probabilities = None if crops is None else crops.finish()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    found = [_join(one, grid.tiles, settings, looker.one_class, probabilities) for one in seen]
    return [replace(one, skipped_tiles=empty.count) for one in found]


@contextmanager
def _readers(pool: ThreadPoolExecutor, runner: Runner) -> Iterator[ThreadPoolExecutor]:
    """The threads that read: the workers where they take all cores, else one more, as where a few feed a GPU."""
    if runner.workers >= core_count():
        yield pool
        return
    with ThreadPoolExecutor(1, "read") as reader:
        yield reader


class _SharedSlide(Slide):
    """A slide that several threads read, one at a time."""

    def __init__(self, slide: Slide) -> None:
        super().__init__(slide.name, slide.width, slide.height, slide.um_per_px, slide.downsamples, slide.row_step)
        self._slide, self._lock = slide, threading.Lock()
        self.in_memory = slide.in_memory

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        with self._lock:
            return self._slide.read(window, level)


@dataclass(frozen=True)
class _Look:
    """What one tile gave.

    Attributes:
        index: Of the tile.
        rows: For each NMS threshold, what it may speak for, ``(n, 6)`` as :data:`Found`, but in pixels of the slide.
        capped: For each NMS threshold, whether it gave as many candidates as it may.
        crops: ``(n, size, size, 3)``, of the first of them; none without a classifier.
        pixels: The part of the slide that it owns.
    """

    index: int
    rows: list[Found]
    capped: list[bool]
    crops: Pixels
    pixels: float


@dataclass(frozen=True)
class _Looker:
    """Looks at tiles; see :func:`scan`."""

    slide: _SharedSlide
    runner: Runner
    settings: TilingSettings
    nms_ious: list[float]
    one_class: bool
    namer: CropNamer | None

    def look(self, tiles: list[tuple[Band, int, Tile]]) -> list[_Look]:
        """One forward pass over a few tiles, and what follows from it."""
        windows = [self._at_model_scale(band.window(tile)) for band, _, tile in tiles]
        return [
            self._seen(band, index, tile, window.shape, raw)
            for (band, index, tile), window, raw in zip(tiles, windows, self.runner(_stacked(windows)), strict=True)
        ]

    def _at_model_scale(self, window: Pixels) -> Pixels:
        """The window as the model sees it; a whole tile has exactly the model's size."""
        settings = self.settings
        if settings.scale == 1:
            return window
        if window.shape[0] == window.shape[1] == settings.tile_side:
            return rescale(window, settings.scale, (settings.tile_size, settings.tile_size))
        return rescale(window, settings.scale)

    def _seen(self, band: Band, index: int, tile: Tile, shape: tuple[int, ...], raw: npt.NDArray[np.float32]) -> _Look:
        most = self.settings.max_detections_per_tile
        # A rescaled window has a whole number of pixels; take the factor that was really used, a side at a time.
        shown = np.array([tile.x_max - tile.x_min, tile.y_max - tile.y_min])
        factor = np.tile(shown / np.array([shape[1], shape[0]]), 2)
        given, capped = [], []
        for iou in self.nms_ious:
            rows = proposals(raw, iou, most)
            capped.append(len(rows) >= most)
            rows[:, :4] = rows[:, :4] * factor + np.tile([tile.x_min, tile.y_min], 2)
            rows[:, :4] = np.clip(rows[:, :4], np.tile(tile.window[:2], 2), np.tile(tile.window[2:], 2))
            whole = (rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])
            rows = rows[whole & speaks_for(rows[:, :4], tile, self.settings.scale)]
            given.append(suppressed(rows, iou) if self.one_class else rows)
        return _Look(index, given, capped, self._crops(band, given[0][:, :4]), _owned_pixels(tile, self.slide))

    def _crops(self, band: Band, boxes: Floats) -> Pixels:
        """The crops of boxes, out of the band; the few that reach beyond it are read from the slide."""
        if self.namer is None:
            return np.zeros((0, 0, 0, 3), dtype=np.uint8)
        part = self.namer.part
        size = (self.slide.width, self.slide.height)
        windows = crop_windows(boxes, part.margin)
        visible = np.clip(windows, 0, np.tile(size, 2))
        height, width = band.pixels.shape[:2]
        low = (band.x_min, band.y_min)
        held = np.array([*low, low[0] + width, low[1] + height])
        outside = ((visible[:, :2] < held[:2]) | (visible[:, 2:] > held[2:])).any(axis=1)
        shift = np.tile(low, 2)
        crops = cut_crops(band.pixels, boxes - shift, part.margin, part.crop_size, windows - shift)
        for at in np.flatnonzero(outside):
            x_min, y_min, x_max, y_max = (int(value) for value in visible[at])
            around = self.slide.read((x_min, y_min, x_max, y_max))
            there = np.tile([x_min, y_min], 2)
            one = slice(at, at + 1)
            crops[one] = cut_crops(around, boxes[one] - there, part.margin, part.crop_size, windows[one] - there)
        return crops


class _CropQueue:
    """Classifies crops in full batches, in the order in which they come."""

    def __init__(self, pool: ThreadPoolExecutor, namer: CropNamer) -> None:
        self._pool, self._namer = pool, namer
        self._batch = namer.classifier.runner.batch
        self._waiting: list[Pixels] = []
        self._count = 0
        self._given: list[Future[Floats]] = []

    def add(self, crops: Pixels) -> None:
        """Takes crops; every full batch goes to the workers."""
        if len(crops) == 0:
            return
        self._waiting.append(crops)
        self._count += len(crops)
        if self._count >= self._batch:
            joined = np.concatenate(self._waiting)
            full = len(joined) // self._batch * self._batch
            for begin in range(0, full, self._batch):
                self._submit(joined[begin : begin + self._batch])
            self._waiting, self._count = [joined[full:]], len(joined) - full

    def finish(self) -> Floats:
        """The probabilities of all crops, ``(N, C)``."""
        if self._count:
            self._submit(np.concatenate(self._waiting))
        empty = np.zeros((0, len(self._namer.part.classes)))
        return np.concatenate([empty, *(given.result() for given in self._given)])

    def _submit(self, crops: Pixels) -> None:
        self._given.append(self._pool.submit(self._namer.probabilities_of_crops, crops))


class _Skipped:
    """Leaves out empty tiles, and counts them; see :func:`scan`."""

    def __init__(self, slide: Slide, scale: float, skip: Emptiness | None, progress: Progress | None) -> None:
        self._slide, self._scale, self._skip, self._progress = slide, scale, skip, progress
        self.count = 0

    def others(self, bands: Iterable[Band]) -> Iterator[tuple[Band, int, Tile]]:
        """The tiles of all bands that are not empty, in their order."""
        for band in bands:
            for index, tile in band.tiles:
                if self._skip is None or not self._skip.is_empty(band.window(tile), self._scale):
                    yield band, index, tile
                    continue
                self.count += 1
                if self._progress is not None:
                    self._progress(_owned_pixels(tile, self._slide))


def _owned_pixels(tile: Tile, slide: Slide) -> float:
    """How large the part of the slide is that a tile owns."""
    x_min, y_min, x_max, y_max = np.clip(tile.core, 0, [slide.width, slide.height] * 2)
    return float((x_max - x_min) * (y_max - y_min))


def _batches(tiles: Iterator[tuple[Band, int, Tile]], size: int) -> Iterator[list[tuple[Band, int, Tile]]]:
    """The tiles, so many at a time; those of one slide have one shape."""
    while some := list(itertools.islice(tiles, size)):
        yield some


def _in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[list[tuple[Band, int, Tile]]], list[_Look]],
    tasks: Iterator[list[tuple[Band, int, Tile]]],
    most: int,
) -> Iterator[list[_Look]]:
    """What the workers make of tasks, in the order of the tasks; no more than ``most`` are under way."""
    under_way: deque[Future[list[_Look]]] = deque()
    for task in tasks:
        under_way.append(pool.submit(work, task))
        if len(under_way) >= most:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _stacked(windows: Sequence[Pixels]) -> Pixels:
    """Windows as one array, filled up with grey to multiples of the network's stride."""
    height = max(STRIDE * math.ceil(window.shape[0] / STRIDE) for window in windows)
    width = max(STRIDE * math.ceil(window.shape[1] / STRIDE) for window in windows)
    if all(window.shape == (height, width, 3) for window in windows):
        return windows[0][None] if len(windows) == 1 else np.stack(windows)
    batch = np.full((len(windows), height, width, 3), GREY, dtype=np.uint8)
    for into, window in zip(batch, windows, strict=True):
        into[: window.shape[0], : window.shape[1]] = window
    return batch


def _join(
    seen: _Seen, tiles: Sequence[Tile], settings: TilingSettings, one_class: bool, probabilities: Floats | None
) -> Candidates:
    """Joins what the tiles of a slide found, each spore once."""
    # Of a slide that is empty all over, no tile was looked at.
    rows = np.concatenate([np.zeros((0, 6)), *seen.rows])
    tile_of = np.concatenate([np.zeros(0, dtype=np.int64), *seen.tile_of])
    keep = merge_tiles(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), tile_of, tiles, settings.scale)
    if one_class:
        kept = without_doubles(rows[keep, :4], rows[keep, 4], tile_of[keep], tiles, settings.nms_iou, settings.scale)
        keep = keep[kept]
    rows = rows[keep]
    longest = (rows[:, 2:4] - rows[:, :2]).max(axis=1, initial=0)
    # A slide of one tile has no borders.
    oversized = (longest > LEEWAY * settings.largest_box) & (len(tiles) > 1)
    return Candidates(
        rows[:, :4],
        rows[:, 4],
        rows[:, 5].astype(np.int64),
        seen.capped,
        oversized,
        None if probabilities is None else probabilities[keep],
    )
