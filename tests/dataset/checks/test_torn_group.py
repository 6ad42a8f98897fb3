from __future__ import annotations

from collections.abc import Callable

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.torn_group import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]

SPLITS = {"a1.png": "train", "a2.png": "train", "a3.png": "test", "b.png": "val", "c.png": "train"}


def test_variants_of_one_source_in_two_splits(material: Build, found: Found) -> None:
    sources = dict.fromkeys(["a1.png", "a2.png", "a3.png"], "a")
    (finding,) = found(CHECK, material((), SPLITS.keys(), splits=SPLITS, sources=sources))
    assert finding.message == "source a lies in train (2 images), test (1 image)"
    assert (finding.severity, finding.image, finding.file) == (Severity.ERROR, "a3.png", "slides/a3.png")


def test_a_group_in_two_splits(material: Build, found: Found) -> None:
    (finding,) = found(CHECK, material((), SPLITS.keys(), splits=SPLITS, groups={"b.png": "trap1", "c.png": "trap1"}))
    assert finding.message == "group trap1 lies in train (1 image), val (1 image)"


def test_images_in_no_split_and_spare_variants_tear_nothing(material: Build, found: Found) -> None:
    splits = {"a1.png": "train", "a2.png": "spare", "a3.png": ""}
    assert not found(CHECK, material((), splits.keys(), splits=splits, sources=dict.fromkeys(splits, "a")))
