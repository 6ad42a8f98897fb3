"""Centre points as text files: one an image, a line an object, ``x y class`` in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError, UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.codes import UNKNOWN_CLASS, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.folder import each_label_file
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.shapes import plain_number
from spore_yolo.labels.readers.values import read_text, some
from spore_yolo.labels.readers.yolo import NOT_LABELS, names_of_classes
from spore_yolo.labels.table import UNKNOWN_SIZE, RawBox, RawLabels


def read_points(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a folder of text files with a centre point a line; each becomes a square round it.

    Class names come from where YOLO's come from; without any a class is named by its number.

    Args:
        path: The folder, searched at any depth.
        images: The images that the labels speak of.
        options: ``point_size`` is the side of the square; ``class_names`` says what the numbers mean where no file
            beside the labels says it.

    Raises:
        UsageError: There is no ``point_size``.
        SporeYoloError: There is no text file.
    """
    side = side_of_points(options, path)
    if not path.is_dir():
        raise SporeYoloError(f"{path}: expected a folder of text files with lines 'x y class', found a file")
    names = names_of_classes(path, images.root) or dict(options.class_names)
    labels = RawLabels(classes=list(names.values()))
    boxes: list[RawBox] = []
    for file, relative in each_label_file(path, ".txt", "text files (NAME.txt for NAME.jpg) with lines 'x y class'"):
        if file.stem in NOT_LABELS and not images.has_stem(file.stem):
            continue
        try:
            image = images.find_for_label(relative)
        except LookupError as error:
            labels.problems.append(Problem(file, None, str(error), UNKNOWN_IMAGE))
            continue
        labels.labelled_images.add(image)
        if image in images.sizes:
            boxes += _read_file(file, image, names, labels.problems)
    corners, clipped = squares(np.array([box[2:4] for box in boxes]), side, [images.sizes[box.image] for box in boxes])
    labels.boxes = with_corners(boxes, corners)
    labels.notes += notes_of_points(len(boxes), side, clipped)
    if not names:
        labels.classes = sorted({box.class_name for box in boxes}, key=lambda name: (len(name), name))
    return labels


def _read_file(file: Path, image: str, names: dict[int, str], problems: list[Problem]) -> list[RawBox]:
    """The points of a file, as boxes without an area."""
    try:
        lines = read_text(file, "text").splitlines()
    except InputProblems as error:
        problems += error.problems
        return []
    boxes = []
    for number, line in enumerate(lines, start=1):
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        try:
            x, y = plain_number(fields[0]), plain_number(fields[1])
            class_id = int(fields[2])
            whole = len(fields) == 3
        except (ValueError, IndexError):
            whole = False
        if not whole:
            message = f"expected 3 numbers (x y class), found {line.strip()!r:.80}"
            problems.append(Problem(file, number, message, UNREADABLE_LABEL))
        elif class_id < 0 or (names and class_id not in names):
            known = some(f"{key} {name}" for key, name in names.items())
            message = f"unknown class {class_id}; the class list has {known or 'none'}"
            problems.append(Problem(file, number, message, UNKNOWN_CLASS))
        else:
            boxes.append(RawBox(image, names.get(class_id, str(class_id)), x, y, x, y, False, file, number))
    return boxes


def side_of_points(options: ReadOptions, path: Path) -> float:
    """The side of the square round a point.

    Raises:
        UsageError: The user did not say it.
    """
    if options.point_size is None:
        raise UsageError(
            f"--point-size: {path} has centre points without a size; expected the side in pixels of the square to draw"
            " round each, for example --point-size 40: the usual diameter of the objects and a little more"
        )
    return options.point_size


def squares(
    points: npt.NDArray[np.float64], side: float, sizes: Sequence[ImageSize]
) -> tuple[npt.NDArray[np.float64], int]:
    """Squares round points, clipped at the borders of their images.

    A square that does not touch its image stays as it is: it is wrong, and the check of the boxes says so.

    Args:
        points: ``(N, 2)``, x and y in pixels.
        side: Pixels.
        sizes: The size of the image of each point; where nobody knows it, nothing is clipped on the right and below.

    Returns:
        ``(N, 4)`` in ``x_min, y_min, x_max, y_max``, and how many were clipped.
    """
    points = points.reshape(-1, 2)
    sides = [(np.inf, np.inf) if size == UNKNOWN_SIZE else (size.width, size.height) for size in sizes]
    limits = np.array(sides, dtype=np.float64).reshape(-1, 2)
    whole = np.hstack([points - side / 2, points + side / 2])
    clipped = np.hstack([np.maximum(whole[:, :2], 0.0), np.minimum(whole[:, 2:], limits)])
    touches: npt.NDArray[np.bool_] = np.all(clipped[:, 2:] > clipped[:, :2], axis=1)
    corners = np.where(touches[:, None], clipped, whole)
    return corners, int((corners[touches] != whole[touches]).any(axis=1).sum())


def with_corners(boxes: list[RawBox], corners: npt.NDArray[np.float64]) -> list[RawBox]:
    """The boxes at other places, ``(N, 4)`` in ``x_min, y_min, x_max, y_max``."""
    return [
        RawBox(box.image, box.class_name, x_min, y_min, x_max, y_max, *box[6:])
        for box, (x_min, y_min, x_max, y_max) in zip(boxes, corners.tolist(), strict=True)
    ]


def notes_of_points(count: int, side: float, clipped: int) -> list[str]:
    """What the user should know about points that became squares."""
    notes = [f"{count:,} points became squares of {side:g} pixels round them"] if count else []
    if clipped:
        notes.append(f"{clipped:,} squares round points near the border were clipped")
    return notes
