from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spore_yolo.dataset.checks.base import Check, Finding, Material
from spore_yolo.dataset.checks.unreadable_label import CHECK
from spore_yolo.files.errors import Problem
from spore_yolo.labels.codes import UNKNOWN_CLASS, UNREADABLE_LABEL

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


def test_a_problem_that_has_no_other_check_is_a_label_that_cannot_be_read(material: Build, found: Found) -> None:
    codes = [UNREADABLE_LABEL, "", UNKNOWN_CLASS]
    problems = [Problem(Path("a.txt"), line, "bad", code) for line, code in enumerate(codes, start=1)]
    assert [finding.line for finding in found(CHECK, material(problems=problems))] == [1, 2]
