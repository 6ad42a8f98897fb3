"""SPR001: a label file, or a line of it, that is not in its format."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import UNREADABLE_LABEL

CHECK = Check(
    code=UNREADABLE_LABEL,
    title="label that cannot be read",
    severity=Severity.ERROR,
    effect="The object is not learned, and as background it teaches the detector to pass over its like.",
    mend="Open the file at the line and write the label again, or export it anew from the labelling program.",
    find=passed_on(UNREADABLE_LABEL),
)
