"""The label files of formats that have one file an image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spore_yolo.files.errors import Problem, SporeYoloError
from spore_yolo.files.progress import progress
from spore_yolo.labels.codes import UNREADABLE_LABEL
from spore_yolo.labels.table import RawLabels


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


def is_first_file(file: Path, image: str, size: tuple[int, int] | None, labels: RawLabels) -> bool:
    """Notes that a file has the labels of an image, or that another one had them before, which is a problem.

    Args:
        file: The label file.
        image: The image.
        size: The size that the file states, or ``None``.
        labels: Takes the image with its size, or the problem.
    """
    if image in labels.labelled_images:
        message = f"expected one file an image, found a second one for {image}"
        labels.problems.append(Problem(file, None, message, UNREADABLE_LABEL))
        return False
    labels.labelled_images.add(image)
    if size:
        labels.stated_sizes[image] = size
    return True


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
