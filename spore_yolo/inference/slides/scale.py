"""Micrometres per pixel, from what files say about it."""

from __future__ import annotations

SMALLEST, LARGEST = 0.02, 20.0
"""Micrometres per pixel that a light microscope may have; anything else is a default of some program or a mistake."""

UM_PER_UNIT = {
    "nm": 1e-3,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek letter mu
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "\\u00b5m": 1.0,  # as ImageJ escapes it
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}
"""Micrometres per unit of length, by the names that OME and ImageJ use, in lower case."""


def plausible(value: object, unit: str = "µm") -> float | None:
    """A stated size of a pixel in micrometres.

    Args:
        value: The stated number, or its text.
        unit: Its unit.

    Returns:
        Micrometres per pixel; ``None`` where it is no number, its unit is unknown, or no light microscope has it.
    """
    try:
        um_per_px = float(str(value).strip()) * UM_PER_UNIT[unit.strip().lower()]
    except (ValueError, KeyError):
        return None
    return um_per_px if SMALLEST <= um_per_px <= LARGEST else None
