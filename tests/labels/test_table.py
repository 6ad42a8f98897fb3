"""The boxes table and the check of boxes."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from spore_yolo.files.images import EXIF_ORIENTATION, ImageSize
from spore_yolo.labels.table import (
    BOX_COLUMNS,
    COORDINATES,
    UNKNOWN_SIZE,
    RawBox,
    boxes_table,
    check_boxes,
    clipped_to,
    turned,
)

Corners = tuple[float, float, float, float]

FILE = Path("labels.csv")


def raw(corners: Corners, stated_size: tuple[int, int] | None = None, image: str = "a.jpg", line: int = 7) -> RawBox:
    return RawBox(image, "rust", *corners, False, FILE, line, stated_size)


def corners_of(table: pd.DataFrame) -> list[list[float]]:
    rows: list[list[float]] = table[COORDINATES].to_numpy().tolist()
    return rows


def test_an_empty_table_has_the_columns_and_types_of_a_full_one() -> None:
    full = boxes_table([("a.jpg", "rust", 0.0, 0.0, 1.0, 1.0, False, "labels.csv", 3)])
    empty = boxes_table()
    assert list(empty.columns) == list(full.columns) == BOX_COLUMNS
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
    assert (len(empty), len(full)) == (0, 1)


def test_table_keeps_a_missing_line_missing() -> None:
    row = ("a.jpg", "rust", 0, 0, 1, 1, True, "a.xml")
    table = boxes_table([(*row, None), (*row, 12)])
    assert table["line"].isna().tolist() == [True, False]
    assert table["line"][1] == 12
    assert table["ignored"].tolist() == [True, True]
    assert table[COORDINATES].dtypes.unique().tolist() == [np.dtype("float64")]


def test_a_good_box_goes_through_unchanged() -> None:
    box = RawBox("deep/a.jpg", "rust", 1.5, 2.0, 30.25, 40.0, True, Path("x/a.xml"), 9)
    checked = check_boxes([box], {"deep/a.jpg": ImageSize(100, 80)})
    assert checked.table.iloc[0].to_dict() == {
        "image": "deep/a.jpg",
        "class": "rust",
        "x_min": 1.5,
        "y_min": 2.0,
        "x_max": 30.25,
        "y_max": 40.0,
        "ignored": True,
        "label_file": "x/a.xml",
        "line": 9,
    }
    assert (checked.problems, checked.clipped) == ([], 0)


@pytest.mark.parametrize(
    ("corners", "expected", "clipped"),
    [
        pytest.param((0, 0, 100, 80), [0, 0, 100, 80], 0, id="the whole image"),
        pytest.param((99, 79, 100, 80), [99, 79, 100, 80], 0, id="the last pixel"),
        pytest.param((-0.5, 10, 20, 30), [0, 10, 20, 30], 1, id="half a pixel beyond the left"),
        pytest.param((10, -0.99, 20, 30), [10, 0, 20, 30], 1, id="nearly a pixel beyond the top"),
        pytest.param((90, 10, 100.9, 30), [90, 10, 100, 30], 1, id="beyond the right"),
        pytest.param((90, 70, 95, 80.01), [90, 70, 95, 80], 1, id="a little beyond the bottom"),
        pytest.param((-0.9, -0.9, 100.9, 80.9), [0, 0, 100, 80], 1, id="beyond every side is one box clipped"),
        pytest.param((0.2, 0.2, 0.4, 0.4), [0.2, 0.2, 0.4, 0.4], 0, id="smaller than a pixel, yet with an area"),
    ],
)
def test_boxes_that_are_taken(corners: Corners, expected: list[float], clipped: int) -> None:
    checked = check_boxes([raw(corners)], {"a.jpg": ImageSize(100, 80)})
    assert checked.problems == []
    assert corners_of(checked.table) == [expected]
    assert checked.clipped == clipped


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        pytest.param((-1, 10, 20, 30), "beyond the border", id="a whole pixel beyond the left"),
        pytest.param((10, -1, 20, 30), "beyond the border", id="a whole pixel beyond the top"),
        pytest.param((10, 10, 101, 30), "beyond the border", id="a whole pixel beyond the right"),
        pytest.param((10, 10, 20, 81), "beyond the border", id="a whole pixel beyond the bottom"),
        pytest.param((500, 10, 600, 30), "outside", id="outside, to the right"),
        pytest.param((-30, 10, -10, 30), "outside", id="outside, to the left"),
        pytest.param((100, 10, 100.5, 30), "outside", id="begins where the image ends"),
        pytest.param((10, -0.5, 20, 0), "outside", id="ends where the image begins"),
        pytest.param((10, 10, 10, 30), "box with an area", id="no width"),
        pytest.param((10, 30, 20, 30), "box with an area", id="no height"),
        pytest.param((20, 10, 10, 30), "box with an area", id="left and right exchanged"),
        pytest.param((10, 30, 20, 10), "box with an area", id="top and bottom exchanged"),
        pytest.param((math.nan, 10, 20, 30), "expected four numbers", id="not a number"),
        pytest.param((10, 10, 20, math.nan), "expected four numbers", id="the last one is not a number"),
        pytest.param((10, 10, math.inf, 30), "expected four numbers", id="infinite"),
        pytest.param((-math.inf, 10, 20, 30), "expected four numbers", id="infinite to the left"),
    ],
)
def test_boxes_that_are_refused(corners: Corners, message: str) -> None:
    checked = check_boxes([raw(corners)], {"a.jpg": ImageSize(100, 80)})
    assert len(checked.table) == 0
    assert checked.clipped == 0
    assert [(problem.file, problem.line) for problem in checked.problems] == [(FILE, 7)]
    assert message in checked.problems[0].message


def test_a_label_file_whose_name_is_no_text() -> None:
    box = raw((1, 2, 3, 4))._replace(file=Path(os.fsdecode(b"Stra\xdfe.xml")))
    assert list(check_boxes([box], {"a.jpg": ImageSize(100, 80)}).table["label_file"]) == ["Stra?e.xml"]


def test_a_bad_box_does_not_take_its_neighbours_along() -> None:
    boxes = [raw((0, 0, 5, 5), line=2), raw((5, 5, 5, 5), line=3), raw((1, 1, 2, 2), line=4)]
    checked = check_boxes(boxes, {"a.jpg": ImageSize(100, 80)})
    assert checked.table["line"].tolist() == [2, 4]
    assert [problem.line for problem in checked.problems] == [3]


def test_each_box_is_held_against_its_own_image() -> None:
    boxes = [raw((50, 50, 70, 70), image="a.jpg"), raw((50, 50, 70, 70), image="b.jpg")]
    checked = check_boxes(boxes, {"a.jpg": ImageSize(100, 80), "b.jpg": ImageSize(60, 60)})
    assert checked.table["image"].tolist() == ["a.jpg"]
    assert "b.jpg" in checked.problems[0].message


class TestStatedSize:
    @pytest.mark.parametrize(
        ("stated", "orientation", "fits"),
        [
            pytest.param(None, 1, True, id="no size stated"),
            pytest.param((100, 80), 1, True, id="the size of the image"),
            pytest.param((100, 80), 6, True, id="the displayed size of a turned image"),
            pytest.param((80, 100), 6, True, id="the stored size of a turned image"),
            pytest.param((80, 100), 1, False, id="sides swapped, though the image is not turned"),
            pytest.param((80, 100), 3, False, id="sides swapped, though a turn by 180 degrees swaps none"),
            pytest.param((200, 160), 1, False, id="labels of a larger version"),
            pytest.param((100, 81), 1, False, id="one pixel off"),
        ],
    )
    def test_labels_of_another_version_of_the_image(
        self, stated: tuple[int, int] | None, orientation: int, fits: bool
    ) -> None:
        checked = check_boxes([raw((10, 20, 30, 40), stated)], {"a.jpg": ImageSize(100, 80, orientation)})
        assert len(checked.table) == fits
        assert ["another version" in problem.message for problem in checked.problems] == [True] * (not fits)

    @pytest.mark.parametrize(
        ("orientation", "expected"),
        [
            # Stored 6 wide and 4 high, displayed 4 wide and 6 high; the box is 2 wide, 1 high, at the stored top left.
            pytest.param(5, [0, 0, 1, 2], id="mirrored at the diagonal: stays at the top left"),
            pytest.param(6, [3, 0, 4, 2], id="turned to the right: goes to the top right"),
            pytest.param(7, [3, 4, 4, 6], id="mirrored at the other diagonal: goes to the bottom right"),
            pytest.param(8, [0, 4, 1, 6], id="turned to the left: goes to the bottom left"),
        ],
    )
    def test_box_on_the_stored_pixels_turns_with_the_image(self, orientation: int, expected: list[float]) -> None:
        checked = check_boxes([raw((0, 0, 2, 1), (6, 4))], {"a.jpg": ImageSize(4, 6, orientation)})
        assert corners_of(checked.table) == [expected]

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("stated", [None, (4, 6)], ids=["no size stated", "displayed size stated"])
    def test_box_on_the_displayed_image_stays(self, orientation: int, stated: tuple[int, int] | None) -> None:
        checked = check_boxes([raw((0, 0, 2, 1), stated)], {"a.jpg": ImageSize(4, 6, orientation)})
        assert corners_of(checked.table) == [[0, 0, 2, 1]]

    def test_overhang_is_measured_on_the_displayed_image(self) -> None:
        # Half a pixel beyond the stored left is, turned to the right, half a pixel beyond the displayed top.
        checked = check_boxes([raw((-0.5, 1, 2, 2), (6, 4))], {"a.jpg": ImageSize(4, 6, 6)})
        assert corners_of(checked.table) == [[2, 0, 3, 2]]
        assert checked.clipped == 1


@st.composite
def stored_boxes(draw: st.DrawFn) -> tuple[int, int, tuple[int, int, int, int]]:
    """Width and height of an image that is not square, and a box on it."""
    width = draw(st.integers(1, 24))
    height = draw(st.integers(1, 24).filter(lambda side: side != width))
    x_min = draw(st.integers(0, width - 1))
    y_min = draw(st.integers(0, height - 1))
    return width, height, (x_min, y_min, draw(st.integers(x_min + 1, width)), draw(st.integers(y_min + 1, height)))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@given(case=stored_boxes())
@settings(max_examples=60, deadline=None)
def test_a_turned_box_covers_the_pixels_that_it_covered(
    orientation: int, case: tuple[int, int, tuple[int, int, int, int]]
) -> None:
    width, height, box = case
    pixels = np.zeros((height, width), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    image = Image.fromarray(pixels)
    image.getexif()[EXIF_ORIENTATION] = orientation
    displayed = ImageOps.exif_transpose(image)
    assert displayed.size == (height, width)

    checked = check_boxes([raw(box, (width, height))], {"a.jpg": ImageSize(height, width, orientation)})

    assert checked.problems == []
    assert corners_of(checked.table) == [list(displayed.getbbox() or ())]


def test_image_of_unknown_size_has_no_right_and_no_lower_border() -> None:
    boxes = [
        raw((10, 20, 5000, 6000), stated_size=(50, 40), line=1),
        raw((-0.5, 0, 5, 5), line=2),
        raw((-3, 0, 5, 5), line=3),
        raw((0, -9, 5, -1), line=4),
        raw((5, 5, 5, 9), line=5),
    ]
    checked = check_boxes(boxes, {"a.jpg": UNKNOWN_SIZE})
    assert corners_of(checked.table) == [[10, 20, 5000, 6000], [0, 0, 5, 5]]
    assert checked.clipped == 1
    assert [(problem.line, problem.message.split(":")[-1]) for problem in checked.problems[:2]] == [
        (3, " it reaches beyond the border (image a.jpg, class rust)"),
        (4, " it lies outside (image a.jpg, class rust)"),
    ]
    assert "0 x 0" not in "".join(problem.message for problem in checked.problems)


def test_clipped_to() -> None:
    assert clipped_to((-5, 10, 120, 90), ImageSize(100, 80)) == (0, 10, 100, 80)
    assert clipped_to((-5, 10, 120, 90), UNKNOWN_SIZE) == (0, 10, 120, 90)


def judged_one_by_one(box: RawBox, size: ImageSize) -> tuple[str, list[float]]:
    """The code of what is wrong with a box, or its corners in the table: check_boxes in words of one box."""
    corners = list(box[2:6])
    stated = box.stated_size
    if stated is not None and size != UNKNOWN_SIZE and stated != (size.width, size.height):
        if stated != size.stored:
            return "SPR008", []
        corners = list(turned((box.x_min, box.y_min, box.x_max, box.y_max), size))
    x_min, y_min, x_max, y_max = (round(value, 4) if math.isfinite(value) else value for value in corners)
    if not all(-1e7 <= value <= 1e7 for value in (x_min, y_min, x_max, y_max)):
        return "SPR011", []
    if x_max < x_min or y_max < y_min:
        return "SPR012", []
    if x_max == x_min or y_max == y_min:
        return "SPR013", []
    width, height = (math.inf, math.inf) if size == UNKNOWN_SIZE else (size.width, size.height)
    if x_max <= 0 or y_max <= 0 or x_min >= width or y_min >= height:
        return "SPR014", []
    if x_min <= -1 or y_min <= -1 or x_max >= width + 1 or y_max >= height + 1:
        return "SPR015", []
    return "", [max(x_min, 0), max(y_min, 0), min(x_max, width), min(y_max, height)]


some_place = st.one_of(
    st.integers(-3, 12).map(float),
    st.floats(-3, 12).map(lambda value: round(value, 3)),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1.7e308, 1e7, 1e-7, -1.0, 9.00001]),
)
some_box = st.builds(
    RawBox,
    image=st.sampled_from(["plain.jpg", "turned.jpg", "unknown.jpg"]),
    class_name=st.just("rust"),
    x_min=some_place,
    y_min=some_place,
    x_max=some_place,
    y_max=some_place,
    ignored=st.booleans(),
    file=st.just(FILE),
    line=st.one_of(st.none(), st.integers(1, 9)),
    stated_size=st.sampled_from([None, (9, 7), (7, 9), (8, 8)]),
)


@pytest.mark.filterwarnings("error")
@given(boxes=st.lists(some_box, max_size=12))
@settings(max_examples=60)
def test_boxes_are_judged_together_as_they_are_one_by_one(boxes: list[RawBox]) -> None:
    sizes = {"plain.jpg": ImageSize(9, 7), "turned.jpg": ImageSize(9, 7, 6), "unknown.jpg": UNKNOWN_SIZE}
    judged = [judged_one_by_one(box, sizes[box.image]) for box in boxes]
    checked = check_boxes(boxes, sizes)
    assert [problem.code for problem in checked.problems] == [code for code, _ in judged if code]
    assert corners_of(checked.table) == [corners for code, corners in judged if not code]
    good = [box for box, (code, _) in zip(boxes, judged, strict=True) if not code]
    assert checked.table["image"].tolist() == [box.image for box in good]
    assert checked.table["ignored"].tolist() == [box.ignored for box in good]
    assert [None if line is pd.NA else line for line in checked.table["line"]] == [box.line for box in good]


def test_a_box_that_is_thinner_than_the_table_can_hold_has_no_area() -> None:
    checked = check_boxes([raw((10, 10, 10.00001, 20)), raw((99.99999, 10, 100.5, 20))], {"a.jpg": ImageSize(100, 80)})
    assert len(checked.table) == 0
    assert [problem.code for problem in checked.problems] == ["SPR013", "SPR014"]


def test_names_without_end_are_cut() -> None:
    box = RawBox("a" * 5000, "r" * 5000, 1, 1, 1, 1, False, FILE, 1)
    (problem,) = check_boxes([box], {box.image: UNKNOWN_SIZE}).problems
    assert len(problem.message) < 500
