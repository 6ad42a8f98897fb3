"""The split that labels bring along: by the names of folders, by ``data.yaml``, or by a table of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from spore_yolo.dataset.split import SPLITS
from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.files.structured import read_pairs, read_yaml
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.values import read_text

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "calibration": "calibration",
}
"""What folders, and the keys of ``data.yaml``, are called that hold a split."""


def stated_split(
    images: Iterable[str], labels: Path, root: Path, table: Path | None, known: KnownImages
) -> dict[str, str]:
    """The split of each image, as far as somebody says it.

    Args:
        images: The images, by their paths below ``root``.
        labels: The label file or folder; beside it or beside the images a ``data.yaml`` may lie.
        root: The folder of the images.
        table: A CSV file with the columns ``image,split``, which then alone says it.
        known: Finds the images that the table names.

    Raises:
        SporeYoloError: The table is missing, names an unknown split, or an image that is not there.
    """
    if table is not None:
        return _of_table(table, known)
    images = list(images)
    return _of_folders(images) | _of_yaml(images, labels, root)


def _of_table(table: Path, known: KnownImages) -> dict[str, str]:
    splits: dict[str, str] = {}
    problems = []
    for name, split in read_pairs(table, "image", "split").items():
        try:
            if split not in SPLITS:
                raise LookupError(f"expected one of the splits {', '.join(SPLITS)} for {name}, found {split!r:.40}")
            splits[known.find(name)] = split
        except LookupError as error:
            problems.append(Problem(table, None, str(error)))
    if problems:
        raise InputProblems("--split: the table does not fit the images:", problems)
    return splits


def _of_folders(images: Iterable[str]) -> dict[str, str]:
    """``train/images/a.jpg`` and ``images/train/a.jpg`` are in train."""
    splits = {}
    for image in images:
        named = [part for part in map(str.lower, PurePosixPath(image).parent.parts) if part in SPLIT_NAMES]
        if named:
            splits[image] = SPLIT_NAMES[named[0]]
    return splits


def _of_yaml(images: Iterable[str], labels: Path, root: Path) -> dict[str, str]:
    for folder in (labels, labels.parent, root, root.parent):
        for name in ("data.yaml", "data.yml"):
            if (folder / name).is_file():
                content = read_yaml(folder / name)
                return _of_places(images, root, folder, content) if isinstance(content, Mapping) else {}
    return {}


def _of_places(images: Iterable[str], root: Path, folder: Path, content: Mapping[object, object]) -> dict[str, str]:
    """The split of the images that lie in the folders, or are named by the lists, of a ``data.yaml``."""
    base = folder / str(content.get("path") or "")
    places: dict[str, str] = {}
    for key, split in SPLIT_NAMES.items():
        named = content.get(key)
        for place in named if isinstance(named, list) else [named]:
            if isinstance(place, str):
                path = base / place
                for file in _listed(path, base) if path.suffix == ".txt" else [path]:
                    places.setdefault(os.path.abspath(file), split)
    here = os.path.abspath(root)
    splits: dict[str, str] = {}
    for image in images:
        place = os.path.join(here, image)
        while place not in places and place != os.path.dirname(place):
            place = os.path.dirname(place)
        if place in places:
            splits[image] = places[place]
    return splits


def _listed(path: Path, base: Path) -> list[Path]:
    """The images that a text file lists, a line an image."""
    if not path.is_file():
        return []
    lines = read_text(path, "a list of images").splitlines()
    return [base / line.strip() for line in lines if line.strip()]
