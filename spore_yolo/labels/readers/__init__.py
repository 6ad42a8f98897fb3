"""Readers of label formats, one module a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.labels.formats import POINT_FORMATS, TABLE_FORMATS
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.coco import read_coco
from spore_yolo.labels.readers.createml import read_createml
from spore_yolo.labels.readers.csv import read_csv
from spore_yolo.labels.readers.cvat import read_cvat
from spore_yolo.labels.readers.darwin import read_darwin
from spore_yolo.labels.readers.label_studio import read_label_studio
from spore_yolo.labels.readers.labelme import read_labelme
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.parquet import read_parquet
from spore_yolo.labels.readers.points import read_points
from spore_yolo.labels.readers.via import read_via
from spore_yolo.labels.readers.voc import read_voc
from spore_yolo.labels.readers.yolo import read_yolo
from spore_yolo.labels.table import RawLabels

Reader = Callable[[Path, KnownImages, ReadOptions], RawLabels]

READERS: Mapping[str, Reader] = {
    "coco": read_coco,
    "voc": read_voc,
    "yolo": read_yolo,
    "csv": read_csv,
    "parquet": read_parquet,
    "darwin": read_darwin,
    "labelme": read_labelme,
    "cvat": read_cvat,
    "label-studio": read_label_studio,
    "via": read_via,
    "createml": read_createml,
    "points": read_points,
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
    if options.columns and label_format not in TABLE_FORMATS:
        tables = " and ".join(TABLE_FORMATS)
        raise UsageError(f"--columns: column names can be given for {tables} only, not for {label_format}")
    if options.point_size is not None and label_format not in POINT_FORMATS:
        formats = ", ".join(POINT_FORMATS)
        raise UsageError(f"--point-size: goes with labels that are points ({formats}), not with {label_format}")
    return READERS[label_format](path, images, options)
