"""SPR018: the same box twice."""

from __future__ import annotations

import numpy as np

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.placing import at_boxes, place_text
from spore_yolo.labels.table import COORDINATES

CODE = "SPR018"

SAME = ["image", "class", *COORDINATES, "ignored"]
"""What two boxes share of which one is too many."""


def _find(material: Material) -> list[Finding]:
    boxes = material.boxes
    rows = np.flatnonzero(boxes.duplicated(SAME).to_numpy())
    if not len(rows):
        return []
    twins = boxes[boxes.duplicated(SAME, keep=False)]
    # Rows of the table are numbered from 0 on.
    number = twins.groupby(SAME, sort=False).ngroup()
    first = twins.index.to_series().groupby(number).transform("first")[rows].to_numpy()
    pairs = list(zip(rows.tolist(), first.tolist(), strict=True))
    places = boxes[["class", "label_file", "line"]].iloc[first]
    messages = (
        f"{name}: the same box as {place_text(file, line)}"
        for name, file, line in places.itertuples(index=False, name=None)
    )
    return at_boxes(material, CODE, Severity.WARNING, pairs, messages)


CHECK = Check(
    code=CODE,
    title="same box twice",
    severity=Severity.WARNING,
    effect="The object counts twice in training, and one of the two can never be found, so recall looks worse than it"
    " is.",
    mend="Take the later one out; --fix does.",
    find=_find,
    fixable=True,
)
