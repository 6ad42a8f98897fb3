"""What every writer needs: the boxes in the order of the images, and how many lie on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.files.progress import progress
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.writers.candidates import SCORE_DECIMALS

COORDINATE_DECIMALS = 4
"""Decimals of pixels: as in the boxes table."""

MOST_NAMED = 5
"""Images that an error names."""

Item = TypeVar("Item")


class ImageBoxes(NamedTuple):
    """An image and its boxes, as plain Python values; N is the number of boxes.

    Attributes:
        name: Path of the image.
        size: Width and height in pixels, ``None`` where nobody knows them.
        classes: N class names.
        corners: N lists ``[x_min, y_min, x_max, y_max]`` in pixels, rounded to :data:`COORDINATE_DECIMALS`.
        ignored: N times whether the box is ignored.
        scores: N scores, ``None`` where there is none.
    """

    name: str
    size: tuple[int, int] | None
    classes: list[str]
    corners: list[list[float]]
    ignored: list[bool]
    scores: list[float | None]


def in_order(labels: LabelSet, boxes: pd.DataFrame) -> tuple[pd.DataFrame, npt.NDArray[np.intp]]:
    """Boxes in the order of the images, and the number of the image of each, from 0.

    Args:
        labels: Where the images are listed.
        boxes: Boxes of these images.
    """
    numbers = pd.Index(labels.images["image"]).get_indexer(boxes["image"])
    order = np.argsort(numbers, kind="stable")
    return boxes.iloc[order], numbers[order]


def spans(numbers: npt.NDArray[np.intp], count: int) -> Iterator[slice]:
    """The rows of each image, where ``numbers`` are sorted."""
    bounds = np.searchsorted(numbers, np.arange(count + 1)).tolist()
    return (slice(start, end) for start, end in pairwise(bounds))


def sizes_of(labels: LabelSet) -> npt.NDArray[np.float64]:
    """Width and height of each image, shape ``(images, 2)``; NaN where nobody knows them."""
    return np.column_stack(
        [labels.images[side].to_numpy(dtype=np.float64, na_value=np.nan) for side in ("width", "height")]
    )


def each_image(labels: LabelSet) -> Iterator[ImageBoxes]:
    """The images with their boxes, one after the other."""
    boxes, numbers = in_order(labels, labels.boxes)
    corners = boxes[COORDINATES].to_numpy(dtype=np.float64).round(COORDINATE_DECIMALS)
    classes, ignored = boxes["class"].to_numpy(dtype=object), boxes["ignored"].to_numpy(dtype=bool)
    scores = boxes["score"].to_numpy(dtype=np.float64) if "score" in boxes else np.full(len(boxes), np.nan)
    sizes = sizes_of(labels).tolist()
    for name, (width, height), span in zip(
        labels.images["image"], sizes, spans(numbers, len(labels.images)), strict=True
    ):
        yield ImageBoxes(
            name,
            None if width != width else (int(width), int(height)),
            classes[span].tolist(),
            corners[span].tolist(),
            ignored[span].tolist(),
            [None if score != score else round(score, SCORE_DECIMALS) for score in scores[span].tolist()],
        )


def shown(items: Iterable[Item], count: int, label_format: str, unit: str = "image") -> Iterator[Item]:
    """The items, with their progress on the terminal where there are many."""
    return progress(items, count, f"writing {label_format}", unit)


def check_sizes(labels: LabelSet, target: Path, reason: str) -> None:
    """Makes sure that the size of every image is known.

    Raises:
        InputProblems: It is not; the message names the first images without one.
    """
    unknown = labels.images["image"][labels.images["width"].isna()].tolist()
    if unknown:
        more = f"  … and {len(unknown) - MOST_NAMED:,} more\n" if len(unknown) > MOST_NAMED else ""
        raise InputProblems(
            f"{target}: {reason}, and nobody knows the size of {len(unknown):,} images; nothing was written:",
            [Problem(name, None, "expected a size, found none") for name in unknown[:MOST_NAMED]],
            f"{more}Give the folder of the images (--images), or choose a format with pixels, such as coco.",
        )


def ignored_left_out(labels: LabelSet, name: str) -> list[str]:
    """A note where boxes are left out since the format has no place for ignored ones."""
    count = int(labels.boxes["ignored"].sum())
    return [f"{count:,} ignored boxes were left out: {name} has no place for them"] if count else []


def scores_left_out(labels: LabelSet, name: str) -> list[str]:
    """A note where scores go to a place that only few programs read."""
    return [f"scores are in <score>, which is no part of {name}; most programs pass over it"] if labels.scored else []
