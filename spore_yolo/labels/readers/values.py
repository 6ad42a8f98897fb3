"""What several readers need: JSON that is read safely, with the lines of its items, and single values."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from spore_yolo.files.errors import InputProblems, Problem

LARGEST_SIDE = 10_000_000
"""Pixels; a label file that states more does not state a size."""


def read_json(path: Path) -> tuple[str, Any]:
    """Reads a JSON file: its text and its content.

    Raises:
        InputProblems: It is not JSON.
    """
    line = None
    try:
        text = path.read_text(encoding="utf-8-sig")
        return text, json.loads(text)
    except UnicodeDecodeError:
        message = "expected JSON, found other bytes"
    except json.JSONDecodeError as error:
        line, message = error.lineno, f"not valid JSON: {error.msg}"
    except RecursionError:
        message = "not JSON that can be read: it is nested too deeply"
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        message = "not JSON that can be read: a number has thousands of digits"
    raise InputProblems("A file cannot be read:", [Problem(path, line, message)])


class Lines:
    """The line on which an item of a list begins, which the json module does not tell."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[str | None, list[int]] = {}

    def of(self, part: str | None, index: int) -> int | None:
        """The line, 1-based, of an item of the list ``part``; ``None`` means the file itself, where that is a list."""
        if part not in self._lines:
            self._lines[part] = self._starts(part)
        lines = self._lines[part]
        return lines[index] if index < len(lines) else None

    def _starts(self, part: str | None) -> list[int]:
        opening = re.search(r"^\s*\[" if part is None else rf'"{part}"\s*:\s*\[', self._text)
        if opening is None:
            return []
        decoder = json.JSONDecoder()
        lines: list[int] = []
        position, line, counted = opening.end(), 1, 0
        blank = re.compile(r"[\s,]*")
        while True:
            skipped = blank.match(self._text, position)
            position = skipped.end() if skipped else position
            if self._text[position : position + 1] in ("", "]"):
                return lines
            line += self._text.count("\n", counted, position)
            counted = position
            lines.append(line)
            _, position = decoder.raw_decode(self._text, position)


def numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """A JSON list of ``count`` numbers, or ``None`` where it is something else; NaN and infinity are let through."""
    if not (isinstance(values, list) and len(values) == count and all(isinstance(v, int | float) for v in values)):
        return None
    try:
        return tuple(float(value) for value in values)
    except OverflowError:
        return None


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height as a label file states them, or ``None`` where it does not; 0 x 0 is some tools' "unknown"."""
    sides = (width, height)
    whole = all(isinstance(side, int | float) and 1 <= side <= LARGEST_SIDE and side == int(side) for side in sides)
    return (int(width), int(height)) if whole else None


def score_of(value: Any) -> float:
    """A score.

    Raises:
        ValueError: It is no number from 0 to 1; the message says what was found.
    """
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not 0 <= score <= 1:
        raise ValueError(f"expected a score from 0 to 1, found {value!r:.40}")
    return score
