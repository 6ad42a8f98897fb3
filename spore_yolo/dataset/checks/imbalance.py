"""SPR025: how much more common the commonest class is than the rarest."""

from __future__ import annotations

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity

CODE = "SPR025"

WORTH_SAYING = 5.0
"""Boxes of the commonest class per box of the rarest from which it is said."""

STRONG = 20.0
"""The ratio from which training needs help."""


def _find(material: Material) -> list[Finding]:
    counts = material.boxes.loc[~material.boxes["ignored"], "class"].value_counts()
    if len(counts) < 2 or counts.iloc[0] < WORTH_SAYING * counts.iloc[-1]:
        return []
    ratio = counts.iloc[0] / counts.iloc[-1]
    message = (
        f"{counts.index[0]} has {counts.iloc[0]:,} boxes, {counts.index[-1]} {counts.iloc[-1]:,}: {ratio:,.1f} to 1"
    )
    severity = Severity.WARNING if ratio >= STRONG else Severity.NOTE
    return [Finding(CODE, severity, message, str(material.path))]


CHECK = Check(
    code=CODE,
    title="imbalance of the classes",
    severity=Severity.WARNING,
    effect="A class that is seen rarely is passed over, and figures over all classes hide it.",
    mend="Label more of the rare class, merge classes that need not be told apart, read the figures class by class.",
    find=_find,
)
