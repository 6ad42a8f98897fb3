from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spore_yolo.dataset.checks.base import Check, Finding, Material, PixelFacts, Severity
from spore_yolo.dataset.checks.marking import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]

BAR = (100.0, 200.0, 180.0, 205.0)


def test_boxes_that_hold_a_marking(material: Build, found: Found) -> None:
    boxes = [
        ("a.png", "rust", 10, 10, 40, 40),  # far away
        ("a.png", "rust", 90, 150, 300, 300),  # holds all of it
        ("a.png", "rust", 170, 190, 190, 210),  # 50 of its 400 square pixels
        ("a.png", "rust", 179, 190, 199, 210),  # brushes it
        ("b.png", "rust", 90, 150, 300, 300),  # another image
    ]
    pixels = {"a.png": PixelFacts("1", markings=(BAR, (500.0, 500.0, 520.0, 510.0))), "b.png": PixelFacts("2")}
    findings = found(CHECK, replace(material(boxes), pixels=pixels))
    assert [(f.rows, f.line, f.image) for f in findings] == [((1,), 3, "a.png"), ((2,), 4, "a.png")]
    assert "x 100 to 180, y 200 to 205" in findings[0].message
    assert {f.severity for f in findings} == {Severity.WARNING}


def test_marking_on_an_image_without_boxes(material: Build, found: Found) -> None:
    assert not found(CHECK, replace(material((), ["a.png"]), pixels={"a.png": PixelFacts("1", markings=(BAR,))}))
