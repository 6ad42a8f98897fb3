"""A version of a dataset: the content hashes of its files, so that a run names exactly what it saw."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.lake.paths import OURS, is_safe

FORM = 1
"""Counts up when the manifest changes its form."""

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\.[^.]+)?")


@dataclass(frozen=True)
class LakeVersion:
    """What a folder holds.

    Attributes:
        files: Size in bytes and SHA-256 of each file by its path relative to the folder, with ``/`` between its parts.
    """

    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """64 hexadecimal digits that name these contents: equal for equal files, whatever machine or bucket."""
        digest = hashlib.sha256()
        for path, (_, sha256) in sorted(self.files.items()):
            digest.update(f"{sha256} {json.dumps(path)}\n".encode())
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())

    @staticmethod
    def of_folder(folder: Path) -> LakeVersion:
        """The version of a folder on disk, or of a single file; see :func:`data_files` for what counts.

        Raises:
            SporeYoloError: There is no such folder or file.
        """
        if not folder.exists():
            raise SporeYoloError(f"{folder}: no such file or folder")
        return LakeVersion({name: (path.stat().st_size, sha256_file(path)) for name, path in data_files(folder)})

    def to_json(self, etags: Mapping[str, str] | None = None) -> str:
        """The manifest as text.

        Args:
            etags: What the bucket calls the content of each file, where that is known.
        """
        known = etags or {}
        files = {
            path: {"size": size, "sha256": sha256} | ({"etag": known[path]} if path in known else {})
            for path, (size, sha256) in sorted(self.files.items())
        }
        return json.dumps({"form": FORM, "version": self.version, "files": files}, indent=1) + "\n"

    @staticmethod
    def from_json(text: str | bytes, source: str = "the manifest") -> LakeVersion:
        """Reads a manifest.

        Args:
            text: What it holds.
            source: What messages call it.

        Raises:
            SporeYoloError: It is none of ours, or is damaged.
        """
        return Manifest.read(text, source).version


@dataclass(frozen=True)
class Manifest:
    """What a bucket's manifest says.

    Attributes:
        version: The files.
        etags: What the bucket called the content of each file when the manifest was written.
    """

    version: LakeVersion
    etags: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def read(text: str | bytes, source: str) -> Manifest:
        """See :meth:`LakeVersion.from_json`."""
        try:
            content = _ManifestForm.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise _damaged(source, f"{place}: {first['msg']}") from None
        if content.form != FORM:
            raise SporeYoloError(
                f"{source}: expected a manifest of form {FORM}, found {content.form}; a newer spore-yolo wrote it"
            )
        unsafe = [path for path in content.files if not is_safe(path)]
        if unsafe:
            raise _damaged(source, f"{unsafe[0]!r} leaves the folder")
        version = LakeVersion({path: (one.size, one.sha256) for path, one in content.files.items()})
        if version.version != content.version:
            raise _damaged(source, "the version that it states is not that of the files that it lists")
        return Manifest(version, {path: one.etag for path, one in content.files.items() if one.etag is not None})

    def to_json(self) -> str:
        """The manifest as text."""
        return self.version.to_json(self.etags)


class _FileForm(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    etag: str | None = None


class _ManifestForm(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    form: int
    version: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    files: dict[str, _FileForm]


def _damaged(source: str, reason: str) -> SporeYoloError:
    return SporeYoloError(f"{source}: damaged ({reason}); push the folder again to write it anew")


def data_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder that are data, by their path relative to it, sorted.

    Left out are what we say about the data (``.spore-yolo/``), halves of files (``*.part``), hidden temporary files,
    and links to files outside of the folder, since these are kept elsewhere: an imported dataset links to its images.

    Args:
        folder: The folder; a single file is what it holds itself, under its own name.
    """
    if folder.is_file():
        yield folder.name, folder
        return
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if OURS in parts or path.suffix == ".part" or any(is_temporary(part) for part in parts):
            continue
        if path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(root)):
            yield "/".join(parts), path


def is_temporary(name: str) -> bool:
    """Whether a name is one that :mod:`spore_yolo.files.atomic` makes; other hidden files are data."""
    return _TEMPORARY.fullmatch(name) is not None
