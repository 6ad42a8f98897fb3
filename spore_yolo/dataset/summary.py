"""What a dataset holds, in a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from tabulate import tabulate

from spore_yolo.dataset.split import SPLITS
from spore_yolo.dataset.statistics import Spread, Statistics
from spore_yolo.dataset.store import SPARE, Dataset

MIN_GROUPS = 8
"""With fewer groups that hold a class, its recall has no interval that means something."""


@dataclass
class Summary:
    """The figures of a dataset.

    Attributes:
        table: A row a line of the printed table: images, groups and boxes of each class, a column a split.
        empty_share: Share of images without a box, ignored boxes included, among those in a split.
        imbalance: Boxes of the commonest class per box of the rarest, or ``None`` with fewer than two classes.
        ignored: Number of ignored boxes.
        spare: Number of variants that no split holds.
        warnings: What will limit training or evaluation.
    """

    table: pd.DataFrame
    empty_share: float
    imbalance: float | None
    ignored: int
    spare: int
    warnings: list[str] = field(default_factory=list)


def summarise(dataset: Dataset) -> Summary:
    """Counts images, groups and boxes per class and split, and warns of what cannot be measured."""
    images = dataset.images[dataset.images["split"].isin(SPLITS)]
    splits = [split for split in SPLITS if (images["split"] == split).any()]
    boxes = dataset.boxes.merge(images[["image", "group", "split"]], on="image")
    wanted = boxes[~boxes["ignored"]]
    rows: dict[str, list[int]] = {
        "images": [int((images["split"] == split).sum()) for split in splits],
        "groups": [int(images.loc[images["split"] == split, "group"].nunique()) for split in splits],
    }
    for name in dataset.classes:
        rows[f"boxes: {name}"] = [int(((wanted["class"] == name) & (wanted["split"] == s)).sum()) for s in splits]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=splits)
    table["all"] = table.sum(axis=1)
    empty = ~images["image"].isin(boxes["image"])
    totals = [int(table.loc[f"boxes: {name}", "all"]) for name in dataset.classes]
    present = [total for total in totals if total]
    return Summary(
        table=table,
        empty_share=float(empty.mean()),
        imbalance=max(present) / min(present) if len(present) > 1 else None,
        ignored=int(boxes["ignored"].sum()),
        spare=int((dataset.images["split"] == SPARE).sum()),
        warnings=_warnings(dataset, images, wanted, splits),
    )


def _warnings(dataset: Dataset, images: pd.DataFrame, wanted: pd.DataFrame, splits: Sequence[str]) -> list[str]:
    warnings = []
    sources = images.groupby("group")["source"].nunique()
    if dataset.manifest["options"]["group_by"] is None and (sources == 1).all():
        warnings.append(
            "every image (or source of variants) is its own group; if images share a slide, trap or day, say so with"
            " --group-by, or figures will be too good"
        )
    for split in splits:
        absent = [
            name for name in dataset.classes if not ((wanted["class"] == name) & (wanted["split"] == split)).any()
        ]
        if absent:
            warnings.append(f"no box of {', '.join(absent)} in {split}")
        if split == "train":
            continue
        held = wanted[wanted["split"] == split].groupby("class")["group"].nunique()
        few = [f"{name} {held[name]}" for name in dataset.classes if 0 < held.get(name, 0) < MIN_GROUPS]
        if few:
            warnings.append(
                f"too few groups in {split} to measure with an interval (at least {MIN_GROUPS} wanted):"
                f" {', '.join(few)}"
            )
    return warnings


def summary_text(dataset: Dataset) -> str:
    """The summary as ``import`` and ``describe`` print it."""
    summary = summarise(dataset)
    lines = [
        f"Dataset {dataset.name}: {dataset.folder}",
        "",
        tabulate(summary.table, headers="keys", tablefmt="simple", intfmt=","),
        "",
        f"empty slides: {summary.empty_share:.1%}",
    ]
    if summary.imbalance is not None:
        lines.append(f"imbalance (commonest to rarest class): {summary.imbalance:.1f} : 1")
    if dataset.targets:
        lines.append(f"targets: {', '.join(dataset.targets)}")
    if summary.ignored:
        lines.append(f"ignored boxes: {summary.ignored:,}")
    if summary.spare:
        lines.append(f"variants left out (validation and test hold one a source): {summary.spare:,}")
    lines += [f"warning: {warning}" for warning in summary.warnings]
    return "\n".join(lines)


def sizes_text(statistics: Statistics) -> str:
    """Sizes of boxes a class, and how dense slides are, as ``describe`` prints them below the summary."""
    headers = ["longer side, px", "shorter side, px", "longer side, um", "longer / shorter"]
    rows = [
        [figures.name, *map(_median, (figures.longer_px, figures.shorter_px, figures.longer_um, figures.aspect))]
        for figures in statistics.classes
    ]
    whole = statistics.whole
    lines = [
        "the median box of each class (from the 5th to the 95th of 100):",
        "",
        tabulate(rows, headers=headers, tablefmt="simple", stralign="right", disable_numparse=True, colalign=("left",)),
        "",
        f"boxes a slide: {_median(whole.per_image)}; a megapixel: {_median(whole.per_megapixel)}"
        + (f"; a mm2: {_median(whole.per_mm2)}" if whole.per_mm2 else ""),
    ]
    if statistics.touching is not None and statistics.crowded is not None:
        lines.append(f"boxes that touch another one: {statistics.touching:.1%}; overlap it: {statistics.crowded:.1%}")
    return "\n".join(lines)


def _median(values: Spread | None) -> str:
    """The median, and where nine in ten lie."""
    if values is None:
        return "-"
    median, low, high = (
        f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in (values.median, values.p5, values.p95)
    )
    return f"{median} ({low} to {high})"
