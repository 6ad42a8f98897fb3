"""SPR006: image files that are equal byte by byte."""

from __future__ import annotations

from collections import defaultdict

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.splits import splits_of
from spore_yolo.labels.readers.values import some

CODE = "SPR006"

LONGEST_NAME = 4096
"""Letters of an image's name, which is shown whole: POSIX has no longer path."""


def _find(material: Material) -> list[Finding]:
    table = material.images
    places = dict(zip(table["image"], zip(table["split"], table["source"], strict=True), strict=True))
    known_splits = splits_of(material)
    by_content: dict[str, list[str]] = defaultdict(list)
    for image, facts in sorted((material.pixels or {}).items()):
        if facts.sha256:
            by_content[facts.sha256].append(image)
    findings = []
    for equal in by_content.values():
        if len(equal) < 2:
            continue
        first, *others = equal
        held, sources = (set(several) for several in zip(*(places[image] for image in equal), strict=True))
        splits = [split for split in known_splits if split in held]
        message = f"the same file as {some(others, LONGEST_NAME)}"
        severity = Severity.WARNING
        if len(splits) > 1:
            severity = Severity.ERROR
            message += f", in different splits: {', '.join(splits)}"
        elif len(sources) == 1:
            # An exporter that turns or brightens by chance may leave two variants as they are.
            severity = Severity.NOTE
            message += ", another variant of its source"
        findings.append(Finding(CODE, severity, message, str(material.known.root / first), image=first))
    return findings


CHECK = Check(
    code=CODE,
    title="the same image twice",
    severity=Severity.ERROR,
    effect="In one split it counts twice; in two the model is tested on what it was trained on, so its figures are"
    " better than it is.",
    mend="Keep one of the files, with the better labels.",
    find=_find,
    needs_pixels=True,
)
