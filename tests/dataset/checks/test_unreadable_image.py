from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.unreadable_image import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


def test_images_without_a_header(material: Build, found: Found) -> None:
    looked = replace(material((), ["a.png"]), unreadable={"c.png": "no image", "b.png": "a damaged header"})
    findings = found(CHECK, looked)
    assert [(f.file, f.image, f.message) for f in findings] == [
        ("slides/b.png", "b.png", "a damaged header"),
        ("slides/c.png", "c.png", "no image"),
    ]
    assert {f.severity for f in findings} == {Severity.ERROR}


def test_readable_images(material: Build, found: Found) -> None:
    assert not found(CHECK, material((), ["a.png"]))
