"""SPR013: a box whose maximum equals its minimum."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import NO_AREA

CHECK = Check(
    code=NO_AREA,
    title="box without area",
    severity=Severity.ERROR,
    effect="There is nothing to learn in it, and as a label it counts as a spore that nobody can find.",
    mend="Take it out; --fix does. It is a stray click: if an object is there, draw its box.",
    find=passed_on(NO_AREA),
    fixable=True,
)
