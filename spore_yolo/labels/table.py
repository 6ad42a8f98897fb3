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
import pandas as pd

from spore_yolo.files.errors import Problem
from spore_yolo.files.images import ImageSize

COORDINATES = ["x_min", "y_min", "x_max", "y_max"]
BOX_COLUMNS = ["image", "class", *COORDINATES, "ignored", "label_file", "line"]

Corners = tuple[float, float, float, float]
"""``x_min, y_min, x_max, y_max`` in pixels."""

UNKNOWN_SIZE = ImageSize(0, 0)
"""The size of an image that is not at hand and whose size no label file states."""

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
    kinds: dict[str, str] = {"image": "str", "class": "str", "label_file": "str", "ignored": "bool", "line": "Int64"}
    kinds |= dict.fromkeys(COORDINATES, "float64")
    # A ten-thousandth of a pixel is more than any label means, and keeps the tables short.
    return table.astype(kinds).round(dict.fromkeys(COORDINATES, 4))


def check_boxes(boxes: Iterable[RawBox], sizes: Mapping[str, ImageSize]) -> CheckedBoxes:
    """Brings boxes into the frame of the displayed image and sorts out those that cannot be right.

    Args:
        boxes: What a reader found.
        sizes: Size of every image, by its path below the images folder; :data:`UNKNOWN_SIZE` where nobody knows it:
            then no box lies too far right or too low.
    """
    rows: list[tuple[object, ...]] = []
    problems: list[Problem] = []
    clipped = 0
    for box in boxes:
        size = sizes[box.image]
        fault = fault_of_size(box, size) or _fault_of_numbers(box)
        if fault:
            problems.append(Problem(box.file, box.line, fault))
            continue
        corners = displayed(box, size)
        fault = _fault_of_place(corners, size)
        if fault:
            problems.append(Problem(box.file, box.line, f"{fault} (image {box.image}, class {box.class_name})"))
            continue
        inside = clipped_to(corners, size)
        clipped += inside != corners
        rows.append((box.image, box.class_name, *inside, box.ignored, str(box.file), box.line))
    return CheckedBoxes(boxes_table(rows), problems, clipped)


def _fault_of_numbers(box: RawBox) -> str | None:
    corners = np.array(box[2:6], dtype=np.float64)
    if not np.isfinite(corners).all():
        return f"expected four numbers, found {_text(box[2:6])}"
    if box.x_max <= box.x_min or box.y_max <= box.y_min:
        return (
            f"expected a box with an area, found x {box.x_min:g} to {box.x_max:g}, y {box.y_min:g} to {box.y_max:g}"
            f" (image {box.image}, class {box.class_name})"
        )
    return None


def fault_of_size(box: RawBox, size: ImageSize) -> str | None:
    """What is wrong if the file states another size than the image has, else ``None``."""
    if box.stated_size is None or size == UNKNOWN_SIZE or box.stated_size in ((size.width, size.height), size.stored):
        return None
    return (
        f"the label file says that {box.image} has {box.stated_size[0]} x {box.stated_size[1]} pixels,"
        f" the image has {size.width} x {size.height}: the boxes belong to another version of the image"
    )


def _fault_of_place(corners: Corners, size: ImageSize) -> str | None:
    x_min, y_min, x_max, y_max = corners
    width, height = _limits(size)
    found = f"found {_text(corners)}" + ("" if size == UNKNOWN_SIZE else f" on an image of {width:g} x {height:g}")
    if x_max <= 0 or y_max <= 0 or x_min >= width or y_min >= height:
        return f"expected a box on the image, {found}: it lies outside"
    if max(-x_min, -y_min, x_max - width, y_max - height) >= MAX_OVERHANG:
        return f"expected a box on the image, {found}: it reaches beyond the border"
    return None


def clipped_to(corners: Corners, size: ImageSize) -> Corners:
    """The part of a box that lies on the image; without an area where the box lies outside."""
    width, height = _limits(size)
    return (max(corners[0], 0.0), max(corners[1], 0.0), min(corners[2], width), min(corners[3], height))


def _limits(size: ImageSize) -> tuple[float, float]:
    """Width and height; without an end where nobody knows them."""
    return (float("inf"), float("inf")) if size == UNKNOWN_SIZE else (float(size.width), float(size.height))


def displayed(box: RawBox, size: ImageSize) -> Corners:
    """Turns a box on the stored pixels into one on the displayed image.

    A label file that states the stored size (width and height swapped) was made by a tool that ignores EXIF. Where the
    sizes do not tell (no size stated, a turn by 180 degrees, a square image), the displayed image is assumed, as
    browsers and OpenCV show it.
    """
    corners = (box.x_min, box.y_min, box.x_max, box.y_max)
    if size.orientation < 5 or box.stated_size is None or box.stated_size == (size.width, size.height):
        return corners
    x_min, y_min, x_max, y_max = corners
    width, height = size.stored
    # The four orientations that swap the sides, as EXIF 2.3 (JEITA CP-3451), tag 0x0112, defines them.
    return {
        5: (y_min, x_min, y_max, x_max),
        6: (height - y_max, x_min, height - y_min, x_max),
        7: (height - y_max, width - x_max, height - y_min, width - x_min),
        8: (y_min, width - x_max, y_max, width - x_min),
    }[size.orientation]


def _text(numbers: Iterable[float]) -> str:
    return "(" + ", ".join(f"{number:g}" for number in numbers) + ")"
