"""CVAT for images 1.1: one XML file for all images of a task, job or project.

The format is described at https://docs.cvat.ai/docs/other/xml_format: a box states its corners before a turn by
``rotation`` degrees about its centre, an ellipse its centre and radii before such a turn, a mask the box round it.
fiftyone's and datumaro's readers know no problems with lines; hence ours.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNKNOWN_CLASS, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.folder import each_label_file
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.shapes import (
    Shapes,
    box_round,
    box_round_ellipse,
    box_round_rotated,
    plain_number,
)
from spore_yolo.labels.readers.values import score_of, some, stated_size
from spore_yolo.labels.readers.xml import Element, XmlItems
from spore_yolo.labels.table import Corners, RawBox, RawLabels


def read_cvat(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a CVAT XML file, or a folder of them.

    Polygons, ellipses, masks and turned boxes become the box round them. Other shapes and tags are no boxes; they are
    left out and named with their number in the notes. Classes keep the order of the file's own list. A box with the
    attribute ``ignored`` set to ``true`` is an ignored box.

    Args:
        path: The file, or the folder, searched at any depth.
        images: The images that the labels speak of.
        options: With ``scores`` the attribute ``score`` of a shape is read.

    Raises:
        SporeYoloError: The folder has no such files.
    """
    labels = RawLabels()
    shapes = Shapes()
    classes: dict[str, None] = {}
    for file, relative in each_label_file(path, ".xml", "CVAT files (annotations.xml)"):
        reader = _File(file, relative, images, labels.labelled_images, options.scores)
        try:
            reader.read()
        except InputProblems as error:
            # What came before the fault is not taken: nobody knows what is missing behind it.
            labels.problems.extend(error.problems)
            continue
        labels.boxes.extend(reader.labels.boxes)
        labels.problems.extend(reader.labels.problems)
        labels.labelled_images |= reader.labels.labelled_images
        labels.stated_sizes |= reader.labels.stated_sizes
        shapes.turned.update(reader.shapes.turned)
        shapes.left_out.update(reader.shapes.left_out)
        classes |= reader.classes or dict.fromkeys(sorted({box.class_name for box in reader.labels.boxes}))
    labels.classes = list(classes)
    labels.notes.extend(shapes.notes())
    return labels


class _File:
    """One file, and what was found in it.

    Args:
        path: The file.
        relative: Its path below the labels folder.
        images: The images that the labels speak of.
        taken: Images that other files have labelled.
        scores: Whether scores are read.

    Attributes:
        labels: Boxes, problems and images; neither classes nor notes.
        classes: The file's own list of classes, in its order; empty where it has none.
        shapes: What there was besides boxes.
    """

    def __init__(self, path: Path, relative: PurePosixPath, images: KnownImages, taken: set[str], scores: bool) -> None:
        self.labels = RawLabels()
        self.classes: dict[str, None] = {}
        self.shapes = Shapes()
        self._path = path
        self._folder = relative.parent
        self._images = images
        self._taken = taken
        self._scores = scores
        self._image: str | None = None  # the image that the shapes are on; None where they are not read
        self._size: tuple[int, int] | None = None

    def read(self) -> None:
        """Reads the file.

        Raises:
            InputProblems: The file as a whole is not of this format.
        """
        for item in XmlItems(self._path, ("image",)):
            if not item.within:
                if item.name != "annotations":
                    raise self._unreadable(item, f"expected a CVAT file with <annotations>, found <{item.name:.40}>")
            elif item.name == "meta":
                self._read_classes(item)
            elif item.name == "image":
                self._open_image(item)
            elif item.name == "track":
                raise self._unreadable(
                    item,
                    "expected 'CVAT for images 1.1', found a <track>, as in 'CVAT for video 1.1'; export the task again"
                    " in the format for images",
                )
            elif item.within == "image" and self._image is not None:
                self._read_shape(item, self._image)

    def _read_classes(self, meta: Element) -> None:
        for labels in meta.every("labels"):
            for label in labels.children:
                # A label with a parent is a point of a skeleton.
                name = label.text_of("name")
                if label.name == "label" and name and not label.text_of("parent"):
                    self.classes[name] = None

    def _open_image(self, item: Element) -> None:
        self._image = None
        try:
            image = self._find(item)
        except LookupError as error:
            self._report(item, str(error), UNKNOWN_IMAGE)
            return
        if image in self.labels.labelled_images or image in self._taken:
            self._report(item, f"expected one <image> for each image, found a second one for {image}")
            return
        self.labels.labelled_images.add(image)
        self._size = _size(item)
        if self._size:
            self.labels.stated_sizes[image] = self._size
        if image in self._images.sizes:
            self._image = image

    def _find(self, item: Element) -> str:
        """The image of an ``<image>``; where several have its name, subset and folder of the file tell which."""
        name = item.attributes.get("name", "").strip()
        subset = item.attributes.get("subset", "").strip()
        if not name:
            raise LookupError("expected an <image> with the attribute 'name', found none")
        below = PurePosixPath(subset, name) if subset and not name.startswith(("/", "\\")) else PurePosixPath(name)
        for path in (below, self._folder / "images" / below, self._folder / below):
            try:
                return self._images.find(str(path))
            except LookupError:
                continue
        return self._images.find(name)

    def _read_shape(self, item: Element, image: str) -> None:
        shape = _SHAPES.get(item.name)
        if shape is None:
            self.shapes.left_out[item.name] += 1
            return
        name = item.attributes.get("label", "").strip()
        if not name:
            self._report(item, f"expected a <{item.name}> with the attribute 'label', its class; found none")
            return
        if self.classes and name not in self.classes:
            message = f"unknown class {name:.80}; the labels of the file are {some(self.classes)}"
            self._report(item, message, UNKNOWN_CLASS)
            return
        attributes = {child.attributes.get("name", ""): child.text for child in item.children}
        try:
            corners, kind = shape(item)
            score = score_of(attributes["score"]) if self._scores and attributes.get("score") else None
        except ValueError as error:
            self._report(item, str(error))
            return
        if kind:
            self.shapes.turned[kind] += 1
        ignored = attributes.get("ignored", "").lower() in ("true", "1", "yes")
        self.labels.boxes.append(RawBox(image, name, *corners, ignored, self._path, item.line, self._size, score))

    def _report(self, item: Element, message: str, code: str = UNREADABLE_LABEL) -> None:
        self.labels.problems.append(Problem(self._path, item.line, message, code))

    def _unreadable(self, item: Element, message: str) -> InputProblems:
        return InputProblems("A file cannot be read:", [Problem(self._path, item.line, message, UNREADABLE_LABEL)])


