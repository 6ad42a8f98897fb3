from __future__ import annotations

from collections.abc import Callable

import pytest

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.beyond_border import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


@pytest.mark.parametrize(
    ("overhang", "severity"),
    [
        pytest.param(0.0, None, id="none"),
        pytest.param(0.5, Severity.NOTE, id="less than a pixel is rounding"),
        pytest.param(1.0, Severity.ERROR, id="a pixel"),
        pytest.param(40.0, Severity.ERROR, id="many"),
    ],
)
def test_overhang(material: Build, found: Found, overhang: float, severity: Severity | None) -> None:
    findings = found(CHECK, material([("a.png", "rust", 900, 5, 1000 + overhang, 90)]))
    assert [finding.severity for finding in findings] == ([] if severity is None else [severity])
