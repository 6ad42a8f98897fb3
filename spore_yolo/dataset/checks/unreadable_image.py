"""SPR003: a file that is no image, or whose header is damaged."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity

CODE = "SPR003"


def _find(material: Material) -> list[Finding]:
    return [
        Finding(CODE, Severity.ERROR, reason, str(material.known.root / image), image=image)
        for image, reason in sorted(material.unreadable.items())
    ]


CHECK = Check(
    code=CODE,
    title="unreadable image",
    severity=Severity.ERROR,
    effect="Training stops at it or leaves it out without a word, and with it all its boxes.",
    mend="Copy the image again from where it came, or save it as JPEG, PNG or TIFF; or take it and its labels away.",
    find=_find,
)
