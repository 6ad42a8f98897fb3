"""The classifier's crops: which boxes, what they show, and the folder of pictures (ImageFolder) cut round them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from spore_yolo.dataset.store import Dataset
from spore_yolo.files.cores import core_count
from spore_yolo.files.images import read_image
from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import DEBRIS
from spore_yolo.labels.crop_truth import crop_truth
from spore_yolo.labels.table import COORDINATES

CROP_COLUMNS = ["slide", "class", "origin", "detector_score", *COORDINATES]
"""Columns of a table of crops; ``origin`` is ``detector`` or ``label``."""

DEBRIS_PER_SPORE = 3
"""Most crops of debris for each crop of a spore; the likeliest ones, which are the hardest to tell, are kept."""

MIN_DEBRIS = 1000
"""So much debris is kept however few spores there are."""


@dataclass(frozen=True)
class CropFolder:
    """Crops on disk, ready to train on.

    Attributes:
        path: Holds ``train/CLASS/*.png`` and ``val/CLASS/*.png``.
        classes: What each class folder holds, in the order of the folders' names, which is that of the class numbers.
    """

    path: Path
    classes: list[str]


def labelled_crops(boxes: pd.DataFrame) -> pd.DataFrame:
    """The labelled boxes as crops; ignored ones are left out.

    Args:
        boxes: A boxes table.
    """
    known = boxes[~boxes["ignored"]].rename(columns={"image": "slide"})
    return known.assign(origin="label", detector_score=np.nan)[CROP_COLUMNS].reset_index(drop=True)


def detected_crops(candidates: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """The detector's own boxes as crops, with what they show by the labels; see :func:`crop_truth`.

    Args:
        candidates: Columns ``slide, detector_score`` and the box.
        boxes: The boxes table of the same slides.

    Returns:
        Columns :data:`CROP_COLUMNS`; boxes of which nobody can say what they show are left out.
    """
    labels = dict(iter(boxes[~boxes["ignored"]].groupby("image")))
    ignored = dict(iter(boxes[boxes["ignored"]].groupby("image")))
    nothing = boxes.iloc[:0]
    parts = [pd.DataFrame({name: pd.Series(dtype="float64") for name in CROP_COLUMNS})]
    for slide, part in candidates.groupby("slide"):
        of_slide = labels.get(slide, nothing)
        truth = crop_truth(
            part[COORDINATES].to_numpy(dtype=np.float64),
            of_slide[COORDINATES].to_numpy(dtype=np.float64),
            ignored.get(slide, nothing)[COORDINATES].to_numpy(dtype=np.float64),
        )
        shows = np.full(len(part), DEBRIS, dtype=object)
        found = truth.label >= 0
        shows[found] = of_slide["class"].to_numpy(dtype=object)[truth.label[found]]
        known = part.assign(**{"class": shows, "origin": "detector"})[found | truth.debris]
        parts.append(known[CROP_COLUMNS])
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def training_crops(candidates: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """The crops of the training split: detector's boxes, labelled boxes, and not too much debris.

    Args:
        candidates: Columns ``slide, detector_score`` and the box; may be empty.
        boxes: The boxes table of the same slides.
    """
    crops = pd.concat([detected_crops(candidates, boxes), labelled_crops(boxes)], ignore_index=True)
    is_debris = crops["class"] == DEBRIS
    most = max(MIN_DEBRIS, DEBRIS_PER_SPORE * int((~is_debris).sum()))
    hardest = crops[is_debris].sort_values("detector_score", ascending=False, kind="stable").head(most)
    return pd.concat([crops[~is_debris], hardest]).sort_index().reset_index(drop=True)


def class_folders(classes: Sequence[str]) -> dict[str, str]:
    """A safe folder name for each class; different classes get different ones, also where case does not count."""
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for name in classes:
        safe = re.sub(r"[^\w-]+", "_", name) or "_"
        # Ultralytics takes names that begin so for codes of ImageNet.
        safe = f"_{safe}" if safe.startswith("n0") else safe
        unique, number = safe, 2
        while unique.lower() in taken:
            unique, number = f"{safe}_{number}", number + 1
        taken.add(unique.lower())
        folders[name] = unique
    return folders


def write_crops(
    dataset: Dataset,
    tables: dict[str, pd.DataFrame],
    classes: Sequence[str],
    folder: Path,
    margin: float,
    size: int,
    quiet: bool = False,
) -> CropFolder:
    """Cuts crops into a folder a class, as torchvision's ImageFolder and Ultralytics read them.

    Args:
        dataset: Where the slides come from.
        tables: The crops of ``train`` and ``val``, columns :data:`CROP_COLUMNS`.
        classes: All classes, with debris if there is any; each gets a folder, even an empty one.
        folder: Where to write; it must be empty or not exist.
        margin: Context on each side, as a share of the box's longer side.
        size: Side of a crop in pixels.
        quiet: Show no progress bar.
    """
    folders = class_folders(classes)
    for split, table in tables.items():
        for name in folders.values():
            (folder / split / name).mkdir(parents=True, exist_ok=True)
        _write_split(dataset, table, folder / split, folders, margin, size, quiet)
    # ImageFolder numbers the classes in the order of the folders' names.
    return CropFolder(folder, sorted(classes, key=lambda name: folders[name]))


def _write_split(
    dataset: Dataset,
    table: pd.DataFrame,
    folder: Path,
    folders: dict[str, str],
    margin: float,
    size: int,
    quiet: bool,
) -> None:
    numbered = table.reset_index(drop=True)

    def write(slide: str, part: pd.DataFrame) -> None:
        crops = cut_crops(
            read_image(dataset.path_of(slide)), part[COORDINATES].to_numpy(dtype=np.float64), margin, size
        )
        for number, name, crop in zip(part.index, part["class"], crops, strict=True):
            path = folder / folders[name] / f"{number:07d}.png"
            if not cv2.imwrite(str(path), cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)):
                raise OSError(28, "cannot write the crop; is the disk full?", str(path))

    slides = [(str(slide), part) for slide, part in numbered.groupby("slide")]
    # Each worker holds a whole slide.
    with ThreadPoolExecutor(max_workers=core_count()) as pool:
        try:
            jobs = pool.map(lambda job: write(*job), slides)
            list(tqdm(jobs, total=len(slides), desc=f"crops {folder.name}", unit="slide", disable=quiet))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
