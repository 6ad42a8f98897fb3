"""VGG Image Annotator, versions 1 and 2, as JSON: images with regions, which have shapes and attributes.

The format is that of https://www.robots.ox.ac.uk/~vgg/software/via and its source (``CodeDoc.md`` and ``via.js`` in
https://gitlab.com/vgg/via): an export of annotations has an object an image, a project has the same objects in
``_via_img_metadata``. ``theta`` of an ellipse is in radians.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.json_files import find_image, paths_of_address, read_each, unlike
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.shapes import Shapes, box_round, box_round_ellipse, plain_number
from spore_yolo.labels.readers.values import JsonItems, some
from spore_yolo.labels.table import Corners, RawBox, RawLabels

IMAGES = "_via_img_metadata"
"""What holds the images of a project; its other parts begin with ``_via_`` too."""

CLASS_NAMES = ("class", "label", "name", "species", "type", "category")
"""What the attribute with the class is called, where regions have several attributes."""


class _Region(NamedTuple):
    """A region that is a box, or has one round it; its class is known when all of the file was seen."""

    image: str
    number: int
    corners: Corners
    attributes: dict[str, Any]
    line: int


@dataclass
class _Reading:
    """What was read so far.

    Attributes:
        bytes: The size in bytes of the file that each image is, as stated.
        several: How many regions have more than one class.
    """

    images: KnownImages
    labels: RawLabels = field(default_factory=RawLabels)
    shapes: Shapes = field(default_factory=Shapes)
    bytes: dict[str, Any] = field(default_factory=dict)
    several: int = 0


def read_via(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads annotations or a project of VGG Image Annotator, or a folder of such files.

    Rectangles count; polygons, circles and ellipses by the box round them. Points and lines are left out and named with
    their number in the notes. The class of a region is its only attribute, or the one that is called class, label,
    name, species, type or category; of several checked boxes of an attribute the first.

    Args:
        path: The file, or the folder, searched at any depth.
        images: The images that the labels speak of.
        options: None concerns this format.

    Raises:
        SporeYoloError: A file as a whole is not of that format, or no attribute can be told to be the class.
    """
    reading = _Reading(images)
    labels = reading.labels
    read_each(path, "VGG Image Annotator files (*.json)", labels, lambda file: _read_file(file, reading))
    labels.classes = sorted({box.class_name for box in labels.boxes})
    labels.notes.extend(reading.shapes.notes())
    if reading.several:
        labels.notes.append(f"{reading.several:,} regions have more than one class; the first of them counts")
    return labels


def _read_file(file: Path, reading: _Reading) -> None:
    labels = reading.labels
    regions: list[_Region] = []
    for entry, line in _entries(file):
        try:
            image, found = _image(entry, reading)
        except (LookupError, ValueError) as error:
            code = UNKNOWN_IMAGE if isinstance(error, LookupError) else UNREADABLE_LABEL
            labels.problems.append(Problem(file, line, str(error), code))
            continue
        labels.labelled_images.add(image)
        if image not in reading.images.sizes:
            continue
        for number, region in enumerate(found, start=1):
            try:
                corners, attributes = _box(region, reading.shapes)
            except ValueError as error:
                message = f"region {number} of {image}: {error}"
                labels.problems.append(Problem(file, line, message, UNREADABLE_LABEL))
                continue
            if corners:
                regions.append(_Region(image, number, corners, attributes, line))
    attribute = _class_attribute(file, regions)
    for region in regions:
        classes = _values(region.attributes.get(attribute))
        if not classes:
            message = f"region {region.number} of {region.image}: expected a class in {attribute!r:.40}, found none"
            labels.problems.append(Problem(file, region.line, message, UNREADABLE_LABEL))
            continue
        reading.several += len(classes) > 1
        labels.boxes.append(RawBox(region.image, classes[0], *region.corners, False, file, region.line))


def _entries(file: Path) -> Iterator[tuple[Any, int]]:
    """The images of a file, with their lines.

    Raises:
        InputProblems: It is not of this format.
    """
    expected = "annotations or a project of VGG Image Annotator 2 (an object an image)"
    items = JsonItems(file, opened=[IMAGES])
    empty = True
    for part, value, line, listed in items:
        if part is None or (listed and not part.startswith("_via_")):
            raise unlike(file, expected, value, line)
        if part == IMAGES or not part.startswith("_via_"):
            empty = False
            yield value, line
    if empty and IMAGES not in items.lists:
        raise unlike(file, expected, "none")


