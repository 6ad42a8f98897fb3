"""Stated sizes of pixels."""

from __future__ import annotations

import pytest

from spore_yolo.inference.slides.scale import plausible


@pytest.mark.parametrize(
    ("value", "unit", "um_per_px"),
    [
        (0.5, "µm", 0.5),
        ("0.5", "μm", 0.5),
        (" 0.5 ", "um", 0.5),
        (0.5, "Micron", 0.5),
        (0.5, "\\u00B5m", 0.5),
        (345, "nm", 0.345),
        (0.0005, "mm", 0.5),
        (0.00005, "cm", 0.5),
        (2.5e-7, "m", 0.25),
        (0.02, "µm", 0.02),
        (20, "µm", 20.0),
    ],
)
def test_plausible(value: object, unit: str, um_per_px: float) -> None:
    assert plausible(value, unit) == pytest.approx(um_per_px)


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        pytest.param(0, "µm", id="zero"),
        pytest.param(-0.5, "µm", id="negative"),
        pytest.param(0.019, "µm", id="finer than light"),
        pytest.param(20.1, "µm", id="coarser than a microscope"),
        pytest.param("nan", "µm", id="not a number"),
        pytest.param("inf", "µm", id="infinite"),
        pytest.param(None, "µm", id="nothing"),
        pytest.param("", "µm", id="no text"),
        pytest.param(1, "pixel", id="pixels"),
        pytest.param(1, "", id="no unit"),
        pytest.param(0.00002, "inch", id="inches"),
    ],
)
def test_implausible(value: object, unit: str) -> None:
    assert plausible(value, unit) is None
