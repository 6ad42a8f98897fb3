"""Label Studio: tasks with the boxes as per cent of the image, and the labelling config that goes with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers.by_image import ImageBoxes, check_sizes, each_image, shown
from spore_yolo.labels.writers.xml_text import xml_text

LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves files of a local storage, by their path below its document root."""

IGNORED = "ignored"
"""The text of a region's meta that marks it as ignored."""


def write_label_studio(labels: LabelSet, target: Path, source_root: Path | None = None) -> list[str]:
    """Writes a folder with ``tasks.json`` and ``label_config.xml``.

    Labels become annotations. Predictions become predictions, which people correct instead of drawing; a task's score
    is the mean of its boxes', by which Label Studio sorts. An image is named by its path below the folder that holds
    ``source_root``, since Label Studio serves no storage that is its whole document root.

    Raises:
        InputProblems: The size of an image is not known, and Label Studio's numbers are per cent of it.
    """
    check_sizes(labels, target, "Label Studio writes per cent of the image")
    prefix = "" if source_root is None or not source_root.resolve().name else f"{source_root.resolve().name}/"
    with atomic_folder(target) as temporary:
        with (temporary / "tasks.json").open("w", encoding="utf-8") as stream:
            images = shown(each_image(labels), len(labels.images), "Label Studio")
            for number, image in enumerate(images):
                stream.write(",\n" if number else "[\n")
                stream.write(json.dumps(_task(image, prefix, labels.predicted), ensure_ascii=False))
            stream.write("\n]\n" if len(labels.images) else "[]\n")
        (temporary / "label_config.xml").write_text("".join(_config(labels.all_classes)), encoding="utf-8")
    ignored = int(labels.boxes["ignored"].sum())
    if not ignored:
        return []
    return [f"{ignored:,} ignored boxes have {IGNORED!r} as their meta text; Label Studio itself does not heed it"]


def _task(image: ImageBoxes, prefix: str, predicted: bool) -> dict[str, Any]:
    assert image.size is not None
    data = {"image": LOCAL_FILES + quote(prefix + image.name)}
    result = [
        _region(number, *values, image.size)
        for number, values in enumerate(
            zip(image.classes, image.corners, image.ignored, image.scores, strict=True), start=1
        )
    ]
    if not predicted:
        return {"data": data, "annotations": [{"result": result}]}
    scores = [score for score in image.scores if score is not None]
    mean = round(sum(scores) / len(scores), 5) if scores else 0.0
    return {"data": data, "predictions": [{"model_version": "spore-yolo", "score": mean, "result": result}]}


def _region(
    number: int, name: str, corners: list[float], ignored: bool, score: float | None, size: tuple[int, int]
) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = corners
    width, height = size
    region: dict[str, Any] = {
        "id": f"box{number}",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": round(100 * x_min / width, 8),
            "y": round(100 * y_min / height, 8),
            "width": round(100 * (x_max - x_min) / width, 8),
            "height": round(100 * (y_max - y_min) / height, 8),
            "rotation": 0,
            "rectanglelabels": [name],
        },
    }
    if score is not None:
        region["score"] = score
    if ignored:
        region["meta"] = {"text": [IGNORED]}
    return region


def _config(classes: list[str]) -> Iterator[str]:
    yield '<View>\n  <Image name="image" value="$image" zoom="true" zoomControl="true"/>\n'
    yield '  <RectangleLabels name="label" toName="image">\n'
    for name in classes:
        yield f'    <Label value="{xml_text(name)}"/>\n'
    yield "  </RectangleLabels>\n</View>\n"
