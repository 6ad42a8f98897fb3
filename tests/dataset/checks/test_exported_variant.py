from __future__ import annotations

from collections.abc import Callable

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.exported_variant import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


def test_images_and_sources_are_counted(material: Build, found: Found) -> None:
    sources = {"a1.png": "a", "a2.png": "a", "a3.png": "a", "b1.png": "b", "b2.png": "b"}
    (finding,) = found(CHECK, material((), [*sources, "alone.png"], sources=sources))
    assert finding.message == "5 images are exported variants of 2 sources"
    assert finding.severity == Severity.NOTE


def test_a_source_with_one_image_is_nothing_to_say(material: Build, found: Found) -> None:
    assert not found(CHECK, material((), ["a.png", "b.png"]))
