"""COCO JSON: ``images``, ``categories`` and ``annotations`` with arbitrary ids; boxes are ``x, y, width, height``.

The format is that of https://cocodataset.org/#format-data and, for predictions, of its #format-results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.labels.codes import NO_AREA, OTHER_SIZE, UNKNOWN_CLASS, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.rle import mask_box, mask_size
from spore_yolo.labels.readers.shapes import box_round
from spore_yolo.labels.readers.values import (
    JsonItems,
    numbers,
    paused_collector,
    score_of,
    some,
    stated_size,
)
from spore_yolo.labels.table import UNKNOWN_SIZE, Corners, RawBox, RawLabels

CATALOGUE = {"images": ("id", "file_name"), "categories": ("id", "name")}
"""The lists that say what ids mean, and the fields of their items."""

Size = tuple[int, int]


class _Annotation(NamedTuple):
    """What is kept of an annotation; a million of them as JSON have no place in memory.

    Attributes:
        corners: Its box; ``None`` where it has a fault.
        outline: Whether the box is the one round its ``segmentation``.
        mask: Width and height of the mask that this is.
        fault: What keeps it from being a box.
    """

    image_id: Any
    category_id: Any
    corners: Corners | None
    outline: bool
    mask: Size | None
    ignored: bool
    score: float | None
    line: int
    fault: Problem | None


@dataclass
class _File:
    """A COCO file, or a results list."""

    path: Path
    is_results: bool
    images: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    categories: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    annotations: list[_Annotation] = field(default_factory=list)


@dataclass
class _Ids:
    """What the ids of a COCO file mean.

    Attributes:
        names: The class of each category id.
        nameless: What is wrong with the categories that are no class, by their id.
        images: Image and stated size of each image id.
        unknown: What is wrong with the images that nobody knows, by their id.
    """

    names: dict[Any, str] = field(default_factory=dict)
    nameless: dict[Any, Problem] = field(default_factory=dict)
    images: dict[Any, tuple[str, Size | None]] = field(default_factory=dict)
    unknown: dict[Any, Problem] = field(default_factory=dict)


def read_coco(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a COCO annotation file; ``iscrowd`` annotations become ignored boxes.

    Ids are only what ties the three lists together: they need not start at 1 nor be without gaps, and several of them
    may stand for one image or one class. An id that stands for two images, or two classes, stands for neither. Classes
    keep the order of ``categories``.

    An annotation without a ``bbox`` (absent, ``null``, empty or four zeros) counts by the box round its
    ``segmentation``: polygons, or a mask as runs, packed or not.

    Predictions may also be a results list, as COCO's own evaluation takes it; images that nobody knows are then a
    problem only where something was found on them.

    Args:
        path: The file.
        images: The images that the labels speak of.
        options: ``scores`` and ``ids_file`` concern this format.

    Raises:
        SporeYoloError: The file is not COCO, or a results list comes without ``ids_file``.
    """
    with paused_collector():
        file = _read(path, scores=options.scores)
        catalogue = file
        if file.is_results:
            if options.ids_file is None:
                raise SporeYoloError(
                    f"{path}: a COCO results list names images and classes only by number; expected a COCO file as"
                    " truth, or the COCO file that has these numbers (--coco-ids FILE), or predictions that are a whole"
                    " COCO file"
                )
            catalogue = _read(options.ids_file, scores=False, catalogue_only=True)
        ids = _Ids()
        _name_classes(catalogue, ids)
        _find_images(catalogue, ids, images)
        labels = _labels(ids)
        if not options.scores:
            labels.problems.extend(ids.unknown.values())
        _read_annotations(file, ids, images, labels, scores=options.scores)
    return labels


def _labels(ids: _Ids) -> RawLabels:
    labels = RawLabels(
        classes=list(dict.fromkeys(ids.names.values())),
        labelled_images={image for image, _ in ids.images.values()},
        problems=list(ids.nameless.values()),
    )
    for image, size in ids.images.values():
        if size:
            labels.stated_sizes.setdefault(image, size)
    return labels


