"""COCO JSON: ``images``, ``categories`` and ``annotations`` with arbitrary ids; boxes are ``x, y, width, height``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.values import Lines, numbers, read_json, score_of, stated_size
from spore_yolo.labels.table import RawBox, RawLabels

PARTS = {"images": ("id", "file_name"), "categories": ("id", "name"), "annotations": ()}


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


def read_coco(path: Path, images: KnownImages) -> RawLabels:
    """Reads a COCO annotation file; ``iscrowd`` annotations become ignored boxes.

    Ids are only what ties the three lists together: they need not start at 1 nor be without gaps. Classes keep the
    order of ``categories``.
    """
    text, content = _read(path, PARTS)
    lines = Lines(text)
    ids = _ids(path, content, lines, images)
    labels = _labels(ids)
    labels.problems.extend(ids.unknown.values())
    _read_annotations(path, content["annotations"], "annotations", lines, ids, images, labels, scores=False)
    return labels


def read_coco_predictions(path: Path, images: KnownImages, ids_file: Path | None = None) -> RawLabels:
    """Reads what a model found: a whole COCO file, or a results list as COCO's own evaluation takes it.

    Images that nobody knows are a problem only where something was found on them.

    Args:
        path: The file; its annotations may have a ``score``.
        images: The images that may have predictions.
        ids_file: For a results list: the COCO file whose ``images`` and ``categories`` its ids mean.

    Raises:
        SporeYoloError: A results list comes without ``ids_file``.
    """
    text, content = read_json(path) if path.is_file() else ("", None)
    if not isinstance(content, list):
        text, content = _read(path, PARTS)
        items, part, lines = content["annotations"], "annotations", Lines(text)
        ids = _ids(path, content, lines, images)
    else:
        if ids_file is None:
            raise SporeYoloError(
                f"{path}: a COCO results list names images and classes only by number; expected a COCO file as truth,"
                " or the COCO file that has these numbers (--coco-ids FILE), or predictions that are a whole COCO file"
            )
        listed, catalogue = _read(ids_file, {name: PARTS[name] for name in ("images", "categories")})
        ids = _ids(ids_file, catalogue, Lines(listed), images)
        items, part, lines = content, None, Lines(text)
        if not all(isinstance(item, dict) for item in items):
            raise _unreadable(path, "expected a list of results {image_id, category_id, bbox, score}")
    labels = _labels(ids)
    _read_annotations(path, items, part, lines, ids, images, labels, scores=True)
    return labels


def _labels(ids: _Ids) -> RawLabels:
    return RawLabels(
        classes=list(dict.fromkeys(ids.names.values())),
        labelled_images={image for image, _ in ids.images.values()},
        stated_sizes={image: size for image, size in ids.images.values() if size},
    )


def _ids(path: Path, content: dict[str, Any], lines: Lines, images: KnownImages) -> _Ids:
    ids = _Ids({item["id"]: str(item["name"]) for item in content["categories"]})
    for index, item in enumerate(content["images"]):
        try:
            image = images.find(str(item["file_name"]))
        except LookupError as error:
            ids.unknown[item["id"]] = Problem(path, lines.of("images", index), str(error))
            continue
        ids.images[item["id"]] = (image, stated_size(item.get("width"), item.get("height")))
    return ids


def _read_annotations(
    path: Path,
    items: list[dict[str, Any]],
    part: str | None,
    lines: Lines,
    ids: _Ids,
    images: KnownImages,
    labels: RawLabels,
    *,
    scores: bool,
) -> None:
    told: set[Any] = set()
    for index, item in enumerate(items):
        image_id, category_id = item.get("image_id"), item.get("category_id")
        if isinstance(image_id, list | dict) or isinstance(category_id, list | dict):
            where = lines.of(part, index)
            labels.problems.append(Problem(path, where, "expected 'image_id' and 'category_id' to be numbers"))
            continue
        if image_id in ids.unknown:
            if scores and image_id not in told:
                told.add(image_id)
                labels.problems.append(Problem(path, lines.of(part, index), ids.unknown[image_id].message))
            continue  # told once, for the image
        if image_id in ids.images and ids.images[image_id][0] not in images.sizes:
            continue
        message = _fault(item, ids)
        score = None
        if message is None and scores and item.get("score") is not None:
            try:
                score = score_of(item["score"])
            except ValueError as error:
                message = str(error)
        if message:
            name = f"annotation id {item['id']!r:.40}: " if "id" in item else ""
            labels.problems.append(Problem(path, lines.of(part, index), name + message))
            continue
        image, size = ids.images[image_id]
        x, y, width, height = numbers(item["bbox"], 4) or ()
        labels.boxes.append(
            RawBox(
                image,
                ids.names[category_id],
                x,
                y,
                x + width,
                y + height,
                ignored=bool(item.get("iscrowd", 0)),
                file=path,
                line=lines.of(part, index),
                stated_size=size,
                score=score,
            )
        )


def _fault(item: dict[str, Any], ids: _Ids) -> str | None:
    if item.get("image_id") not in ids.images:
        return f"unknown image id {item.get('image_id')!s:.40}; it is not in 'images'"
    if item.get("category_id") not in ids.names:
        listed = ", ".join(f"{key} {name}" for key, name in ids.names.items())
        return f"unknown class, category id {item.get('category_id')!s:.40}; 'categories' has {listed}"
    if numbers(item.get("bbox"), 4) is None:
        return f"expected 'bbox' with four numbers (x, y, width, height), found {item.get('bbox')!r:.60}"
    return None


def _read(path: Path, parts: dict[str, tuple[str, ...]]) -> tuple[str, dict[str, Any]]:
    """The text and the content of a COCO file that has these lists, whose items have these fields."""
    if path.is_dir():
        raise _unreadable(path, "expected a COCO file, found a folder")
    text, content = read_json(path)
    for part, needed in parts.items():
        items = content.get(part) if isinstance(content, dict) else None
        if not isinstance(items, list) or not all(_has(item, needed) for item in items):
            expected = f"expected a list '{part}'" + (f" whose items have {' and '.join(needed)}" if needed else "")
            raise _unreadable(path, f"{expected} (COCO format)")
    return text, content


def _has(item: Any, needed: tuple[str, ...]) -> bool:
    return isinstance(item, dict) and all(key in item for key in needed) and isinstance(item.get("id", 0), int | str)


def _unreadable(path: Path, message: str) -> InputProblems:
    return InputProblems("A file cannot be read:", [Problem(path, None, message)])
