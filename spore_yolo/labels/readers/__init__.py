"""Readers of label formats, one module a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.coco import read_coco
from spore_yolo.labels.readers.csv import read_csv
from spore_yolo.labels.readers.darwin import read_darwin
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.voc import read_voc
from spore_yolo.labels.readers.yolo import read_yolo
from spore_yolo.labels.table import RawLabels

Reader = Callable[[Path, KnownImages, ReadOptions], RawLabels]

READERS: Mapping[str, Reader] = {
    "coco": read_coco,
    "voc": read_voc,
    "yolo": read_yolo,
    "csv": read_csv,
    "darwin": read_darwin,
}
"""The reader of each format."""


def read_labels(path: Path, images: KnownImages, label_format: str, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads labels, or predictions, in any of the known formats.

    Args:
        path: The label file, or the folder of label files.
        images: The images that the labels speak of.
        label_format: A key of :data:`READERS`.
        options: What else the user says about them.

    Raises:
        SporeYoloError: The path does not exist, or the file as a whole is not of that format.
    """
    if not path.exists():
        what = "predictions" if options.scores else "labels"
        raise SporeYoloError(f"{path}: no such file or folder; expected {what} in {label_format} format")
    if options.columns and label_format != "csv":
        raise UsageError(f"--columns: column names can be given for csv only, not for {label_format}")
    return READERS[label_format](path, images, options)
