"""SPR009: images that a camera marked as turned (EXIF orientation), so that boxes may lie in another frame."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.files.images import ImageSize

CODE = "SPR009"

HOW = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "turned to the left and mirrored",
    6: "turned to the right",
    7: "turned to the right and mirrored",
    8: "turned to the left",
}
"""EXIF 2.3 (JEITA CP-3451), tag 0x0112: what a viewer does to the stored pixels."""


def _find(material: Material) -> list[Finding]:
    turned = material.images[material.images["orientation"] > 1]
    labelled = {box.image for box in material.labels.boxes}
    findings = []
    for image, orientation in zip(turned["image"], turned["orientation"], strict=True):
        if image not in labelled:
            continue
        size = material.known.sizes[image]
        found = _judge(size, material.labels.stated_sizes.get(image))
        if found is not None:
            severity, meaning = found
            message = f"the image is shown {HOW[int(orientation)]} (EXIF orientation {orientation}); {meaning}"
            findings.append(Finding(CODE, severity, message, str(material.known.root / image), image=image))
    return findings


def _judge(size: ImageSize, stated: tuple[int, int] | None) -> tuple[Severity, str] | None:
    """What the size that the labels state says of their frame; see :func:`spore_yolo.labels.table.displayed`."""
    shown = (size.width, size.height)
    if stated is not None and stated not in (shown, size.stored):
        return None  # the labels are for another version of the image, which SPR008 says
    if stated is None or shown == size.stored:
        why = "do not state its size" if stated is None else "cannot tell by its size"
        return Severity.WARNING, f"its labels {why}, and are taken as drawn on the image as shown"
    if stated == size.stored:
        return Severity.NOTE, "its labels were drawn on the stored pixels, by their size, and were turned with them"
    return None


CHECK = Check(
    code=CODE,
    title="turned image",
    severity=Severity.WARNING,
    effect="If a box was drawn on the pixels as stored, it lies beside its spore on the image as shown.",
    mend="Look at one such image with its boxes; if they lie beside the spores, save it upright and label it anew.",
    find=_find,
)
