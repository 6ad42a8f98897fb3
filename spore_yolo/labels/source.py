"""Labels together with the images that they speak of, whether these are at hand or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spore_yolo.files.errors import Problem, UsageError
from spore_yolo.files.images import IMAGE_SUFFIXES, ImageSize, find_images
from spore_yolo.labels.formats import AUTO
from spore_yolo.labels.image_index import ImageIndex, KnownImages, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.recognise import recognise
from spore_yolo.labels.table import UNKNOWN_SIZE, RawLabels

EMPTY_IF_UNNAMED = ("yolo", "points", "csv", "parquet")
"""Formats in which an image without objects need not be named; in the others nobody says that it was looked at."""


NEED_IMAGES = {"yolo": "how large its images are", "points": "which images there are"}
"""Formats that cannot be read without the images, and what is missing there."""


@dataclass(frozen=True)
class LabelSource:
    """Labels, and the images that they speak of.

    Attributes:
        path: The label file or folder.
        label_format: Its format.
        folder: The folder of the images, or ``None`` where they are not at hand.
        labels: What the reader found.
        known: The images that the labels may speak of.
        sizes: Size of each of these images, sorted by name; :data:`UNKNOWN_SIZE` where nobody knows it.
        unnamed: Images of the folder that the labels do not name.
        unreadable: Images whose header cannot be read.
        reason: How the format showed; empty where the user said it.
    """

    path: Path
    label_format: str
    folder: Path | None
    labels: RawLabels
    known: KnownImages
    sizes: dict[str, ImageSize]
    unnamed: frozenset[str] = frozenset()
    unreadable: tuple[Problem, ...] = ()
    reason: str = ""


def open_labels(path: Path, label_format: str, folder: Path | None, options: ReadOptions = PLAIN) -> LabelSource:
    """Reads labels in any of the known formats, with their images or without.

    Args:
        path: The label file, or the folder of label files.
        label_format: Its format; ``auto``: see what it is.
        folder: The folder of the images. Without it the labels say which images there are, and how large.
        options: What else the user says about the labels.

    Raises:
        SporeYoloError: The labels or the images as a whole cannot be read.
    """
    reason = ""
    if label_format == AUTO:
        label_format, reason, path = recognise(path)
    if folder is None:
        if label_format in NEED_IMAGES:
            raise UsageError(
                f"--images: expected the folder of the images, since {path} does not say {NEED_IMAGES[label_format]}"
            )
        named = NamedImages(path)
        labels = read_labels(path, named, label_format, options)
        sizes = {
            name: ImageSize(*labels.stated_sizes[name]) if name in labels.stated_sizes else UNKNOWN_SIZE
            for name in sorted(named.sizes)
        }
        return LabelSource(path, label_format, None, labels, named, sizes, reason=reason)
    index = ImageIndex(folder)
    labels = read_labels(path, index, label_format, options)
    unnamed = frozenset(set(index.sizes) - labels.labelled_images)
    return LabelSource(path, label_format, folder, labels, index, index.sizes, unnamed, tuple(index.problems), reason)


def images_beside(path: Path) -> Path | None:
    """Where the images of labels lie if the user does not say it, or ``None``.

    That is a folder of labels itself if images lie in it, at any depth, else ``images/`` beside it. Of a label file it
    is the folder that it lies in, if images lie there, else ``images/`` in that folder or beside it.

    Args:
        path: The label file, or the folder of label files.
    """
    if path.is_dir():
        places = [path, path.resolve().parent / "images"]
    else:
        own = path.parent
        if own.is_dir() and any(_is_image(file) for file in own.iterdir()):
            return own
        places = [own / "images", own.resolve().parent / "images"]
    return next((place for place in places if place.is_dir() and find_images(place)), None)


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()
