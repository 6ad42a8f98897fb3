"""The label files of formats that have one file an image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.progress import progress


def label_files(path: Path, suffix: str, expected: str) -> list[tuple[Path, PurePosixPath]]:
    """The label files below a folder, at any depth, sorted; or the one file that ``path`` is.

    Hidden files and folders are left out, and links to folders are not followed: they may lead in a circle.

    Args:
        path: The folder or the file.
        suffix: The suffix of the label files in small letters: ``.xml``.
        expected: What they are, for messages: ``Pascal VOC files (NAME.xml for NAME.jpg)``.

    Returns:
        Each file, and its path below the folder.

    Raises:
        SporeYoloError: There are none, or a folder cannot be read.
    """
    if not path.is_dir():
        return [(path, PurePosixPath(path.name))]
    names = sorted(_names(path, suffix), key=lambda name: name.split("/"))
    if not names:
        raise SporeYoloError(f"{path}: expected {expected}, found none")
    return [(path / name, PurePosixPath(name)) for name in names]


def each_label_file(path: Path, suffix: str, expected: str) -> Iterator[tuple[Path, PurePosixPath]]:
    """What :func:`label_files` gives, one by one, with progress where there are many."""
    files = label_files(path, suffix, expected)
    return progress(files, len(files), "reading labels", "file")


def _names(folder: Path, suffix: str) -> Iterator[str]:
    # Path.rglob and os.walk call themselves for each level, which ends at a thousand.
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(folder / inside) as entries:
                for entry in entries:
                    name = f"{inside}{entry.name}"
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{name}/")
                    elif name.lower().endswith(suffix):
                        yield name
        except OSError as error:
            raise SporeYoloError(f"{folder / inside!s:.300}: the folder cannot be read: {error.strerror}") from None
