"""YOLO text files: one a image, a line a box, ``class x_centre y_centre width height`` as fractions of the image.

The format is Darknet's, as https://docs.ultralytics.com/datasets/detect/ describes it. Its variants are read as well:
polygons (``class x1 y1 x2 y2 ...``, https://docs.ultralytics.com/datasets/segment/), rotated boxes
(``class x1 y1 x2 y2 x3 y3 x4 y4``, https://docs.ultralytics.com/datasets/obb/) and boxes with keypoints behind them
(https://docs.ultralytics.com/datasets/pose/), which only ``kpt_shape`` in ``data.yaml`` tells from polygons.
Predictions have the score as the last number, as Ultralytics saves them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.files.images import IMAGE_SUFFIXES, ImageSize
from spore_yolo.files.progress import progress
from spore_yolo.files.structured import read_yaml
from spore_yolo.labels.codes import UNKNOWN_CLASS, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.folder import label_files
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.shapes import Shapes, box_round, plain_number
from spore_yolo.labels.readers.values import paused_collector, read_text, score_of, some
from spore_yolo.labels.table import UNKNOWN_SIZE, Corners, RawBox, RawLabels

EXPECTED = "5 numbers (class x_centre y_centre width height)"
EXPECTED_WITH_SCORE = f"{EXPECTED}, or 6 with a score"

# Text files that annotation tools put beside labels and that hold no boxes, unless an image has that name.
NOT_LABELS = frozenset(
    {"classes", "train", "val", "valid", "test", "README", "README.dataset", "README.roboflow", "obj.names"}
)

CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels")
"""Lists of the classes, one a line: of LabelImg, of Darknet and CVAT, of Roboflow."""

MAX_LINES = 1_000_000
"""Most lines of the labels of one image, and most classes of a list."""

MAX_LETTERS = 10_000_000
"""Longest line; a polygon of a hundred thousand points has two million letters."""

_CLASS = re.compile(r"[+-]?[0-9]{1,9}(?:\.0*)?")


@dataclass
class _ClassList:
    """What a file beside the labels says about them.

    Attributes:
        names: The class of each number.
        keypoints: How many numbers stand behind a box for its keypoints.
        problems: What the file contradicts itself in.
    """

    names: dict[int, str] = field(default_factory=dict)
    keypoints: int = 0
    problems: list[Problem] = field(default_factory=list)


def read_yolo(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a folder of YOLO text files.

    Class names come from a ``data.yaml``, ``classes.txt`` or ``obj.names`` in the labels folder, its parent or the
    images folder; without one the class is named by its number. Polygons and rotated boxes become the box round them.

    Args:
        path: The folder, searched at any depth; it may be that of a whole dataset.
        images: The images that the labels speak of.
        options: With ``scores`` the last number of a line may be a score; ``class_names`` says what the numbers mean
            where no such file says it.

    Raises:
        SporeYoloError: There are no such files, or the list of classes cannot be read.
    """
    if not path.is_dir():
        raise SporeYoloError(f"{path}: expected a folder of YOLO text files, found a file")
    classes = _class_list(path, images.root)
    labels = RawLabels(problems=classes.problems)
    if not classes.names and options.class_names:
        classes.names = dict(options.class_names)
        listed = some(f"{number} {name}" for number, name in classes.names.items())
        labels.notes.append(f"{path} has no data.yaml; its class numbers are taken to mean {listed}")
    labels.classes = list(dict.fromkeys(classes.names.values()))
    shapes = Shapes()
    reader = _Reader(classes, labels, shapes, options.scores)
    expected = "YOLO text files (NAME.txt for NAME.jpg)"
    files = [
        (file, relative)
        for file, relative in label_files(path, ".txt", expected)
        if relative.stem not in NOT_LABELS or images.has_stem(relative.stem)
    ]
    if not files:
        raise SporeYoloError(f"{path}: expected {expected}, found none")
    with paused_collector():
        for file, relative in progress(files, len(files), "reading labels", "file"):
            try:
                image = _find(relative, images)
            except LookupError as error:
                labels.problems.append(Problem(file, None, str(error), UNKNOWN_IMAGE))
                continue
            labels.labelled_images.add(image)
            if image in images.sizes:
                reader.read(file, image, images.sizes[image])
    if not classes.names:
        labels.classes = sorted({box.class_name for box in labels.boxes}, key=lambda name: (len(name), name))
    labels.notes.extend(shapes.notes())
    return labels


