"""A slide gives the same spores however it is gone over: batches, workers, bands, panels, kinds of file."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference import bands, scanning
from spore_yolo.inference.classifier import Classifier, CropNamer
from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import ClassifierPart
from spore_yolo.inference.scanning import Candidates, scan
from spore_yolo.inference.slides import ArraySlide, Slide
from spore_yolo.inference.tiling import TilingSettings

SETTINGS = TilingSettings(96, 1.0, 26, 0.6, 300)
SIZE = (700, 520)


class SpotRunner:
    """Finds dark spots; a spot that an edge of the tile cuts is found as what is seen of it."""

    backend, precision, workers, batch = "spots", "float32", 2, 1

    def __init__(self) -> None:
        self.calls: list[int] = []

    def enter_thread(self) -> None:
        pass

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.calls.append(len(batch))
        raw = np.zeros((len(batch), 5, 400), dtype=np.float32)
        for into, image in zip(raw, batch, strict=True):
            spots, _ = ndimage.label(image.mean(axis=2) < 100)
            for at, (rows, columns, _) in enumerate(found for found in ndimage.find_objects(spots[..., None])):
                width, height = columns.stop - columns.start, rows.stop - rows.start
                into[:, at] = columns.start + width / 2, rows.start + height / 2, width, height, 0.5 + width / 100
        return raw


class MeanRunner:
    """Names crops by their mean colour; the logits depend on each pixel of the crop."""

    backend, workers, batch = "means", 2, 7

    def __init__(self) -> None:
        self.calls: list[int] = []

    def enter_thread(self) -> None:
        pass

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.calls.append(len(batch))
        return np.asarray(batch.mean(axis=(1, 2)) / 50, dtype=np.float32)


def namer() -> CropNamer:
    part = ClassifierPart(
        file="c.pt", sha256="", model="m", classes=["a", "b", "debris"], crop_size=32, margin=0.5, temperature=1.0
    )
    return CropNamer(Classifier(MeanRunner(), part.classes), part)


@pytest.fixture(scope="module")
def slide() -> np.ndarray:
    """Spots everywhere, many of them on borders of tiles, some that touch the slide's border; none touch each other."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(180, 220, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    taken = np.zeros(SIZE[::-1], dtype=bool)
    for _ in range(4000):
        width, height = rng.integers(8, 26, 2)
        x, y = rng.integers(0, SIZE[0] - width + 1), rng.integers(0, SIZE[1] - height + 1)
        if not taken[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2].any():
            taken[y : y + height, x : x + width] = True
            pixels[y : y + height, x : x + width] = rng.integers(10, 90, 3)
    return pixels


@pytest.fixture(scope="module")
def spots(slide: np.ndarray) -> list[tuple[int, int, int, int]]:
    found = ndimage.find_objects(ndimage.label(slide.mean(axis=2) < 100)[0])
    return sorted((columns.start, rows.start, columns.stop, rows.stop) for rows, columns in found)


def boxes_of(found: Candidates) -> list[tuple[int, ...]]:
    return sorted(tuple(int(value) for value in box) for box in found.boxes.round())


@pytest.mark.parametrize(("workers", "batch"), itertools.product([1, 2, 5], [1, 3, 64]))
def test_no_spore_is_lost_or_doubled_whatever_the_batch_and_the_threads(
    slide: np.ndarray, spots: list[Any], workers: int, batch: int
) -> None:
    runner, by = SpotRunner(), namer()
    runner.workers = workers
    found = scan(ArraySlide(slide), runner, SETTINGS, namer=by, batch=batch)[0]
    assert len(spots) > 300
    assert boxes_of(found) == spots
    assert found.probabilities is not None
    # As if each crop were cut out of the whole slide and classified alone.
    crops = cut_crops(slide, found.boxes, 0.5, 32)
    assert found.probabilities == pytest.approx(np.concatenate([by.probabilities_of_crops(one[None]) for one in crops]))


