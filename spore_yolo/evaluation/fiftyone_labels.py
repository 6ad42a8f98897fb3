"""Labels out of a dataset of the user's own FiftyOne."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from spore_yolo.files.errors import Problem, SporeYoloError, UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.values import numbers, score_of, some, stated_size
from spore_yolo.labels.table import UNKNOWN_SIZE, Corners, RawBox, RawLabels

KINDS = {"Detections": ".detections", "Detection": "", "Polylines": ".polylines", "Polyline": ""}
"""FiftyOne's kinds of labels that hold boxes or what a box can be drawn round, with the path to a single one."""

JPEG = (".jpeg", ".jpg")

SETTINGS = {
    # A newer FiftyOne upgrades the database as soon as it opens it, after which the user's own may refuse it.
    "FIFTYONE_DATABASE_ADMIN": "false",
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
}
"""Settings of FiftyOne that reading wants, where the user has not made them."""


class Shape(NamedTuple):
    """A label of one object.

    Attributes:
        label: Its class.
        bounding_box: ``[x_min, y_min, width, height]`` as shares of the image's sides; of a detection.
        points: Lists of ``[x, y]`` as shares of the image's sides; of a polyline.
        closed: Whether a polyline goes round something.
        confidence: How sure a model is of it.
        ignored: Whether it is marked as a crowd or as ignored.
    """

    label: Any
    bounding_box: Any = None
    points: Any = None
    closed: bool = True
    confidence: Any = None
    ignored: bool = False


class Labelled(NamedTuple):
    """A sample: its file, the size that its metadata state, and its shapes; ``None`` where nobody labelled it."""

    filepath: str
    size: tuple[int, int] | None
    shapes: list[Shape] | None


def fiftyone_labels(
    name: str, images: KnownImages, options: ReadOptions = PLAIN, field: str | None = None
) -> RawLabels:
    """Reads the labels of a dataset of FiftyOne, from the database that ``import fiftyone`` finds.

    Boxes of FiftyOne are shares of the image as displayed, as its App draws them. Only where the metadata of a JPEG
    state the size of the stored pixels, which FiftyOne itself never writes there, did the labels come from a program
    that ignores EXIF, and are turned with the image. (Of PNG and WebP FiftyOne's metadata always state the stored
    size; that says nothing about the boxes.)

    Args:
        name: Name of the dataset.
        images: The images that the labels speak of; samples are found by their ``filepath``.
        options: ``scores`` reads the confidence.
        field: The field of the labels; without it the only one of a kind in :data:`KINDS`.

    Raises:
        SporeYoloError: FiftyOne is not installed, its database does not answer, or it has no such dataset of images.
        UsageError: The dataset has no such field, or several and none was named.
    """
    dataset = _open(name)
    path, kind = choose_field(name, _label_fields(dataset), field)
    labels = labels_of_samples(name, _samples(dataset, path, kind), images, options)
    labels.classes = list(dataset.classes.get(path) or dataset.default_classes or [])
    return labels


def _open(name: str) -> Any:
    """The dataset, which holds images."""
    if importlib.util.find_spec("fiftyone") is None:
        raise SporeYoloError("FiftyOne is not installed here; install it: pip install fiftyone")
    for setting, value in SETTINGS.items():
        os.environ.setdefault(setting, value)
    try:
        fiftyone: Any = importlib.import_module("fiftyone")
        names = fiftyone.list_datasets()
        dataset = fiftyone.load_dataset(name) if name in names else None
    except Exception as error:  # what it raises depends on what ails the database, and on the version
        raise SporeYoloError(
            f"FiftyOne's database does not answer ({type(error).__name__}: {error}); see whether `fiftyone datasets"
            " list` does. If it says that another version made it, FIFTYONE_DATABASE_ADMIN=true in the environment"
            " lets this one upgrade it"
        ) from None
    if dataset is None:
        raise SporeYoloError(f"FiftyOne has no dataset {name!r}; it has: {some(names) or 'none'}")
    if dataset.media_type not in ("image", None):
        what = "groups of samples" if dataset.media_type == "group" else f"samples of the kind {dataset.media_type}"
        raise SporeYoloError(
            f"FiftyOne's dataset {name!r} holds {what}; expected images. Make one of the images alone:"
            " dataset.select_group_slices(…).clone(NAME) or dataset.to_frames(…).clone(NAME)"
        )
    return dataset


def _label_fields(dataset: Any) -> dict[str, str]:
    """The fields that hold labels of a kind that is read, and their kinds."""
    documents = {
        path: getattr(kind, "document_type", None)
        for path, kind in dataset.get_field_schema().items()
        if hasattr(kind, "document_type")
    }
    return {path: kind.__name__ for path, kind in documents.items() if kind is not None and kind.__name__ in KINDS}


def choose_field(name: str, fields: dict[str, str], field: str | None) -> tuple[str, str]:
    """The field to read and its kind.

    Args:
        name: Name of the dataset, for messages.
        fields: The fields there are, and their kinds.
        field: The one that the user named, if any.

    Raises:
        UsageError: It is not there, or none was named and there is not exactly one.
    """
    listed = some(f"{path} ({kind})" for path, kind in fields.items()) or "none"
    if field is None and len(fields) == 1:
        ((field, kind),) = fields.items()
        return field, kind
    if field is None:
        raise UsageError(
            f"--field: expected the field that holds the labels, since FiftyOne's dataset {name!r} has not just one"
            f" with boxes; it has: {listed}"
        )
    if field not in fields:
        raise UsageError(
            f"--field: FiftyOne's dataset {name!r} has no field {field!r} with boxes or polylines; it has: {listed}"
        )
    return field, fields[field]


