"""SPR014: a box that does not touch its image."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import OUTSIDE

CHECK = Check(
    code=OUTSIDE,
    title="box outside its image",
    severity=Severity.ERROR,
    effect="It shows nothing that could be learned, and often the other boxes of the file are misplaced as well.",
    mend="See whether the labels belong to another image, another size or another unit; else take the box out.",
    find=passed_on(OUTSIDE),
)
