"""The YOLO layout derived from the tables, so that plain ``yolo train data=…/data.yaml`` works on a dataset."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from spore_yolo.dataset.split import SPLITS
from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.files.structured import write_yaml
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers.yolo import yolo_texts

HEADER = """\
# Made by `spore-yolo import` from boxes.csv and images.csv. Ignored boxes are left out here: plain YOLO has none.
"""


def write_layout(
    folder: Path, final: Path, images_root: Path, images: pd.DataFrame, boxes: pd.DataFrame, classes: Sequence[str]
) -> None:
    """Writes ``images/SPLIT``, ``labels/SPLIT`` and ``data.yaml``.

    Images are linked, not copied, where the file system allows it.

    Args:
        folder: Where to write.
        final: Where ``folder`` will lie in the end; links are made for that place.
        images_root: The folder of the images.
        images: The images table.
        boxes: The boxes table.
        classes: Class names in the order of their numbers.

    Raises:
        InputProblems: Two images of one split differ only in their suffix and would share a label file.
    """
    used = images[images["split"].isin(SPLITS)]
    _check_stems(used)
    texts = yolo_texts(LabelSet(used, boxes[boxes["image"].isin(used["image"])], list(classes)))
    for row, text in zip(used.itertuples(), texts, strict=True):
        name = _name_in_layout(row.image)
        image = folder / "images" / row.split / name
        label = folder / "labels" / row.split / name.with_suffix(".txt")
        image.parent.mkdir(parents=True, exist_ok=True)
        label.parent.mkdir(parents=True, exist_ok=True)
        _link(images_root / row.image, image, final / "images" / row.split / name)
        label.write_text(text, encoding="utf-8")
    present = [split for split in SPLITS if (used["split"] == split).any()]
    content: dict[str, object] = {split: f"images/{split}" for split in present}
    content["names"] = dict(enumerate(classes))
    write_yaml(folder / "data.yaml", content, HEADER)


def layout_is_whole(folder: Path, splits: Mapping[str, str]) -> bool:
    """Whether the layout has every image, or a link that leads to it, and every label file.

    Args:
        folder: The import.
        splits: Split of each image that is in one.
    """
    return (folder / "data.yaml").exists() and all(
        (folder / "images" / split / _name_in_layout(image)).exists()
        and (folder / "labels" / split / _name_in_layout(image).with_suffix(".txt")).exists()
        for image, split in splits.items()
    )


def _name_in_layout(image: str) -> PurePosixPath:
    """An image's path below ``images/SPLIT``.

    Folders called ``images`` are left out: YOLO finds a label by the *last* ``/images/`` in an image's path.
    """
    return PurePosixPath(*(part for part in PurePosixPath(image).parts if part != "images"))


def _check_stems(used: pd.DataFrame) -> None:
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for split, image in zip(used["split"], used["image"], strict=True):
        names[split, _name_in_layout(image).with_suffix("").as_posix()].append(image)
    problems = [
        Problem(twins[1], None, f"and {twins[0]} would share one label file in YOLO")
        for twins in names.values()
        if len(twins) > 1
    ]
    if problems:
        raise InputProblems("Images share a name:", problems, "Rename one of each pair.")


def _link(source: Path, link: Path, final: Path) -> None:
    try:
        link.symlink_to(os.path.relpath(source.resolve(), final.parent.resolve()))
    except OSError as error:
        if error.errno is not None and error.errno == 28:  # no space left: a copy would not fit either
            raise
        shutil.copyfile(source, link)
