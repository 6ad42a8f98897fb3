"""Runs a detector over slides and puts what it finds into tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spore_yolo.files.wording import listed
from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS

if TYPE_CHECKING:
    import supervision as sv

    from spore_yolo.inference.pair import Pair
    from spore_yolo.inference.scanning import Candidates


@dataclass
class Caps:
    """Limits that were reached while looking; none may be silent.

    Attributes:
        threshold: The operating point; larger objects are told from it on.
        capped: Slides on which a tile gave as many candidates as it may.
        oversized: Slides with detections larger than the largest labelled spore.
    """

    threshold: float
    capped: list[str] = field(default_factory=list)
    oversized: list[str] = field(default_factory=list)

    def note(self, slide: str, candidates: sv.Detections) -> None:
        """Remembers what limits a slide reached."""
        if candidates.metadata["capped_tiles"]:
            self.capped.append(slide)
        scores = np.asarray(candidates.data["detector_score"])
        if (np.asarray(candidates.data["oversized"], dtype=bool) & (scores >= self.threshold)).any():
            self.oversized.append(slide)

    def warnings(self, max_detections: int, largest_box: float) -> list[str]:
        """A line for each limit that was reached."""
        lines = []
        if self.capped:
            lines.append(
                f"warning: a tile reached the cap of {max_detections} candidates on {listed(self.capped)}; more spores"
                " may lie there (max_detections_per_tile in pair.yaml)"
            )
        if self.oversized:
            lines.append(
                f"warning: objects larger than the largest labelled spore ({largest_box:.0f} px) were found on"
                f" {listed(self.oversized)}; at tile borders they may be cut or counted twice. Are these slides at the"
                " magnification that the pair was trained at?"
            )
        return lines


def candidates_table(slide: str, candidates: sv.Detections) -> pd.DataFrame:
    """The candidates of one slide as rows with the columns of ``candidates.csv``."""
    table = pd.DataFrame(
        {
            "slide": slide,
            "class": candidates.data["class_name"],
            "score": candidates.confidence,
            "detector_class": candidates.data["detector_class"],
            "detector_score": candidates.data["detector_score"],
            "class_score": candidates.data["class_score"],
        }
    )
    corners = np.asarray(candidates.xyxy, dtype=np.float64).reshape(-1, 4)
    table[COORDINATES] = corners
    return table[CANDIDATE_COLUMNS]


def proposals_table(slide: str, found: Candidates, classes: Sequence[str]) -> pd.DataFrame:
    """What a detector alone proposes on one slide, as rows with the columns of ``candidates.csv``."""
    names = np.array(classes, dtype=object)[found.classes]
    table = pd.DataFrame(found.boxes, columns=COORDINATES).assign(
        **{"slide": slide, "class": names, "detector_class": names, "class_score": np.nan},
        score=found.scores,
        detector_score=found.scores,
    )
    return table[CANDIDATE_COLUMNS]


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of several slides in one; empty ones do not change the columns' types."""
    full = [table for table in tables if len(table)]
    if not full:
        empty = pd.DataFrame({name: pd.Series(dtype="float64") for name in CANDIDATE_COLUMNS})
        return empty.astype({"slide": "str", "class": "str", "detector_class": "str"})
    return pd.concat(full, ignore_index=True)


def look_at(pair: Pair, slides: Iterable[tuple[str, Path]], total: int, threshold: float) -> tuple[pd.DataFrame, Caps]:
    """The candidates of slides, with a progress bar.

    Args:
        pair: The pair that looks.
        slides: Name and file of each slide.
        total: How many there are.
        threshold: The operating point.
    """
    from tqdm import tqdm

    caps = Caps(threshold)
    tables = []
    for name, path in tqdm(slides, total=total, desc="looking", unit="slide"):
        candidates = pair.candidates(path)
        caps.note(name, candidates)
        tables.append(candidates_table(name, candidates))
    return joined(tables), caps
