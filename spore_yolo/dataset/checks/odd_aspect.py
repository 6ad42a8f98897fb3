"""SPR017: a box of a shape that is odd for its class."""

from __future__ import annotations

import numpy as np

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.class_traits import SIGMAS, sides, touching, usual
from spore_yolo.dataset.checks.placing import at_boxes

CODE = "SPR017"

FACTOR = 3.0
"""How many times longer for its breadth than usual a box must be at least."""


def _find(material: Material) -> list[Finding]:
    width, height = sides(material).T
    # Spores lie in any direction, so the long side is set against the short one. A square box round a long spore is no
    # fault: the spore lies askew.
    length = np.log(np.maximum(width, height) / np.minimum(width, height))
    whole = ~touching(material)
    median, spread = usual(material, length, whole)
    far = np.maximum(SIGMAS * spread, np.log(FACTOR))
    rows = np.flatnonzero((length - median > far) & whole & ~material.boxes["ignored"].to_numpy())
    messages = (
        f"a {name} of {width[row]:g} x {height[row]:g} pixels is {np.exp(length[row]):.1f} times as long as broad,"
        f" usual are {np.exp(median[row]):.1f}"
        for row, name in zip(rows, material.boxes["class"].to_numpy()[rows], strict=True)
    )
    return at_boxes(material, CODE, Severity.WARNING, [(int(row),) for row in rows], messages)


CHECK = Check(
    code=CODE,
    title="odd aspect for its class",
    severity=Severity.WARNING,
    effect="A sliver is mostly a slip of the mouse: the detector learns an edge or a row of spores as one.",
    mend="Look at the box: draw it anew, give it the right class, or take it out.",
    find=_find,
)
