from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from spore_yolo.dataset.checks.base import Finding, Material, Severity
from spore_yolo.dataset.checks.placing import at_boxes, line_of, place_text

Build = Callable[..., Material]


def test_a_finding_stands_at_its_first_box(material: Build) -> None:
    looked_at = material([("a.png", "rust", 5, 5, 9, 9), ("b.png", "rust", 5, 5, 9, 9)])
    findings = at_boxes(looked_at, "SPR018", Severity.WARNING, [(1, 0), (0,)], ["one", "two"])
    assert findings == [
        Finding("SPR018", Severity.WARNING, "one", "labels.csv", 3, "b.png", (1, 0)),
        Finding("SPR018", Severity.WARNING, "two", "labels.csv", 2, "a.png", (0,)),
    ]


def test_formats_without_lines() -> None:
    assert line_of(pd.NA) is None
    assert place_text("a.parquet", pd.NA) == "a.parquet"
    assert place_text("a.csv", 3) == "a.csv:3"
