from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.inference.crops import crop_windows, cut_crops, cut_window

Window = tuple[int, int, int, int]


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        pytest.param((10, 20, 30, 40), 0.0, (10, 20, 30, 40), id="a square without context"),
        pytest.param((10, 20, 30, 40), 0.25, (5, 15, 35, 45), id="a quarter of the side on each side"),
        pytest.param((0, 0, 40, 10), 0.0, (0, -15, 40, 25), id="a wide box goes into a square, beyond the slide"),
        pytest.param((50, 0, 60, 40), 0.5, (15, -20, 95, 60), id="the longer side counts"),
        pytest.param((5.0, 5.0, 5.4, 5.2), 0.1, (4, 4, 6, 6), id="at least two pixels"),
        pytest.param((0.2, 0.2, 20.4, 20.4), 0.0, (0, 0, 20, 20), id="fractions are rounded"),
    ],
)
def test_windows(box: tuple[float, ...], margin: float, expected: Window) -> None:
    windows = crop_windows(np.array([box], dtype=np.float64), margin)
    assert windows.dtype == np.int64
    assert windows.tolist() == [list(expected)]


def test_windows_of_no_boxes() -> None:
    assert crop_windows(np.zeros((0, 4)), 0.25).shape == (0, 4)


coordinates = st.floats(-50, 5000, allow_nan=False)
sides = st.floats(0.01, 600)


@given(st.lists(st.tuples(coordinates, coordinates, sides, sides), max_size=8), st.floats(0, 2))
def test_a_window_is_a_square_round_the_middle_of_its_box(
    rows: list[tuple[float, float, float, float]], margin: float
) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in rows]).reshape(-1, 4)
    windows = crop_windows(boxes, margin)
    for (x0, y0, x1, y1), (left, top, right, bottom) in zip(boxes, windows, strict=True):
        side = right - left
        assert side == bottom - top >= 2
        wanted = max(x1 - x0, y1 - y0) * (1 + 2 * margin)
        assert side == 2 or abs(side - wanted) <= 0.5 + 1e-6
        assert abs((left + right) - (x0 + x1)) <= 1 + 1e-6
        assert abs((top + bottom) - (y0 + y1)) <= 1 + 1e-6


@st.composite
def windows_on_a_slide(draw: st.DrawFn) -> tuple[int, int, Window]:
    """A small slide and a window that shares at least a pixel with it, however far it reaches beyond."""
    width, height = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    left, top = draw(st.integers(-20, width - 1)), draw(st.integers(-20, height - 1))
    right = draw(st.integers(max(1, left + 1), 40))
    bottom = draw(st.integers(max(1, top + 1), 40))
    return width, height, (left, top, right, bottom)


@given(windows_on_a_slide())
def test_beyond_the_border_the_outermost_pixels_go_on(case: tuple[int, int, Window]) -> None:
    width, height, (left, top, right, bottom) = case
    slide = noise(width, height)
    around = 60
    padded = np.pad(slide, ((around, around), (around, around), (0, 0)), mode="edge")
    expected = padded[top + around : bottom + around, left + around : right + around]
    assert np.array_equal(cut_window(slide, np.array([left, top, right, bottom])), expected)


@pytest.mark.parametrize("window", [(-9, 3, -5, 7), (30, 3, 34, 7), (2, -9, 6, -5), (2, 25, 6, 29), (40, 40, 44, 44)])
def test_a_window_beside_the_slide_shows_its_border(window: Window) -> None:
    slide = noise(20, 15)
    padded = np.pad(slide, ((60, 60), (60, 60), (0, 0)), mode="edge")
    left, top, right, bottom = (value + 60 for value in window)
    assert np.array_equal(cut_window(slide, np.array(window)), padded[top:bottom, left:right])


def test_a_window_of_the_wanted_size_is_cut_as_it_is() -> None:
    slide = noise(100, 80)
    boxes = np.array([[10, 20, 42, 40], [60, 10, 70, 42]], dtype=np.float64)
    crops = cut_crops(slide, boxes, 0.0, 32)
    assert crops.dtype == np.uint8
    assert np.array_equal(crops[0], slide[14:46, 10:42])
    assert np.array_equal(crops[1], slide[10:42, 49:81])


def test_shrinking_averages_over_the_pixels() -> None:
    slide = noise(96, 96)
    crop = cut_crops(slide, np.array([[0, 0, 96, 96]], dtype=np.float64), 0.0, 32)[0]
    expected = slide.reshape(32, 3, 32, 3, 3).astype(np.float64).mean(axis=(1, 3))
    assert np.abs(crop - expected).max() <= 0.51


def test_enlarging_keeps_place_and_size_of_what_is_seen() -> None:
    slide = np.full((60, 60, 3), 200, dtype=np.uint8)
    slide[20:40, 25:35] = 40
    crop = cut_crops(slide, np.array([[25, 20, 35, 40]], dtype=np.float64), 0.25, 90)[0]
    # The window has 30 pixels, so all is three times as large: 30 wide, 60 high, in the middle.
    rows, columns = np.nonzero(crop[:, :, 0] < 120)
    assert (rows.min(), rows.max() + 1) == pytest.approx((15, 75), abs=1)
    assert (columns.min(), columns.max() + 1) == pytest.approx((30, 60), abs=1)


def test_colours_stay_in_their_order() -> None:
    slide = np.zeros((50, 50, 3), dtype=np.uint8)
    slide[:] = (250, 120, 10)
    for size in (16, 20, 64):
        assert (cut_crops(slide, np.array([[10, 10, 30, 30]], np.float64), 0.0, size) == (250, 120, 10)).all()


def test_no_boxes_no_crops() -> None:
    assert cut_crops(noise(20, 20), np.zeros((0, 4)), 0.25, 64).shape == (0, 64, 64, 3)
