from __future__ import annotations

from collections.abc import Callable

import pytest

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.unlabelled_image import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


@pytest.mark.parametrize(
    ("label_format", "says"),
    [("yolo", "counts as an image without objects"), ("csv", "counts as"), ("coco", "perhaps nobody looked at it")],
)
def test_each_image_that_the_labels_do_not_name(material: Build, found: Found, label_format: str, says: str) -> None:
    looked_at = material([("a.png", "rust", 5, 5, 9, 9)], ["empty.png"], unnamed=["z.png"], label_format=label_format)
    (finding,) = found(CHECK, looked_at)
    assert (finding.severity, finding.image, finding.file) == (Severity.WARNING, "z.png", "slides/z.png")
    assert says in finding.message
