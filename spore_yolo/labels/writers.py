"""Writes what a pair found in the formats that other programs read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from spore_yolo.files.atomic import write_text
from spore_yolo.labels.table import COORDINATES

CANDIDATE_COLUMNS = ["slide", "class", "score", "detector_class", "detector_score", "class_score", *COORDINATES]
"""Columns of ``predictions.csv`` and ``candidates.csv``; boxes are pixels of the slide, 0-based, max exclusive."""

MEASURE_COLUMNS = ["length_um", "width_um", "area_um2", "measured_by"]
"""Columns that ``predictions.csv`` has besides where the scale of the slides is known."""

DECIMALS = {
    **dict.fromkeys(["score", "detector_score", "class_score"], 5),
    **dict.fromkeys(COORDINATES, 2),
    **dict.fromkeys(["length_um", "width_um", "area_um2"], 2),
}


def written(table: pd.DataFrame) -> pd.DataFrame:
    """Candidates or detections as they are written: the columns in order, measures where there are any, rounded."""
    measures = [name for name in MEASURE_COLUMNS if name in table]
    return table[CANDIDATE_COLUMNS + measures].round(DECIMALS)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes candidates or detections as CSV, a row a box."""
    write_text(path, written(table).to_csv(index=False))


def write_coco(path: Path, table: pd.DataFrame, sizes: Mapping[str, tuple[int, int]], classes: Sequence[str]) -> None:
    """Writes detections as COCO JSON: images, categories, and annotations with a ``score``.

    Args:
        path: The file.
        table: Columns :data:`CANDIDATE_COLUMNS`.
        sizes: Width and height of every slide, those without detections included.
        classes: Class names; category ids count from 1 in their order.
    """
    image_ids = {slide: number for number, slide in enumerate(sizes, start=1)}
    category_ids = {name: number for number, name in enumerate(classes, start=1)}
    annotations = []
    columns = zip(table["slide"], table["class"], table["score"], *(table[name] for name in COORDINATES), strict=True)
    for number, (slide, name, score, x_min, y_min, x_max, y_max) in enumerate(columns, start=1):
        box = [round(float(value), 2) for value in (x_min, y_min, x_max - x_min, y_max - y_min)]
        annotations.append(
            {
                "id": number,
                "image_id": image_ids[slide],
                "category_id": category_ids[name],
                "bbox": box,
                "area": round(box[2] * box[3], 2),
                "iscrowd": 0,
                "score": round(float(score), 5),
            }
        )
    content = {
        "images": [
            {"id": image_ids[slide], "file_name": slide, "width": width, "height": height}
            for slide, (width, height) in sizes.items()
        ],
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
        "annotations": annotations,
    }
    write_text(path, json.dumps(content))


def yolo_text(table: pd.DataFrame, size: tuple[int, int], classes: Sequence[str]) -> str:
    """The detections of one slide as YOLO text with a confidence: ``class x_centre y_centre width height score``.

    Args:
        table: The rows of one slide.
        size: Its width and height in pixels.
        classes: Class names; numbers count from 0 in their order.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    width, height = size
    lines = []
    columns = zip(table["class"], table["score"], *(table[name] for name in COORDINATES), strict=True)
    for name, score, x_min, y_min, x_max, y_max in columns:
        x, y = (x_min + x_max) / 2 / width, (y_min + y_max) / 2 / height
        box = f"{x:.8f} {y:.8f} {(x_max - x_min) / width:.8f} {(y_max - y_min) / height:.8f}"
        lines.append(f"{numbers[name]} {box} {score:.5f}\n")
    return "".join(lines)


def unique_names(slides: Sequence[str]) -> dict[str, str]:
    """A short file name, without suffix, for each slide; slides that share a stem keep what tells them apart."""
    stems = Counter(PurePosixPath(slide).stem for slide in slides)
    names: dict[str, str] = {}
    taken: set[str] = set()
    for slide in slides:
        path = PurePosixPath(slide)
        name = path.stem
        if stems[name] > 1:
            name = "__".join(part for part in (*path.parent.parts, path.name) if part not in ("/", ".", ".."))
        number = 1
        while name in taken:
            number += 1
            name = f"{name}-{number}"
        taken.add(name)
        names[slide] = name
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
