from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.unknown_image import CHECK
from spore_yolo.files.errors import Problem
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


def test_what_the_reader_found_is_passed_on(material: Build, found: Found) -> None:
    problems = [
        Problem(Path("a.txt"), 4, "what is wrong", UNKNOWN_IMAGE),
        Problem(Path("b.txt"), 1, "else", UNREADABLE_LABEL),
    ]
    (finding,) = found(CHECK, material(problems=problems))
    assert finding == Finding(UNKNOWN_IMAGE, Severity.ERROR, "what is wrong", "a.txt", 4)
    assert CHECK.code == UNKNOWN_IMAGE
