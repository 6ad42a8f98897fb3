"""SPR010: several exported variants (flips, grey, brightness) of one source image."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity

CODE = "SPR010"


def _find(material: Material) -> list[Finding]:
    variants = material.images["source"].value_counts()
    variants = variants[variants > 1]
    if variants.empty:
        return []
    message = f"{variants.sum():,} images are exported variants of {len(variants):,} source{'s' * (len(variants) > 1)}"
    return [Finding(CODE, Severity.NOTE, message, str(material.known.root))]


CHECK = Check(
    code=CODE,
    title="exported variants of one source",
    severity=Severity.NOTE,
    effect="There are fewer different slides than images; dealt out by image, variants of a training image would be"
    " tested on.",
    mend="Nothing, where import splits: it keeps variants together and tests on one a source. Better still, import the"
    " images without the exporter's augmentation, since training augments by itself.",
    find=_find,
)
