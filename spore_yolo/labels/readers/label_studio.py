"""Label Studio JSON: tasks with regions in per cent of the image.

The format is that of https://labelstud.io/guide/export and https://labelstud.io/guide/task_format ("JSON", and
"JSON-MIN" as https://github.com/HumanSignal/label-studio-converter writes it); a region's ``rotation`` is in degrees,
clockwise about its top left corner, as https://labelstud.io/templates/image_bbox says.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from spore_yolo.files.errors import Problem
from spore_yolo.files.images import IMAGE_SUFFIXES
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.json_files import find_image, objects, paths_of_address, read_each, unlike
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.shapes import NO_PLACE, Shapes, box_round, box_round_ellipse, box_round_rotated
from spore_yolo.labels.readers.values import numbers, score_of, some, stated_size
from spore_yolo.labels.table import UNKNOWN_SIZE, Corners, RawBox, RawLabels

REMARKS = frozenset(
    {"choices", "datetime", "number", "pairwise", "ranker", "rating", "relation", "taxonomy", "textarea"}
)
"""Results that say something about a region or an image; they are no shapes."""

SHAPES = {
    "rectangle": ("x", "y", "width", "height"),
    "ellipse": ("x", "y", "radiusX", "radiusY"),
    "polygon": ("points",),
}
"""Regions that have a box round them, and what their values hold."""

SHAPE_BY_KEY = {"points": "polygon", "radiusX": "ellipse", "height": "rectangle"}
"""What the shape of a region is of which only the class is stated, by what its value holds."""

BARE = frozenset({"bitmask", "brush", "ellipse", "keypoint", "polygon", "rectangle", "vector"})
"""Regions without a class; ``<Labels>`` repeats their place and states it."""

IGNORED = "ignored"
"""The text in the ``meta`` of a region that this program writes for ignored boxes."""

UPLOAD_MARK = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""


@dataclass
class _Opinion:
    """What one person, or one model, said about one image.

    Attributes:
        size: Width and height of the image, as stated.
        several: How many regions have more than one class.
    """

    image: str
    boxes: list[RawBox] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    shapes: Shapes = field(default_factory=Shapes)
    size: tuple[int, int] | None = None
    several: int = 0


@dataclass
class _Reading:
    """What was read so far.

    Attributes:
        opinions: Those that count, by file and task, each with the time of its last change.
        contested: Images of which other opinions were left out.
        empty: Tasks of which nobody said anything.
    """

    images: KnownImages
    scores: bool
    labels: RawLabels = field(default_factory=RawLabels)
    opinions: dict[tuple[Path, int | str], tuple[str, _Opinion]] = field(default_factory=dict)
    contested: set[str] = field(default_factory=set)
    empty: int = 0


def read_label_studio(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads an export of Label Studio as JSON or JSON-MIN, or a folder of such files.

    Rectangles count; rotated ones, polygons and ellipses by the box round them. Brush strokes, key points and other
    shapes are left out and named with their number in the notes. Of several annotations of a task the one that is
    marked as ground truth counts, else the last that was updated; those that were skipped never do. A task that nobody
    annotated says nothing of its image, while an annotation without regions says that nothing is on it.

    An image is named by whichever value of the task's ``data`` has the suffix of an image. Nothing is fetched.

    Args:
        path: The file, or the folder, searched at any depth.
        images: The images that the labels speak of.
        options: With ``scores`` the ``predictions`` of the tasks are read in place of the annotations, with the
            ``score`` of each region, or else of the prediction.

    Raises:
        SporeYoloError: The file as a whole is not of that format, or holds no predictions where they are asked for.
    """
    reading = _Reading(images, options.scores)
    read_each(path, "Label Studio files (*.json)", reading.labels, lambda file: _read_file(file, reading))
    if options.scores and not reading.opinions and not reading.labels.problems:
        raise unlike(path, "Label Studio tasks with 'predictions'", "tasks without")
    return _joined(reading)


def _joined(reading: _Reading) -> RawLabels:
    labels, shapes, several = reading.labels, Shapes(), 0
    tasks: Counter[str] = Counter()
    for _, opinion in reading.opinions.values():
        labels.boxes.extend(opinion.boxes)
        labels.problems.extend(opinion.problems)
        labels.labelled_images.add(opinion.image)
        if opinion.size:
            labels.stated_sizes.setdefault(opinion.image, opinion.size)
        shapes.turned.update(opinion.shapes.turned)
        shapes.left_out.update(opinion.shapes.left_out)
        several += opinion.several
        tasks[opinion.image] += 1
    labels.classes = sorted({box.class_name for box in labels.boxes})
    labels.notes.extend(shapes.notes())
    notes = {
        "regions have more than one class; the first of them counts": several,
        "images were annotated more than once; the ground truth counts, or else what was last updated": len(
            reading.contested
        ),
        "images have more than one task; their boxes were put together": sum(count > 1 for count in tasks.values()),
        "tasks that nobody annotated were left out": reading.empty,
    }
    labels.notes.extend(f"{count:,} {note}" for note, count in notes.items() if count)
    return labels


