"""SPR016: a box of a size that is absurd for its class."""

from __future__ import annotations

import numpy as np

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.class_traits import SIGMAS, sides, touching, usual
from spore_yolo.dataset.checks.placing import at_boxes

CODE = "SPR016"

FACTOR = 4.0
"""How many times larger or smaller than usual a box must be at least, in the side of a square of its area."""


def _find(material: Material) -> list[Finding]:
    width, height = sides(material).T
    side = np.sqrt(width * height)
    size = np.log(side)
    cut = touching(material)
    median, spread = usual(material, size, ~cut)
    far = np.maximum(SIGMAS * spread, np.log(FACTOR))
    # What the border cuts is small for a good reason.
    odd = ((size - median > far) | ((median - size > far) & ~cut)) & ~material.boxes["ignored"].to_numpy()
    rows = np.flatnonzero(odd)
    messages = (
        f"a {name} of {width[row]:g} x {height[row]:g} pixels, {side[row] / np.exp(median[row]):.2g} times the usual"
        f" side of {np.exp(median[row]):.3g} pixels"
        for row, name in zip(rows, material.boxes["class"].to_numpy()[rows], strict=True)
    )
    return at_boxes(material, CODE, Severity.WARNING, [(int(row),) for row in rows], messages)


CHECK = Check(
    code=CODE,
    title="absurd size for its class",
    severity=Severity.WARNING,
    effect="A stray click or a box round a whole clump teaches a wrong size, and costs recall where it is tested on.",
    mend="Look at the box: draw it anew, give it the right class, or take it out.",
    find=_find,
)