@pytest.mark.parametrize(
    ("workers", "cores", "reads"),
    [
        pytest.param(2, 2, "look", id="the workers take all cores"),
        pytest.param(1, 1, "look", id="the only core"),
        pytest.param(2, 8, "read", id="cores are free"),
    ],
)
def test_no_more_threads_than_cores(
    slide: np.ndarray, spots: list[Any], workers: int, cores: int, reads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noting(ArraySlide):
        def read(self, window: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
            by.add(threading.current_thread().name.partition("_")[0])
            return super().read(window, level)

    by, runner = set[str](), SpotRunner()
    runner.workers = workers
    monkeypatch.setattr(scanning, "core_count", lambda: cores)
    assert boxes_of(scan(Noting(slide), runner, SETTINGS)[0]) == spots
    assert by == {reads}


@pytest.mark.parametrize("order", ["backwards", "shuffled"])
def test_no_spore_is_lost_or_doubled_whatever_the_order_of_the_tiles(
    slide: np.ndarray, spots: list[Any], order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = scanning._batches

    def reordered(read: Any, size: int) -> Any:
        tiles = [one for some in original(read, 1) for one in some]
        if order == "backwards":
            tiles.reverse()
        else:
            np.random.default_rng(0).shuffle(tiles)  # type: ignore[arg-type] # a list is shuffled in place
        return iter([tiles[begin : begin + size] for begin in range(0, len(tiles), size)])

    straight = scan(ArraySlide(slide), SpotRunner(), SETTINGS, namer=namer(), batch=4)[0]
    monkeypatch.setattr(scanning, "_batches", reordered)
    turned = scan(ArraySlide(slide), SpotRunner(), SETTINGS, namer=namer(), batch=4)[0]
    assert boxes_of(turned) == spots
    for one, other in ((straight, turned),):
        first, second = np.lexsort(one.boxes.T), np.lexsort(other.boxes.T)
        assert one.boxes[first].tolist() == other.boxes[second].tolist()
        assert one.scores[first].tolist() == other.scores[second].tolist()
        assert one.probabilities is not None and other.probabilities is not None
        assert one.probabilities[first] == pytest.approx(other.probabilities[second])


@pytest.mark.parametrize("panel", [1, 200])
def test_panels_change_nothing(
    slide: np.ndarray, spots: list[Any], panel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands, "PANEL", panel)
    found = scan(ArraySlide(slide), SpotRunner(), SETTINGS, namer=namer())[0]
    assert boxes_of(found) == spots


def test_twice_the_same_to_the_last_bit(slide: np.ndarray) -> None:
    one, other = (scan(ArraySlide(slide), SpotRunner(), SETTINGS, namer=namer())[0] for _ in range(2))
    assert one.probabilities is not None and other.probabilities is not None
    for field in ("boxes", "scores", "classes", "probabilities", "oversized"):
        assert getattr(one, field).tobytes() == getattr(other, field).tobytes()


def test_crops_go_in_full_batches(slide: np.ndarray, spots: list[Any]) -> None:
    by = namer()
    scan(ArraySlide(slide), SpotRunner(), SETTINGS, namer=by)
    calls = by.classifier.runner.calls  # type: ignore[attr-defined] # a MeanRunner
    assert sum(calls) >= len(spots)
    assert sorted(calls)[1:] == [7] * (len(calls) - 1)


def test_crops_that_reach_beyond_the_band_are_read_from_the_slide() -> None:
    """A candidate far larger than the largest spore: its crop is as it were on the whole slide."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(180, 220, (520, 700, 3)).astype(np.uint8)
    pixels[200:285, 300:390] = 30

    class Rows(Slide):
        def __init__(self) -> None:
            super().__init__("rows", 700, 520, row_step=8)

        def read(self, window: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
            return pixels[window[1] : window[3], window[0] : window[2]].copy()

    by = namer()
    found = scan(Rows(), SpotRunner(), SETTINGS, namer=by)[0]
    assert found.oversized.any()
    assert found.probabilities is not None
    crops = cut_crops(pixels, found.boxes, 0.5, 32)
    assert found.probabilities == pytest.approx(np.concatenate([by.probabilities_of_crops(one[None]) for one in crops]))


def test_progress_adds_up_to_the_slide(slide: np.ndarray) -> None:
    told: list[float] = []
    scan(ArraySlide(slide), SpotRunner(), SETTINGS, progress=told.append)
    assert sum(told) == pytest.approx(SIZE[0] * SIZE[1])
    assert len(told) > 20


def test_a_slide_that_breaks_off_in_the_middle_is_an_error_and_no_half_result(slide: np.ndarray) -> None:
    class Broken(ArraySlide):
        in_memory = False

        def read(self, window: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
            if window[3] > 300:
                raise SporeYoloError("slide.tif: damaged at row 300")
            return super().read(window, level)

    with pytest.raises(SporeYoloError, match="damaged at row 300"):
        scan(Broken(slide), SpotRunner(), SETTINGS, namer=namer())


def test_an_error_of_the_network_is_not_swallowed(slide: np.ndarray) -> None:
    class Failing(SpotRunner):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            if len(self.calls) == 5:
                raise RuntimeError("out of memory")
            return super().__call__(batch)

    with pytest.raises(RuntimeError, match="out of memory"):
        scan(ArraySlide(slide), Failing(), SETTINGS)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_nobody_reads_a_slide_that_is_closed_after_a_stop(slide: np.ndarray, error: type[BaseException]) -> None:
    class Slow(ArraySlide):
        in_memory = False
        reading, closed, read_closed = 0, False, False

        def read(self, window: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
            self.reading += 1
            time.sleep(0.05)
            self.read_closed |= self.closed
            self.reading -= 1
            return super().read(window, level)

        def close(self) -> None:
            assert self.reading == 0
            self.closed = True

    class Failing(SpotRunner):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            raise error

    slow = Slow(slide)
    with pytest.raises(error), slow:
        scan(slow, Failing(), SETTINGS)
    time.sleep(0.1)
    assert slow.closed and not slow.read_closed


def test_a_spore_larger_than_the_overlap_can_be_is_an_error_before_any_work(slide: np.ndarray) -> None:
    runner = SpotRunner()
    with pytest.raises(SporeYoloError, match="does not fit into a tile"):
        scan(ArraySlide(slide), runner, TilingSettings(96, 1.0, 80, 0.6, 300))
    assert runner.calls == []


@pytest.mark.parametrize("scale", [0.5, 1.3, 3.0])
def test_a_whole_tile_has_the_models_size(slide: np.ndarray, scale: float) -> None:
    shapes = set()

    class Noting(SpotRunner):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            shapes.add(batch.shape[1:3])
            return super().__call__(batch)

    scan(ArraySlide(slide), Noting(), TilingSettings(128, scale, 20, 0.6, 300))
    assert shapes == {(128, 128)}


def test_tiles_of_a_file_are_as_those_of_memory(slide: np.ndarray, spots: list[Any], tmp_path: Path) -> None:
    import tifffile

    from spore_yolo.inference.slides import open_slide

    tifffile.imwrite(tmp_path / "slide.tif", slide, tile=(128, 128), compression="deflate", photometric="rgb")
    with open_slide(tmp_path / "slide.tif") as opened:
        found = scan(opened, SpotRunner(), SETTINGS, namer=namer())[0]
    memory = scan(ArraySlide(slide), SpotRunner(), SETTINGS, namer=namer())[0]
    assert boxes_of(found) == spots
    assert found.probabilities is not None and memory.probabilities is not None
    assert found.probabilities.tobytes() == memory.probabilities.tobytes()
