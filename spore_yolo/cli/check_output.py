"""What ``spore-yolo check`` prints, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tabulate import tabulate

from spore_yolo.dataset.checks import CHECKS
from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.placing import line_of
from spore_yolo.dataset.fixing import CHANGES, SKIPPED, Mended
from spore_yolo.labels.table import COORDINATES

SCHEMA = 1
"""Version of the JSON; it changes when a field goes or changes its meaning, not when one is added."""


def explanation(check: Check) -> str:
    """What a code means."""
    return "\n".join(
        [
            f"{check.code} {check.title} ({check.severity})",
            "",
            f"what it does: {check.effect}",
            f"how to mend it: {check.mend}",
        ]
    )


def findings_text(material: Material, findings: Sequence[Finding], mended: Mended | None, most: int | None) -> str:
    """The findings by code, and a table of how many there are.

    Args:
        material: What was checked.
        findings: By code.
        mended: What ``--fix`` did, if it was asked for.
        most: How many findings of a code are shown; ``None`` shows all.
    """
    checks = {check.code: check for check in CHECKS}
    lines: list[str] = []
    table = []
    for code, group in groupby(findings, key=lambda finding: finding.code):
        # The worst first, so that it is among those that are shown.
        found, check = sorted(group, key=lambda finding: list(Severity).index(finding.severity)), checks[code]
        counts = Counter(finding.severity for finding in found)
        lines += [f"{code} {check.title}: {_counted(counts)}", f"  {check.effect}", f"  mend: {check.mend}"]
        mixed = len(counts) > 1
        lines += [
            f"  {_place(finding)}: {code} {f'{finding.severity}: ' * mixed}{finding.message}"
            for finding in found[:most]
        ]
        if most is not None and len(found) > most:
            lines.append(f"  … and {len(found) - most:,} more (--all shows them)")
        lines.append("")
        table.append(
            [code, *(f"{counts[severity]:,}" if counts[severity] else "" for severity in Severity), check.title]
        )
    if table:
        heads = ["code", *(f"{severity}s" for severity in Severity), ""]
        align = ("left", *["right"] * len(Severity), "left")
        lines += [tabulate(table, headers=heads, tablefmt="simple", colalign=align), ""]
    lines += [f"note: {note}" for note in material.labels.notes]
    if mended is not None:
        lines += _mended_lines(mended)
    without = "" if material.pixels is not None else "; images were not decoded"
    lines.append(f"{_checked(material)}: {_counted(Counter(f.severity for f in findings)) or 'nothing found'}{without}")
    return "\n".join(lines)


def _checked(material: Material) -> str:
    images, boxes = len(material.images), _boxes_of(material)
    return f"checked {images:,} images and {boxes:,} boxes ({material.label_format})"


def _boxes_of(material: Material) -> int:
    """How many boxes were read, those that cannot be right included."""
    return len(material.boxes) + len(material.checked.problems)


def _counted(counts: Counter[Severity]) -> str:
    return ", ".join(f"{counts[s]:,} {s}{'s' * (counts[s] > 1)}" for s in Severity if counts[s])


def _place(finding: Finding) -> str:
    place = finding.file or "dataset"
    return place if finding.line is None else f"{place}:{finding.line}"


def _mended_lines(mended: Mended) -> list[str]:
    if mended.labels is None:
        return ["nothing to mend without a guess; nothing was written"]
    counts = mended.changes["code"].value_counts().sort_index()
    by_code = ", ".join(f"{count:,} {code}" for code, count in counts.items())
    lines = [f"mended: {by_code}; new labels: {mended.labels}; each change: {mended.folder / CHANGES}"]
    if mended.skipped:
        what = f"{mended.skipped:,} labels could not be mended, and the new ones do not hold them"
        lines.append(f"{what}: {mended.folder / SKIPPED}")
    return [*lines, *(f"note: {note}" for note in mended.notes)]


def findings_json(material: Material, findings: Sequence[Finding], mended: Mended | None) -> str:
    """The findings as JSON; docs/checks.md says what the fields are."""
    checks = {check.code: check for check in CHECKS}
    counts = Counter(finding.severity for finding in findings)
    codes = Counter(finding.code for finding in findings)
    columns = ["class", *COORDINATES, "label_file", "line"]
    touched = sorted({row for finding in findings for row in finding.rows})
    boxes = dict(zip(touched, material.boxes[columns].iloc[touched].itertuples(index=False, name=None), strict=True))
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "path": str(material.path),
        "format": material.label_format,
        "images": len(material.images),
        "boxes": _boxes_of(material),
        "pixels": material.pixels is not None,
        "notes": material.labels.notes,
        "summary": {
            **{f"{severity}s": counts[severity] for severity in Severity},
            "codes": {code: {"title": checks[code].title, "count": count} for code, count in sorted(codes.items())},
        },
        "findings": [
            {
                "code": finding.code,
                "severity": str(finding.severity),
                "file": finding.file,
                "line": finding.line,
                "image": finding.image,
                "message": finding.message,
                "boxes": [_box(boxes[row]) for row in finding.rows],
            }
            for finding in findings
        ],
    }
    if mended is not None:
        document["fixed"] = {
            "labels": None if mended.labels is None else str(mended.labels),
            "format": mended.label_format,
            "changes": len(mended.changes),
            "skipped": mended.skipped,
        }
    return json.dumps(document, indent=1)


def _box(values: tuple[Any, ...]) -> dict[str, Any]:
    name, *corners, file, line = values
    return {"class": name, "box": corners, "file": file, "line": line_of(line)}
