"""SPR012: the maximum of a box lies before its minimum."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import NEGATIVE

CHECK = Check(
    code=NEGATIVE,
    title="box whose maximum lies before its minimum",
    severity=Severity.ERROR,
    effect="Read by others as a box without area or turned inside out, it makes the loss infinite or is left out.",
    mend="Swap minimum and maximum; --fix does.",
    find=passed_on(NEGATIVE),
    fixable=True,
)
