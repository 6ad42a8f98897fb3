"""From the rows of a table, whatever file they were in, to boxes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.files.images import IMAGE_SUFFIXES, ImageSize
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.columns import (
    CLASS,
    IGNORED,
    IMAGE,
    IMAGE_SIZE,
    ONE_COLUMN,
    POINT,
    SCORE,
    Columns,
    are_fractions,
    to_corners,
)
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.readers.points import notes_of_points, side_of_points, squares, with_corners
from spore_yolo.labels.readers.values import paused_collector, score_of, stated_size
from spore_yolo.labels.table import UNKNOWN_SIZE, RawBox, RawLabels

MAX_ROWS = 10_000_000
"""Most rows of a table that are read."""

LONGEST_NAME = 4096
"""Letters of the longest name of an image or a class: as long as a path may be."""

YES = frozenset({"1", "true", "yes", "t", "y"})
NO = frozenset({"", "0", "false", "no", "f", "n"})

Size = tuple[int, int] | None


def read_rows(
    path: Path,
    columns: Columns,
    rows: Iterable[tuple[int, Sequence[Any]]],
    images: KnownImages,
    options: ReadOptions,
) -> RawLabels:
    """Reads the rows of a table.

    A row with an image and nothing else says that people looked at the image and found no object. Numbers are pixels,
    or fractions if nearly all of them lie between 0 and 1.

    Args:
        path: The file.
        columns: Which column holds what; without an image column the image has the stem of the file.
        rows: The line of each row, and its cells; a cell without content is empty or ``None``.
        images: The images that the rows speak of.
        options: What the user says about the table.

    Raises:
        UsageError: The table has points, and the user does not say how large the objects are.
        InputProblems: The table has too many rows.
    """
    side = side_of_points(options, path) if columns.layout == POINT else None
    table = _Table(path, columns, images)
    with paused_collector():
        for count, (line, row) in enumerate(rows):
            if count == MAX_ROWS:
                message = f"expected at most {MAX_ROWS:,} rows, found more; split the table into several datasets"
                raise InputProblems("A file cannot be read:", [Problem(path, line, message, UNREADABLE_LABEL)])
            table.add(line, row)
        labels = table.finished(side)
    if side is None and options.point_size is not None:
        labels.notes.append(f"{path} has boxes with {columns.layout.title}, so --point-size changes nothing there")
    return labels


class _Table:
    """A table that is being read, row by row."""

    def __init__(self, path: Path, columns: Columns, images: KnownImages) -> None:
        self._path, self._columns, self._images = path, columns, images
        self._labels = RawLabels(notes=list(columns.notes))
        place = columns.place
        self._image_at, self._class_at = place.get(IMAGE), place[CLASS]
        self._score_at, self._ignored_at = place.get(SCORE), place.get(IGNORED)
        self._numbers_at = itemgetter(*(place[role] for role in columns.layout.roles))
        self._size_at = [place[role] for role in IMAGE_SIZE if role in place]
        # As the table writes them, until all rows are known.
        self._boxes: list[RawBox] = []
        # What cells say, since images and classes come again and again.
        self._named: dict[Any, str | Problem] = {}
        self._classes: dict[Any, str] = {}
        self._sizes: dict[Any, Size] = {}

    def add(self, line: int, row: Sequence[Any]) -> None:
        """Takes one row."""
        labels = self._labels
        image = self._image(line, row)
        if image is None:
            return
        labels.labelled_images.add(image)
        stated = self._stated(row)
        if stated is not None:
            labels.stated_sizes.setdefault(image, stated)
        if image not in self._images.sizes:
            return
        kind = self._class(row[self._class_at])
        cells = self._cells(row)
        numbers = _floats(cells)
        if not kind and all(_is_nothing(cell) for cell in cells):
            return
        try:
            if not kind:
                raise ValueError("expected a class, found nothing")
            if len(kind) > LONGEST_NAME:
                raise ValueError(f"expected a class, found {len(kind):,} letters")
            if numbers is None:
                what = "four" if len(self._columns.layout.roles) != 2 else "two"
                found = ", ".join(f"{_text(cell) or 'nothing':.40}" for cell in cells)
                raise ValueError(f"expected {what} numbers, found {found}")
            score = None if self._score_at is None else _score(row[self._score_at])
            ignored = self._ignored_at is not None and _ignored(row[self._ignored_at])
        except ValueError as error:
            labels.problems.append(Problem(self._path, line, str(error), UNREADABLE_LABEL))
            return
        x, y = numbers[:2]
        self._boxes.append(
            RawBox(image, kind, x, y, numbers[-2], numbers[-1], ignored, self._path, line, stated, score)
        )

    def _image(self, line: int, row: Sequence[Any]) -> str | None:
        cell = None if self._image_at is None else row[self._image_at]
        found = self._named.get(cell) if isinstance(cell, str) else None
        if found is None:
            try:
                if self._image_at is None:
                    found = self._images.find_for_label(PurePosixPath(self._path.name))
                else:
                    found = self._find(_text(cell))
            except LookupError as error:
                found = Problem(self._path, line, str(error), UNKNOWN_IMAGE)
            if isinstance(cell, str):
                self._named[cell] = found
        if isinstance(found, str):
            return found
        self._labels.problems.append(Problem(self._path, line, found.message, UNKNOWN_IMAGE))
        return None

    def _find(self, name: str) -> str:
        if len(name) > LONGEST_NAME:
            raise LookupError(f"expected the path of an image, found {len(name):,} letters")
        try:
            return self._images.find(name)
        except LookupError:
            # Some tables name images without their suffix.
            if not name or PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                raise
            try:
                return self._images.find_for_label(PurePosixPath(f"{name}.txt"))
            except LookupError:
                pass
            raise

    def _class(self, cell: Any) -> str:
        if not isinstance(cell, str):
            return _text(cell)
        name = self._classes.get(cell)
        if name is None:
            name = self._classes[cell] = cell.strip()
        return name

    def _stated(self, row: Sequence[Any]) -> Size:
        if not self._size_at:
            return None
        cells = tuple(row[place] for place in self._size_at)
        try:
            return self._sizes[cells]
        except KeyError:
            size = self._sizes[cells] = stated_size(*(_floats(cells) or (None, None)))
            return size
        except TypeError:  # a list in place of a number
            return None

    def _cells(self, row: Sequence[Any]) -> Sequence[Any]:
        cells = self._numbers_at(row)
        return _four(cells) if self._columns.layout == ONE_COLUMN else cells

    def finished(self, side: float | None) -> RawLabels:
        """The labels, once all rows were taken.

        Args:
            side: Pixels of the square round each point, where boxes are points.
        """
        labels, boxes = self._labels, self._boxes
        numbers = np.array([box[2:6] for box in boxes], dtype=np.float64).reshape(-1, 4)
        corners = to_corners(numbers, self._columns.layout)
        if are_fractions(numbers):
            boxes, corners = self._scaled(corners)
        elif self._columns.spare_size and _are_extents(boxes, corners):
            boxes = [box._replace(stated_size=None) for box in boxes]
            labels.stated_sizes.clear()
        if side is not None:
            corners, clipped = squares(corners[:, :2], side, [self._size(box) for box in boxes])
            labels.notes += notes_of_points(len(boxes), side, clipped)
        if corners is not numbers:
            boxes = with_corners(boxes, corners)
        labels.boxes = boxes
        labels.classes = sorted({box.class_name for box in boxes})
        return labels

    def _size(self, box: RawBox) -> ImageSize:
        """The size that a box belongs to: what the table states goes before what the image has."""
        return self._images.sizes[box.image] if box.stated_size is None else ImageSize(*box.stated_size)

    def _scaled(self, corners: npt.NDArray[np.float64]) -> tuple[list[RawBox], npt.NDArray[np.float64]]:
        """Boxes and corners in pixels, without those on images whose size nobody knows."""
        sizes = [self._size(box) for box in self._boxes]
        self._labels.notes.append(f"{self._path}: its numbers lie between 0 and 1 and are taken for fractions")
        unknown = {box.image: box.line for box, size in zip(self._boxes, sizes, strict=True) if size == UNKNOWN_SIZE}
        for image, line in unknown.items():
            message = (
                f"fractions of {image}, whose size nobody knows; give the folder of the images, or columns image_width"
                " and image_height"
            )
            self._labels.problems.append(Problem(self._path, line, message, UNREADABLE_LABEL))
        sides = np.array([(size.width, size.height) for size in sizes], dtype=np.float64)
        known = sides[:, 0] > 0
        boxes = [box for box, has_size in zip(self._boxes, known, strict=True) if has_size]
        with np.errstate(over="ignore", invalid="ignore"):
            return boxes, (corners * np.hstack([sides, sides]))[known]


def _are_extents(boxes: list[RawBox], corners: npt.NDArray[np.float64]) -> bool:
    """Whether what may be the size of the image is the size of the box on every row."""
    with np.errstate(over="ignore", invalid="ignore"):
        extents = corners[:, 2:] - corners[:, :2]
    said = np.array([box.stated_size or (np.nan, np.nan) for box in boxes], dtype=np.float64).reshape(-1, 2)
    return bool(len(boxes) > 0 and (np.abs(extents - said) <= 1).all())


def _four(cell: Any) -> Sequence[Any]:
    """The four numbers of a cell such as ``[1, 2, 30, 40]``; the cell alone where it holds something else."""
    if isinstance(cell, str) and cell.strip().startswith("["):
        try:
            cell = json.loads(cell[:200])
        except (ValueError, RecursionError):
            return [cell]
    return cell if isinstance(cell, list) and len(cell) == 4 else [cell]


def _floats(cells: Sequence[Any]) -> tuple[float, ...] | None:
    """The numbers of some cells, or ``None`` where one of them is none."""
    try:
        return tuple(map(float, cells)) if len(cells) > 1 else None
    except (TypeError, ValueError, OverflowError):
        return None


def _is_nothing(cell: Any) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or cell != cell  # pandas writes NaN for a missing number


def _text(cell: Any) -> str:
    """A cell as text: 3 in a column of numbers that has gaps is 3.0 in the file."""
    if _is_nothing(cell):
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _score(cell: Any) -> float | None:
    return None if _is_nothing(cell) else score_of(cell)


def _ignored(cell: Any) -> bool:
    text = _text(cell).lower()
    if text not in YES | NO:
        raise ValueError(f"expected yes or no in the column 'ignored', found {text!r:.40}")
    return text in YES
