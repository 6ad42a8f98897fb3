"""Pascal VOC XML: a file an image; pixels are 1-based and the maximum belongs to the box.

FiftyOne's and most other readers take the numbers as they stand, which moves the left and the upper edge of every box
by a pixel. supervision's counts as we do, but takes a stray click for a box of a pixel and knows no lines. Hence ours.

The format is that of the PASCAL VOC 2012 development kit (Everingham and Winn, "The PASCAL Visual Object Classes
Challenge 2012 Development Kit", section 4). Beyond it, ``<polygon>`` is read as Roboflow writes it, and ``<robndbox>``
as roLabelImg does: centre, sides and an angle in radians. Both have no pixel that belongs to them, so they stay as they
are.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.folder import each_label_file, is_first_file
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.shapes import Shapes, box_round, box_round_rotated, plain_number
from spore_yolo.labels.readers.values import score_of, stated_size
from spore_yolo.labels.readers.xml import Element, XmlItems
from spore_yolo.labels.table import Corners, RawBox, RawLabels

CORNERS = ("xmin", "ymin", "xmax", "ymax")
ROTATED = ("cx", "cy", "w", "h", "angle")


def read_voc(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a folder of Pascal VOC XML files, or one such file.

    An image is found by the XML file's own name, else by its ``filename``. ``difficult`` objects become ignored boxes.
    A box whose maximum equals its minimum is a stray click and has no area, though VOC would count one pixel. Objects
    without ``bndbox`` that have a polygon or a rotated box become the box round it.

    Args:
        path: The folder, searched at any depth, or the file.
        images: The images that the labels speak of.
        options: With ``scores`` the ``score`` or ``confidence`` of an object is read.

    Raises:
        SporeYoloError: The folder has no such files.
    """
    labels = RawLabels()
    shapes = Shapes()
    for file, relative in each_label_file(path, ".xml", "Pascal VOC files (NAME.xml for NAME.jpg)"):
        _read_file(file, relative, images, labels, shapes, options.scores)
    labels.classes = sorted({box.class_name for box in labels.boxes})
    labels.notes.extend(shapes.notes())
    return labels


def _read_file(
    file: Path, relative: PurePosixPath, images: KnownImages, labels: RawLabels, shapes: Shapes, scores: bool
) -> None:
    try:
        root, values, objects = _content(file)
    except InputProblems as error:
        labels.problems.extend(error.problems)
        return
    if root != "annotation":
        message = f"expected a VOC file with <annotation>, found <{root:.40}>"
        labels.problems.append(Problem(file, 1, message, UNREADABLE_LABEL))
        return
    try:
        image = _find(relative, values.get("filename", ""), images)
    except LookupError as error:
        labels.problems.append(Problem(file, None, str(error), UNKNOWN_IMAGE))
        return
    size = _stated_size(values)
    if not is_first_file(file, image, size, labels) or image not in images.sizes:
        return
    for item in objects:
        try:
            name = item.text_of("name")
            if not name:
                raise ValueError("expected an object with a <name>, its class; found no name")
            corners = _corners(item, shapes)
            score = _score(item) if scores else None
        except ValueError as error:
            labels.problems.append(Problem(file, item.line, str(error), UNREADABLE_LABEL))
            continue
        ignored = item.text_of("difficult").lower() not in ("", "0", "false", "no")
        labels.boxes.append(RawBox(image, name, *corners, ignored, file, item.line, size, score))


def _content(file: Path) -> tuple[str, dict[str, str], list[Element]]:
    """The name of the root, the values that concern the whole image, and the objects."""
    root, values, objects = "", {}, []
    for item in XmlItems(file):
        if not item.within:
            root = item.name
        elif item.name == "object":
            objects.append(item)
        elif item.name == "filename":
            values["filename"] = item.text
        elif item.name == "size":
            values |= {side: item.text_of(side) for side in ("width", "height")}
    return root, values, objects


def _find(relative: PurePosixPath, filename: str, images: KnownImages) -> str:
    try:
        return images.find_for_label(relative)
    except LookupError as by_stem:
        if not filename:
            raise by_stem from None
        return images.find(filename)


def _corners(item: Element, shapes: Shapes) -> Corners:
    """The box of an object.

    Raises:
        ValueError: It has none, or its numbers cannot be read; the message says what was expected.
    """
    polygon, rotated = item.child("polygon"), item.child("robndbox")
    if item.child("bndbox") is None and rotated is not None:
        corners = box_round_rotated(*_numbers(rotated, ROTATED))
        shapes.turned["rotated boxes"] += 1
        return corners
    if item.child("bndbox") is None and polygon is not None:
        corners = box_round(_points(polygon))
        shapes.turned["polygons"] += 1
        return corners
    x_min, y_min, x_max, y_max = _numbers(item.child("bndbox"), CORNERS)
    if x_max > x_min:
        x_min -= 1.0
    if y_max > y_min:
        y_min -= 1.0
    return x_min, y_min, x_max, y_max


def _numbers(box: Element | None, names: tuple[str, ...]) -> list[float]:
    texts = {name: box.text_of(name) if box else "" for name in names}
    missing = [name for name in names if not texts[name]]
    if missing:
        name = box.name if box else "bndbox"
        raise ValueError(f"expected {', '.join(names)} in the <{name}> of the object, found no {', '.join(missing)}")
    try:
        return [plain_number(text) for text in texts.values()]
    except ValueError:
        found = ", ".join(f"{text:.40}" for text in texts.values())
        raise ValueError(f"expected {_COUNTS[len(names)]} numbers, found {found}") from None


_COUNTS = {4: "four", 5: "five"}


def _points(polygon: Element) -> list[tuple[float, float]]:
    """The points of ``<x1>1</x1><y1>2</y1><x2>...`` or of ``<pt><x>1</x><y>2</y></pt>...``."""
    leaves = [leaf for child in polygon.children for leaf in (child.children or [child])]
    texts: dict[str, list[str]] = {"x": [], "y": []}
    for leaf in leaves:
        if re.fullmatch(r"[xy][0-9]*", leaf.name):
            texts[leaf.name[0]].append(leaf.text)
    try:
        points = [(plain_number(x), plain_number(y)) for x, y in zip(texts["x"], texts["y"], strict=True)]
    except ValueError:
        points = []
    if not points:
        raise ValueError("expected a <polygon> with points x1, y1, x2, y2, ..., found other things")
    return points


def _score(item: Element) -> float | None:
    text = item.text_of("score") or item.text_of("confidence")
    return score_of(text) if text else None


def _stated_size(values: dict[str, str]) -> tuple[int, int] | None:
    try:
        return stated_size(plain_number(values["width"]), plain_number(values["height"]))
    except (KeyError, ValueError):
        return None
