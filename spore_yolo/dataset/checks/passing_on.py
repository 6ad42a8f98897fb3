"""Findings that the readers and the boxes table have made already, passed on under their codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from spore_yolo.dataset.checks.base import Finding, Material, Severity
from spore_yolo.files.errors import Problem
from spore_yolo.labels.codes import (
    BEYOND_BORDER,
    NEGATIVE,
    NO_AREA,
    NOT_PIXELS,
    OTHER_SIZE,
    OUTSIDE,
    UNKNOWN_CLASS,
    UNKNOWN_IMAGE,
    UNREADABLE_LABEL,
)

BETTER_CODES = frozenset(
    {UNKNOWN_IMAGE, OTHER_SIZE, NOT_PIXELS, NEGATIVE, NO_AREA, OUTSIDE, BEYOND_BORDER, UNKNOWN_CLASS}
)
"""The codes that say more than that something cannot be read."""

Place = tuple[Path | str, int | None]


def passed_on(code: str) -> Callable[[Material], list[Finding]]:
    """What finds the problems of one code; a problem without a better code is a label that cannot be read."""

    def find(material: Material) -> list[Finding]:
        problems = [
            problem
            for problem in (*material.labels.problems, *material.checked.problems)
            if problem.code == code or (code == UNREADABLE_LABEL and problem.code not in BETTER_CODES)
        ]
        images = _images(material, problems)
        return [
            Finding(
                code,
                Severity.ERROR,
                problem.message,
                str(problem.file),
                problem.line,
                images.get((problem.file, problem.line)),
            )
            for problem in problems
        ]

    return find


def _images(material: Material, problems: Iterable[Problem]) -> dict[Place, str]:
    """The image that each place in the labels speaks of, where it speaks of one only."""
    wanted = {(problem.file, problem.line) for problem in problems}
    if not wanted:
        return {}
    found: dict[Place, str] = {}
    several: set[Place] = set()
    for box in material.labels.boxes:
        place = (box.file, box.line)
        if place in wanted and found.setdefault(place, box.image) != box.image:
            several.add(place)
    return {place: image for place, image in found.items() if place not in several}
