"""Parquet: the same columns as CSV, with their types."""

from __future__ import annotations

from pathlib import Path

from spore_yolo.files.atomic import atomic_file
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers.csv import flat_table


def write_parquet(labels: LabelSet, target: Path, source_root: Path | None = None) -> list[str]:
    """Writes a Parquet file with the columns of :func:`spore_yolo.labels.writers.csv.flat_table`."""
    with atomic_file(target) as temporary:
        flat_table(labels).to_parquet(temporary, index=False)
    return []