def _read_file(file: Path, reading: _Reading) -> None:
    for number, (task, line) in enumerate(objects(file)):
        if isinstance(task, dict) and isinstance(task.get("task"), dict) and "result" in task:
            task = {**task["task"], "annotations": [task]}  # a target storage gets a file for each annotation
        try:
            if not isinstance(task, dict):
                raise ValueError(f"expected a task of Label Studio, found {task!r:.60}")
            _read_task(task, file, line, number, reading)
        except (LookupError, ValueError) as error:
            code = UNKNOWN_IMAGE if isinstance(error, LookupError) else UNREADABLE_LABEL
            reading.labels.problems.append(Problem(file, line, str(error), code))


def _read_task(task: dict[str, Any], file: Path, line: int, number: int, reading: _Reading) -> None:
    """Reads a task with its annotations, or with its predictions.

    Raises:
        LookupError: Nobody knows its image.
        ValueError: It is no task.
    """
    if not isinstance(task.get("data"), dict):
        _read_small_task(task, file, line, number, reading)
        return
    key = "predictions" if reading.scores else "annotations" if "annotations" in task else "completions"
    found = task.get(key) or []
    if not isinstance(found, list) or not all(_is_opinion(one) for one in found):
        raise ValueError(f"expected a list '{key}' with a list 'result' each, found {found!r:.60}")
    counted = [one for one in found if one.get("was_cancelled") is not True]
    if not counted:
        reading.empty += 1
        return
    image = _image(task["data"], reading.images)
    if len(counted) > 1:
        reading.contested.add(image)
    best = max(enumerate(counted), key=lambda one: (one[1].get("ground_truth") is True, _updated(one[1]), one[0]))[1]
    regions = [_region(result) for result in best["result"]]
    score = best.get("score") if reading.scores else None
    reading.opinions[file, number] = (_updated(best), _opinion(image, regions, file, line, score, reading))


def _is_opinion(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("result"), list)


def _read_small_task(task: dict[str, Any], file: Path, line: int, number: int, reading: _Reading) -> None:
    """Reads a task of JSON-MIN: each control has a list of values; each person's work on an image is a task.

    Raises:
        LookupError: Nobody knows its image.
        ValueError: It is no task.
    """
    values = [value for listed in task.values() if isinstance(listed, list) for value in listed]
    regions = [region for value in values if (region := _small_region(value))]
    if not regions and not {"annotation_id", "annotator"} & set(task):
        raise ValueError(f"expected a task of Label Studio, found {task!r:.60}")
    if reading.scores:
        return
    image = _image(task, reading.images)
    name = task.get("id")
    key: tuple[Path, int | str] = (file, f"task {name}") if isinstance(name, int | str) else (file, number)
    earlier = reading.opinions.get(key)
    if earlier:
        reading.contested.add(image)
    if not earlier or _updated(task) >= earlier[0]:
        reading.opinions[key] = (_updated(task), _opinion(image, regions, file, line, None, reading))


def _updated(one: dict[str, Any]) -> str:
    """When something was last updated; times in ISO 8601 sort as text."""
    return str(one.get("updated_at") or one.get("created_at") or "")


class _Region(NamedTuple):
    """A result of an annotation.

    Attributes:
        kind: The type of its control in small letters: ``rectanglelabels``.
        value: Where it is and what.
        size: Width and height of the image, as stated.
        score: How sure a model is.
        ignored: Whether it is marked as ignored, as this program writes it.
    """

    kind: str
    value: Any
    size: tuple[int, int] | None
    score: Any
    ignored: bool


def _region(result: Any) -> _Region:
    if not isinstance(result, dict):
        return _Region("", result, None, None, False)
    meta = result.get("meta")
    return _Region(
        str(result.get("type")).lower(),
        result.get("value"),
        stated_size(result.get("original_width"), result.get("original_height")),
        result.get("score"),
        isinstance(meta, dict) and meta.get("text") in (IGNORED, [IGNORED]),
    )


def _small_region(value: Any) -> _Region | None:
    """A region of JSON-MIN, or ``None`` for a value of another control."""
    if not isinstance(value, dict):
        return None
    kind = next((key for key in value if key.endswith("labels")), value.get("type"))
    if not isinstance(kind, str):
        return None
    size = stated_size(value.get("original_width"), value.get("original_height"))
    return _Region(kind.lower(), value, size, None, False)


def _opinion(image: str, regions: list[_Region], file: Path, line: int, score: Any, reading: _Reading) -> _Opinion:
    opinion = _Opinion(image)
    known = reading.images.sizes.get(image)
    if known is None:
        return opinion
    names = _names(regions)
    for number, region in enumerate(regions, start=1):
        if region.kind in REMARKS or (region.kind in BARE and "labels" in names.get(_place(region.value), {})):
            continue
        stated = region.size or opinion.size
        opinion.size = opinion.size or region.size
        size = stated or (None if known == UNKNOWN_SIZE else (known.width, known.height))
        try:
            shape = _shape(region, size)
            if shape is None:
                opinion.shapes.left_out[region.kind] += 1
                continue
            classes = _classes(region) or names.get(_place(region.value), {}).get("choices", [])
            if not classes:
                raise ValueError("expected a region with a class, found one without")
            sure = region.score if region.score is not None else score
            sureness = None if sure is None or not reading.scores else score_of(sure)
        except ValueError as error:
            opinion.problems.append(Problem(file, line, f"region {number} of {image}: {error}", UNREADABLE_LABEL))
            continue
        turned, corners = shape
        if turned:
            opinion.shapes.turned[turned] += 1
        opinion.several += len(classes) > 1
        opinion.boxes.append(RawBox(image, classes[0], *corners, region.ignored, file, line, stated, sureness))
    return opinion


