from __future__ import annotations

from collections.abc import Callable

import pytest

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.imbalance import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


@pytest.mark.parametrize(
    ("common", "severity"),
    [(2, None), (9, None), (10, Severity.NOTE), (39, Severity.NOTE), (40, Severity.WARNING)],
)
def test_ratio_to_two_boxes(material: Build, found: Found, common: int, severity: Severity | None) -> None:
    boxes = [("a.png", "rust", n, 5, n + 5, 20) for n in range(common)]
    boxes += [("a.png", "smut", 50, 5, 60, 20)] * 2
    findings = found(CHECK, material(boxes, classes=["mould"]))
    assert [finding.severity for finding in findings] == ([] if severity is None else [severity])
    assert all(f"{common / 2:.1f} to 1" in finding.message for finding in findings)


def test_ignored_boxes_do_not_count(material: Build, found: Found) -> None:
    boxes = [("a.png", "rust", n, 5, n + 5, 20, True) for n in range(40)]
    assert not found(CHECK, material([*boxes, ("a.png", "rust", 5, 5, 9, 9), ("a.png", "smut", 5, 5, 9, 9)]))


def test_one_class_has_no_ratio(material: Build, found: Found) -> None:
    assert not found(CHECK, material([("a.png", "rust", 5, 5, 20, 20)]))
