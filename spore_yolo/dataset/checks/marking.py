"""SPR020: a burnt-in scale bar or text inside a box."""

from __future__ import annotations

import numpy as np

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.placing import at_boxes
from spore_yolo.labels.table import COORDINATES

CODE = "SPR020"

LEAST_SHARE = 0.1
"""Of the smaller one of box and marking; less is a box that brushes it."""


def _find(material: Material) -> list[Finding]:
    corners = material.boxes[COORDINATES].to_numpy()
    rows_of = material.boxes.groupby("image").indices
    rows: list[tuple[int, ...]] = []
    messages = []
    for image, facts in sorted((material.pixels or {}).items()):
        if not facts.markings or image not in rows_of:
            continue
        markings, boxes = np.array(facts.markings), corners[rows_of[image]]
        low = np.maximum(boxes[:, None, :2], markings[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], markings[None, :, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=2)
        area = [(part[:, 2:] - part[:, :2]).prod(axis=1) for part in (boxes, markings)]
        share = shared / np.minimum(area[0][:, None], area[1][None])
        for place in np.flatnonzero(share.max(axis=1) >= LEAST_SHARE):
            x_min, y_min, x_max, y_max = markings[share[place].argmax()]
            rows.append((int(rows_of[image][place]),))
            messages.append(
                f"a scale bar or text was burnt into the image at x {x_min:g} to {x_max:g}, y {y_min:g} to {y_max:g},"
                f" and lies in this box (image {image})"
            )
    return at_boxes(material, CODE, Severity.WARNING, rows, messages)


CHECK = Check(
    code=CODE,
    title="scale bar or text in a box",
    severity=Severity.WARNING,
    effect="The detector may learn the bar or the letters in place of the spore.",
    mend="Export the images without scale bar and text; or take the box away where it holds little else.",
    find=_find,
    needs_pixels=True,
)
