"""Findings that concern boxes of the table, with the places where these were read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from spore_yolo.dataset.checks.base import Finding, Material, Severity


def at_boxes(
    material: Material, code: str, severity: Severity, rows: Sequence[tuple[int, ...]], messages: Iterable[str]
) -> list[Finding]:
    """A finding for each of ``rows``, at the place of its first box.

    Args:
        material: What is looked at.
        code: The check's code.
        severity: How bad it is.
        rows: For each finding the rows of ``material.boxes`` that it concerns.
        messages: For each finding what was found.
    """
    first = np.array([several[0] for several in rows], dtype=np.intp)
    places = material.boxes[["label_file", "line", "image"]].iloc[first]
    return [
        Finding(code, severity, message, file, line_of(line), image, several)
        for (file, line, image), several, message in zip(
            places.itertuples(index=False, name=None), rows, messages, strict=True
        )
    ]


def line_of(line: object) -> int | None:
    """The line of a box as a number, or ``None``."""
    return None if line is pd.NA else int(str(line))


def place_text(file: object, line: object) -> str:
    """A place in the labels, as messages name it."""
    return f"{file}" if line is pd.NA else f"{file}:{line}"
