"""What a user may say about a label file beyond its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ReadOptions:
    """How to read; each reader takes what concerns its format.

    Attributes:
        scores: Read predictions: how sure a model is of each box, where the file states it.
        columns: For tables: the file's own name of each column, where it is not guessed.
        point_size: Side in pixels of the square that is drawn round each centre point, where labels are points.
        ids_file: For a COCO results list: the COCO file whose ``images`` and ``categories`` its ids mean.
        class_names: For YOLO: what the class numbers mean where no ``data.yaml`` or ``classes.txt`` says it.
    """

    scores: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    point_size: float | None = None
    ids_file: Path | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)


PLAIN = ReadOptions()
"""Labels as they stand in the file."""
