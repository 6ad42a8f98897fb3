from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.inference import windows
from spore_yolo.inference.slides import Pixels, Slide
from spore_yolo.inference.windows import read_windows


class Numbered(Slide):
    """Each pixel says where it lies; what was read is remembered."""

    def __init__(self, width: int, height: int, row_step: int = 1) -> None:
        super().__init__("numbered", width, height, row_step=row_step)
        self.seen: list[tuple[int, int, int, int]] = []

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        x_min, y_min, x_max, y_max = window
        assert 0 <= x_min < x_max <= self.width and 0 <= y_min < y_max <= self.height
        self.seen.append(window)
        return self.at(window)

    @staticmethod
    def at(window: npt.NDArray[np.int64] | tuple[int, int, int, int]) -> Pixels:
        x_min, y_min, x_max, y_max = window
        x, y = np.meshgrid(np.arange(x_min, x_max), np.arange(y_min, y_max))
        return np.stack([x % 251, y % 241, (x + y) % 239], axis=2).astype(np.uint8)


def squares(rng: np.random.Generator, count: int, width: int, height: int, side: int) -> npt.NDArray[np.int64]:
    corners = np.stack([rng.integers(-side // 2, width, count), rng.integers(-side // 2, height, count)], axis=1)
    return np.concatenate([corners, corners + rng.integers(1, side, count)[:, None]], axis=1)


@pytest.mark.parametrize("row_step", [1, 7, 500])
@pytest.mark.parametrize("band", [3 * 300 * 20, 3 * 300 * 1000, 1])
def test_each_window_comes_once_with_its_own_pixels(monkeypatch: pytest.MonkeyPatch, row_step: int, band: int) -> None:
    monkeypatch.setattr(windows, "BAND_BYTES", band)
    slide = Numbered(300, 400, row_step)
    wanted = squares(np.random.default_rng(0), 200, 300, 400, 30)
    came: list[int] = []
    for numbers, pixels, (left, top) in read_windows(slide, wanted):
        came += numbers.tolist()
        for number in numbers:
            x_min, y_min, x_max, y_max = np.clip(wanted[number], 0, [300, 400, 300, 400])
            part = pixels[y_min - top : y_max - top, x_min - left : x_max - left]
            np.testing.assert_array_equal(part, Numbered.at((x_min, y_min, x_max, y_max)))
    assert sorted(came) == list(range(200))


def test_no_windows_mean_no_reading() -> None:
    slide = Numbered(300, 400)
    assert list(read_windows(slide, np.zeros((0, 4), dtype=np.int64))) == []
    assert slide.seen == []


def test_half_a_million_windows_on_a_huge_slide_read_it_about_once_in_small_pieces() -> None:
    class Counted(Numbered):
        def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
            self.seen.append(window)
            return np.zeros((1, 1, 3), dtype=np.uint8)

    slide = Counted(40_000, 40_000, 256)
    wanted = squares(np.random.default_rng(0), 500_000, 40_000, 40_000, 60)
    assert sum(len(numbers) for numbers, _, _ in read_windows(slide, wanted)) == 500_000
    areas = [(x_max - x_min) * (y_max - y_min) for x_min, y_min, x_max, y_max in slide.seen]
    assert sum(areas) < 1.2 * 40_000**2
    assert 3 * max(areas) < 1.2 * windows.BAND_BYTES
    tops = [window[1] for window in slide.seen]
    assert tops == sorted(tops)


def test_a_tall_window_does_not_widen_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "BAND_BYTES", 3 * 300 * 20)
    slide = Numbered(300, 400)
    wanted = np.array([[0, 0, 10, 390], [290, 0, 299, 9], [280, 1, 289, 10]])
    assert [numbers.tolist() for numbers, _, _ in read_windows(slide, wanted)] in ([[0], [1, 2]], [[1, 2], [0]])
    assert sorted(slide.seen) == [(0, 0, 10, 390), (280, 0, 299, 10)]


@given(st.lists(st.tuples(*[st.integers(-50, 150)] * 2, *[st.integers(1, 90)] * 2), max_size=20))
def test_windows_anywhere_are_read_inside_of_the_slide(places: list[tuple[int, int, int, int]]) -> None:
    wanted = np.array([[x, y, x + w, y + h] for x, y, w, h in places], dtype=np.int64).reshape(-1, 4)
    came = [number for numbers, _, _ in read_windows(Numbered(100, 80), wanted) for number in numbers.tolist()]
    assert sorted(came) == list(range(len(places)))
