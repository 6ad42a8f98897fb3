"""V7 Darwin JSON 2.0: a file an item; boxes are ``x, y, w, h`` in pixels, the name of an annotation is its class.

The format is described at https://docs.v7labs.com/reference/darwin-json. An item has one or several slots, each with an
image of its own; an annotation says in ``slot_names`` to which it belongs.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.files.images import IMAGE_SUFFIXES
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.folder import each_label_file, is_first_file
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.shapes import Shapes, box_round, box_round_ellipse
from spore_yolo.labels.readers.values import numbers, read_json, score_of, some, stated_size
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


MAX_SLOTS = 100
"""Most slots of an item; Darwin's own limit is lower."""


class _Slot(NamedTuple):
    """A slot of an item whose image is known.

    Attributes:
        image: The image.
        size: Its size as the file states it.
    """

    image: str
    size: tuple[int, int] | None


def read_darwin(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a folder of Darwin JSON files, or one such file.

    Bounding boxes count, and polygons and ellipses by the box round them. Annotations of other kinds, such as tags, are
    no boxes; they are left out and named with their number in the notes.

    Args:
        path: The folder, searched at any depth, or the file.
        images: The images that the labels speak of.
        options: With ``scores`` ``inference.confidence`` is read, which a model's annotations have.

    Raises:
        SporeYoloError: The folder has no such files.
    """
    labels = RawLabels()
    shapes = Shapes()
    # Darwin keeps properties of the whole dataset in the hidden .v7/metadata.json.
    for file, _ in each_label_file(path, ".json", "Darwin files (a JSON file an image)"):
        _read_file(file, images, labels, shapes, options.scores)
    labels.classes = sorted({box.class_name for box in labels.boxes})
    labels.notes.extend(shapes.notes())
    return labels


def _read_file(file: Path, images: KnownImages, labels: RawLabels, shapes: Shapes, scores: bool) -> None:
    try:
        content, lines = read_json(file)
    except InputProblems as error:
        labels.problems.extend(error.problems)
        return
    message = _fault_of_file(content)
    if message:
        labels.problems.append(Problem(file, None, message, UNREADABLE_LABEL))
        return
    slots = _slots(file, content["item"], images, labels)
    for item, line in zip(content["annotations"], lines.get("annotations", []), strict=True):
        try:
            named = [slots[name] for name in _slot_names(item, slots)]
            places = [slot for slot in named if slot and slot.image in images.sizes]
            if not places:
                continue
            kind, corners = _shape(item)
            score = _score(item) if scores else None
        except ValueError as error:
            labels.problems.append(Problem(file, line, str(error), UNREADABLE_LABEL))
            continue
        if corners is None:
            shapes.left_out[kind] += 1
            continue
        if kind != "bounding_box":
            shapes.turned[f"{kind}s"] += 1
        for slot in places:
            name = item["name"].strip()
            labels.boxes.append(RawBox(slot.image, name, *corners, False, file, line, slot.size, score))


def _slots(file: Path, item: dict[str, Any], images: KnownImages, labels: RawLabels) -> dict[str, _Slot | None]:
    """The slots of an item by name; ``None`` for one whose image is unknown or was labelled before, which is told."""
    slots: dict[str, _Slot | None] = {}
    stated = item.get("slots") or [{}]
    for number, slot in enumerate(stated):
        name = str(slot.get("slot_name", number))
        slots[name] = None
        try:
            image = _find(_paths_of_slot(item, slot, name) if len(stated) > 1 else _paths(item, slot), item, images)
        except LookupError as error:
            labels.problems.append(Problem(file, None, str(error), UNKNOWN_IMAGE))
            continue
        size = stated_size(slot.get("width"), slot.get("height"))
        if is_first_file(file, image, size, labels):
            slots[name] = _Slot(image, size)
    return slots


def _slot_names(item: Any, slots: dict[str, _Slot | None]) -> list[str]:
    """The slots that an annotation is in: those it names, else the first one.

    Raises:
        ValueError: It names a slot that the item does not have.
    """
    names = item.get("slot_names") if isinstance(item, dict) else None
    if not names or len(slots) == 1:  # older files name a slot that the item calls differently
        return [next(iter(slots))]
    if not isinstance(names, list) or not all(isinstance(name, str) and name in slots for name in names):
        raise ValueError(f"expected 'slot_names' of the item ({some(slots)}), found {names!r:.60}")
    return list(dict.fromkeys(names))


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
    kinds = [slot.get("type", "image") for slot in slots]
    other = next((kind for kind in kinds if kind != "image"), None)
    if other is not None:
        return f"expected slots of type 'image', found {other!r:.40}; videos and volumes are not read"
    names = [str(slot.get("slot_name", number)) for number, slot in enumerate(slots)]
    twice = [name for name in names if names.count(name) > 1] if len(names) <= MAX_SLOTS else []
    if twice:
        return f"expected slots with a name each, found several called {twice[0]!r:.40}"
    return None if len(names) <= MAX_SLOTS else f"expected at most {MAX_SLOTS} slots, found {len(names)}"


def _find(paths: list[PurePosixPath], item: dict[str, Any], images: KnownImages) -> str:
    """The first of the paths that is an image, else the image that has the item's name for its stem.

    Raises:
        LookupError: There is none; the message speaks of the first path.
    """
    for path in paths:
        if ".." in PurePosixPath(str(path).replace("\\", "/")).parts:
            raise LookupError(f"expected the path of an image, found one that leads outside: {path!s:.80}")
    first: LookupError | None = None
    for path in paths:
        try:
            return images.find(str(path))
        except LookupError as error:
            first = first or error
    try:
        return images.find_for_label(_folder(item) / f"{item['name'].strip()}.json")
    except LookupError:
        raise first or LookupError(item["name"]) from None


def _folder(item: dict[str, Any]) -> PurePosixPath:
    return PurePosixPath((item.get("path") or "/").replace("\\", "/").strip("/"))


def _paths(item: dict[str, Any], slot: dict[str, Any]) -> list[PurePosixPath]:
    """Where the image of an item with one slot may be: by the item's name, or by that of the uploaded file.

    An item may be called ``field_1`` where its file is ``field_1.jpg``.
    """
    names = [item["name"].strip()]
    source = _source(slot)
    if source:
        suffix = PurePosixPath(source).suffix
        if _suffix(names[0]) not in IMAGE_SUFFIXES and suffix:
            names.insert(0, names[0] + suffix)
        names.append(source)
    return [_folder(item) / name.lstrip("/") for name in names]


def _paths_of_slot(item: dict[str, Any], slot: dict[str, Any], name: str) -> list[PurePosixPath]:
    """Where the image of one of several slots may be; Darwin's own tool saves it below the item's and slot's name.

    Raises:
        LookupError: The slot names no file.
    """
    source = _source(slot)
    if not source:
        raise LookupError(f"expected a file name in the 'source_files' of slot {name:.40}, found none")
    return [_folder(item) / item["name"].strip().lstrip("/") / name / source, _folder(item) / source]


def _source(slot: dict[str, Any]) -> str:
    """The name of the file that was uploaded for a slot; empty where it is not told."""
    sources = slot.get("source_files")
    source = sources[0].get("file_name") if isinstance(sources, list) and sources and _is_object(sources[0]) else None
    return source.strip().lstrip("/") if isinstance(source, str) else ""


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _shape(item: Any) -> tuple[str, Corners | None]:
    """The kind of an annotation, and its box: ``None`` for one that is no box.

    Raises:
        ValueError: It cannot be read; the message says what was expected.
    """
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"].strip():
        raise ValueError(f"expected an annotation with a 'name', its class, found {item!r:.60}")
    kind = next((kind for kind in ("polygon", "ellipse", "bounding_box") if kind in item), None)
    if kind is None:
        return next((key for key in item if key not in ATTRIBUTES), "without a shape"), None
    if "bounding_box" in item:  # which polygons have as well
        box = item["bounding_box"]
        found = numbers([box.get(key) for key in "xywh"] if isinstance(box, dict) else None, 4)
        if found is None:
            raise ValueError(f"expected a 'bounding_box' with the numbers x, y, w and h, found {box!r:.60}")
        x, y, width, height = found
        return kind, (x, y, x + width, y + height)
    if kind == "ellipse":
        return kind, _round_ellipse(item["ellipse"])
    points = _points(item["polygon"])
    if not points:
        raise ValueError(f"expected a 'polygon' with paths of points x, y, found {item['polygon']!r:.60}")
    return kind, box_round(points)


def _round_ellipse(ellipse: Any) -> Corners:
    parts = (ellipse.get("center"), ellipse.get("radius")) if isinstance(ellipse, dict) else ()
    values = [part.get(key) for part in parts if isinstance(part, dict) for key in "xy"]
    found = numbers([*values, ellipse.get("angle", 0)] if values else None, 5)
    if found is None:
        raise ValueError(f"expected an 'ellipse' with center, radius and angle, found {ellipse!r:.60}")
    x, y, radius_x, radius_y, angle = found
    return box_round_ellipse(x, y, radius_x, radius_y, angle)  # the angle is in radians


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
