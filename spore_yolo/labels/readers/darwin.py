"""V7 Darwin JSON 2.0: a file an item; boxes are ``x, y, w, h`` in pixels, the name of an annotation is its class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.files.images import IMAGE_SUFFIXES
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.values import numbers, read_json, score_of, stated_size
from spore_yolo.labels.table import Corners, RawBox, RawLabels

# Fields of an annotation that say something about it, not what it is.
ATTRIBUTES = frozenset(
    {
        "annotators",
        "attributes",
        "auto_annotate",
        "directional_vector",
        "id",
        "inference",
        "instance_id",
        "measures",
        "name",
        "properties",
        "ranges",
        "reviewers",
        "slot_names",
        "text",
        "updated_at",
    }
)


def read_darwin(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a folder of Darwin JSON files, or one such file.

    Bounding boxes count, and polygons by the box round them. Annotations of other kinds, such as tags, are no boxes;
    they are left out and named with their number in the notes.

    Args:
        path: The folder, searched at any depth, or the file.
        images: The images that the labels speak of.
        options: With ``scores`` ``inference.confidence`` is read, which a model's annotations have.
    """
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*.json") if not _hidden(f.relative_to(path)))
    if not files:
        raise SporeYoloError(f"{path}: expected Darwin files (a JSON file an image), found none")
    labels = RawLabels()
    others: Counter[str] = Counter()
    for file in files:
        _read_file(file, images, labels, others, options.scores)
    labels.classes = sorted({box.class_name for box in labels.boxes})
    if others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
        labels.notes.append(f"annotations that are neither bounding boxes nor polygons were left out: {kinds}")
    return labels


def _hidden(path: Path) -> bool:
    """Darwin keeps properties of the whole dataset in ``.v7/metadata.json``."""
    return any(part.startswith(".") for part in path.parts)


def _read_file(file: Path, images: KnownImages, labels: RawLabels, others: Counter[str], scores: bool) -> None:
    try:
        content, lines = read_json(file)
    except InputProblems as error:
        labels.problems.extend(error.problems)
        return
    message = _fault_of_file(content)
    if message:
        labels.problems.append(Problem(file, None, message))
        return
    slots = content["item"].get("slots") or [{}]
    try:
        image = _find(content["item"], slots[0], images)
    except LookupError as error:
        labels.problems.append(Problem(file, None, str(error)))
        return
    if image in labels.labelled_images:
        labels.problems.append(Problem(file, None, f"expected one file an image, found a second one for {image}"))
        return
    labels.labelled_images.add(image)
    size = stated_size(slots[0].get("width"), slots[0].get("height"))
    if size:
        labels.stated_sizes[image] = size
    if image not in images.sizes:
        return
    for item, line in zip(content["annotations"], lines.get("annotations", []), strict=True):
        try:
            corners = _corners(item)
            score = _score(item) if scores else None
        except ValueError as error:
            labels.problems.append(Problem(file, line, str(error)))
            continue
        if corners is None:
            others[_kind(item)] += 1
            continue
        labels.boxes.append(RawBox(image, item["name"].strip(), *corners, False, file, line, size, score))


def _fault_of_file(content: Any) -> str | None:
    """What keeps a file from being one image with annotations, in Darwin's version 2."""
    version = content.get("version") if isinstance(content, dict) else None
    if not isinstance(version, str) or not version.startswith("2."):
        return f'expected Darwin JSON with "version": "2.0", found {version!r:.40}; export it as Darwin 2.0'
    item, annotations = content.get("item"), content.get("annotations")
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"].strip():
        return "expected an 'item' with the 'name' of an image"
    if not isinstance(item.get("path") or "/", str):
        return f"expected the 'path' of the item to be text, found {item['path']!r:.40}"
    if not isinstance(annotations, list):
        return f"expected a list 'annotations', found {annotations!r:.40}"
    slots = item.get("slots") or []
    if not isinstance(slots, list) or not all(isinstance(slot, dict) for slot in slots):
        return f"expected a list of 'slots', found {slots!r:.40}"
    if len(slots) > 1:
        return f"expected an item with one image, found {len(slots)} slots; split it into an item an image"
    kind = slots[0].get("type", "image") if slots else "image"
    return None if kind == "image" else f"expected a slot of type 'image', found {kind!r:.40}"


def _find(item: dict[str, Any], slot: dict[str, Any], images: KnownImages) -> str:
    """The image of an item: by its folder and name, or by the name of the file that was uploaded for it.

    An item may be called ``field_1`` where its file is ``field_1.jpg``.
    """
    folder = PurePosixPath((item.get("path") or "/").replace("\\", "/").strip("/"))
    sources = slot.get("source_files")
    source = sources[0].get("file_name") if isinstance(sources, list) and sources and _is_object(sources[0]) else None
    names = [item["name"].strip()]
    if isinstance(source, str) and source.strip():
        suffix = PurePosixPath(source).suffix
        if _suffix(names[0]) not in IMAGE_SUFFIXES and suffix:
            names.insert(0, names[0] + suffix)
        names.append(source.strip())
    if ".." in folder.parts or any(".." in PurePosixPath(name.replace("\\", "/")).parts for name in names):
        raise LookupError(f"expected the path of an image, found one that leads outside: {folder / names[-1]!s:.80}")
    paths = [(folder / name.lstrip("/")).as_posix() for name in names]
    first: LookupError | None = None
    for path in paths:
        try:
            return images.find(path)
        except LookupError as error:
            first = first or error
    try:
        return images.find_for_label(folder / f"{item['name'].strip()}.json")
    except LookupError:
        raise first or LookupError(item["name"]) from None


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _corners(item: Any) -> Corners | None:
    """The box of an annotation, or ``None`` for one that is no box.

    Raises:
        ValueError: It cannot be read; the message says what was expected.
    """
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"].strip():
        raise ValueError(f"expected an annotation with a 'name', its class, found {item!r:.60}")
    if "bounding_box" in item:
        box = item["bounding_box"]
        found = numbers([box.get(key) for key in "xywh"] if isinstance(box, dict) else None, 4)
        if found is None:
            raise ValueError(f"expected a 'bounding_box' with the numbers x, y, w and h, found {box!r:.60}")
        x, y, width, height = found
        return x, y, x + width, y + height
    if "polygon" in item:
        points = _points(item["polygon"])
        if not points:
            raise ValueError(f"expected a 'polygon' with paths of points x, y, found {item['polygon']!r:.60}")
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return min(xs), min(ys), max(xs), max(ys)
    return None


def _points(polygon: Any) -> list[tuple[float, float]]:
    """All points of a polygon; empty where it has none or one of them is no point."""
    paths = polygon.get("paths", [polygon.get("path")]) if isinstance(polygon, dict) else None
    if not isinstance(paths, list) or not all(isinstance(path, list) for path in paths):
        return []
    points = []
    for point in (point for path in paths for point in path):
        found = numbers([point.get("x"), point.get("y")] if isinstance(point, dict) else None, 2)
        if found is None:
            return []
        points.append((found[0], found[1]))
    return points


def _score(item: dict[str, Any]) -> float | None:
    inference = item.get("inference")
    if inference is None:
        return None
    if not isinstance(inference, dict):
        raise ValueError(f"expected 'inference' with a 'confidence', found {inference!r:.40}")
    confidence = inference.get("confidence")
    return None if confidence is None else score_of(confidence)


def _kind(item: dict[str, Any]) -> str:
    return next((key for key in item if key not in ATTRIBUTES), "without a shape")
