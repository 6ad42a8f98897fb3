"""What predictions are compared with: labels in any format, or a split of a registered dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spore_yolo.dataset.groups import groups_of, sources_of
from spore_yolo.dataset.register import find_entry
from spore_yolo.dataset.store import IMAGE_COLUMNS, load_dataset
from spore_yolo.files.errors import Problem, SporeYoloError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.yolo import names_of_classes
from spore_yolo.labels.source import EMPTY_IF_UNNAMED, open_labels
from spore_yolo.labels.table import BOX_COLUMNS, UNKNOWN_SIZE, RawBox, RawLabels


@dataclass(frozen=True)
class Truth:
    """Labels, and the images that they are the truth of.

    Attributes:
        name: What was compared with, for reports.
        split: The split of a dataset, or ``None``.
        labels: The labels as they were read.
        known: The images, and their sizes.
        images: The images table; width and height are NaN where nobody knows them.
        about: Path and format, for reports.
        folder: The folder of the images, or ``None`` where they are not at hand.
        targets: The classes that the dataset's user is after.
        class_names: What class numbers of YOLO predictions mean where these do not say it.
        ids_file: The COCO file whose ids a results list means, if there is one.
        problems: Labels and images that cannot be read.
        advice: What can be done about problems.
        notes: What the user should know.
    """

    name: str
    split: str | None
    labels: RawLabels
    known: KnownImages
    images: pd.DataFrame
    about: dict[str, Any]
    folder: Path | None = None
    targets: list[str] = field(default_factory=list)
    class_names: Mapping[int, str] = field(default_factory=dict)
    ids_file: Path | None = None
    problems: list[Problem] = field(default_factory=list)
    advice: str = ""
    notes: list[str] = field(default_factory=list)


def truth_of_dataset(name: str, split: str, register: Path) -> Truth:
    """One split of a registered dataset.

    Raises:
        SporeYoloError: There is no such dataset or split.
    """
    dataset = load_dataset(name, register)
    images, boxes = dataset.split(split)
    sizes = {
        str(image): ImageSize(int(width), int(height))
        for image, width, height in zip(images["image"], images["width"], images["height"], strict=True)
    }
    columns = (boxes[name] for name in BOX_COLUMNS)
    rows = [
        RawBox(image, kind, x_min, y_min, x_max, y_max, ignored, Path(file), None if line is pd.NA else int(line))
        for image, kind, x_min, y_min, x_max, y_max, ignored, file, line in zip(*columns, strict=True)
    ]
    entry = find_entry(register, name)
    labels = register.parent / entry.labels
    return Truth(
        name=name,
        split=split,
        labels=RawLabels(rows, dataset.classes, set(sizes)),
        known=KnownImages(sizes, dataset.images_root, f"in {name}, split {split}"),
        images=images,
        about={"path": str(labels), "format": entry.format, "dataset_fingerprint": dataset.fingerprint},
        folder=dataset.images_root if dataset.images_root.is_dir() else None,
        targets=dataset.targets,
        class_names=dict(enumerate(dataset.classes)),
        ids_file=labels if entry.format == "coco" and labels.is_file() else None,
        advice="Import the dataset again.",
    )


def truth_of_files(
    path: Path, label_format: str, folder: Path | None, group_by: str | None, options: ReadOptions = PLAIN
) -> Truth:
    """Labels in any of the known formats.

    Args:
        path: The label file, or the folder of label files.
        label_format: Its format, or ``auto``.
        folder: The folder of the images. Without it the labels say which images there are, and how large.
        group_by: A regular expression or a CSV file; see :func:`spore_yolo.dataset.groups.groups_of`.
        options: What else the user says about the labels.

    Raises:
        SporeYoloError: The labels or the images as a whole cannot be read, or the images cannot be grouped.
    """
    source = open_labels(path, label_format, folder, options)
    label_format = source.label_format
    labels, sizes, problems = source.labels, source.sizes, list(source.unreadable)
    notes: list[str] = []
    if source.unnamed and label_format in EMPTY_IF_UNNAMED:
        notes.append(f"{len(source.unnamed):,} images are not named by the labels and count as empty")
    elif folder is not None and label_format not in EMPTY_IF_UNNAMED:
        sizes = {name: size for name, size in sizes.items() if name not in source.unnamed}
        named = {folder / name for name in labels.labelled_images}
        problems = [problem for problem in problems if problem.file in named]
        if source.unnamed:
            notes.append(f"{len(source.unnamed):,} images are not named by the labels and were left out")
    if not sizes and not labels.problems:
        raise SporeYoloError(f"{path}: expected labels of at least one image, found none")
    unknown = sum(size == UNKNOWN_SIZE for size in sizes.values())
    if unknown:
        notes.append(
            f"nobody knows the size of {unknown:,} images: figures per megapixel are left out; give --images for them"
        )
    if group_by is None:
        notes.append(
            "no --group-by: every image counts as its own group; intervals are too narrow if images share a slide"
        )
    return Truth(
        name=str(path),
        split=None,
        labels=labels,
        known=KnownImages(sizes, source.known.root, f"among the images of {path}"),
        images=_images_table(sizes, group_by),
        about={"path": str(path), "format": label_format, "images": None if folder is None else str(folder)},
        folder=folder,
        class_names=names_of_classes(path, source.known.root) if label_format in ("yolo", "points") else {},
        ids_file=source.path if label_format == "coco" else None,
        problems=[*problems, *labels.problems],
        advice="Mend them; or import the labels with --skip-bad, and give --dataset in place of --truth.",
        notes=notes,
    )


def _images_table(sizes: Mapping[str, ImageSize], group_by: str | None) -> pd.DataFrame:
    sources = sources_of(sizes)
    groups = groups_of(sources, group_by)
    known = [size != UNKNOWN_SIZE for size in sizes.values()]
    table = pd.DataFrame(
        {
            "image": list(sizes),
            "width": np.where(known, [float(size.width) for size in sizes.values()], np.nan),
            "height": np.where(known, [float(size.height) for size in sizes.values()], np.nan),
            "group": [groups[image] for image in sizes],
            "source": [sources[image] for image in sizes],
            "split": "",
            "um_per_px": np.nan,
            "sha256": "",
        }
    )
    if all(known):
        table = table.astype({"width": "int64", "height": "int64"})
    return table[IMAGE_COLUMNS]
