from __future__ import annotations

from collections.abc import Callable

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.duplicate import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


def test_each_box_behind_the_first_is_found_with_the_first(material: Build, found: Found) -> None:
    box, other = (5, 5, 20, 20), (50, 50, 70, 70)
    boxes = [("a.png", "smut", *other), *[("a.png", "rust", *box)] * 3, ("a.png", "smut", *other)]
    findings = found(CHECK, material(boxes))
    assert [finding.rows for finding in findings] == [(2, 1), (3, 1), (4, 0)]
    assert [finding.line for finding in findings] == [4, 5, 6]
    assert findings[0].message == "rust: the same box as labels.csv:3"
    assert {finding.severity for finding in findings} == {Severity.WARNING}


def test_what_differs_in_anything_is_no_duplicate(material: Build, found: Found) -> None:
    box = (5, 5, 20, 20)
    different = [
        ("a.png", "rust", *box),
        ("b.png", "rust", *box),
        ("a.png", "smut", *box),
        ("a.png", "rust", 5, 5, 20, 20.01),
        ("a.png", "rust", *box, True),
    ]
    assert not found(CHECK, material(different))


def test_a_difference_below_what_the_table_keeps_is_none(material: Build, found: Found) -> None:
    assert found(CHECK, material([("a.png", "rust", 5, 5, 20, 20), ("a.png", "rust", 5, 5, 20, 20.00001)]))
