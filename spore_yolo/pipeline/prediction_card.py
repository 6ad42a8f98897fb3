"""The card of the prediction flow: what was found and what failed, what it took, and the contact sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spore_yolo.pipeline.card_parts import escaped, listed, paragraph, picture, table
from spore_yolo.pipeline.estimate import duration

if TYPE_CHECKING:
    from spore_yolo.pipeline.prediction_plan import Plan, Results

MOST_ROWS = 50
"""Failed slides that the card lists."""


def prediction_card(plan: Plan, results: Results) -> list[Any]:
    """The parts of the card."""
    counts = [
        (f"{name} (target)" if name in results.targets else name, f"{count:,}")
        for name, count in results.counts.items()
    ]
    looked = f"{results.slides:,} slides were looked at, {len(results.failures):,} failed."
    return [
        paragraph(f"# {results.counts['all']:,} detections"),
        paragraph(f"{looked} The results lie in {escaped(plan.output)}."),
        table(["class", "detections"], counts),
        *_failed(results),
        *listed("Notes", results.notes),
        *[part for name, page in results.sheets.items() for part in _sheet(name, page)],
        paragraph("## What it took"),
        paragraph(escaped(results.took)),
        table(
            ["shard", "slides", "took", "machine"],
            [(number, f"{slides:,}", duration(seconds), where) for number, where, seconds, slides in results.machines],
        ),
        *listed("The estimate", plan.estimate.lines()),
        paragraph("## Slides that took longest"),
        paragraph("The first slide of a shard takes longer than others of its size."),
        table(["slide", "took"], [(name, duration(seconds)) for name, seconds in results.slowest.items()]),
    ]


def _failed(results: Results) -> list[Any]:
    if not results.failures:
        return []
    left = len(results.failures) - MOST_ROWS
    rows = [(failure.slide, failure.reason) for failure in results.failures[:MOST_ROWS]]
    rows += [(f"… {left:,} more slides", "see failed.csv")] if left > 0 else []
    return [paragraph("## Failed slides"), table(["slide", "why"], rows)]


def _sheet(name: str, page: bytes) -> list[Any]:
    return [paragraph(f"## Contact sheet: {escaped(name)}"), picture(page)]