def _image(entry: Any, reading: _Reading) -> tuple[str, Iterable[Any]]:
    """The image of an entry, and its regions.

    Raises:
        LookupError: There is no such image, or another entry is that image already.
        ValueError: It is no entry.
    """
    name = entry.get("filename") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"expected an image with a 'filename' (VGG Image Annotator 2), found {entry!r:.60}")
    regions = entry.get("regions")
    if not isinstance(regions, list | dict):
        raise ValueError(f"expected 'regions' of {name:.80}, found {regions!r:.40}")
    image = find_image(paths_of_address(name), reading.images)
    size = entry.get("size")
    # Version 1 and 2 know an image by its name without folders and its size in bytes.
    if reading.bytes.setdefault(image, size) != size:
        raise LookupError(
            f"expected one image called {name:.80}, found two, of {reading.bytes[image]!s:.20} and {size!s:.20} bytes"
        )
    return image, regions.values() if isinstance(regions, dict) else regions


def _box(region: Any, shapes: Shapes) -> tuple[Corners | None, dict[str, Any]]:
    """The box of a region, ``None`` for a shape that has none, and the attributes of the region.

    Raises:
        ValueError: It cannot be read; the message says what was expected.
    """
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    kind = shape.get("name") if isinstance(shape, dict) else None
    if not isinstance(shape, dict) or not isinstance(kind, str):
        raise ValueError(f"expected a region with a shape and its 'name', found {region!r:.60}")
    attributes = region.get("region_attributes") or {}
    if not isinstance(attributes, dict):
        raise ValueError(f"expected 'region_attributes' with the class, found {attributes!r:.60}")
    if kind == "rect":
        x, y, width, height = (_number(shape, key) for key in ("x", "y", "width", "height"))
        return (x, y, x + width, y + height), attributes
    if kind == "circle":
        x, y, radius = (_number(shape, key) for key in ("cx", "cy", "r"))
        corners = box_round_ellipse(x, y, radius, radius, 0)
    elif kind == "ellipse":
        x, y, radius_x, radius_y = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
        corners = box_round_ellipse(x, y, radius_x, radius_y, _number(shape, "theta") if "theta" in shape else 0)
    elif kind == "polygon":
        corners = box_round(_points(shape))
    else:
        shapes.left_out[kind] += 1
        return None, attributes
    shapes.turned[f"{kind}s"] += 1
    return corners, attributes


def _points(shape: dict[str, Any]) -> list[tuple[float, float]]:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys) or not xs:
        raise ValueError(f"expected 'all_points_x' and 'all_points_y' of one length, found {shape!r:.60}")
    return [(_plain(x), _plain(y)) for x, y in zip(xs, ys, strict=True)]


def _number(shape: dict[str, Any], key: str) -> float:
    try:
        return _plain(shape.get(key))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _plain(value: Any) -> float:
    """A number; version 1 writes it as text."""
    if isinstance(value, str):
        return plain_number(value)
    if type(value) not in (int, float):
        raise ValueError(f"expected a number, found {value!r:.40}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("expected a number, found one that is larger than any image") from None


def _class_attribute(file: Path, regions: list[_Region]) -> str:
    """The attribute that is the class: the only one that has values, or the one that is called so.

    Raises:
        InputProblems: Nobody can tell.
    """
    used = {key: None for region in regions for key, value in region.attributes.items() if _values(value)}
    if len(used) == 1:
        return next(iter(used))
    for name in CLASS_NAMES:
        for key in used:
            if key.strip().lower() == name:
                return key
    if used:
        message = (
            f"expected one attribute of the regions, or one that is called {', '.join(CLASS_NAMES)}, found"
            f" {some(used)}; rename the one that is the class"
        )
        raise InputProblems("A file cannot be read:", [Problem(file, None, message, UNREADABLE_LABEL)])
    return CLASS_NAMES[0]


def _values(value: Any) -> list[str]:
    """The classes that an attribute states; those of a check box are the keys that are true."""
    if isinstance(value, dict):
        return [key for key, checked in value.items() if checked is True and key.strip()]
    if type(value) is int:
        return [str(value)]
    return [value] if isinstance(value, str) and value.strip() else []
