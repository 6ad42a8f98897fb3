"""What every slide does."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.slides import ArraySlide, Pixels, Slide, slide

Window = tuple[int, int, int, int]


class Levels(Slide):
    """A slide of several levels that notes what is read of it."""

    def __init__(self, *levels: Pixels, row_step: int = 1) -> None:
        height, width = levels[0].shape[:2]
        super().__init__("slide", width, height, None, tuple(width / level.shape[1] for level in levels), row_step)
        self.levels = levels
        self.reads: list[tuple[Window, int]] = []

    def read(self, window: Window, level: int = 0) -> Pixels:
        self.reads.append((window, level))
        x_min, y_min, x_max, y_max = window
        return self.levels[level][y_min:y_max, x_min:x_max]


def test_window_of_an_array_is_a_view(colours: Pixels) -> None:
    pixels = ArraySlide(colours).read((10, 20, 110, 50))
    np.testing.assert_array_equal(pixels, colours[20:50, 10:110])
    assert np.shares_memory(pixels, colours)


@pytest.mark.parametrize("longest", [419, 500, 100_000])
def test_never_enlarged(colours: Pixels, longest: int) -> None:
    np.testing.assert_array_equal(ArraySlide(colours).reduced(longest), colours)


@pytest.mark.parametrize("longest", [1, 7, 100, 210, 300, 418])
@pytest.mark.parametrize("block", [1, 5_000, 30_000])
def test_reduced_in_bands_shows_what_reduced_at_once_shows(
    colours: Pixels, longest: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide, "BLOCK", block)
    reduced = ArraySlide(colours).reduced(longest)
    assert max(reduced.shape) == max(longest, 3)
    size = (reduced.shape[1], reduced.shape[0])
    at_once: npt.NDArray[np.uint8] = cv2.resize(colours, size, interpolation=cv2.INTER_AREA)
    # Bands begin at whole pixels, so that some rows move by less than one.
    assert np.abs(cv2.blur(reduced, (3, 3)).astype(int) - cv2.blur(at_once, (3, 3))).mean() < 4


def test_reduced_reads_the_smallest_level_that_serves(colours: Pixels) -> None:
    levels = Levels(colours, colours[::2, ::2], colours[::4, ::4])
    reduced = levels.reduced(150)
    assert reduced.shape == (108, 150, 3)
    assert {level for _, level in levels.reads} == {1}


def test_reduced_reads_bands_of_full_width(colours: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide, "BLOCK", 419 * 60)
    levels = Levels(colours, row_step=20)
    levels.reduced(100)
    assert all((window[0], window[2]) == (0, 419) for window, _ in levels.reads)
    assert max(window[3] - window[1] for window, _ in levels.reads) <= 64
    assert sum(window[3] - window[1] for window, _ in levels.reads) < 1.2 * 301, "hardly a row is read twice"


@pytest.mark.parametrize(("factor", "level"), [(0.5, 0), (1.0, 0), (1.9, 0), (2.0, 1), (3.9, 1), (4.0, 2), (99.0, 2)])
def test_level_for_a_factor(colours: Pixels, factor: float, level: int) -> None:
    levels = Levels(colours[:300, :400], colours[:300:2, :400:2], colours[:300:4, :400:4])
    assert levels.level_for(factor) == level


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (KeyError("x"), slide.UnreadableSlide, r"a\.tif: expected a whole TIFF, found .*KeyError: 'x'"),
        (ValueError(), slide.UnreadableSlide, r"a\.tif: expected a whole TIFF, found .*\(ValueError\)"),
        (MemoryError(), slide.TooLargeImage, r"a\.tif: its pixels do not fit into memory"),
        (UsageError("as it is"), UsageError, "^as it is$"),
    ],
)
def test_errors_of_readers_become_errors_for_people(raised: Exception, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message), slide.clear_errors("a.tif", "a whole TIFF"):
        raise raised


def test_a_stop_that_a_reader_wrapped_is_no_damage() -> None:
    error = RuntimeError("Error calling __set_name__")
    error.__cause__ = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt), slide.clear_errors("a.tif", "a whole TIFF"):
        raise error
