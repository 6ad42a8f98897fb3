"""What ``spore-yolo predict`` prints at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tabulate import tabulate

if TYPE_CHECKING:
    from spore_yolo.inference.manifest import OperatingPoint

MOST_ROWS = 30
"""Slides of each printed table."""


@dataclass(frozen=True)
class Failure:
    """A slide that could not be looked at.

    Attributes:
        slide: What tables would call it.
        reason: Why, in one line.
    """

    slide: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """What is printed at the end.

    Attributes:
        counts: A row a slide that was looked at: ``slide``, a column a class, targets first, and ``all``.
        failures: The other slides.
        targets: The classes that the user is after.
        point: The operating point.
        notes: Notes and warnings, a line each.
        classified: Whether the pair has a classifier.
    """

    counts: pd.DataFrame
    failures: Sequence[Failure]
    targets: list[str]
    point: OperatingPoint
    notes: list[str]
    classified: bool

    def text(self, output: Path) -> str:
        """What failed, the counts, where everything lies, and what to do next."""
        counts, total = self.counts, int(self.counts["all"].sum())
        weight = counts[self.targets].sum(axis=1) if self.targets else counts["all"]
        shown = counts if len(counts) <= MOST_ROWS else counts.loc[weight.nlargest(MOST_ROWS).index]
        left = len(counts) - len(shown)
        totals = ["all slides", *(int(counts[name].sum()) for name in counts.columns[1:])]
        headers = [f"{name} (target)" if name in self.targets else name for name in counts.columns]
        rows = [*shown.to_numpy(dtype=object).tolist(), *([[f"… {left:,} slides with fewer"]] if left else []), totals]
        lines = [
            *([failures_text(self.failures), ""] if self.failures else []),
            tabulate(rows, headers=headers, tablefmt="simple", intfmt=",", disable_numparse=[0]),
            "",
            f"{total:,} detections on {len(counts):,} slides at {_point_text(self.point, self.classified)}",
            *self.notes,
            "",
            tabulate(
                [(str(output / name), what) for name, what in FILES.items() if (output / name).exists()],
                tablefmt="plain",
            ),
            "",
            f"next: {self._next(output)}",
        ]
        return "\n".join(lines)

    def _next(self, output: Path) -> str:
        if not self.counts["all"].sum():
            return (
                f"nothing passed the operating point; see what came close in {output / 'candidates.csv'}, or try --at"
            )
        if (output / "contact_sheets").exists():
            return (
                f"look through the contact sheets in {output / 'contact_sheets'}/, then at the marked slides in"
                f" {output / 'images'}/"
            )
        return f"open {output / 'counts.xlsx'}"


FILES = {
    "counts.xlsx": "counts, detections and how they were made, for Excel and the like",
    "counts.csv": "detections a slide and class, and the size of each slide",
    "predictions.csv": "what passes the operating point",
    "candidates.csv": "everything from detector_score 0.01 on",
    "failed.csv": "slides that could not be looked at, and why",
    "predictions.coco.json": "the detections for other programs (COCO)",
    "labels": "the same as YOLO text",
    "contact_sheets": "the detections of each class side by side",
    "images": "the slides with their detections marked",
    "prediction.json": "pair, operating point, scales, notes",
}
"""What the output folder may hold, in the order in which people want it."""

CLASSES = "classes.txt"
"""What the output folder holds besides, for programs that read YOLO text."""


def failures_text(failures: Sequence[Failure]) -> str:
    """The slides that failed, as a table."""
    left = len(failures) - MOST_ROWS
    rows = [(failure.slide, failure.reason) for failure in failures[:MOST_ROWS]]
    rows += [(f"… {left:,} more slides", "see failed.csv")] if left > 0 else []
    return tabulate(rows, headers=["failed", "why"], tablefmt="simple", disable_numparse=True)


def _point_text(point: OperatingPoint, classified: bool) -> str:
    text = f"detector_score >= {point.detector:g}"
    if classified and point.class_:
        text += ", class_score >= " + ", ".join(f"{least:g} ({name})" for name, least in point.class_.items())
    return text
