"""SPR011: coordinates that are no numbers, infinite, or larger than any image."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import NOT_PIXELS

CHECK = Check(
    code=NOT_PIXELS,
    title="coordinates that are no place on an image",
    severity=Severity.ERROR,
    effect="The box is lost, and its object counts as background.",
    mend="Draw the box again; numbers of this kind come from a failed calculation in the program that wrote them.",
    find=passed_on(NOT_PIXELS),
)
