from __future__ import annotations

from collections.abc import Callable

import pytest

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.few_groups import CHECK
from spore_yolo.dataset.summary import MIN_GROUPS

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


@pytest.mark.parametrize(
    ("groups", "split", "number"), [(MIN_GROUPS - 1, "val", 1), (MIN_GROUPS, "val", 0), (1, "train", 0)]
)
def test_groups_of_a_split(material: Build, found: Found, groups: int, split: str, number: int) -> None:
    # Two images a group: it is groups that count.
    images = [f"{n}.png" for n in range(2 * groups)]
    looked_at = material(
        [(image, "rust", 5, 5, 20, 20) for image in images],
        splits=dict.fromkeys(images, split),
        groups={image: f"g{n // 2}" for n, image in enumerate(images)},
    )
    findings = found(CHECK, looked_at)
    assert len(findings) == number
    assert all(finding.severity == Severity.NOTE for finding in findings)
    assert all(f"rust is in {groups} groups of val" in finding.message for finding in findings)
