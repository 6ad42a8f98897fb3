"""Small writers of the formats that the program reads but does not write, as their own tools write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.table import COORDINATES

POINT_SIZE = 20.0
"""Side of the squares that are drawn round the points."""

Box = tuple[str, float, float, float, float, bool]
"""Class, ``x_min, y_min, x_max, y_max``, ignored."""


def per_image(labels: LabelSet) -> Iterator[tuple[str, int, int, list[Box]]]:
    """Name, width, height and boxes of each image."""
    for name, width, height in labels.images.itertuples(index=False):
        rows = labels.boxes[labels.boxes["image"] == name][["class", *COORDINATES, "ignored"]]
        yield name, int(width), int(height), list(rows.itertuples(index=False, name=None))


def write_labelme(labels: LabelSet, folder: Path) -> None:
    """LabelMe writes a file beside each image; X-AnyLabeling's has ``difficult`` besides."""
    for name, width, height, boxes in per_image(labels):
        shapes = [
            {
                "label": kind,
                "points": [[x_min, y_min], [x_max, y_max]],
                "group_id": None,
                "shape_type": "rectangle",
                "difficult": ignored,
                "flags": {},
            }
            for kind, x_min, y_min, x_max, y_max, ignored in boxes
        ]
        content = {
            "version": "5.4.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(name).name,
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        _write(folder / Path(name).with_suffix(".json"), content)


def write_via(labels: LabelSet, folder: Path) -> None:
    """VIA writes an entry an image; a region's class is one of its attributes."""
    content = {
        f"{name}123": {
            "filename": name,
            "size": 123,
            "regions": [
                {
                    "shape_attributes": {
                        "name": "rect",
                        "x": x_min,
                        "y": y_min,
                        "width": x_max - x_min,
                        "height": y_max - y_min,
                    },
                    "region_attributes": {"class": kind},
                }
                for kind, x_min, y_min, x_max, y_max, _ in boxes
            ],
            "file_attributes": {},
        }
        for name, _, _, boxes in per_image(labels)
    }
    _write(folder / "via.json", content)


def write_createml(labels: LabelSet, folder: Path) -> None:
    """CreateML's boxes have their centre as x and y."""
    content = [
        {
            "image": name,
            "annotations": [
                {
                    "label": kind,
                    "coordinates": {
                        "x": (x_min + x_max) / 2,
                        "y": (y_min + y_max) / 2,
                        "width": x_max - x_min,
                        "height": y_max - y_min,
                    },
                }
                for kind, x_min, y_min, x_max, y_max, _ in boxes
            ],
        }
        for name, _, _, boxes in per_image(labels)
    ]
    _write(folder / "annotations.json", content)


def write_points(labels: LabelSet, folder: Path) -> None:
    """A line ``x y class`` for each centre, and the names of the classes beside."""
    numbers = {name: number for number, name in enumerate(labels.all_classes)}
    for name, _, _, boxes in per_image(labels):
        path = folder / Path(name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{(x + right) / 2} {(y + low) / 2} {numbers[kind]}\n" for kind, x, y, right, low, _ in boxes]
        path.write_text("".join(lines), encoding="utf-8")
    _write(folder / "data.yaml", {"names": labels.all_classes})  # JSON is YAML


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


FOREIGN: dict[str, tuple[Callable[[LabelSet, Path], None], str]] = {
    "labelme": (write_labelme, ""),
    "via": (write_via, "via.json"),
    "createml": (write_createml, "annotations.json"),
    "points": (write_points, ""),
}
"""How each format is written, and what is then read below the folder."""
