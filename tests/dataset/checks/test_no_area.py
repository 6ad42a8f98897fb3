from __future__ import annotations

from collections.abc import Callable

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.no_area import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


def test_the_bad_box_alone_is_found_at_its_line(material: Build, found: Found) -> None:
    (finding,) = found(CHECK, material([("a.png", "rust", 5, 5, 6, 9), ("a.png", "rust", 5, 5, 5, 9)]))
    assert (finding.severity, finding.file, finding.line, finding.image) == (Severity.ERROR, "labels.csv", 3, "a.png")
    assert "class rust" in finding.message
