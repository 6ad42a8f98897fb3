"""The same split in COCO's form, for the witnesses that read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from spore_yolo.labels.table import COORDINATES


def coco_input(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str]
) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """Truth and results in COCO's form, and the most candidates that one slide has.

    Ignored boxes become crowds of every class. Candidates of other classes, such as debris, are left out.
    """
    image_ids = {name: number for number, name in enumerate(images["image"], start=1)}
    class_ids = {name: number for number, name in enumerate(classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for image, name, ignored, *corners in boxes[["image", "class", "ignored", *COORDINATES]].itertuples(index=False):
        for class_id in class_ids.values() if ignored else [class_ids[name]]:
            box = _xywh(corners)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_ids[image],
                    "category_id": class_id,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(ignored),
                }
            )
    truth = {
        "info": {},
        "images": [
            {"id": image_ids[image], "file_name": image, "width": int(width), "height": int(height)}
            for image, width, height in images[["image", "width", "height"]].itertuples(index=False)
        ],
        "categories": [{"id": number, "name": name} for name, number in class_ids.items()],
        "annotations": annotations,
    }
    results = [
        {"image_id": image_ids[slide], "category_id": class_ids[name], "score": float(score), "bbox": _xywh(corners)}
        for slide, name, score, *corners in candidates[["slide", "class", "score", *COORDINATES]].itertuples(
            index=False
        )
        if name in class_ids
    ]
    most = int(candidates["slide"].value_counts().max()) if len(candidates) else 0
    return truth, results, most


def _xywh(corners: Sequence[float]) -> list[float]:
    x_min, y_min, x_max, y_max = (float(value) for value in corners)
    return [x_min, y_min, x_max - x_min, y_max - y_min]
