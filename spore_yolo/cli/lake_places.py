"""Types of options that name files or folders: on disk, or ``s3://bucket/prefix`` in the data lake."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LakePlace:
    """An option's ``s3://`` address, until the command gets its mirror on disk in its place.

    Attributes:
        address: As the user wrote it.
        reads: Whether it must be there before the command.
        writes: Whether the command may write to it.
        text: Whether the command takes it as text that may be a path.
        only: What is read of it begins with one of these; empty for all.
        inner: It holds many things, of which the command is about the one that the first of these options names.
        beside: Endings of folders beside it that belong to it.
    """

    address: str
    reads: bool = True
    writes: bool = False
    text: bool = False
    only: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def _path(**how: object) -> Callable[[str], Path | LakePlace]:
    def parse(text: str) -> Path | LakePlace:
        place = _place(text, how)
        return Path(text) if place is None else place

    parse.__name__ = "path"  # what argparse calls it
    return parse


def _text(**how: object) -> Callable[[str], str | LakePlace]:
    def parse(text: str) -> str | LakePlace:
        return _place(text, {**how, "text": True}) or text

    parse.__name__ = "path"
    return parse


def _place(text: str, how: dict[str, object]) -> LakePlace | None:
    scheme, sign, _ = text.partition("://")
    if not sign or not scheme.isalnum() or Path(text).exists():
        return None
    if scheme != "s3":
        raise argparse.ArgumentTypeError(f"expected a path, or s3://bucket/prefix, found {text!r}")
    return LakePlace(text, **how)  # type: ignore[arg-type]  # as the functions below say


readable = _path()
"""A file or folder that the command reads."""

writable = _path(reads=False, writes=True)
"""A file or folder that the command writes; what is there already is brought first."""

both = _path(writes=True)
"""A folder that the command reads and adds to."""

readable_text = _text()
"""Text that may be the path of something to read."""

writable_text = _text(reads=False, writes=True)
"""Text that may be the path of something to write."""

run_to_look_with = _path(only=("pair/",))
"""A run of which only the pair is read."""

run_to_write = _path(only=("pair/", "tracking/"), writes=True)
"""A run of which only the pair is read, and whose journal and results the command adds to."""

runs_folder = _path(reads=False, writes=True, inner=("name", "dataset"))
"""The folder of all runs, of which the command is about one."""

data_folder = _path(reads=False, writes=True, inner=("name",))
"""The folder of all imports, of which the command is about one."""

predictions_folder = _path(reads=False, writes=True, beside=(".unfinished",))
"""The folder of predictions, with what a run keeps beside it until it is done."""

register = _path(reads=False)
"""The register of datasets; the dataset that the command names comes with it."""

register_to_write = _path(reads=False, writes=True)
"""The register of datasets that the command adds to."""
