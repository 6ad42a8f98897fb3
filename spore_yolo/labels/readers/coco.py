"""COCO JSON: ``images``, ``categories`` and ``annotations`` with arbitrary ids; boxes are ``x, y, width, height``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.labels.codes import UNKNOWN_CLASS, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.values import JsonItems, numbers, score_of, some, stated_size
from spore_yolo.labels.table import Corners, RawBox, RawLabels

CATALOGUE = {"images": ("id", "file_name"), "categories": ("id", "name")}
"""The lists that say what ids mean, and the fields of their items."""


class _Annotation(NamedTuple):
    """What is kept of an annotation; a million of them as JSON have no place in memory."""

    image_id: Any
    category_id: Any
    corners: Corners | None
    ignored: bool
    score: float | None
    line: int
    fault: str


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
        images: Image and stated size of each image id.
        unknown: What is wrong with the images that nobody knows, by their id.
    """

    names: dict[Any, str] = field(default_factory=dict)
    images: dict[Any, tuple[str, tuple[int, int] | None]] = field(default_factory=dict)
    unknown: dict[Any, Problem] = field(default_factory=dict)


def read_coco(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a COCO annotation file; ``iscrowd`` annotations become ignored boxes.

    Ids are only what ties the three lists together: they need not start at 1 nor be without gaps. Classes keep the
    order of ``categories``.

    Predictions may also be a results list, as COCO's own evaluation takes it; images that nobody knows are then a
    problem only where something was found on them.

    Args:
        path: The file.
        images: The images that the labels speak of.
        options: ``scores`` and ``ids_file`` concern this format.

    Raises:
        SporeYoloError: The file is not COCO, or a results list comes without ``ids_file``.
    """
    file = _read(path, scores=options.scores)
    catalogue = file
    if file.is_results:
        if options.ids_file is None:
            raise SporeYoloError(
                f"{path}: a COCO results list names images and classes only by number; expected a COCO file as truth,"
                " or the COCO file that has these numbers (--coco-ids FILE), or predictions that are a whole COCO file"
            )
        catalogue = _read(options.ids_file, scores=False, catalogue_only=True)
    ids = _ids(catalogue, images)
    labels = _labels(ids)
    if not options.scores:
        labels.problems.extend(ids.unknown.values())
    _read_annotations(file, ids, images, labels, scores=options.scores)
    return labels


def _labels(ids: _Ids) -> RawLabels:
    return RawLabels(
        classes=list(dict.fromkeys(ids.names.values())),
        labelled_images={image for image, _ in ids.images.values()},
        stated_sizes={image: size for image, size in ids.images.values() if size},
    )


def _ids(catalogue: _File, images: KnownImages) -> _Ids:
    ids = _Ids({item["id"]: str(item["name"]) for item, _ in catalogue.categories})
    for item, line in catalogue.images:
        try:
            image = images.find(str(item["file_name"]))
        except LookupError as error:
            ids.unknown[item["id"]] = Problem(catalogue.path, line, str(error), UNKNOWN_IMAGE)
            continue
        ids.images[item["id"]] = (image, stated_size(item.get("width"), item.get("height")))
    return ids


def _read_annotations(file: _File, ids: _Ids, images: KnownImages, labels: RawLabels, *, scores: bool) -> None:
    told: set[Any] = set()
    listed = some(f"{key} {name}" for key, name in ids.names.items())
    for item in file.annotations:
        image_id, category_id = item.image_id, item.category_id
        if isinstance(image_id, list | dict) or isinstance(category_id, list | dict):
            message = "expected 'image_id' and 'category_id' to be numbers"
            labels.problems.append(Problem(file.path, item.line, message, UNREADABLE_LABEL))
            continue
        if image_id in ids.unknown:
            if scores and image_id not in told:
                told.add(image_id)
                message = ids.unknown[image_id].message
                labels.problems.append(Problem(file.path, item.line, message, UNKNOWN_IMAGE))
            continue  # told once, for the image
        if image_id in ids.images and ids.images[image_id][0] not in images.sizes:
            continue
        code, message = UNREADABLE_LABEL, item.fault
        if image_id not in ids.images:
            code, message = UNKNOWN_IMAGE, f"unknown image id {image_id!s:.40}; it is not in 'images'"
        elif category_id not in ids.names:
            code = UNKNOWN_CLASS
            message = f"unknown class, category id {category_id!s:.40}; 'categories' has {listed}"
        if message or item.corners is None:
            labels.problems.append(Problem(file.path, item.line, message, code))
            continue
        image, size = ids.images[image_id]
        name = ids.names[category_id]
        labels.boxes.append(RawBox(image, name, *item.corners, item.ignored, file.path, item.line, size, item.score))


def _annotation(item: dict[str, Any], line: int, scores: bool) -> _Annotation:
    fault, score = "", None
    box = numbers(item.get("bbox"), 4)
    corners = None if box is None else (box[0], box[1], box[0] + box[2], box[1] + box[3])
    if corners is None:
        fault = f"expected 'bbox' with four numbers (x, y, width, height), found {item.get('bbox')!r:.60}"
    elif scores and item.get("score") is not None:
        try:
            score = score_of(item["score"])
        except ValueError as error:
            fault = str(error)
    if fault and "id" in item:
        fault = f"annotation id {item['id']!r:.40}: {fault}"
    ignored = bool(item.get("iscrowd", 0))
    return _Annotation(item.get("image_id"), item.get("category_id"), corners, ignored, score, line, fault)


def _read(path: Path, *, scores: bool, catalogue_only: bool = False) -> _File:
    """Reads a COCO file; with ``scores`` it may be a results list, with ``catalogue_only`` it needs no annotations."""
    if path.is_dir():
        raise _unreadable(path, "expected a COCO file, found a folder")
    items = JsonItems(path)
    file = _File(path, is_results=False)
    for part, value, line, listed in items:
        if part == "annotations" or (part is None and listed and scores and not catalogue_only):
            if catalogue_only:
                continue
            if not listed or not _has(value, ()):
                what = "results {image_id, category_id, bbox, score}" if part is None else "annotations"
                raise _unreadable(path, f"expected a list of {what} (COCO format), found {value!r:.60}")
            file.annotations.append(_annotation(value, line, scores))
        elif part in CATALOGUE:
            if not listed or not _has(value, CATALOGUE[part]):
                raise _unreadable(path, _expected(part))
            (file.images if part == "images" else file.categories).append((value, line))
    file.is_results = None in items.lists and scores and not catalogue_only
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
    return isinstance(item, dict) and all(key in item for key in needed) and isinstance(item.get("id", 0), int | str)


def _unreadable(path: Path, message: str) -> InputProblems:
    return InputProblems("A file cannot be read:", [Problem(path, None, message, UNREADABLE_LABEL)])
