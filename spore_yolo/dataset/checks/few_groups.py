"""SPR024: a class in too few groups of a split to measure it."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.splits import groups_that_hold
from spore_yolo.dataset.summary import MIN_GROUPS

CODE = "SPR024"


def _find(material: Material) -> list[Finding]:
    held = groups_that_hold(material)
    unit = "group" if material.grouped else "source"
    return [
        Finding(
            CODE,
            Severity.NOTE,
            f"{name} is in {count} {unit}{'s' * (count > 1)} of {split}; an interval needs {MIN_GROUPS}",
            str(material.path),
        )
        for split in held.columns
        if split != "train"
        for name, count in held[split].items()
        if 0 < count < MIN_GROUPS
    ]


CHECK = Check(
    code=CODE,
    title="class in too few groups to measure",
    severity=Severity.NOTE,
    effect="Recall and specificity of the class get no interval, so nobody knows how far to trust them.",
    mend="Label the class in more groups (slides, traps, days), or give that split a larger share.",
    find=_find,
)
