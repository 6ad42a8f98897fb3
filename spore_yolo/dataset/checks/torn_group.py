"""SPR026: a group, or the variants of one source, in more than one split."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.splits import splits_of

CODE = "SPR026"


def _find(material: Material) -> list[Finding]:
    splits = splits_of(material)
    used = material.images[material.images["split"].isin(splits)]
    # Images of one source are in one group, so a torn source is a torn group as well.
    torn = used[used.groupby("group")["split"].transform("nunique") > 1]
    what = "group" if material.grouped else "source"
    findings = []
    for group, rows in torn.groupby("group"):
        counts = rows["split"].value_counts()
        held = ", ".join(f"{split} ({counts[split]:,} images)" for split in splits if split in counts)
        held = held.replace("(1 images)", "(1 image)")
        image = str(rows.sort_values(["split", "image"])["image"].iloc[0])
        message = f"{what} {group} lies in {held}"
        findings.append(Finding(CODE, Severity.ERROR, message, str(material.known.root / image), image=image))
    return findings


CHECK = Check(
    code=CODE,
    title="group torn across splits",
    severity=Severity.ERROR,
    effect="The model is tested on what it was trained on, so its figures are better than it is.",
    mend="Let import split, which keeps groups and variants whole, or move all of the group into one split.",
    find=_find,
)
