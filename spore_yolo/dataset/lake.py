"""Brings a registered dataset from the data lake to disk, where its register or its files lie there."""

from __future__ import annotations

import os
from pathlib import Path

from spore_yolo.dataset.register import read_register
from spore_yolo.files.errors import UsageError
from spore_yolo.files.lake import Lake, RemotePath, remote_of

LAYOUT = ("images/", "labels/")
"""What plain YOLO reads of an import. We do not, and its images would be links to others."""


def is_needed(name: str) -> bool:
    """Whether a file of an import, by its path below it, is one that the commands read."""
    return not name.startswith(LAYOUT)


def pull_dataset(name: str | None, register: Path, lake: Lake | None = None, images: bool = True) -> None:
    """Brings the register and all that the commands read of a dataset to the mirror; what is on disk is left alone.

    Args:
        name: The dataset's name; one that is not registered is left to the command, which says so.
        register: The register: on disk, or the mirror of one in the data lake.
        lake: The data lake.
        images: Whether its images are needed, too.

    Raises:
        SporeYoloError: The register is damaged, or its dataset cannot be brought.
    """
    lake = lake or Lake()
    listed = remote_of(register)
    if listed is not None:
        lake.pull(listed, optional=True)
    entry = None if name is None else read_register(register).get(name)
    if entry is None:
        return
    folder = _place(entry.folder, register)
    if folder is not None:
        lake.pull(folder, only=is_needed)
    pictures = _place(entry.images, register) if images else None
    if pictures is not None:
        lake.pull(pictures)


def check_registrable(register: Path, **places: Path | None) -> None:
    """Makes sure that a register in the data lake names only what lies there, too.

    Args:
        register: The register.
        places: Options, and the files or folders that it would name.

    Raises:
        UsageError: It would name something on this machine's disk, where no other machine finds it.
    """
    if remote_of(register) is None:
        return
    for option, path in places.items():
        if path is not None and remote_of(path) is None:
            raise UsageError(
                f"--{option}: {path}: expected an s3:// address, since --datasets is one: other machines could not find"
                f" it; push it first: spore-yolo lake push {path} s3://BUCKET/PREFIX"
            )


def _place(text: str, register: Path) -> RemotePath | None:
    # By its text: what a link in the mirror leads to is no business of the register's.
    return remote_of(Path(os.path.normpath(register.absolute().parent / text)))
