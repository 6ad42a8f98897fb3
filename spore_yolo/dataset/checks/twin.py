"""SPR006: image files that are equal byte by byte."""

from __future__ import annotations

from collections import defaultdict

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.splits import splits_of
from spore_yolo.labels.readers.values import some

CODE = "SPR006"


def _find(material: Material) -> list[Finding]:
    known_splits = set(splits_of(material))
    split_of = dict(zip(material.images["image"], material.images["split"], strict=True))
    by_content: dict[str, list[str]] = defaultdict(list)
    for image, facts in sorted((material.pixels or {}).items()):
        if facts.sha256:
            by_content[facts.sha256].append(image)
    findings = []
    for first, *others in by_content.values():
        if not others:
            continue
        splits = {split_of.get(image, "") for image in (first, *others)} & known_splits
        torn = len(splits) > 1
        message = f"the same file as {some(others)}" + (
            f", in different splits: {some(sorted(splits))}" if torn else ""
        )
        severity = Severity.ERROR if torn else Severity.WARNING
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
