"""SPR004: an image whose pixels cannot be decoded whole."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity

CODE = "SPR004"


def _find(material: Material) -> list[Finding]:
    return [
        Finding(CODE, Severity.ERROR, facts.damage, str(material.known.root / image), image=image)
        for image, facts in sorted((material.pixels or {}).items())
        if facts.damage
    ]


CHECK = Check(
    code=CODE,
    title="damaged image",
    severity=Severity.ERROR,
    effect="Some programs fill the missing part with grey, and boxes on it teach that grey is a spore;"
    " others stop in the middle of the training.",
    mend="Copy the image again from where it came, or take it and its labels away.",
    find=_find,
    needs_pixels=True,
)
