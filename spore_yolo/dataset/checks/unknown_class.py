"""SPR021: a class that the label file's own list does not have."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import UNKNOWN_CLASS

CHECK = Check(
    code=UNKNOWN_CLASS,
    title="class that the class list does not have",
    severity=Severity.ERROR,
    effect="The object is not learned, and counts as background.",
    mend="Add the class to the list of classes (in YOLO names: of data.yaml), or correct its number in the label.",
    find=passed_on(UNKNOWN_CLASS),
)
