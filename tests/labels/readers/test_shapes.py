"""Boxes round shapes."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.labels.readers.shapes import (
    Shapes,
    box_round,
    box_round_ellipse,
    box_round_rotated,
    plain_number,
)

place = st.floats(-1000, 1000)
side = st.floats(0.1, 500)
angle = st.floats(-7, 7)


@pytest.mark.parametrize("text", ["0", "-1", "+2.5", "1.", ".5", "1e3", "1E-3", " 4\n", "nan", "-inf", "Infinity"])
def test_numbers(text: str) -> None:
    assert plain_number(text) == pytest.approx(float(text), nan_ok=True)


@pytest.mark.parametrize(
    "text", ["", " ", "1_000", "\uff11", "٣", "1,5", "0x10", "1e", "e5", ".", "--1", "1 2", "1" + "\0"]
)
def test_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number, found"):
        plain_number(text)


def test_box_round_points() -> None:
    assert box_round([(4, 9), (8, 2), (6, 5)]) == (4, 2, 8, 9)
    assert box_round([(4, 9)]) == (4, 9, 4, 9)


@pytest.mark.parametrize("where", range(6))
def test_nan_is_not_passed_over(where: int) -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    values[where] = math.nan
    assert all(map(math.isnan, box_round(zip(values[::2], values[1::2], strict=True))))


@given(place, place, side, side, angle)
@settings(max_examples=100)
def test_rotated_box_is_round_its_corners(x: float, y: float, width: float, height: float, turn: float) -> None:
    corners = cv2.boxPoints(((x, y), (width, height), math.degrees(turn)))
    expected = (*corners.min(axis=0), *corners.max(axis=0))
    assert box_round_rotated(x, y, width, height, turn) == pytest.approx(expected, abs=2e-2)


@given(place, place, side, side, angle)
@settings(max_examples=100)
def test_ellipse_is_inside_and_touches(x: float, y: float, radius_x: float, radius_y: float, turn: float) -> None:
    t = np.linspace(0, 2 * np.pi, 2000)
    along, across = radius_x * np.cos(t), radius_y * np.sin(t)
    xs = x + along * np.cos(turn) - across * np.sin(turn)
    ys = y + along * np.sin(turn) + across * np.cos(turn)
    expected = (xs.min(), ys.min(), xs.max(), ys.max())
    assert box_round_ellipse(x, y, radius_x, radius_y, turn) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("turned", [box_round_rotated, box_round_ellipse])
def test_a_turn_gives_no_area_to_what_has_none(turned: type[box_round_rotated]) -> None:
    x_min, _, x_max, _ = turned(10, 10, 0, 5, math.pi / 4)
    assert x_min == x_max
    x_min, _, x_max, _ = turned(10, 10, -4, 5, math.pi / 4)
    assert x_min > x_max


@pytest.mark.parametrize("turned", [box_round_rotated, box_round_ellipse])
@pytest.mark.parametrize("turn", [math.nan, math.inf])
def test_angle_that_is_none(turned: type[box_round_rotated], turn: float) -> None:
    assert all(map(math.isnan, turned(10, 10, 4, 5, turn)))


def test_notes() -> None:
    shapes = Shapes()
    assert shapes.notes() == []
    shapes.turned.update({"polygons": 1200, "ellipses": 1})
    shapes.left_out.update({"tag": 3})
    shapes.joined = 2
    assert shapes.notes() == [
        "1 ellipses, 1,200 polygons were turned into the boxes round them",
        "2 outlines were joined with others of their class and group_id to one box",
        "annotations that are no boxes were left out: 3 tag",
    ]


def test_notes_are_short_whatever_the_file_calls_its_kinds() -> None:
    shapes = Shapes()
    shapes.left_out.update({f"{number}" * 1000: 1 for number in range(1000)})
    assert len(shapes.notes()[0]) < 600
