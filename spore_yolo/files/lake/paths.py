"""Addresses in the data lake, and where their mirror lies on disk."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError, UsageError

SCHEME = "s3://"

OURS = ".spore-yolo"
"""The folder below a prefix that holds what we say about it: its manifest, and those of earlier versions."""

_BUCKET = re.compile(r"[a-z0-9A-Z][a-z0-9A-Z._-]{1,254}")


def is_remote(text: object) -> bool:
    """Whether this names a place in the data lake rather than on disk."""
    return isinstance(text, RemotePath) or (isinstance(text, str) and text.startswith(SCHEME))


@dataclass(frozen=True, order=True)
class RemotePath:
    """A file or a folder in the data lake; whether it is the one or the other, only the bucket knows.

    Attributes:
        bucket: Name of the bucket.
        key: Name within the bucket, without ``/`` at its ends; empty for the whole bucket.

    Example:
        >>> address = RemotePath.parse("s3://farm/slides/")
        >>> str(address / "day_3" / "a.jpg")
        's3://farm/slides/day_3/a.jpg'
    """

    bucket: str
    key: str = ""

    @staticmethod
    def parse(text: str) -> RemotePath:
        """Reads ``s3://bucket/prefix``; one ``/`` at the end does not matter.

        Raises:
            UsageError: It is none.
        """
        if not text.startswith(SCHEME):
            raise UsageError(f"expected s3://bucket/prefix, found {text!r}")
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise UsageError(f"{text}: expected the name of a bucket after s3://, found {bucket!r}")
        key = key.removesuffix("/")
        if key and not is_safe(key):
            raise UsageError(f"{text}: expected names between single slashes, without '.' and '..'")
        return RemotePath(bucket, key)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}" if self.key else f"{SCHEME}{self.bucket}"

    def __truediv__(self, relative: str) -> RemotePath:
        return RemotePath.parse(f"{self}/{relative}")

    @property
    def name(self) -> str:
        """The last part of the key; that of the bucket for a whole bucket."""
        return self.key.rpartition("/")[2] or self.bucket

    @property
    def parent(self) -> RemotePath:
        """The folder that it lies in; a bucket is its own."""
        return RemotePath(self.bucket, self.key.rpartition("/")[0])

    @property
    def prefix(self) -> str:
        """What the keys of all files in it begin with."""
        return f"{self.key}/" if self.key else ""


def is_safe(relative: str) -> bool:
    """Whether a POSIX path stays within its folder and can be a file's name here."""
    return "\0" not in relative and "\\" not in relative and all(p not in ("", ".", "..") for p in relative.split("/"))


def is_ours(relative: str) -> bool:
    """Whether a path below a prefix is something that we say about the data, not data."""
    return OURS in relative.split("/")


def cache_folder() -> Path:
    """Where this program keeps copies: ``SPORE_YOLO_CACHE``, else ``spore-yolo`` in the user's cache folder."""
    own = os.environ.get("SPORE_YOLO_CACHE")
    if own:
        return Path(os.path.abspath(own))
    general = os.environ.get("XDG_CACHE_HOME")
    return (Path(general) if general else Path.home() / ".cache") / "spore-yolo"


def mirror_root() -> Path:
    """The folder that all mirrors lie in, a folder a bucket."""
    return cache_folder() / "lake" / "s3"


def mirror_of(remote: RemotePath) -> Path:
    """Where a place of the data lake lies on this machine once it was pulled.

    Files of one bucket lie there as they do in the bucket, so that paths from one to the other lead to the same.
    """
    return (
        mirror_root().joinpath(remote.bucket, *remote.key.split("/")) if remote.key else mirror_root() / remote.bucket
    )


def remote_of(local: Path) -> RemotePath | None:
    """The place of the data lake that a path on disk is the mirror of; ``None`` for other paths."""
    # Not resolved: a link in the mirror stands for its own place, not for what it leads to.
    try:
        parts = Path(os.path.abspath(local)).relative_to(mirror_root()).parts
    except ValueError:
        return None
    return RemotePath(parts[0], "/".join(parts[1:])) if parts else None


def as_address(path: Path) -> str:
    """A path as it is told and stored: its address, where it is a mirror, since a mirror is one machine's alone."""
    remote = remote_of(path)
    return path.as_posix() if remote is None else str(remote)


def from_address(text: str) -> Path:
    """The path that :func:`as_address` stored."""
    return mirror_of(RemotePath.parse(text)) if is_remote(text) else Path(text)


def target_of(relative: str, folder: Path, remote: RemotePath) -> Path:
    """Where a file of a prefix goes on disk.

    Args:
        relative: Its path below the prefix.
        folder: What the prefix is pulled into.
        remote: The prefix.

    Raises:
        SporeYoloError: The key would leave the folder.
    """
    if not is_safe(relative):
        raise SporeYoloError(
            f"{remote}: the bucket holds an object whose key cannot be a path on disk ({relative!r}: expected names"
            " between single slashes, without '.', '..' and backslashes); rename it in the bucket"
        )
    return folder / relative
