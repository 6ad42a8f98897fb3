"""SPR015: a box of which a part lies beyond the border of its image."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.passing_on import passed_on
from spore_yolo.labels.codes import BEYOND_BORDER


def _find(material: Material) -> list[Finding]:
    findings = passed_on(BEYOND_BORDER)(material)
    clipped = material.checked.clipped
    if clipped:
        message = (
            f"{clipped:,} box{'es' * (clipped > 1)} reached beyond the border by less than a pixel, as rounding does,"
            f" and {'were' if clipped > 1 else 'was'} clipped"
        )
        findings.append(Finding(BEYOND_BORDER, Severity.NOTE, message, str(material.path)))
    return findings


CHECK = Check(
    code=BEYOND_BORDER,
    title="box that reaches beyond the border",
    severity=Severity.ERROR,
    effect="Trainers clip such a box, or drop it with its whole image; often the labels are those of another image.",
    mend="Clip it to the image, which --fix does, once a look at the image says that the rest of the box is right.",
    find=_find,
    fixable=True,
)
