"""Builds what checks look at from a few boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.dataset.checking import Places, images_table
from spore_yolo.dataset.checks.base import Check, Finding, Material
from spore_yolo.files.errors import Problem
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.label_set import classes_of
from spore_yolo.labels.table import RawBox, RawLabels, check_boxes

Build = Callable[..., Material]

FILE = Path("labels.csv")


def build_material(
    boxes: Sequence[Sequence[Any]] = (),
    images: Mapping[str, tuple[int, int]] | Sequence[str] = (),
    *,
    splits: Mapping[str, str] | None = None,
    groups: Mapping[str, str] | None = None,
    sources: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    problems: Sequence[Problem] = (),
    unnamed: Sequence[str] = (),
    label_format: str = "csv",
) -> Material:
    """What checks look at.

    Args:
        boxes: ``(image, class, x_min, y_min, x_max, y_max[, ignored])``; the first stands in line 2 of ``labels.csv``.
        images: Width and height of images, or their names; those of the boxes are added with 1000 x 1000 pixels.
        splits: The split of images.
        groups: The group of images; the others are their own.
        sources: The source of images; the others are their own.
        classes: The label file's own list of classes.
        problems: What the reader could not read.
        unnamed: Images that the labels do not name.
        label_format: The format of the labels.
    """
    raw = [
        RawBox(image, kind, *corners[:4], bool(corners[4:] and corners[4]), FILE, line)
        for line, (image, kind, *corners) in enumerate(boxes, start=2)
    ]
    given = dict(images) if isinstance(images, Mapping) else dict.fromkeys(images, (1000, 1000))
    names = dict.fromkeys([*given, *(box.image for box in raw), *unnamed])
    sizes = {name: ImageSize(*given.get(name, (1000, 1000))) for name in names}
    own = {name: name for name in sizes}
    source = own | dict(sources or {})
    places = Places(source, source | dict(groups or {}), splits or {}, groups is not None)
    labels = RawLabels(raw, list(classes), set(names) - set(unnamed), list(problems))
    checked = check_boxes(raw, sizes)
    return Material(
        path=FILE,
        label_format=label_format,
        labels=labels,
        known=KnownImages(sizes, Path("slides"), "below slides"),
        checked=checked,
        images=images_table(sizes, places),
        unnamed=frozenset(unnamed),
        classes=tuple(classes_of(classes, checked.table)),
        grouped=places.grouped,
    )


@pytest.fixture
def material() -> Build:
    """Builds what checks look at; see :func:`build_material`."""
    return build_material


@pytest.fixture
def found() -> Callable[[Check, Material], list[Finding]]:
    """All that a check finds; each finding bears the check's code."""

    def _found(check: Check, material: Material) -> list[Finding]:
        findings = list(check.find(material))
        assert {finding.code for finding in findings} <= {check.code}
        return findings

    return _found