def _name_classes(catalogue: _File, ids: _Ids) -> None:
    for item, line in catalogue.categories:
        key, name = item["id"], item["name"]
        if key in ids.nameless:
            continue
        if type(name) is int:
            name = str(name)
        message = ""
        if not isinstance(name, str) or not name.strip():
            message = f"category id {key!r:.40}: expected the name of a class, found {name!r:.40}"
        elif ids.names.get(key, name) != name:
            first = ids.names.pop(key)
            message = f"category id {key!r:.40} stands for two classes, {first!r:.40} and {name!r:.40}"
        if message:
            ids.nameless[key] = Problem(catalogue.path, line, message, UNREADABLE_LABEL)
        else:
            ids.names[key] = name


def _find_images(catalogue: _File, ids: _Ids, images: KnownImages) -> None:
    seen = _Seen({}, {})
    for item, line in catalogue.images:
        key = item["id"]
        if key in ids.unknown:
            continue
        try:
            ids.images[key] = _image(item, ids, images, seen)
        except (LookupError, ValueError) as error:
            code = UNKNOWN_IMAGE if isinstance(error, LookupError) else UNREADABLE_LABEL
            ids.unknown[key] = Problem(catalogue.path, line, str(error), code)
            ids.images.pop(key, None)


class _Seen(NamedTuple):
    """What was said of the images so far: the first name and the first size of each."""

    names: dict[str, str]
    sizes: dict[str, Size]


def _image(item: dict[str, Any], ids: _Ids, images: KnownImages, seen: _Seen) -> tuple[str, Size | None]:
    """The image that an item of ``images`` means, and its stated size.

    Raises:
        LookupError: There is no such image.
        ValueError: The item contradicts an earlier one, or has no file name.
    """
    name = item["file_name"]
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"expected 'file_name' with the name of an image, found {name!r:.40}")
    image = images.find(name)
    earlier = ids.images.get(item["id"])
    if earlier and earlier[0] != image:
        raise ValueError(f"image id {item['id']!r:.40} stands for two images, {earlier[0]} and {image}")
    path = name.replace("\\", "/").removeprefix("./").lstrip("/")
    if seen.names.setdefault(image, path) != path:
        raise ValueError(
            f"expected one image a file, found {path} and {seen.names[image]}, which both would be {image}"
        )
    size = stated_size(item.get("width"), item.get("height"))
    # Where the image is at hand, the boxes are checked against its own size.
    if size and seen.sizes.setdefault(image, size) != size and images.sizes.get(image) == UNKNOWN_SIZE:
        raise ValueError(f"expected one size of {image}, found {_text(size)} and {_text(seen.sizes[image])}")
    return image, size


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _read_annotations(file: _File, ids: _Ids, images: KnownImages, labels: RawLabels, *, scores: bool) -> None:
    told: set[Any] = set()
    classes = some(f"{key} {name}" for key, name in ids.names.items())
    outlines = 0
    for item in file.annotations:
        try:
            known, name = ids.images.get(item.image_id), ids.names.get(item.category_id)
        except TypeError:
            message = "expected 'image_id' and 'category_id' to be numbers"
            labels.problems.append(Problem(file.path, item.line, message, UNREADABLE_LABEL))
            continue
        if known and known[0] not in images.sizes:
            continue
        if known is None or name is None or item.corners is None:
            labels.problems.extend(_faults(item, ids, file.path, classes, told if scores else None))
            continue
        image, size = known
        if item.mask and size and item.mask != size:
            message = f"expected a mask of {_text(size)} pixels, as {image} is said to have, found {_text(item.mask)}"
            labels.problems.append(Problem(file.path, item.line, message, OTHER_SIZE))
            continue
        outlines += item.outline
        corners, size = item.corners, size or item.mask
        labels.boxes.append(RawBox(image, name, *corners, item.ignored, file.path, item.line, size, item.score))
    if outlines:
        labels.notes.append(f"{outlines:,} outlines without a box were turned into the boxes round them")


def _faults(item: _Annotation, ids: _Ids, path: Path, classes: str, told: set[Any] | None) -> Iterator[Problem]:
    """What is wrong with an annotation, unless it was told already, for its image or its category.

    Args:
        item: The annotation.
        ids: What the ids mean.
        path: Its file.
        classes: The classes, for messages.
        told: For predictions: ids of unknown images that were told.
    """
    if item.image_id in ids.unknown:
        if told is not None and item.image_id not in told:
            told.add(item.image_id)
            yield Problem(path, item.line, ids.unknown[item.image_id].message, ids.unknown[item.image_id].code)
    elif item.image_id not in ids.images:
        message = f"unknown image id {item.image_id!s:.40}; it is not in 'images'"
        yield Problem(path, item.line, message, UNKNOWN_IMAGE)
    elif item.category_id in ids.nameless:
        return
    elif item.category_id not in ids.names:
        message = f"unknown class, category id {item.category_id!s:.40}; 'categories' has {classes}"
        yield Problem(path, item.line, message, UNKNOWN_CLASS)
    elif item.fault:
        yield item.fault


