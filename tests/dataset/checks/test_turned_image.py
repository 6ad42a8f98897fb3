from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.turned_image import CHECK
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import KnownImages

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


@pytest.mark.parametrize(
    ("size", "stated", "severity"),
    [
        pytest.param(ImageSize(30, 40, 1), None, None, id="upright"),
        pytest.param(ImageSize(30, 40, 6), (30, 40), None, id="labels of the image as shown"),
        pytest.param(ImageSize(30, 40, 6), (40, 30), Severity.NOTE, id="labels of the stored pixels"),
        pytest.param(ImageSize(30, 40, 6), (99, 30), None, id="another image, which SPR008 says"),
        pytest.param(ImageSize(30, 40, 8), None, Severity.WARNING, id="no size stated"),
        pytest.param(ImageSize(30, 40, 3), (30, 40), Severity.WARNING, id="upside down keeps the size"),
        pytest.param(ImageSize(40, 40, 5), (40, 40), Severity.WARNING, id="square"),
    ],
)
def test_who_can_tell_the_frame(
    material: Build, found: Found, size: ImageSize, stated: tuple[int, int] | None, severity: Severity | None
) -> None:
    made = material([("a.jpg", "rust", 1, 2, 3, 4)], {"a.jpg": (size.width, size.height), "empty.jpg": (30, 40)})
    if stated is not None:
        made.labels.stated_sizes["a.jpg"] = stated
    sizes = {"a.jpg": size, "empty.jpg": ImageSize(30, 40, 6)}
    images = made.images.assign(orientation=[size.orientation, 6])
    findings = found(CHECK, replace(made, known=KnownImages(sizes, Path("slides"), ""), images=images))
    assert [(f.image, f.severity) for f in findings] == ([] if severity is None else [("a.jpg", severity)])
