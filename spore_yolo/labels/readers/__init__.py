"""Readers of label formats, one module a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.coco import read_coco
from spore_yolo.labels.readers.csv import read_csv
from spore_yolo.labels.readers.darwin import read_darwin
from spore_yolo.labels.readers.voc import read_voc
from spore_yolo.labels.readers.yolo import read_yolo
from spore_yolo.labels.table import RawLabels

READERS: Mapping[str, Callable[[Path, KnownImages], RawLabels]] = {
    "coco": read_coco,
    "voc": read_voc,
    "yolo": read_yolo,
    "csv": read_csv,
    "darwin": read_darwin,
}
"""The reader of each format."""


def read_labels(
    path: Path, images: KnownImages, label_format: str, columns: Mapping[str, str] | None = None
) -> RawLabels:
    """Reads labels in any of the known formats.

    Args:
        path: The label file, or the folder of label files.
        images: The images that the labels speak of.
        label_format: A key of :data:`READERS`.
        columns: For CSV: the file's own name of each column, where it is not guessed.

    Raises:
        SporeYoloError: The path does not exist, or the file as a whole is not of that format.
    """
    if not path.exists():
        raise SporeYoloError(f"{path}: no such file or folder; expected labels in {label_format} format")
    if columns:
        if label_format != "csv":
            raise SporeYoloError(f"column names can be given for csv only, not for {label_format}")
        return read_csv(path, images, columns)
    return READERS[label_format](path, images)
