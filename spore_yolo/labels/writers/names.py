"""File names that stay inside their folder and do not hide one another, whatever images and classes are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath

from spore_yolo.files.hashes import sha256_text

LONGEST_NAME = 255
"""Bytes of a file name on the disks in use."""

ROOM = 15
"""Bytes of it that are left to a number and a suffix."""


def unique_names(slides: Sequence[str]) -> dict[str, str]:
    """A file name, without suffix, for each slide; slides that share a stem keep what tells them apart.

    No two are one to a disk that ignores case, and none is too long for a disk.
    """
    stems = Counter(PurePosixPath(slide).stem.casefold() for slide in slides)
    names: dict[str, str] = {}
    taken: set[str] = set()
    for slide in slides:
        path = PurePosixPath(slide)
        name = path.stem
        if stems[name.casefold()] > 1:
            name = "__".join(part for part in (*path.parent.parts, path.name) if part not in ("/", ".", ".."))
        if len(name.encode()) > LONGEST_NAME - ROOM:
            name = _short(name, f"-{sha256_text(slide)[:8]}", LONGEST_NAME - ROOM)
        unique, number = name, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{name}-{number}"
        taken.add(unique.casefold())
        names[slide] = unique
    return names


def safe_names(names: Sequence[str]) -> list[str]:
    """A file name, without suffix, for each name, whatever it holds; no two are one to a disk that ignores case."""
    taken: set[str] = set()
    safe_names = []
    for name in names:
        safe = re.sub(r"[^\w .()+-]", "_", name).strip(" .")[:100] or "_"
        # Windows keeps some names, with any suffix, for its devices.
        safe = f"{safe}_" if re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", safe.split(".")[0]) else safe
        unique, number = safe, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{safe}-{number}"
        taken.add(unique.casefold())
        safe_names.append(unique)
    return safe_names


def label_paths(images: Sequence[str], suffix: str, without: str = "") -> list[PurePosixPath]:
    """Where the label file of each image lies: its path with another suffix, so that programs find it by the name.

    Parts that lead out of a folder are left out, and signs that no file system takes become ``_``. Images that would
    share a label file keep their suffix in its name: ``a.jpg.txt`` and ``a.png.txt``.

    Args:
        images: Paths of the images.
        suffix: The suffix of label files, with its dot.
        without: Name of folders that are left out of the paths.
    """
    parts = [_parts(image, without) for image in images]
    folders = {PurePosixPath(*path[:number]) for path in parts for number in range(1, len(path))}
    stems = Counter((*path[:-1], PurePosixPath(path[-1]).stem) for path in parts)
    taken: set[PurePosixPath] = set()
    paths = []
    for *folder, name in parts:
        stem = PurePosixPath(name).stem
        path = PurePosixPath(*folder, _short(stem, suffix))
        if stems[(*folder, stem)] > 1 or path in folders:
            path = PurePosixPath(*folder, _short(name, suffix))
        number = 1
        while path in taken or path in folders:
            number += 1
            path = PurePosixPath(*folder, _short(name, f"-{number}{suffix}"))
        taken.add(path)
        paths.append(path)
    return paths


def _parts(image: str, without: str) -> tuple[str, ...]:
    """The folders and the name of an image, none of which leads outside."""
    path = PureWindowsPath(image) if "\\" in image else PurePosixPath(image)
    # The first part of an absolute path is its anchor, such as / or a drive.
    named = [part for part in path.parts[bool(path.anchor) :] if part not in ("..", ".")]
    safe = [re.sub(r"[\x00-\x1f\x7f\ud800-\udfff/\\]", "_", part) for part in named]
    *folders, name = safe or ["_"]
    return (*(_short(folder, "") for folder in folders if folder != without), name)


def _short(name: str, end: str, longest: int = LONGEST_NAME) -> str:
    """The name with its end, cut where it would have more bytes than a disk takes."""
    room = longest - len(end.encode())
    return name.encode()[:room].decode(errors="ignore") + end
