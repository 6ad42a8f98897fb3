"""Writers of label formats, one module a format; labels and predictions go out through the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from spore_yolo.files.errors import InputProblems, Problem, UsageError
from spore_yolo.files.names import is_utf8
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers.coco import write_coco
from spore_yolo.labels.writers.csv import write_csv
from spore_yolo.labels.writers.cvat import write_cvat
from spore_yolo.labels.writers.darwin import write_darwin
from spore_yolo.labels.writers.label_studio import write_label_studio
from spore_yolo.labels.writers.parquet import write_parquet
from spore_yolo.labels.writers.voc import write_voc
from spore_yolo.labels.writers.yolo import write_yolo

Writer = Callable[[LabelSet, Path, Path | None], list[str]]

WRITERS: Mapping[str, Writer] = {
    "coco": write_coco,
    "voc": write_voc,
    "yolo": write_yolo,
    "csv": write_csv,
    "parquet": write_parquet,
    "darwin": write_darwin,
    "cvat": write_cvat,
    "label-studio": write_label_studio,
}
"""The writer of each format."""

FOLDER_FORMATS = frozenset({"voc", "yolo", "darwin", "label-studio"})
"""Formats that are a folder of files; the others are one file."""


def write_labels(labels: LabelSet, target: Path, label_format: str, source_root: Path | None = None) -> list[str]:
    """Writes labels or predictions, whole or not at all.

    Args:
        labels: What to write.
        target: The file, or the folder for a format of :data:`FOLDER_FORMATS`; one that exists is replaced.
        label_format: A key of :data:`WRITERS`.
        source_root: The folder of the images, where it is known; Label Studio names images by it.

    Returns:
        What the format could not hold, and what the user should know.

    Raises:
        UsageError: There is no writer of that format.
        InputProblems: Something in the labels cannot be written in that format; nothing was written.
    """
    if label_format not in WRITERS:
        raise UsageError(f"expected a format that can be written ({', '.join(WRITERS)}), found {label_format!r}")
    problems = [
        Problem(what, None, f"{name!a:.80} cannot be written in UTF-8; rename it")
        for what, names in (("image", labels.images["image"]), ("class", labels.all_classes))
        for name in names
        if not is_utf8(name)
    ]
    if problems:
        raise InputProblems("Names are no text:", problems)
    return WRITERS[label_format](labels, target, source_root)
