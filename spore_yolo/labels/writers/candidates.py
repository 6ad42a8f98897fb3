"""The tables of what a pair found, as ``predict`` and ``evaluate`` write them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from spore_yolo.files.atomic import write_text
from spore_yolo.labels.table import COORDINATES

CANDIDATE_COLUMNS = ["slide", "class", "score", "detector_class", "detector_score", "class_score", *COORDINATES]
"""Columns of ``predictions.csv`` and ``candidates.csv``; boxes are pixels of the slide, 0-based, max exclusive."""

MEASURE_COLUMNS = ["length_um", "width_um", "area_um2", "measured_by"]
"""Columns that ``predictions.csv`` has besides where the scale of the slides is known."""

SCORE_DECIMALS = 5
"""Decimals of a score, in every format."""

DECIMALS = {
    **dict.fromkeys(["score", "detector_score", "class_score"], SCORE_DECIMALS),
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