def _find(relative: PurePosixPath, images: KnownImages) -> str:
    try:
        return images.find_for_label(relative)
    except LookupError:
        # Where a.jpg and a.png are two images, tools write a.jpg.txt and a.png.txt.
        if PurePosixPath(relative.stem).suffix.lower() not in IMAGE_SUFFIXES:
            raise
        return images.find(str(relative.with_suffix("")))


class _Reader:
    """Reads the files of a folder.

    Args:
        classes: What the class numbers mean.
        labels: Takes the boxes and problems.
        shapes: Takes what there is besides boxes.
        scores: Whether the last number of a line may be a score.
    """

    def __init__(self, classes: _ClassList, labels: RawLabels, shapes: Shapes, scores: bool) -> None:
        self._classes = classes
        self._labels = labels
        self._shapes = shapes
        self._scores = scores
        self._known: dict[str, str] = {}  # the class of each number as it is written

    def read(self, file: Path, image: str, size: ImageSize) -> None:
        """Reads the labels of one image."""
        try:
            text = read_text(file, "YOLO text")
            lines = _lines(text, file)
        except InputProblems as error:
            self._labels.problems.extend(error.problems)
            return
        width, height = size.width, size.height
        # What Python takes for numbers and no tool writes needs one of these.
        plain = text.isascii() and "_" not in text and size != UNKNOWN_SIZE
        known, boxes = self._known, self._labels.boxes
        for number, line in enumerate(lines, start=1):
            fields = line.split() if len(line) <= MAX_LETTERS else []
            # Nearly all lines are like this, and a million of them are to be read in seconds.
            if plain and len(fields) == 5 and fields[0] in known:
                try:
                    x, y, w, h = map(float, fields[1:])
                except ValueError:
                    pass
                else:
                    w, h = w / 2, h / 2
                    box = (x - w) * width, (y - h) * height, (x + w) * width, (y + h) * height
                    boxes.append(RawBox(image, known[fields[0]], *box, False, file, number))
                    continue
            if fields or line.strip():
                try:
                    boxes.append(self._box(image, fields, file, number, line, size))
                except _Fault as fault:
                    self._labels.problems.append(Problem(file, number, str(fault), fault.code))
                    if size == UNKNOWN_SIZE:
                        return

    def _box(self, image: str, fields: list[str], file: Path, number: int, line: str, size: ImageSize) -> RawBox:
        """The box of a line, whatever it looks like.

        Raises:
            _Fault: It cannot be read.
        """
        if not fields:
            raise _Fault(f"expected a line of at most {MAX_LETTERS:,} letters, found {len(line):,}")
        count, has_score = self._form(len(fields))
        if size == UNKNOWN_SIZE:
            raise _Fault("fractions of an image whose size nobody knows; give the folder of the images")
        try:
            values = [plain_number(value) for value in fields[1:count]]
        except ValueError:
            raise _Fault(f"expected {count} numbers, found {line.strip()!r:.80}") from None
        name = self._class(fields[0], line)
        try:
            score = score_of(plain_number(fields[-1])) if has_score else None
        except ValueError as error:
            raise _Fault(str(error)) from None
        corners = self._corners(values, size, len(fields))
        return RawBox(image, name, *corners, False, file, number, None, score)

    def _form(self, count: int) -> tuple[int, bool]:
        """How many numbers of a line are class and coordinates, and whether a score stands behind all.

        Raises:
            _Fault: A line does not have so many.
        """
        keypoints = self._classes.keypoints
        if keypoints and count in (5 + keypoints, 6 + keypoints if self._scores else 0):
            return 5, count == 6 + keypoints
        if count == 5 or (count >= 7 and count % 2):
            return count, False
        if self._scores and (count == 6 or (count >= 8 and not count % 2)):
            return count - 1, True
        expected = EXPECTED_WITH_SCORE if self._scores else EXPECTED
        if count < 6:
            raise _Fault(f"expected {expected}, found {count}")
        if count == 6:
            raise _Fault(f"expected {expected}, found {count}; only predictions have a score")
        raise _Fault(
            f"expected {expected}, or class and points x y of a polygon, found {count}; boxes with keypoints need"
            " kpt_shape in data.yaml"
        )

    def _class(self, text: str, line: str) -> str:
        if text not in self._known:
            if not _CLASS.fullmatch(text):
                raise _Fault(f"expected a class number, found {line.strip()!r:.80}")
            class_id, names = int(float(text)), self._classes.names
            if class_id < 0 or (names and class_id not in names):
                listed = some(f"{key} {name}" for key, name in names.items())
                raise _Fault(f"unknown class {class_id}; the class list has {listed or 'no names'}", UNKNOWN_CLASS)
            self._known[text] = names.get(class_id, str(class_id))
        return self._known[text]

    def _corners(self, values: list[float], size: ImageSize, fields: int) -> Corners:
        """The box in pixels, from the fractions of a box or of the points of a polygon."""
        if len(values) == 4:
            if fields > 6:
                self._shapes.left_out["sets of keypoints"] += 1
            x, y, w, h = values[0], values[1], values[2] / 2, values[3] / 2
            corners = x - w, y - h, x + w, y + h
        else:
            # A rotated box cannot be told from a polygon of four points.
            self._shapes.turned["rotated boxes or polygons of four points" if len(values) == 8 else "polygons"] += 1
            corners = box_round(zip(values[::2], values[1::2], strict=True))
        return corners[0] * size.width, corners[1] * size.height, corners[2] * size.width, corners[3] * size.height


