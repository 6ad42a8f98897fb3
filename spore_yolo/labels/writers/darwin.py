"""V7 Darwin JSON 2.0: a file an image."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers.by_image import COORDINATE_DECIMALS, ImageBoxes, each_image, ignored_left_out, shown
from spore_yolo.labels.writers.names import label_paths

SLOT = "0"
"""The name that V7 gives to the only image of an item."""

MODEL = {"id": "spore-yolo", "name": "spore-yolo", "type": "object_detection"}
"""Who made a prediction."""


def write_darwin(labels: LabelSet, target: Path, source_root: Path | None = None) -> list[str]:
    """Writes a folder of Darwin files in the folders of the images; predictions have their score as ``inference``.

    Ignored boxes are left out: V7 would take them for objects like the others.
    """
    kept = LabelSet(labels.images, labels.boxes[~labels.boxes["ignored"].to_numpy(dtype=bool)], labels.classes)
    paths = label_paths(labels.images["image"].tolist(), ".json")
    with atomic_folder(target) as temporary:
        for folder in {path.parent for path in paths}:
            (temporary / folder).mkdir(parents=True, exist_ok=True)
        for path, image in shown(zip(paths, each_image(kept), strict=True), len(paths), "Darwin"):
            text = json.dumps(_content(image), ensure_ascii=False)
            (temporary / path).write_text(text + "\n", encoding="utf-8")
    return ignored_left_out(labels, "Darwin")


def _content(image: ImageBoxes) -> dict[str, Any]:
    path = PurePosixPath(image.name)
    folder = "" if path.parent == PurePosixPath(".") else path.parent.as_posix()
    size = {} if image.size is None else {"width": image.size[0], "height": image.size[1]}
    source = {"file_name": path.name, "url": ""}
    slot = {"type": "image", "slot_name": SLOT, **size, "thumbnail_url": "", "source_files": [source]}
    return {
        "version": "2.0",
        "schema_ref": "https://darwin-public.s3.eu-west-1.amazonaws.com/darwin_json/2.0/schema.json",
        "item": {"name": path.name, "path": f"/{folder.lstrip('/')}", "slots": [slot]},
        "annotations": [
            _annotation(name, corners, score)
            for name, corners, score in zip(image.classes, image.corners, image.scores, strict=True)
        ],
    }


def _annotation(name: str, corners: list[float], score: float | None) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = corners
    width, height = round(x_max - x_min, COORDINATE_DECIMALS), round(y_max - y_min, COORDINATE_DECIMALS)
    annotation: dict[str, Any] = {
        "name": name,
        "bounding_box": {"x": x_min, "y": y_min, "w": width, "h": height},
        "slot_names": [SLOT],
    }
    return annotation if score is None else {**annotation, "inference": {"confidence": score, "model": MODEL}}
