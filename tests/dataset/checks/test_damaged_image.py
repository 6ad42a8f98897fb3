from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spore_yolo.dataset.checks.base import Check, Finding, Material, PixelFacts, Severity
from spore_yolo.dataset.checks.damaged_image import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


def test_only_damaged_images(material: Build, found: Found) -> None:
    pixels = {"a.png": PixelFacts("1"), "b.png": PixelFacts("2", damage="it is cut off")}
    (finding,) = found(CHECK, replace(material((), pixels.keys()), pixels=pixels))
    assert (finding.severity, finding.file, finding.message) == (Severity.ERROR, "slides/b.png", "it is cut off")
    assert CHECK.needs_pixels