class _Fault(Exception):
    """A line cannot be read; the message says what was expected."""

    def __init__(self, message: str, code: str = UNREADABLE_LABEL) -> None:
        super().__init__(message)
        self.code = code


def _lines(text: str, file: Path) -> list[str]:
    """The lines of a text file, as editors number them.

    Raises:
        InputProblems: There are too many.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    count = text.count("\n")
    if count > MAX_LINES:
        message = f"expected at most {MAX_LINES:,} lines, found {count:,}"
        raise InputProblems("A file cannot be read:", [Problem(file, None, message, UNREADABLE_LABEL)])
    return text.split("\n")


def names_of_classes(path: Path, image_root: Path) -> dict[int, str]:
    """The class of each number, from a file beside the labels or the images; empty without one.

    Raises:
        SporeYoloError: The file cannot be read.
    """
    return _class_list(path, image_root).names


def _class_list(path: Path, image_root: Path) -> _ClassList:
    for folder in (path, path.parent, image_root, image_root.parent):
        for name in ("data.yaml", "data.yml"):
            if (folder / name).is_file():
                return _read_data_yaml(folder / name)
        for name in CLASS_FILES:
            if (folder / name).is_file():
                lines = _lines(read_text(folder / name, "a list of classes"), folder / name)
                return _ClassList({number: line.strip() for number, line in enumerate(lines) if line.strip()})
    return _ClassList()


def _read_data_yaml(path: Path) -> _ClassList:
    content: Any = read_yaml(path)
    content = content if isinstance(content, dict) else {}
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(_is_number(key) and _is_name(name) for key, name in names.items()):
        found = "other things" if isinstance(names, dict) else f"{names!r:.80}"
        raise _no_names(path, f"expected 'names:' with a list or with numbered names, found {found}")
    classes = _ClassList({key: str(name) for key, name in names.items()})
    count = content.get("nc")
    if _is_number(count) and count != len(names):
        message = f"expected as many names as 'nc:' says, found {len(names):,} names and nc: {count}"
        classes.problems.append(Problem(path, None, message, UNREADABLE_LABEL))
    shape = content.get("kpt_shape")
    if isinstance(shape, list) and len(shape) == 2 and all(_is_number(side) and 0 < side <= 1000 for side in shape):
        classes.keypoints = shape[0] * shape[1]
    return classes


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _no_names(path: Path, message: str) -> InputProblems:
    return InputProblems("The class names cannot be read:", [Problem(path, None, message, UNREADABLE_LABEL)])