def _samples(dataset: Any, field: str, kind: str) -> Iterable[Labelled]:
    """The samples; column by column, since an object of FiftyOne takes a millisecond a box."""
    many, path = bool(KINDS[kind]), f"{field}{KINDS[kind]}"
    own = ["points", "closed", "filled"] if kind.startswith("Polyline") else ["bounding_box"]
    names = ["label", "confidence", *own]
    # These are no part of FiftyOne's labels: some datasets have them, and not always in their schema.
    known = {*dataset.get_field_schema(flat=True), *dataset.get_dynamic_field_schema()}
    names += [extra for extra in ("iscrowd", "ignored") if f"{path}.{extra}" in known]
    files, widths, heights = dataset.values(["filepath", "metadata.width", "metadata.height"])
    columns = dict(zip(names, dataset.values([f"{path}.{attribute}" for attribute in names]), strict=True))
    for place, file in enumerate(files):
        of_sample = {attribute: column[place] for attribute, column in columns.items()}
        shapes = None
        if many and of_sample["label"] is not None:
            rows = zip(*of_sample.values(), strict=True)
            shapes = [_shape(dict(zip(of_sample, row, strict=True))) for row in rows]
        elif not many and of_sample[own[0]] is not None:
            shapes = [_shape(of_sample)]
        yield Labelled(file, stated_size(widths[place], heights[place]), shapes)


def _shape(values: dict[str, Any]) -> Shape:
    return Shape(
        label=values["label"],
        bounding_box=values.get("bounding_box"),
        points=values.get("points"),
        closed=bool(values.get("closed") or values.get("filled") or "points" not in values),
        confidence=values["confidence"],
        ignored=bool(values.get("iscrowd") or values.get("ignored")),
    )


def labels_of_samples(
    name: str, samples: Iterable[Labelled], images: KnownImages, options: ReadOptions = PLAIN
) -> RawLabels:
    """Turns samples into boxes in pixels; see :func:`fiftyone_labels`.

    Args:
        name: Name of the dataset.
        samples: What it holds.
        images: The images that the labels speak of.
        options: ``scores`` reads the confidence.
    """
    labels, counts = RawLabels(), Counter[str]()
    place = Path(f"fiftyone:{name}")

    def fault(message: str, code: str = UNREADABLE_LABEL) -> None:
        labels.problems.append(Problem(place, None, message, code))

    for sample in samples:
        try:
            image = images.find(sample.filepath)
        except LookupError as error:
            if sample.shapes is not None:
                fault(str(error), UNKNOWN_IMAGE)
            continue
        if sample.shapes is None:
            counts["samples without labels"] += 1
            continue
        labels.labelled_images.add(image)
        if sample.size is not None:
            labels.stated_sizes[image] = sample.size
        size = images.sizes.get(image)
        if size is None:
            continue
        frame = _frame(image, sample.size, size)
        if frame is None:
            if sample.shapes:
                fault(f"the size of {image} is not known; run dataset.compute_metadata() in FiftyOne, or give --images")
            continue
        if frame == (size.width, size.height) != sample.size == size.stored:
            counts["turned"] += 1
        for shape in sample.shapes:
            if shape.bounding_box is None and not shape.closed:
                counts["lines"] += 1
                continue
            if not isinstance(shape.label, str) or not shape.label:
                fault(f"a label on {image} has no class")
                continue
            corners = _corners(shape, frame)
            if corners is None:
                fault(f"expected a box or points of a label {shape.label:.40} on {image}, found none")
                continue
            score = None
            if options.scores and shape.confidence is not None:
                try:
                    score = score_of(shape.confidence)
                except ValueError as error:
                    fault(f"{error} (confidence of a {shape.label:.40} on {image})")
                    continue
            counts["polylines"] += shape.bounding_box is None
            labels.boxes.append(
                RawBox(image, shape.label, *corners, shape.ignored, place, None, frame if sample.size else None, score)
            )
    labels.notes = _notes(counts)
    return labels


def _frame(image: str, stated: tuple[int, int] | None, size: ImageSize) -> tuple[int, int] | None:
    """Width and height of the image that the shares are of; ``None`` where nobody knows them."""
    if stated is None or size == UNKNOWN_SIZE:
        return stated if size == UNKNOWN_SIZE else (size.width, size.height)
    says_nothing = stated == size.stored and PurePosixPath(image).suffix.lower() not in JPEG
    return (size.width, size.height) if says_nothing else stated


def _corners(shape: Shape, frame: tuple[int, int]) -> Corners | None:
    """The box of a shape in pixels, or ``None`` where it has neither four numbers nor points."""
    width, height = frame
    if shape.bounding_box is not None:
        found = numbers(shape.bounding_box, 4)
        if found is None:
            return None
        left, top, wide, high = found
        return left * width, top * height, (left + wide) * width, (top + high) * height
    points = [numbers(list(point), 2) for ring in shape.points or [] for point in ring]
    known = [point for point in points if point is not None]
    if not known or len(known) < len(points):
        return None
    places = np.array(known) * frame
    x_min, y_min, x_max, y_max = (float(value) for value in (*places.min(axis=0), *places.max(axis=0)))
    return x_min, y_min, x_max, y_max


def _notes(counts: Counter[str]) -> list[str]:
    """What the user should know."""
    words = {
        "polylines": "{:,} closed polylines were turned into the boxes round them",
        "lines": "{:,} open polylines are no boxes and were left out",
        "samples without labels": "{:,} samples have nothing in this field; their images count as not labelled",
        "turned": "{:,} images (no JPEG) bear an EXIF turn; their boxes are taken to be of the image as displayed",
    }
    return [text.format(counts[key]) for key, text in words.items() if counts[key]]
