"""An imported dataset on disk and in memory.

``data/NAME/`` holds ``boxes.csv`` and ``images.csv``, which every command reads, ``manifest.json``, and the YOLO layout
derived from them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spore_yolo.dataset.register import find_entry
from spore_yolo.dataset.split import SPLITS
from spore_yolo.dataset.yolo_layout import layout_is_whole
from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.lake.paths import from_address
from spore_yolo.labels.table import BOX_COLUMNS, boxes_table

IMAGE_COLUMNS = ["image", "width", "height", "group", "source", "split", "um_per_px", "sha256"]

SPARE = "spare"
"""The split of a variant that validation, test and calibration leave out, since they hold one variant a source."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as the commands see it.

    Attributes:
        name: Its name in the register.
        folder: Where the import lies.
        images_root: The folder of the images.
        images: The images table, columns :data:`IMAGE_COLUMNS`, a row an image, images without boxes included.
        boxes: The boxes table of all images.
        classes: Class names; the place in the list is the number in the YOLO layout.
        targets: The classes that the user is after; may be empty.
        fingerprint: Hash of everything above that training or evaluation depends on.
        manifest: All of ``manifest.json``.
    """

    name: str
    folder: Path
    images_root: Path
    images: pd.DataFrame
    boxes: pd.DataFrame
    classes: list[str]
    targets: list[str]
    fingerprint: str
    manifest: dict[str, Any]

    def split(self, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The images and the boxes of one split.

        Raises:
            SporeYoloError: The dataset has no images in that split.
        """
        images = self.images[self.images["split"] == name]
        if images.empty:
            counts = self.images["split"].value_counts()
            raise SporeYoloError(f"dataset {self.name} has no split {name!r}; it has {', '.join(counts.index)}")
        return images, self.boxes[self.boxes["image"].isin(images["image"])]

    def path_of(self, image: str) -> Path:
        """The file of an image."""
        return self.images_root / image


def load_dataset(name: str | None, register: Path) -> Dataset:
    """Loads an imported dataset and checks that nothing tore its groups apart.

    Raises:
        SporeYoloError: A part of it is missing, or a group or source lies in two splits.
    """
    entry = find_entry(register, name)
    assert name is not None
    folder = register.parent / entry.folder
    manifest = read_manifest(folder)
    if manifest is None:
        raise SporeYoloError(
            f"{folder}/manifest.json: no such file; import the dataset again: spore-yolo import {name} …"
        )
    images = _read_table(folder / "images.csv", IMAGE_COLUMNS, {"um_per_px": "float64"})
    boxes = _read_table(folder / "boxes.csv", BOX_COLUMNS, {})
    places = {file: str(from_address(file)) for file in boxes["label_file"].unique()}
    boxes["label_file"] = boxes["label_file"].map(places).astype("str")
    check_whole_groups(images, folder / "images.csv")
    for table, digest in manifest["tables"].items():
        if sha256_file(folder / table) != digest:
            raise SporeYoloError(
                f"{folder / table}: was changed since the import, and figures would name another dataset than this one;"
                " change the labels or the class map and import again"
            )
    return Dataset(
        name=name,
        folder=folder,
        images_root=register.parent / entry.images,
        images=images,
        boxes=boxes_table(boxes.itertuples(index=False, name=None)),
        classes=list(manifest["classes"]),
        targets=list(manifest["targets"]),
        fingerprint=str(manifest["fingerprint"]),
        manifest=manifest,
    )


def is_whole(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether everything that an import writes is there, as it was written, and its links lead somewhere."""
    tables = all(
        (folder / name).is_file() and sha256_file(folder / name) == digest
        for name, digest in manifest["tables"].items()
    )
    skipped = (folder / "skipped.csv").exists() == bool(manifest.get("skipped"))
    return tables and skipped and layout_is_whole(folder, manifest["splits"])


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an import, or ``None`` where there is none yet."""
    path = folder / "manifest.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for key in (
            "groups",
            "classes",
            "targets",
            "fingerprint",
            "options",
            "evaluated",
            "images",
            "tables",
            "splits",
            "image_groups",
        ):
            content[key]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SporeYoloError(
            f"{path}: damaged ({error}); import again with --force, which deals all groups anew"
        ) from None
    return content


def check_whole_groups(images: pd.DataFrame, path: Path) -> None:
    """Makes sure that no group and no source lies in two splits.

    Raises:
        InputProblems: One does; the message names it, its splits and the lines.
    """
    unknown = images[~images["split"].isin([*SPLITS, SPARE])]
    problems = [
        Problem(path, int(str(index)) + 2, f"expected a split ({', '.join([*SPLITS, SPARE])}), found {split!r}")
        for index, split in unknown["split"].items()
    ]
    used = images[images["split"].isin(SPLITS)]
    for column in ("group", "source"):
        splits = used.groupby(column)["split"].nunique()
        for name in splits[splits > 1].index:
            rows = used[used[column] == name]
            first_of_each = rows.drop_duplicates("split")
            where = " and ".join(f"{row.split} (line {int(str(row.Index)) + 2})" for row in first_of_each.itertuples())
            problems.append(Problem(path, int(str(first_of_each.index[1])) + 2, f"{column} {name} is in {where}"))
    if problems:
        raise InputProblems(
            "The split is torn; figures on it would lie:", problems, "Import again; do not edit the split by hand."
        )


def _read_table(path: Path, columns: list[str], kinds: dict[str, str]) -> pd.DataFrame:
    text = dict.fromkeys(("image", "class", "group", "source", "split", "sha256", "label_file"), "str")
    try:
        table = pd.read_csv(
            path, dtype=text | kinds, keep_default_na=False, na_values={"um_per_px": [""], "line": [""]}
        )
    except FileNotFoundError:
        raise SporeYoloError(f"{path}: no such file; import the dataset again") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise SporeYoloError(f"{path}: damaged ({error}); import the dataset again") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise SporeYoloError(f"{path}:1: expected the columns {', '.join(columns)}, found no {', '.join(missing)}")
    return table[columns]
