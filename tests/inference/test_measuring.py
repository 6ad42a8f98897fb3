from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.inference.measuring import Measurement, measure

GROUND = np.array([205.0, 200.0, 190.0])
BODY = np.array([120.0, 110.0, 70.0])

Share = npt.NDArray[np.float64]
"""``(height, width)``: which part of each pixel a body covers."""


def grid(size: int, fine: int) -> tuple[Share, Share]:
    """Positions in pixels of ``fine`` x ``fine`` points in each pixel of a square picture."""
    points = (np.arange(size * fine) + 0.5) / fine
    x, y = np.meshgrid(points, points)
    return x, y


def covered(inside: npt.NDArray[np.bool_], fine: int) -> Share:
    size = len(inside) // fine
    return np.asarray(inside.reshape(size, fine, size, fine).mean(axis=(1, 3)))


def turned(x: Share, y: Share, centre: tuple[float, float], degrees: float) -> tuple[Share, Share]:
    """Coordinates along and across a body."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = x - centre[0], y - centre[1]
    return x * cos + y * sin, y * cos - x * sin


def ellipse(size: int, centre: tuple[float, float], length: float, width: float, degrees: float) -> Share:
    fine = 6
    along, across = turned(*grid(size, fine), centre, degrees)
    return covered((along / length) ** 2 + (across / width) ** 2 <= 0.25, fine)


def rod(size: int, centre: tuple[float, float], length: float, width: float, degrees: float) -> Share:
    """A rod with round ends."""
    fine = 6
    along, across = turned(*grid(size, fine), centre, degrees)
    beyond = np.maximum(np.abs(along) - (length - width) / 2, 0)
    return covered(np.hypot(beyond, across) <= width / 2, fine)


def ellipse_area(length: float, width: float) -> float:
    return math.pi / 4 * length * width


def rod_area(length: float, width: float) -> float:
    return (length - width) * width + math.pi / 4 * width**2


def picture(share: Share, noise: float = 3.0, body: Any = BODY) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    pixels = GROUND + share[:, :, None] * (body - GROUND) + rng.normal(0, noise, (*share.shape, 3))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def frame(share: Share) -> npt.NDArray[np.float64]:
    """The box round a body, edges where pixels are covered by half."""
    rows, columns = np.nonzero(share >= 0.5)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=np.float64)


@given(
    shape=st.sampled_from([(ellipse, ellipse_area), (rod, rod_area)]),
    length=st.floats(16, 90),
    slenderness=st.floats(1, 4),
    degrees=st.floats(0, 180),
    offset=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)
def test_ellipses_and_rods_at_any_angle(
    shape: Any, length: float, slenderness: float, degrees: float, offset: tuple[float, float]
) -> None:
    draw, area = shape
    width = max(length / slenderness, 6.0)
    size = math.ceil(length * 1.8)
    share = draw(size, (size / 2 + offset[0], size / 2 + offset[1]), length, width, degrees)
    found = measure(picture(share), frame(share))
    assert found.by == "outline"
    assert found.length_px == pytest.approx(length, rel=0.1)
    assert found.width_px == pytest.approx(width, rel=0.1)
    assert found.area_px == pytest.approx(area(length, width), rel=0.1)


def test_a_diagonal_rod_is_much_narrower_than_its_box() -> None:
    share = rod(100, (50, 50), 60, 12, 45)
    box = frame(share)
    assert min(box[2:] - box[:2]) > 3 * 12
    assert measure(picture(share), box).width_px == pytest.approx(12, rel=0.05)


def test_a_curved_spore_is_as_wide_as_its_body() -> None:
    fine, size = 6, 120
    x, y = grid(size, fine)
    radius, angle = np.hypot(x - 60, y - 100), np.arctan2(100 - y, x - 60)
    share = covered((np.abs(radius - 60) <= 5) & (np.abs(angle - math.pi / 2) <= 0.6), fine)
    box = frame(share)
    assert min(box[2:] - box[:2]) > 18
    found = measure(picture(share), box)
    assert (found.by, found.width_px) == ("outline", pytest.approx(10, rel=0.1))


@pytest.mark.parametrize("edge", range(4))
@pytest.mark.parametrize("pixels", [-3.0, 3.0])
def test_a_box_that_is_a_little_off_changes_little(edge: int, pixels: float) -> None:
    share = ellipse(90, (45, 45), 40, 16, 30)
    box = frame(share)
    box[edge] += pixels
    found = measure(picture(share), box)
    assert (found.by, found.length_px) == ("outline", pytest.approx(40, rel=0.05))


@pytest.mark.parametrize("gap", [0, 2])
def test_a_dark_wall_round_a_clear_inside_is_a_whole_spore(gap: int) -> None:
    wall = ellipse(90, (45, 45), 50, 30, 20) - ellipse(90, (45, 45), 40, 20, 20)
    wall[:45, 44 : 44 + gap] = 0
    box = frame(ellipse(90, (45, 45), 50, 30, 20))
    found = measure(picture(wall), box)
    assert (found.by, found.area_px) == ("outline", pytest.approx(ellipse_area(50, 30), rel=0.1))


def test_a_pale_spore_on_dark_ground() -> None:
    share = ellipse(90, (45, 45), 40, 20, 60)
    found = measure(255 - picture(share), frame(share))
    assert (found.length_px, found.width_px) == (pytest.approx(40, rel=0.05), pytest.approx(20, rel=0.05))


def test_a_neighbour_that_all_but_touches_is_left_out() -> None:
    spore, neighbour = ellipse(120, (50, 60), 40, 20, 0), ellipse(120, (84, 64), 40, 24, 90)
    found = measure(picture(np.maximum(spore, neighbour)), frame(spore))
    assert (found.by, found.length_px) == ("outline", pytest.approx(40, rel=0.05))


def test_spores_that_touch_have_no_outline_of_their_own() -> None:
    spore, neighbour = ellipse(120, (50, 60), 40, 20, 0), ellipse(120, (75, 62), 40, 24, 90)
    assert measure(picture(np.maximum(spore, neighbour)), frame(spore)).by == "box"


def test_a_dark_neighbour_that_stands_apart_does_not_hide_a_faint_spore() -> None:
    spore, clump = ellipse(120, (45, 60), 40, 20, 0), ellipse(120, (85, 60), 24, 60, 0)
    pixels = picture(spore, body=GROUND - 25)
    pixels[clump > 0.5] = 0
    found = measure(pixels, frame(spore))
    assert (found.by, found.width_px) == ("outline", pytest.approx(20, rel=0.1))


BY_BOX = Measurement(30, 20, math.pi / 4 * 600, "box")


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(picture(np.zeros((80, 80))), id="nothing to see"),
        pytest.param(np.full((80, 80, 3), 128, dtype=np.uint8), id="one colour"),
        pytest.param(picture(np.ones((80, 80)) * (np.arange(80) < 35)), id="a clump on one side"),
        pytest.param(picture(ellipse(80, (35, 35), 76, 60, 10)), id="a clump that reaches far beyond"),
        pytest.param(picture(ellipse(80, (35, 35), 40, 30, 0)), id="a body that is too large"),
        pytest.param(picture(rod(80, (35, 35), 26, 1.5, 0)), id="a hair"),
        pytest.param(picture(ellipse(80, (27.5, 31), 12, 10, 0)), id="a speck beside the middle"),
    ],
)
def test_without_a_plausible_outline_it_is_the_box(pixels: npt.NDArray[np.uint8]) -> None:
    found = measure(pixels, [20, 25, 50, 45])
    assert found == Measurement(30, 20, pytest.approx(BY_BOX.area_px), "box")


@pytest.mark.parametrize(
    ("box", "length", "width"),
    [
        pytest.param([-200, -200, -180, -190], 20, 10, id="beside the slide"),
        pytest.param([300, 10, 320, 20], 20, 10, id="beyond the slide"),
        pytest.param([0, 0, 40, 30], 40, 30, id="the whole slide"),
        pytest.param([10, 10, 10, 20], 10, 0, id="without area"),
        pytest.param([3.2, 3.2, 3.4, 3.3], 0.2, 0.1, id="less than a pixel"),
    ],
)
def test_boxes_that_show_no_spore(box: list[float], length: float, width: float) -> None:
    found = measure(picture(np.zeros((30, 40))), box)
    assert (found.length_px, found.width_px) == (pytest.approx(length), pytest.approx(width))
    assert found.by == "box"


def test_a_spore_in_the_corner_of_the_slide() -> None:
    share = ellipse(90, (45, 45), 40, 16, 30)
    box = frame(share)
    corner = np.floor(box[:2]).astype(int)
    pixels = picture(share)[corner[1] :, corner[0] :]
    found = measure(pixels, box - np.tile(corner, 2))
    assert found.length_px == pytest.approx(40, rel=0.1)
