"""What any model found, in any of the known formats, as a table of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spore_yolo.files.errors import Problem
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.table import COORDINATES, RawBox, clipped_to, displayed, fault_of_size
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS


@dataclass(frozen=True)
class Predictions:
    """Predictions that lie on their images.

    Attributes:
        candidates: Columns :data:`CANDIDATE_COLUMNS`, by slide, and in the order of the files within it. ``score`` and
            ``detector_score`` are the model's score, NaN where it gave none; ``class_score`` is NaN.
        scored: Whether the predictions have scores.
        problems: Predictions that cannot be right.
        outside: How many lie wholly outside of their image and were left out.
        empty: How many have no area and were left out.
    """

    candidates: pd.DataFrame
    scored: bool
    problems: list[Problem]
    outside: int
    empty: int


def check_predictions(boxes: Sequence[RawBox], sizes: Mapping[str, ImageSize]) -> Predictions:
    """Turns predictions into candidates.

    Models draw boxes beyond the border of an image; these are clipped.

    Args:
        boxes: What a reader found.
        sizes: Size of every image, :data:`UNKNOWN_SIZE` where nobody knows it; its order is that of the slides.
    """
    scored = any(box.score is not None for box in boxes)
    problems: list[Problem] = []
    outside = empty = 0
    rows: list[tuple[object, ...]] = []
    for box in boxes:
        size = sizes[box.image]
        fault = fault_of_size(box, size) or _fault(box, scored)
        if fault:
            problems.append(Problem(box.file, box.line, fault))
            continue
        # As in the boxes table; formats that store fractions come back with the last digits changed.
        whole = [round(value, 4) for value in displayed(box, size)]
        corners = clipped_to((whole[0], whole[1], whole[2], whole[3]), size)
        if whole[2] <= whole[0] or whole[3] <= whole[1]:
            empty += 1
            continue
        if corners[2] <= corners[0] or corners[3] <= corners[1]:
            outside += 1
            continue
        score = np.nan if box.score is None else box.score
        rows.append((box.image, box.class_name, score, box.class_name, score, np.nan, *corners))
    numeric = dict.fromkeys(["score", "detector_score", "class_score", *COORDINATES], "float64")
    table = pd.DataFrame(rows, columns=CANDIDATE_COLUMNS)
    table = table.astype(numeric | dict.fromkeys(["slide", "class", "detector_class"], "str"))
    place = {slide: number for number, slide in enumerate(sizes)}
    order = np.argsort(table["slide"].map(place).to_numpy(dtype=np.int64), kind="stable")
    return Predictions(table.iloc[order].reset_index(drop=True), scored, problems, outside, empty)


def _fault(box: RawBox, scored: bool) -> str | None:
    if not np.isfinite(box[2:6]).all():
        return f"expected a box of four numbers, found {', '.join(f'{value:g}' for value in box[2:6])}"
    if scored and box.score is None:
        return "expected a score, since other predictions have one, found none; give all of them a score, or none"
    return None
