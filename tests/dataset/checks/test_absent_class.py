from __future__ import annotations

from collections.abc import Callable

from spore_yolo.dataset.checks.absent_class import CHECK
from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]

BOXES = [("a.png", "rust", 5, 5, 20, 20), ("b.png", "rust", 5, 5, 20, 20), ("b.png", "smut", 50, 5, 70, 20)]


def test_the_class_and_the_split_are_named(material: Build, found: Found) -> None:
    (finding,) = found(CHECK, material(BOXES, splits={"a.png": "train", "b.png": "val"}))
    assert finding.message == "no box of smut in train: the model cannot learn it"
    assert finding.severity == Severity.WARNING


def test_a_split_without_boxes(material: Build, found: Found) -> None:
    findings = found(CHECK, material(BOXES, ["c.png"], splits={"a.png": "train", "b.png": "train", "c.png": "test"}))
    assert [finding.message for finding in findings] == [
        "no box of rust in test: nothing can be said about it there",
        "no box of smut in test: nothing can be said about it there",
    ]


def test_without_splits_there_is_nothing_to_say(material: Build, found: Found) -> None:
    assert not found(CHECK, material(BOXES, classes=["rust", "smut", "mould"]))
    assert not found(CHECK, material())
