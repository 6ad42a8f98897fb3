"""COCO JSON: images, categories and annotations in one file; predictions have a ``score``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from spore_yolo.files.atomic import atomic_file
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.writers.by_image import COORDINATE_DECIMALS, in_order, shown, sizes_of
from spore_yolo.labels.writers.candidates import SCORE_DECIMALS

CHUNK = 50_000
"""Boxes that are turned into text at once."""


def write_coco(labels: LabelSet, target: Path, source_root: Path | None = None) -> list[str]:
    """Writes a COCO file; ids count from 1, categories in the order of the classes; ignored boxes are crowds.

    Where nobody knows the size of an image, ``width`` and ``height`` are left out: 0 would be a number that programs
    divide by.
    """
    with atomic_file(target) as temporary, temporary.open("w", encoding="utf-8") as stream:
        _write_list(stream, '{"images":[', _images(labels))
        categories = enumerate(labels.all_classes, start=1)
        _write_list(stream, '],\n"categories":[', (json.dumps({"id": n, "name": name}) for n, name in categories))
        annotations = shown(_annotations(labels), len(labels.boxes), "COCO", unit="box")
        _write_list(stream, '],\n"annotations":[', annotations)
        stream.write("]}\n")
    unknown = int(labels.images["width"].isna().sum())
    if not unknown:
        return []
    return [
        f"nobody knows the size of {unknown:,} images, and their width and height were left out; some programs refuse"
        " such a file, so give the folder of the images (--images) if it is at hand"
    ]


def _write_list(stream: TextIO, opening: str, items: Iterator[str]) -> None:
    """Writes the items of a JSON list, a line each."""
    stream.write(opening)
    separator = "\n"
    for item in items:
        stream.write(separator)
        stream.write(item)
        separator = ",\n"


def _images(labels: LabelSet) -> Iterator[str]:
    sizes = sizes_of(labels).tolist()
    for number, (name, (width, height)) in enumerate(zip(labels.images["image"], sizes, strict=True), start=1):
        size = {} if width != width else {"width": int(width), "height": int(height)}
        yield json.dumps({"id": number, "file_name": name, **size})


def _annotations(labels: LabelSet) -> Iterator[str]:
    boxes, images = in_order(labels, labels.boxes)
    number_of = {name: number for number, name in enumerate(labels.all_classes, start=1)}
    for start in range(0, len(boxes), CHUNK):
        part = boxes.iloc[start : start + CHUNK]
        corners = part[COORDINATES].to_numpy(dtype=np.float64)
        extents = corners[:, 2:] - corners[:, :2]
        values = np.hstack([corners[:, :2], extents, extents.prod(axis=1, keepdims=True)]).round(COORDINATE_DECIMALS)
        scores = (part["score"] if "score" in part else part["x_min"] * np.nan).round(SCORE_DECIMALS).tolist()
        rows = zip(images[start : start + CHUNK].tolist(), part["class"], *values.T.tolist(), strict=True)
        marks = zip(part["ignored"].tolist(), scores, strict=True)
        for number, ((image, name, x, y, width, height, area), (ignored, score)) in enumerate(
            zip(rows, marks, strict=True), start=start + 1
        ):
            score_text = "" if score != score else f',"score":{score}'
            yield (
                f'{{"id":{number},"image_id":{image + 1},"category_id":{number_of[name]},'
                f'"bbox":[{x},{y},{width},{height}],"area":{area},"iscrowd":{int(ignored)}{score_text}}}'
            )
