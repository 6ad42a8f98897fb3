"""Gives commands the mirrors of the ``s3://`` addresses among their options, and takes back what they wrote there."""

from __future__ import annotations

import argparse
import fnmatch
import glob
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from spore_yolo.cli.lake_places import LakePlace
from spore_yolo.files.errors import SporeYoloError, UsageError

if TYPE_CHECKING:
    from spore_yolo.files.lake import Lake, RemotePath

WILD = frozenset("*?[")
"""What makes a glob of an address."""

LAKE_PART = "/lake/s3/"
"""What a path into a mirror has in it."""


@contextmanager
def mirrored(arguments: argparse.Namespace) -> Iterator[None]:
    """Brings what a command reads from the data lake, and afterwards writes back what it changed.

    Addresses among the arguments are replaced by their mirrors. What the command made is written back also when it
    found a problem or was stopped, since results may lie there; not after wrong usage.

    Args:
        arguments: The command line.

    Raises:
        SporeYoloError: Something is not there, or cannot be moved.
    """
    if not _may_need_the_lake(arguments):
        yield
        return
    from spore_yolo.files.lake import Lake

    lake = Lake()
    outputs: list[_Output] = []
    for option, value in list(vars(arguments).items()):
        if isinstance(value, LakePlace):
            setattr(arguments, option, _bring(value, option, arguments, lake, outputs))
        elif isinstance(value, list) and any(isinstance(one, LakePlace) for one in value):
            brought = [
                _bring(one, option, arguments, lake, outputs) if isinstance(one, LakePlace) else one for one in value
            ]
            setattr(arguments, option, brought)
    _bring_dataset(arguments, lake)
    try:
        yield
    except UsageError:
        raise
    except BaseException:
        try:
            _take_back(outputs, lake)
        except SporeYoloError as error:
            print(f"note: {error}", file=sys.stderr)
        raise
    _take_back(outputs, lake)


