"""Pascal VOC XML: a file an image; whole pixels that count from 1, and the maximum belongs to the box."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers.by_image import ImageBoxes, each_image, scores_left_out, shown
from spore_yolo.labels.writers.names import label_paths
from spore_yolo.labels.writers.xml_text import check_names, xml_text


def write_voc(labels: LabelSet, target: Path, source_root: Path | None = None) -> list[str]:
    """Writes a folder of Pascal VOC files in the folders of the images; ignored boxes are ``difficult``.

    ``filename`` is the path of the image below the images folder, as CVAT writes it: programs put it behind the folder
    of the images.

    Raises:
        InputProblems: XML cannot hold a name.
    """
    check_names(labels, target)
    paths = label_paths(labels.images["image"].tolist(), ".xml", without="images")
    thin = 0
    with atomic_folder(target) as temporary:
        for folder in {path.parent for path in paths}:
            (temporary / folder).mkdir(parents=True, exist_ok=True)
        for path, image in shown(zip(paths, each_image(labels), strict=True), len(paths), "VOC"):
            corners = np.array(image.corners, dtype=np.float64).reshape(-1, 4)
            pixels = whole_pixels(corners, image.size)
            moved = np.abs(pixels - [1, 1, 0, 0] - corners)
            thin += int((moved > 0.5).any(axis=1).sum())
            (temporary / path).write_text(_text(image, pixels.tolist()), encoding="utf-8")
    notes = ["VOC has whole pixels: boxes were rounded to them"] if _has_fractions(labels) else []
    if thin:
        notes.append(f"{thin:,} boxes are thinner than 2 pixels, which VOC cannot tell from a stray click; now 2 wide")
    return [*notes, *scores_left_out(labels, "VOC")]


def whole_pixels(corners: npt.NDArray[np.float64], size: tuple[int, int] | None) -> npt.NDArray[np.int64]:
    """Boxes as VOC writes them.

    Sides go to the nearest border between two pixels. A box keeps at least two pixels a side, round its centre: one
    whose maximum equals its minimum is read as a click without an area, by us and by those who subtract.

    Args:
        corners: Shape ``(N, 4)``, ``x_min, y_min, x_max, y_max`` in pixels, 0-based, max exclusive.
        size: Width and height of the image, ``None`` where nobody knows them.

    Returns:
        Shape ``(N, 4)``, 1-based, the maximum belongs to the box.
    """
    low, high = np.floor(corners[:, :2] + 0.5), np.floor(corners[:, 2:] + 0.5)
    middle = np.floor(corners.reshape(-1, 2, 2).mean(axis=1) + 0.5)
    thin = high - low < 2
    ends = np.array(size if size else (np.inf, np.inf), dtype=np.float64)
    start = np.clip(middle - 1, 0, np.maximum(ends - 2, 0))
    low, high = np.where(thin, start, low), np.where(thin, start + 2, high)
    return np.hstack([low + 1, high]).astype(np.int64)


def _has_fractions(labels: LabelSet) -> bool:
    corners = labels.boxes[["x_min", "y_min", "x_max", "y_max"]].to_numpy(dtype=np.float64)
    return bool((corners != np.floor(corners)).any())


def _text(image: ImageBoxes, pixels: list[list[int]]) -> str:
    folder = PurePosixPath(image.name).parent.name
    lines = [
        "<annotation>",
        f" <folder>{xml_text(folder)}</folder>",
        f" <filename>{xml_text(image.name)}</filename>",
    ]
    if image.size:
        width, height = image.size
        lines.append(f" <size><width>{width}</width><height>{height}</height><depth>3</depth></size>")
    lines.append(" <segmented>0</segmented>")
    names = {name: xml_text(name) for name in set(image.classes)}
    for name, ignored, score, (x_min, y_min, x_max, y_max) in zip(
        image.classes, image.ignored, image.scores, pixels, strict=True
    ):
        lines.append(
            f" <object><name>{names[name]}</name><pose>Unspecified</pose><truncated>0</truncated>"
            f"<difficult>{int(ignored)}</difficult>"
            + ("" if score is None else f"<score>{score}</score>")
            + f"<bndbox><xmin>{x_min}</xmin><ymin>{y_min}</ymin><xmax>{x_max}</xmax><ymax>{y_max}</ymax></bndbox>"
            "</object>"
        )
    return "\n".join([*lines, "</annotation>", ""])
