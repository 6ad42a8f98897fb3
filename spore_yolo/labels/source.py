"""Labels together with the images that they speak of, whether these are at hand or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spore_yolo.files.errors import Problem, UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import ImageIndex, KnownImages, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.table import UNKNOWN_SIZE, RawLabels

EMPTY_IF_UNNAMED = ("yolo", "csv")
"""Formats in which an image without objects need not be named; in the others nobody says that it was looked at."""


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
    """

    path: Path
    label_format: str
    folder: Path | None
    labels: RawLabels
    known: KnownImages
    sizes: dict[str, ImageSize]
    unnamed: frozenset[str] = frozenset()
    unreadable: tuple[Problem, ...] = ()


def open_labels(path: Path, label_format: str, folder: Path | None, options: ReadOptions = PLAIN) -> LabelSource:
    """Reads labels in any of the known formats, with their images or without.

    Args:
        path: The label file, or the folder of label files.
        label_format: Its format.
        folder: The folder of the images. Without it the labels say which images there are, and how large.
        options: What else the user says about the labels.

    Raises:
        SporeYoloError: The labels or the images as a whole cannot be read.
    """
    if folder is None:
        if label_format == "yolo":
            raise UsageError(
                "--images: expected the folder of the images, since YOLO labels are fractions of their size"
            )
        named = NamedImages(path)
        labels = read_labels(path, named, label_format, options)
        sizes = {
            name: ImageSize(*labels.stated_sizes[name]) if name in labels.stated_sizes else UNKNOWN_SIZE
            for name in sorted(named.sizes)
        }
        return LabelSource(path, label_format, None, labels, named, sizes)
    index = ImageIndex(folder)
    labels = read_labels(path, index, label_format, options)
    unnamed = frozenset(set(index.sizes) - labels.labelled_images)
    return LabelSource(path, label_format, folder, labels, index, index.sizes, unnamed, tuple(index.problems))