@contextmanager
def told_as_addresses(arguments: argparse.Namespace) -> Iterator[None]:
    """What is printed names addresses in place of their mirrors, where there can be any."""
    if not _may_need_the_lake(arguments):
        yield
        return
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Teller(before[0]), _Teller(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def addressed(text: str) -> str:
    """A text with addresses in place of their mirrors."""
    from spore_yolo.files.lake.paths import SCHEME, mirror_root

    root = f"{mirror_root()}/"
    if root not in text:
        return text
    text = text.replace(root, SCHEME)
    steps = re.compile(r"(s3://[^\s'\"]*?)/(?!\.\.?/)[^/\s'\"]+/\.\.(?=/)")  # a/../b is b
    while (shorter := steps.sub(r"\1", text)) != text:
        text = shorter
    return text


class _Teller:
    """A stream that names addresses in place of their mirrors."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(addressed(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True)
class _Output:
    """A place that the command may have written to.

    Attributes:
        remote: The place.
        was_here: Whether its mirror was there when the command began.
    """

    remote: RemotePath
    was_here: bool

    @property
    def is_something(self) -> bool:
        """Whether something lies here, or did before the command."""
        from spore_yolo.files.lake import mirror_of

        return self.was_here or mirror_of(self.remote).exists()

    def push(self, lake: Lake) -> None:
        from spore_yolo.files.lake import mirror_of

        local = mirror_of(self.remote)
        if local.is_file():
            lake.push_file(local, self.remote)
        elif self.is_something:
            lake.push(local, self.remote, delete="known")


def _may_need_the_lake(arguments: argparse.Namespace) -> bool:
    """Whether there is an address among the options, or a register that may name some."""
    values = list(vars(arguments).values())
    values += [one for value in values if isinstance(value, list) for one in value]
    if any(isinstance(value, LakePlace) for value in values):
        return True
    if getattr(arguments, "mirrors_as_paths", False):
        return False
    from spore_yolo.files.lake.paths import mirror_root, remote_of

    return mirror_root().is_dir() and (
        _local_register_names_some(arguments) or any(isinstance(v, Path) and remote_of(v) is not None for v in values)
    )


def _local_register_names_some(arguments: argparse.Namespace) -> bool:
    register = getattr(arguments, "datasets", None)
    try:
        return isinstance(register, Path) and LAKE_PART in register.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # the command says what is wrong with it
        return False


def _bring(
    place: LakePlace, option: str, arguments: argparse.Namespace, lake: Lake, outputs: list[_Output]
) -> Path | str:
    from spore_yolo.files.lake import RemotePath, mirror_of

    remote = RemotePath.parse(place.address)
    if place.text and WILD & set(remote.key):
        return _bring_matches(remote, lake)
    wanted = [remote]
    if place.inner:
        names = [getattr(arguments, name, None) for name in place.inner]
        chosen = next((name for name in names if isinstance(name, str)), None)
        wanted = [] if chosen is None or getattr(arguments, "training_run", None) is not None else [remote / chosen]
    wanted += [replace(remote, key=f"{remote.key}{ending}") for ending in place.beside if remote.key]
    only = _only(place, option)
    for one in wanted:
        if place.reads or place.writes:  # a register comes with its dataset
            lake.pull(one, only=only, optional=not place.reads)
        if place.writes:
            outputs.append(_Output(one, was_here=mirror_of(one).exists()))
    mirror = mirror_of(remote)
    if place.reads and mirror.is_file():
        _bring_belonging(mirror, lake)
    return str(mirror) if place.text else mirror


def _only(place: LakePlace, option: str) -> Callable[[str], bool] | None:
    if place.only:
        return lambda name: name.startswith(place.only)
    if option == "data":
        from spore_yolo.dataset.lake import is_needed

        return is_needed
    return None


def _bring_matches(remote: RemotePath, lake: Lake) -> str:
    """Brings what may match a glob; gives the glob of its mirror."""
    from spore_yolo.files.lake import RemotePath

    plain: list[str] = []
    for part in remote.key.split("/"):
        if WILD & set(part):
            break
        plain.append(part)
    folder = RemotePath(remote.bucket, "/".join(plain))
    pattern = remote.key.removeprefix(folder.prefix)
    loose = pattern.replace("**/", "*")  # lets in too much rather than too little: the glob of the mirror decides
    mirror = lake.pull(
        folder, only=lambda name: fnmatch.fnmatchcase(name, loose) or fnmatch.fnmatchcase(name, f"{loose}/*")
    )
    here = f"{glob.escape(str(mirror))}/{pattern}"
    for match in glob.iglob(here, recursive=True):
        _bring_belonging(Path(match), lake)
    return here


def _bring_belonging(slide: Path, lake: Lake) -> None:
    """Brings the other files of a slide that has several, to the mirror that its own file lies in."""
    from spore_yolo.files.lake import remote_of
    from spore_yolo.inference.slides import belonging

    for path in belonging(slide):
        remote = remote_of(path)
        if remote is not None:
            lake.pull(remote, optional=True)  # the command says what is missing


def _bring_dataset(arguments: argparse.Namespace, lake: Lake) -> None:
    """Brings the dataset that the command is about, if its register or the files that this names lie in the lake."""
    register = getattr(arguments, "datasets", None)
    if not isinstance(register, Path) or hasattr(arguments, "data"):  # an import brings its dataset itself
        return
    from spore_yolo.dataset.lake import pull_dataset

    name = getattr(arguments, "dataset", None) or getattr(arguments, "name", None)
    pull_dataset(name if isinstance(name, str) else None, register, lake)


def _take_back(outputs: list[_Output], lake: Lake) -> None:
    for place, output in enumerate(outputs):
        try:
            output.push(lake)
        except SporeYoloError as error:
            left = shlex.join(str(one.remote) for one in outputs[place:] if one.is_something)
            raise SporeYoloError(
                f"{error}\nwhat was made lies on this machine and is kept; bring it to the bucket with: spore-yolo lake"
                f" push --delete {left}"
            ) from None