def _names(regions: list[_Region]) -> dict[str, dict[str, list[str]]]:
    """What is called what by a control of its own, such as ``<Labels>`` beside ``<Rectangle>``: by place and kind."""
    names: dict[str, dict[str, list[str]]] = {}
    if any(region.kind in BARE for region in regions):
        for region in regions:
            if region.kind in ("labels", "choices") and isinstance(region.value, dict):
                names.setdefault(_place(region.value), {})[region.kind] = _classes(region)
    return names


def _place(value: Any) -> str:
    keys = ("x", "y", "width", "height", "radiusX", "radiusY", "rotation", "points")
    return repr([value.get(key) for key in keys]) if isinstance(value, dict) else ""


def _classes(region: _Region) -> list[str]:
    """The classes of a region; empty where it has none."""
    found = region.value.get(region.kind)
    classes = found if isinstance(found, list) else [found]
    return [name for name in classes if isinstance(name, str) and name.strip()]


def _shape(region: _Region, size: tuple[int, int] | None) -> tuple[str, Corners] | None:
    """What a region that is no plain box is called, and the box round it; ``None`` for what has none.

    Raises:
        ValueError: It cannot be read; the message says what was expected.
    """
    value = region.value
    if not isinstance(value, dict):
        raise ValueError(f"expected a 'value' with a place, found {value!r:.40}")
    shape = region.kind.removesuffix("labels")
    if not shape:
        shape = next((shape for key, shape in SHAPE_BY_KEY.items() if key in value), "")
    if shape not in SHAPES:
        return None
    if size is None:
        raise ValueError("expected 'original_width' and 'original_height', since its places are per cent of them")
    along, down = size[0] / 100, size[1] / 100
    if shape == "polygon":
        points = value.get("points")
        pairs = [numbers(point, 2) for point in points] if isinstance(points, list) else []
        if not pairs or None in pairs:
            raise ValueError(f"expected 'points' with pairs of numbers, found {points!r:.40}")
        return "polygons", box_round((pair[0] * along, pair[1] * down) for pair in pairs if pair)
    keys = SHAPES[shape]
    found = numbers([*(value.get(key) for key in keys), value.get("rotation") or 0], 5)
    if found is None:
        raise ValueError(f"expected the numbers {', '.join(keys)} and rotation, found {value!r:.60}")
    x, y, width, height = found[0] * along, found[1] * down, found[2] * along, found[3] * down
    angle = math.radians(found[4])
    if shape == "ellipse":
        return "ellipses", box_round_ellipse(x, y, width, height, angle)
    if angle == 0:
        return "", (x, y, x + width, y + height)
    return "rotated boxes", _box_round_turned(x, y, width, height, angle)


def _box_round_turned(x: float, y: float, width: float, height: float, angle: float) -> Corners:
    """The box round a rectangle that is turned clockwise, by radians, about its top left corner."""
    if not math.isfinite(angle):
        return NO_PLACE
    cosine, sine = math.cos(angle), math.sin(angle)
    centre_x = x + (width * cosine - height * sine) / 2
    centre_y = y + (width * sine + height * cosine) / 2
    return box_round_rotated(centre_x, centre_y, width, height, angle)


def _image(data: dict[str, Any], images: KnownImages) -> str:
    """The image of a task.

    Raises:
        LookupError: There is no such image, or more than one.
        ValueError: The task names none, or several.
    """
    values = {key: value for key, value in data.items() if isinstance(value, str) and _is_image(value)}
    value = values.get("image", next(iter(values.values()), data.get("image")))
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected a task whose data name an image, found {data!r:.60}")
    if "image" not in values and len(set(values.values())) > 1:
        raise ValueError(f"expected a task with one image, or one that is called 'image', found {some(values)}")
    return find_image(_paths(value), images)


def _is_image(value: str) -> bool:
    return PurePosixPath(_paths(value)[0]).suffix.lower() in IMAGE_SUFFIXES


def _paths(value: str) -> list[str]:
    """What may be the path of an image that a task names, most likely first."""
    path = value.strip()
    if "local-files/?d=" in path:
        path = unquote(path.partition("?d=")[2].partition("&")[0])
    elif "/data/upload/" in path:
        path = path.rpartition("/")[2]
    paths = paths_of_address(path)
    folder, slash, name = paths[0].rpartition("/")
    return [*paths, folder + slash + UPLOAD_MARK.sub("", name)]
