"""YOLO text: ``labels/PATH.txt`` a image, a line a box, and ``data.yaml`` with the names of the classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.structured import write_yaml
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.writers.by_image import check_sizes, ignored_left_out, in_order, shown, sizes_of, spans
from spore_yolo.labels.writers.candidates import SCORE_DECIMALS
from spore_yolo.labels.writers.names import label_paths

HEADER = """\
# Names of the classes in labels/. To train on them, put the images into images/ beside labels/, in the same folders,
# and add the lines train: and val: with folders of images/.
"""


def write_yolo(labels: LabelSet, target: Path, source_root: Path | None = None) -> list[str]:
    """Writes a folder with ``labels/`` and ``data.yaml``; predictions have their score as the sixth number.

    Folders called ``images`` are left out of the paths: YOLO puts ``labels`` in their place.

    Raises:
        InputProblems: The size of an image is not known, and YOLO's numbers are fractions of it.
    """
    check_sizes(labels, target, "YOLO writes fractions of the image")
    images = labels.images["image"].tolist()
    paths = label_paths(images, ".txt", without="images")
    with atomic_folder(target) as temporary:
        root = temporary / "labels"
        for folder in {path.parent for path in paths}:
            (root / folder).mkdir(parents=True, exist_ok=True)
        root.mkdir(exist_ok=True)
        for path, text in shown(zip(paths, yolo_texts(labels), strict=True), len(paths), "YOLO"):
            (root / path).write_text(text, encoding="utf-8")
        write_yaml(temporary / "data.yaml", {"names": dict(enumerate(labels.classes))}, HEADER)
    notes = ignored_left_out(labels, "YOLO")
    other = sum(Path(image).stem != path.stem for image, path in zip(images, paths, strict=True))
    if other:
        notes.append(
            f"{other:,} label files could not have the name of their image alone, since others have it too; YOLO does"
            " not find these (such as a.png.txt): rename the images"
        )
    return notes


def yolo_texts(labels: LabelSet) -> Iterator[str]:
    """The YOLO text of each image, in their order; ignored boxes are left out."""
    boxes, numbers = in_order(labels, labels.boxes[~labels.boxes["ignored"].to_numpy(dtype=bool)])
    lines = _lines(boxes, sizes_of(labels)[numbers], labels.classes)
    return ("".join(lines[span]) for span in spans(numbers, len(labels.images)))


def yolo_text(boxes: pd.DataFrame, size: tuple[float, float], classes: Sequence[str]) -> str:
    """The YOLO text of one image: ``class x_centre y_centre width height`` as fractions, and the score if there is one.

    Args:
        boxes: Columns ``class``, ``x_min, y_min, x_max, y_max``, and perhaps ``score``; all rows are of one image.
        size: Its width and height in pixels.
        classes: Class names; numbers count from 0 in their order.
    """
    return "".join(_lines(boxes, np.array([size], dtype=np.float64), classes))


def _lines(boxes: pd.DataFrame, sizes: npt.NDArray[np.float64], classes: Sequence[str]) -> list[str]:
    """A line a box; ``sizes`` are one row, or a row a box."""
    number_of = {name: number for number, name in enumerate(classes)}
    kinds = [number_of[name] for name in boxes["class"]]
    corners = boxes[COORDINATES].to_numpy(dtype=np.float64)
    centres = (corners[:, :2] + corners[:, 2:]) / 2 / sizes
    extents = (corners[:, 2:] - corners[:, :2]) / sizes
    rows = zip(kinds, *centres.T.tolist(), *extents.T.tolist(), _score_texts(boxes), strict=True)
    return [f"{kind} {x:.8f} {y:.8f} {width:.8f} {height:.8f}{score}\n" for kind, x, y, width, height, score in rows]


def _score_texts(boxes: pd.DataFrame) -> list[str]:
    if "score" not in boxes:
        return [""] * len(boxes)
    scores = boxes["score"].to_numpy(dtype=np.float64).tolist()
    return ["" if score != score else f" {score:.{SCORE_DECIMALS}f}" for score in scores]