def _annotation(path: Path, item: dict[str, Any], line: int, scores: bool) -> _Annotation:
    corners, mask, outline, score, fault = None, None, False, None, None
    bbox = item.get("bbox")
    box = numbers(bbox, 4)
    try:
        if box and (any(box) or not item.get("segmentation")):
            corners = (box[0], box[1], box[0] + box[2], box[1] + box[3])
        elif (box or not bbox) and item.get("segmentation"):
            outline = True
            corners, mask = _outline(item["segmentation"])
        else:
            raise ValueError(f"expected 'bbox' with four numbers (x, y, width, height), found {bbox!r:.60}")
        if scores and item.get("score") is not None:
            score = score_of(item["score"])
    except ValueError as error:
        whose = f"annotation id {item['id']!r:.40}: " if "id" in item else ""
        code = NO_AREA if isinstance(error, _NoArea) else UNREADABLE_LABEL
        corners, fault = None, Problem(path, line, f"{whose}{error}", code)
    ignored = bool(item.get("iscrowd"))
    return _Annotation(
        item.get("image_id"), item.get("category_id"), corners, outline, mask, ignored, score, line, fault
    )


class _NoArea(ValueError):
    """An outline round nothing."""


def _outline(segmentation: Any) -> tuple[Corners, Size | None]:
    """The box round polygons or a mask, and the size of the mask.

    Raises:
        ValueError: It is neither; the message says what was expected.
    """
    if isinstance(segmentation, dict):
        corners = mask_box(segmentation)
        if corners is None:
            raise _NoArea("expected an outline with an area, found an empty mask")
        return corners, mask_size(segmentation)
    points: list[tuple[float, float]] = []
    for polygon in segmentation if isinstance(segmentation, list) else [None]:
        places = numbers(polygon, len(polygon)) if isinstance(polygon, list) else None
        if places is None or len(places) < 6 or len(places) % 2:
            raise ValueError(
                "expected 'segmentation' with lists of three points or more (x, y, x, y, …) or a mask (size, counts),"
                f" found {segmentation!r:.60}"
            )
        points.extend(zip(places[0::2], places[1::2], strict=True))
    return box_round(points), None


def _read(path: Path, *, scores: bool, catalogue_only: bool = False) -> _File:
    """Reads a COCO file; with ``scores`` it may be a results list, with ``catalogue_only`` it needs no annotations."""
    if path.is_dir():
        raise _unreadable(path, "expected a COCO file, found a folder")
    items = JsonItems(path)
    file = _File(path, is_results=False)
    results = scores and not catalogue_only
    for part, value, line, listed in items:
        if part == "annotations" or (part is None and listed and results):
            if catalogue_only:
                continue
            if not listed or not isinstance(value, dict):
                what = "of results {image_id, category_id, bbox, score}" if part is None else "'annotations' of objects"
                raise _unreadable(path, f"expected a list {what} (COCO format), found {value!r:.60}", line)
            file.annotations.append(_annotation(path, value, line, scores))
        elif part in CATALOGUE:
            if not listed or not _has(value, CATALOGUE[part]):
                raise _unreadable(path, f"{_expected(part)}, found {value!r:.60}", line)
            (file.images if part == "images" else file.categories).append((value, line))
    file.is_results = None in items.lists and results
    if not file.is_results:
        for part in (*CATALOGUE, *(() if catalogue_only else ("annotations",))):
            if part not in items.lists:
                raise _unreadable(path, _expected(part))
    return file


def _expected(part: str) -> str:
    fields = CATALOGUE.get(part)
    return (
        f"expected a list '{part}'" + (f" whose items have {' and '.join(fields)}" if fields else "") + " (COCO format)"
    )


def _has(item: Any, needed: tuple[str, ...]) -> bool:
    return isinstance(item, dict) and all(key in item for key in needed) and type(item["id"]) in (int, float, str)


def _unreadable(path: Path, message: str, line: int | None = None) -> InputProblems:
    return InputProblems("A file cannot be read:", [Problem(path, line, message, UNREADABLE_LABEL)])
