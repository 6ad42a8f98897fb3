"""LabelMe JSON: a file an image, each shape with its points in pixels.

The format is what https://github.com/wkentaro/labelme writes (``labelme/label_file.py``; how points become shapes is in
``labelme/utils/shape.py``). X-AnyLabeling writes the same with a few fields more, of which ``score`` and ``difficult``
are read. The outlines of one class that share a ``group_id`` are parts of one object, as in LabelMe's own converter to
COCO (``examples/instance_segmentation/labelme2coco.py``).
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.folder import each_label_file, is_first_file
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.shapes import Shapes, box_round
from spore_yolo.labels.readers.values import JsonItems, numbers, score_of, stated_size
from spore_yolo.labels.table import Corners, RawBox, RawLabels

TURNED = {
    "circle": "circles",
    "polygon": "polygons",
    "quadrilateral": "polygons",
    "mask": "masks",
    "rotation": "rotated boxes",
    "oriented_rectangle": "rotated boxes",
}
"""Shapes besides rectangles that have a box round them, and what they are called."""

HEAD = ("imagePath", "imageWidth", "imageHeight")


def read_labelme(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a folder of LabelMe files, or one such file.

    An image is found by the name of the label file, else by its ``imagePath``. Polygons, masks, circles and rotated
    boxes become the box round them. Points and lines are no boxes; they are left out and named with their number in the
    notes.

    Args:
        path: The folder, searched at any depth, or the file.
        images: The images that the labels speak of.
        options: With ``scores`` the ``score`` of a shape is read.

    Raises:
        SporeYoloError: The folder has no such files.
    """
    labels = RawLabels()
    shapes = Shapes()
    for file, relative in each_label_file(path, ".json", "LabelMe files (NAME.json for NAME.jpg)"):
        try:
            _read_file(file, relative, images, labels, shapes, options.scores)
        except InputProblems as error:
            labels.problems.extend(error.problems)
    labels.classes = sorted({box.class_name for box in labels.boxes})
    labels.notes.extend(shapes.notes())
    return labels


def _read_file(
    file: Path, relative: PurePosixPath, images: KnownImages, labels: RawLabels, shapes: Shapes, scores: bool
) -> None:
    head, items = _content(file)
    try:
        image = _find(relative, head.get("imagePath"), images)
    except LookupError as error:
        labels.problems.append(Problem(file, None, str(error), UNKNOWN_IMAGE))
        return
    size = stated_size(head.get("imageWidth"), head.get("imageHeight"))
    if not is_first_file(file, image, size, labels) or image not in images.sizes:
        return
    parts: dict[tuple[str, str], int] = {}
    for item, line in items:
        try:
            name, kind = _name_and_kind(item)
            corners = _corners(item, kind)
            score = _score(item) if scores else None
        except ValueError as error:
            labels.problems.append(Problem(file, line, str(error), UNREADABLE_LABEL))
            continue
        if corners is None:
            shapes.left_out[kind] += 1
            continue
        if kind in TURNED:
            shapes.turned[TURNED[kind]] += 1
        group = item.get("group_id")
        if group is not None and kind in ("polygon", "mask"):
            place = parts.setdefault((name, str(group)), len(labels.boxes))
            if place < len(labels.boxes):
                labels.boxes[place] = _joined(labels.boxes[place], corners)
                shapes.joined += 1
                continue
        ignored = item.get("difficult") is True
        labels.boxes.append(RawBox(image, name, *corners, ignored, file, line, size, score))


def _content(file: Path) -> tuple[dict[str, Any], list[tuple[Any, int]]]:
    """What the file says about the image, and its shapes with their lines.

    The image itself, which may lie in the file as well, is left behind.
    """
    items = JsonItems(file)
    head: dict[str, Any] = {}
    shapes = []
    for part, value, line, listed in items:
        if part == "shapes" and listed:
            shapes.append((value, line))
        elif part in HEAD:
            head[part] = value
    if "shapes" not in items.lists:
        message = "expected LabelMe JSON with a list 'shapes', found none"
        raise InputProblems("A file cannot be read:", [Problem(file, None, message, UNREADABLE_LABEL)])
    return head, shapes


def _find(relative: PurePosixPath, image_path: Any, images: KnownImages) -> str:
    try:
        return images.find_for_label(relative)
    except LookupError as by_stem:
        # The path may be absolute, or lead up from the label file, on a machine with Windows.
        name = PureWindowsPath(image_path).name if isinstance(image_path, str) else ""
        if not name:
            raise by_stem from None
        return images.find(str(relative.parent / name))


def _name_and_kind(item: Any) -> tuple[str, str]:
    if not isinstance(item, dict) or not isinstance(item.get("label"), str) or not item["label"].strip():
        raise ValueError(f"expected a shape with a 'label', its class, found {item!r:.60}")
    kind = item.get("shape_type", "polygon")  # which the first versions did not write
    if not isinstance(kind, str):
        raise ValueError(f"expected a shape with a 'shape_type', found {kind!r:.60}")
    return item["label"].strip(), kind


def _corners(item: dict[str, Any], kind: str) -> Corners | None:
    """The box of a shape, or ``None`` for one that has none.

    Raises:
        ValueError: Its points cannot be read; the message says what was expected.
    """
    if kind != "rectangle" and kind not in TURNED:
        return None
    values = item.get("points")
    points = [numbers(value, 2) for value in values] if isinstance(values, list) else []
    good = [(point[0], point[1]) for point in points if point is not None]
    if not good or len(good) < len(points):
        raise ValueError(f"expected a {kind} with 'points' [x, y], found {values!r:.60}")
    if kind == "circle":
        if len(good) != 2:
            raise ValueError(f"expected a circle with its centre and a point of its edge, found {len(good)} points")
        (x, y), edge = good
        radius = math.dist((x, y), edge)
        return x - radius, y - radius, x + radius, y + radius
    if kind == "rectangle" and len(good) not in (2, 4):  # X-AnyLabeling writes all four corners
        raise ValueError(f"expected a rectangle with two corners, found {len(good)} points")
    return box_round(good)


def _joined(box: RawBox, corners: Corners) -> RawBox:
    """A box that holds another part of its object as well."""
    x_min, y_min, x_max, y_max = box_round([(box.x_min, box.y_min), (box.x_max, box.y_max), corners[:2], corners[2:]])
    return box._replace(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def _score(item: dict[str, Any]) -> float | None:
    score = item.get("score")
    return None if score is None else score_of(score)
