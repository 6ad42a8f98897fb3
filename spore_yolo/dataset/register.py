"""The register of datasets, ``datasets.yaml``: where each came from and where its import lies."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel

from spore_yolo.files.errors import UsageError
from spore_yolo.files.structured import read_model, read_yaml, write_yaml

HEADER = """\
# The register of datasets; `spore-yolo import` writes it. Paths are relative to this file's folder.
"""


class DatasetEntry(BaseModel):
    """One dataset of the register.

    Attributes:
        images: Folder of the images, relative to the register's folder.
        labels: Label file or folder of label files, likewise; the name of the dataset where the format is ``fiftyone``.
        format: Format of the labels.
        folder: Where the import lies, likewise.
        classes: Class names in the order of their numbers in the YOLO layout.
        targets: The classes that the user is after.
        group_by: Regular expression whose first bracket is the group; ``None``: the source image.
        licence: Licence of the data, as the user states it.
        source: Where the data came from, as the user states it.
        columns: For tables: the file's own name of each of our columns that was not guessed.
        point_size: Side in pixels of the square round each point, where labels are points.
        class_map: The class map, relative to the register's folder; ``None``: classes as they are in the labels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: str
    labels: str
    format: str
    folder: str
    classes: list[str]
    targets: list[str] = []
    group_by: str | None = None
    licence: str | None = None
    source: str | None = None
    columns: dict[str, str] = {}
    point_size: float | None = None
    class_map: str | None = None


class Register(RootModel[dict[str, DatasetEntry]]):
    """All entries, by the dataset's name."""


def read_register(path: Path) -> dict[str, DatasetEntry]:
    """Reads the register; a file that is missing or empty is an empty register."""
    if not path.exists() or not read_yaml(path):
        return {}
    return read_model(path, Register).root


def write_entry(path: Path, name: str, entry: DatasetEntry) -> None:
    """Adds or replaces one entry; the others stay as they are. Unchanged content is not written again."""
    entries = read_register(path)
    if entries.get(name) == entry:
        return
    entries[name] = entry
    write_yaml(path, {key: value.model_dump(exclude_defaults=True) for key, value in sorted(entries.items())}, HEADER)


def find_entry(path: Path, name: str | None) -> DatasetEntry:
    """The entry called ``name``.

    Raises:
        UsageError: There is none; the message lists those that there are.
    """
    entries = read_register(path)
    if name is not None and name in entries:
        return entries[name]
    asked = "expected a dataset's name" if name is None else f"unknown dataset {name!r}"
    listed = f"registered in {path}: {', '.join(entries)}" if entries else f"none is registered in {path}"
    raise UsageError(f"{asked}; {listed}. Add one with: spore-yolo import NAME --images DIR --labels PATH --format F")


def relative_to_register(path: Path, register: Path) -> str:
    """A path as the register states it: relative to the register's folder, with ``/`` between its parts."""
    return Path(os.path.relpath(path, register.parent)).as_posix()
