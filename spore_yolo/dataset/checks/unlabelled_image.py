"""SPR005: an image that the labels do not name."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.labels.source import EMPTY_IF_UNNAMED

CODE = "SPR005"


def _find(material: Material) -> list[Finding]:
    meaning = (
        "the labels do not name it, so it counts as an image without objects"
        if material.label_format in EMPTY_IF_UNNAMED
        else f"the labels do not name it, though {material.label_format} has a place for images without objects:"
        " perhaps nobody looked at it; import takes it for empty"
    )
    return [
        Finding(CODE, Severity.WARNING, meaning, str(material.known.root / image), image=image)
        for image in sorted(material.unnamed)
    ]


CHECK = Check(
    code=CODE,
    title="image without label",
    severity=Severity.WARNING,
    effect="Taken for empty, an image that nobody labelled teaches the detector that its spores are background.",
    mend="Label it, or move it away; if somebody looked and found nothing, leave it: empty images are worth having.",
    find=_find,
)