def _size(item: Element) -> tuple[int, int] | None:
    try:
        width, height = _numbers(item, "width", "height")
    except ValueError:
        return None
    return stated_size(width, height)


def _numbers(item: Element, *names: str) -> list[float]:
    """The attributes with these names.

    Raises:
        ValueError: One of them is missing or no number; the message says which.
    """
    missing = [name for name in names if not item.attributes.get(name)]
    if missing:
        raise ValueError(f"expected a <{item.name}> with {', '.join(names)}, found no {', '.join(missing)}")
    try:
        return [plain_number(item.attributes[name]) for name in names]
    except ValueError as error:
        raise ValueError(f"<{item.name}>: {error}") from None


def _angle(item: Element) -> float:
    return math.radians(_numbers(item, "rotation")[0]) if item.attributes.get("rotation") else 0.0


def _box(item: Element) -> tuple[Corners, str]:
    left, top, right, bottom = _numbers(item, "xtl", "ytl", "xbr", "ybr")
    angle = _angle(item)
    if angle == 0:
        return (left, top, right, bottom), ""
    centre = (left + right) / 2, (top + bottom) / 2
    return box_round_rotated(*centre, right - left, bottom - top, angle), "rotated boxes"


def _ellipse(item: Element) -> tuple[Corners, str]:
    x, y, radius_x, radius_y = _numbers(item, "cx", "cy", "rx", "ry")
    return box_round_ellipse(x, y, radius_x, radius_y, _angle(item)), "ellipses"


def _polygon(item: Element) -> tuple[Corners, str]:
    text = item.attributes.get("points", "")
    try:
        points = []
        for point in text.split(";"):
            x, y = point.split(",")
            points.append((plain_number(x), plain_number(y)))
    except ValueError:
        raise ValueError(f"expected a <polygon> with points x,y;x,y;..., found {text!r:.60}") from None
    return box_round(points), "polygons"


def _mask(item: Element) -> tuple[Corners, str]:
    left, top, width, height = _numbers(item, "left", "top", "width", "height")
    return (left, top, left + width, top + height), "masks"


_SHAPES = {"box": _box, "polygon": _polygon, "ellipse": _ellipse, "mask": _mask}
"""The shapes that have a box: each gives it, and what the user is told about it."""
