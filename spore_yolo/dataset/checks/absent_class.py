"""SPR023: a class that a split does not hold."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.splits import groups_that_hold

CODE = "SPR023"


def _find(material: Material) -> list[Finding]:
    held = groups_that_hold(material)
    findings = []
    for split in held.columns:
        means = "the model cannot learn it" if split == "train" else "nothing can be said about it there"
        for name in held.index[held[split] == 0]:
            message = f"no box of {name} in {split}: {means}"
            findings.append(Finding(CODE, Severity.WARNING, message, str(material.path)))
    return findings


CHECK = Check(
    code=CODE,
    title="class absent from a split",
    severity=Severity.WARNING,
    effect="A class that train lacks is never found; one that val or test lacks has no threshold and no figure.",
    mend="Label it in more groups (slides, traps, days), split anew, or drop or merge the class with --classes.",
    find=_find,
)
