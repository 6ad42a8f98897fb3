"""The boxes table: one row a box, the form in which labels go through the program.

Columns:

=============  =======  ===============================================================================
``image``      str      path of the image below the images folder, with ``/`` between its parts
``class``      str      the class that people gave, after the class map
``x_min`` ...  float    ``x_min, y_min, x_max, y_max`` in pixels of the image as displayed (EXIF applied),
                        0-based, max exclusive
``ignored``    bool     neither an object to find nor background
``label_file`` str      where the box was read
``line``       Int64    the line there, 1-based; missing where the format has no lines
=============  =======  ===============================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.files.errors import Problem
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.codes import BEYOND_BORDER, NEGATIVE, NO_AREA, NOT_PIXELS, OTHER_SIZE, OUTSIDE

COORDINATES = ["x_min", "y_min", "x_max", "y_max"]
BOX_COLUMNS = ["image", "class", *COORDINATES, "ignored", "label_file", "line"]

Corners = tuple[float, float, float, float]
"""``x_min, y_min, x_max, y_max`` in pixels."""

UNKNOWN_SIZE = ImageSize(0, 0)
"""The size of an image that is not at hand and whose size no label file states."""

DIGITS = 4
"""Decimal places of coordinates: a ten-thousandth of a pixel is more than any label means, and keeps tables short."""

MAX_OVERHANG = 1.0
"""Pixels by which a box may lie beyond the border and still be clipped; rounding in other tools explains that much."""


class RawBox(NamedTuple):
    """A box as a label file states it.

    Attributes:
        image: Path of the image below the images folder.
        class_name: The class as written there.
        x_min, y_min, x_max, y_max: Pixels, 0-based, max exclusive, in the frame that ``stated_size`` names.
        ignored: The label file marks the object as difficult or as a crowd.
        file: The label file.
        line: The line in it, 1-based, or ``None``.
        stated_size: Width and height of the image that the label file states, or ``None`` where it states none.
        score: How sure a model is of the box, 0 to 1; ``None`` for labels and for predictions without scores.
    """

    image: str
    class_name: str
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    ignored: bool
    file: Path
    line: int | None
    stated_size: tuple[int, int] | None = None
    score: float | None = None


@dataclass
class RawLabels:
    """What a reader found.

    Attributes:
        boxes: The boxes, in the order of the files.
        classes: Class names in the order of the label file's own list; empty where it has none.
        labelled_images: Images that the label files speak of, with or without boxes.
        problems: Lines that could not be read as boxes.
        stated_sizes: Width and height in pixels of the images whose size the label files state.
        notes: What the user should know, such as annotations that are no boxes.
    """

    boxes: list[RawBox] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    labelled_images: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    stated_sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class CheckedBoxes:
    """Boxes that lie on their images.

    Attributes:
        table: The boxes table.
        problems: The boxes that were left out of the table, with the reason.
        clipped: How many boxes overhung the border by less than a pixel and were clipped.
    """

    table: pd.DataFrame
    problems: list[Problem]
    clipped: int


def boxes_table(rows: Iterable[tuple[object, ...]] = ()) -> pd.DataFrame:
    """A boxes table from rows in the order of :data:`BOX_COLUMNS`."""
    table = pd.DataFrame(list(rows), columns=BOX_COLUMNS)
    return _typed(table)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    kinds: dict[str, str] = {"image": "str", "class": "str", "label_file": "str", "ignored": "bool", "line": "Int64"}
    kinds |= dict.fromkeys(COORDINATES, "float64")
    return table.astype(kinds).round(dict.fromkeys(COORDINATES, DIGITS))


LARGEST_COORDINATE = 10_000_000.0
"""Pixels; no image is larger, so a number beyond it is no place on one."""


def check_boxes(boxes: Iterable[RawBox], sizes: Mapping[str, ImageSize]) -> CheckedBoxes:
    """Brings boxes into the frame of the displayed image and sorts out those that cannot be right.

    Args:
        boxes: What a reader found.
        sizes: Size of every image, by its path below the images folder; :data:`UNKNOWN_SIZE` where nobody knows it:
            then no box lies too far right or too low.
    """
    raw = boxes if isinstance(boxes, list) else list(boxes)
    if not raw:
        return CheckedBoxes(boxes_table(), [], 0)
    fields = dict(zip(RawBox._fields, zip(*raw, strict=True), strict=True))
    corners = np.column_stack([np.array(fields[name], dtype=np.float64) for name in COORDINATES])
    numbers, names = pd.factorize(pd.array(fields["image"], dtype="str"))
    of_image = [sizes[str(name)] for name in names]
    limits = np.array([_limits(size) for size in of_image])[numbers]

    codes = np.full(len(raw), "", dtype=object)
    _turn(corners, fields["stated_size"], of_image, numbers, codes)
    with np.errstate(invalid="ignore", over="ignore"):
        # As the table holds them, so that a box without an area there is none here.
        corners = corners.round(DIGITS)
        extent = corners[:, 2:] - corners[:, :2]
        # The negation is there for NaN, which compares false with everything.
        faults = {
            BEYOND_BORDER: (corners[:, :2] <= -MAX_OVERHANG) | (corners[:, 2:] - limits >= MAX_OVERHANG),
            OUTSIDE: (corners[:, 2:] <= 0) | (corners[:, :2] >= limits),
            NO_AREA: extent == 0,
            NEGATIVE: extent < 0,
            NOT_PIXELS: ~(np.abs(corners) <= LARGEST_COORDINATE).reshape(-1, 2, 2).all(axis=1),
        }
    for code, fault in faults.items():
        codes[fault.any(axis=1) & (codes != OTHER_SIZE)] = code

    problems = [
        Problem(
            raw[row].file,
            raw[row].line,
            _message(codes[row], raw[row], corners[row], of_image[numbers[row]]),
            codes[row],
        )
        for row in np.flatnonzero(codes != "")
    ]
    good = codes == ""
    low = np.maximum(corners[good, :2], 0.0)
    high = np.minimum(corners[good, 2:], limits[good])
    inside = np.hstack([low, high])
    # File systems take any bytes for a name; a table takes text.
    files = {file: str(file).encode("utf-8", "replace").decode() for file in set(fields["file"])}
    table = pd.DataFrame(
        {
            "image": pd.array(fields["image"], dtype="str")[good],
            "class": pd.array(fields["class_name"], dtype="str")[good],
            **dict(zip(COORDINATES, inside.T, strict=True)),
            "ignored": np.array(fields["ignored"], dtype=bool)[good],
            "label_file": pd.array([files[file] for file in fields["file"]], dtype="str")[good],
            "line": pd.array(fields["line"], dtype="Int64")[good],
        }
    )
    return CheckedBoxes(_typed(table), problems, int((inside != corners[good]).any(axis=1).sum()))


def _turn(
    corners: npt.NDArray[np.float64],
    stated: tuple[tuple[int, int] | None, ...],
    sizes: list[ImageSize],
    numbers: npt.NDArray[np.intp],
    codes: npt.NDArray[np.object_],
) -> None:
    """Marks boxes of another image size, and turns those that were drawn on the stored pixels."""
    expected = {number: ((size.width, size.height), size) for number, size in enumerate(sizes)}
    for row, (number, said) in enumerate(zip(numbers.tolist(), stated, strict=True)):
        if said is None or said == expected[number][0]:
            continue
        size = expected[number][1]
        if size == UNKNOWN_SIZE:
            continue
        if said == size.stored:
            corners[row] = turned((*corners[row],), size)
        else:
            codes[row] = OTHER_SIZE


def _message(code: str, box: RawBox, corners: npt.NDArray[np.float64], size: ImageSize) -> str:
    """What is wrong with a box, in words."""
    if code == OTHER_SIZE:
        return fault_of_size(box, size) or ""
    # A damaged file may have names without end.
    whose = f"(image {box.image:.200}, class {box.class_name:.80})"
    if code == NOT_PIXELS:
        return f"expected four numbers, each a place on an image, found {_text(box[2:6])} {whose}"
    if code in (NEGATIVE, NO_AREA):
        return (
            f"expected a box with an area, found x {box.x_min:g} to {box.x_max:g}, y {box.y_min:g} to {box.y_max:g}"
            f" {whose}"
        )
    on = "" if size == UNKNOWN_SIZE else f" on an image of {size.width} x {size.height}"
    how = "it lies outside" if code == OUTSIDE else "it reaches beyond the border"
    return f"expected a box on the image, found {_text(corners)}{on}: {how} {whose}"


def fault_of_size(box: RawBox, size: ImageSize) -> str | None:
    """What is wrong if the file states another size than the image has, else ``None``."""
    if box.stated_size is None or size == UNKNOWN_SIZE or box.stated_size in ((size.width, size.height), size.stored):
        return None
    return (
        f"the label file says that {box.image:.200} has {box.stated_size[0]} x {box.stated_size[1]} pixels,"
        f" the image has {size.width} x {size.height}: the boxes belong to another version of the image"
    )


def clipped_to(corners: Corners, size: ImageSize) -> Corners:
    """The part of a box that lies on the image; without an area where the box lies outside."""
    width, height = _limits(size)
    return (max(corners[0], 0.0), max(corners[1], 0.0), min(corners[2], width), min(corners[3], height))


def _limits(size: ImageSize) -> tuple[float, float]:
    """Width and height; without an end where nobody knows them."""
    return (float("inf"), float("inf")) if size == UNKNOWN_SIZE else (float(size.width), float(size.height))


def displayed(box: RawBox, size: ImageSize) -> Corners:
    """The box in the frame of the displayed image.

    A label file that states the stored size (width and height swapped) was made by a tool that ignores EXIF. Where the
    sizes do not tell (no size stated, a turn by 180 degrees, a square image), the displayed image is assumed, as
    browsers and OpenCV show it.
    """
    corners = (box.x_min, box.y_min, box.x_max, box.y_max)
    if size.orientation < 5 or box.stated_size is None or box.stated_size == (size.width, size.height):
        return corners
    return turned(corners, size)


def turned(corners: Corners, size: ImageSize) -> Corners:
    """Turns a box on the stored pixels into one on the displayed image."""
    x_min, y_min, x_max, y_max = corners
    width, height = size.stored
    # EXIF 2.3 (JEITA CP-3451), tag 0x0112: 2 to 4 keep the sides, 5 to 8 swap them.
    return {
        1: (x_min, y_min, x_max, y_max),
        2: (width - x_max, y_min, width - x_min, y_max),
        3: (width - x_max, height - y_max, width - x_min, height - y_min),
        4: (x_min, height - y_max, x_max, height - y_min),
        5: (y_min, x_min, y_max, x_max),
        6: (height - y_max, x_min, height - y_min, x_max),
        7: (height - y_max, width - x_max, height - y_min, width - x_min),
        8: (y_min, width - x_max, y_max, width - x_min),
    }[size.orientation]


def _text(numbers: Iterable[float]) -> str:
    return "(" + ", ".join(f"{number:g}" for number in numbers) + ")"
