"""What the formats share that keep the labels of many images in one JSON file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.folder import each_label_file
from spore_yolo.labels.readers.values import JsonItems, paused_collector
from spore_yolo.labels.table import RawLabels


def read_each(path: Path, expected: str, labels: RawLabels, read: Callable[[Path], None]) -> None:
    """Reads a JSON file, or each of those below a folder; there a file that cannot be read is one problem of many.

    Args:
        path: The file or the folder.
        expected: What it should hold, for messages: ``CreateML files (*.json)``.
        labels: Takes the problems.
        read: Reads one file.

    Raises:
        SporeYoloError: The folder has no such files, or the file as a whole cannot be read.
    """
    with paused_collector():
        for file, _ in each_label_file(path, ".json", expected):
            try:
                read(file)
            except InputProblems as error:
                if file == path:
                    raise
                labels.problems.extend(error.problems)


def objects(file: Path) -> Iterator[tuple[Any, int]]:
    """The items of a file that is a list, or the one object that it is, with their lines.

    Raises:
        InputProblems: It is not JSON.
    """
    items = JsonItems(file)
    whole: dict[str | None, Any] = {}
    for part, value, line, listed in items:
        if part is None:
            yield value, line
        elif listed:
            if not isinstance(whole.get(part), list):  # a key that stood there before, with something else
                whole[part] = []
            whole[part].append(value)
        else:
            whole[part] = value
    if None not in items.lists and (items.lists or whole):
        yield {part: [] for part in items.lists} | whole, 1


def unlike(file: Path, expected: str, found: Any, line: int | None = None) -> InputProblems:
    """The error that a file as a whole is not in its format."""
    message = f"expected {expected}, found {found!r:.60}"
    return InputProblems("A file cannot be read:", [Problem(file, line, message, UNREADABLE_LABEL)])


def find_image(paths: Iterable[str], images: KnownImages) -> str:
    """The image that one of several paths means; the first that is known counts.

    Raises:
        LookupError: None of them is an image, or the first is more than one; what is wrong with the first is told.
    """
    first: LookupError | None = None
    for path in paths:
        try:
            return images.find(path)
        except LookupError as error:
            first = first or error
    raise first or LookupError("expected the path of an image, found none")


def paths_of_address(address: str) -> list[str]:
    """What may be the path of an image that is named by an address or a path, most likely first.

    It is what is behind the host of an address or the bucket of a store, without a signature. Nothing is fetched.
    """
    path = address.strip()
    if "://" in path:
        path = path.partition("://")[2].partition("/")[2].partition("?")[0]
        return list(dict.fromkeys([unquote(path), path]))
    return list(dict.fromkeys([path, unquote(path)]))
