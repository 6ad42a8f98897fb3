"""``describe.html``: what a dataset holds, on one page for people, which opens offline and runs no script."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from spore_yolo.dataset.statistics import ClassFigures, Spread, Statistics
from spore_yolo.dataset.store import Dataset
from spore_yolo.dataset.summary import MIN_GROUPS
from spore_yolo.evaluation import dataset_plots as plots
from spore_yolo.evaluation.gallery import SMALLEST_WINDOW, WINDOW, window_uri
from spore_yolo.evaluation.html_report.figures import Plot, Plots
from spore_yolo.evaluation.html_report.page import write_page
from spore_yolo.evaluation.html_report.tables import Row, Table
from spore_yolo.evaluation.html_report.words import NONE, SPACE, Cell, counted, named, number
from spore_yolo.files.atomic import atomic_file
from spore_yolo.files.images import UnreadableImage, read_image
from spore_yolo.files.provenance import code_commit, package_versions
from spore_yolo.labels.table import COORDINATES

PAGE, FIGURES = "describe.html", "describe.json"

MOST_CARDS = 6
"""Classes that are spoken of one by one: targets, then the rarest; the tables hold all."""

CROPS = 6
"""Pictures of each class."""

MOST_PICTURED = 20
"""Classes that have pictures."""

BUDGET = 2_000_000
"""Letters that all pictures together may take, so that the page can be sent by mail."""

MOST_GROUPS = 12
"""Groups in the table; the plot has all."""

FEW_TO_LEARN = 100
"""Fewer boxes in train than this are called few. A rule of thumb: how many are enough depends on the spore."""

STEEP = 20
"""Boxes of the commonest class per box of a class from which on that class is called rare."""


@dataclass(frozen=True)
class Crops:
    """Pictures of a class; the longer side of each box stands below it."""

    name: str
    pictures: list[tuple[str, str]]


@dataclass(frozen=True)
class Card:
    """What is said of a class in plain words."""

    name: str
    target: bool
    sentences: list[Markup]


def write_dataset_page(folder: Path, dataset: Dataset, statistics: Statistics, warnings: Sequence[str]) -> None:
    """Writes ``describe.html``, and its figures as ``describe.json``.

    Args:
        folder: Where to; it is made where it is missing.
        dataset: The dataset; its images may be gone, then the page has no pictures and says so.
        statistics: Its figures.
        warnings: What will limit training or evaluation.
    """
    crops, gone = cut_crops(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "targets": dataset.targets,
        "warnings": list(warnings),
        **statistics.content(),
    }
    with atomic_file(folder / FIGURES) as temporary:
        temporary.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_page(
        folder / PAGE,
        "dataset.html.j2",
        {
            "title": dataset.name,
            "figures": statistics,
            "classes": len(dataset.classes),
            "least_groups": MIN_GROUPS,
            "few": FEW_TO_LEARN,
            "warnings": warnings,
            "cards": class_cards(statistics, dataset.targets),
            "tables": [_split_table(statistics), _class_table(statistics, dataset.targets), _size_table(statistics)],
            "group_table": _group_table(statistics),
            "plots": _plots(dataset, statistics),
            "crops": crops,
            "gone": gone,
            "images_root": str(dataset.images_root),
            "steps": next_steps(dataset, statistics),
            "made": _made(dataset),
        },
    )


def class_cards(statistics: Statistics, targets: Sequence[str]) -> list[Card]:
    """Whether there is enough of a class to learn from and to measure on, in plain words."""
    rarest = sorted(statistics.classes, key=lambda figures: (figures.name not in targets, figures.total))
    return [
        Card(figures.name, figures.name in targets, class_sentences(figures, statistics))
        for figures in rarest[: max(MOST_CARDS, len(targets))]
    ]


def class_sentences(figures: ClassFigures, statistics: Statistics) -> list[Markup]:
    """How much of a class there is, whether it can be learned, and whether it can be measured."""
    share = figures.total / max(1, statistics.whole.boxes)
    sentences = [
        Markup("<strong>{}</strong> on {} of {} slides, {} of all labels.").format(
            _boxes(figures.total),
            f"{sum(figures.slides.values()):,}",
            f"{statistics.whole.images:,}",
            number(share, "share"),
        )
    ]
    boxes, groups = figures.boxes.get("train", 0), figures.groups.get("train", 0)
    basis = f"{_boxes(boxes)} from {counted(groups, 'group')}"
    if not boxes:
        sentences.append(Markup("<strong>Cannot be learned:</strong> none is in the train part."))
    elif groups < MIN_GROUPS or boxes < FEW_TO_LEARN:
        scarce = "groups: the model may learn these groups instead of the spore" if boxes >= FEW_TO_LEARN else "boxes"
        sentences.append(Markup("<strong>Little to learn from:</strong> {}. These are few {}.").format(basis, scarce))
    else:
        sentences.append(Markup("Something to learn from: {}.").format(basis))
    return [*sentences, *(_measured(figures, split, use) for split, use in _uses(statistics).items())]


def _boxes(count: int) -> str:
    return "1 box" if count == 1 else f"{count:,} boxes"


def _uses(statistics: Statistics) -> dict[str, str]:
    """What the parts that are measured on are for."""
    uses = {"test": "to state its recall", "val": "to choose thresholds", "calibration": "to promise a recall"}
    return {split: use for split, use in uses.items() if split in statistics.splits}


def _measured(figures: ClassFigures, split: str, use: str) -> Markup:
    boxes, groups = figures.boxes[split], figures.groups[split]
    if not boxes:
        said = "<strong>Nothing {}:</strong> none is in the {} part."
        return Markup(said).format(use, split)
    if groups < MIN_GROUPS:
        said = "<strong>Too few groups {}:</strong> {} in {}, {} more are needed."
        return Markup(said).format(use, groups, split, MIN_GROUPS - groups)
    return Markup("Enough groups {}: {} in {}.").format(use, groups, split)


def next_steps(dataset: Dataset, statistics: Statistics) -> list[Markup]:
    """What would help most, then the commands that come next."""
    steps: list[Markup] = []
    missing = {
        figures.name: short
        for figures in statistics.classes
        if (short := max(MIN_GROUPS - figures.groups.get(split, 0) for split in ("val", "test"))) > 0
    }
    if missing:
        worst = sorted(missing.items(), key=lambda item: (item[0] not in dataset.targets, -item[1]))[:MOST_CARDS]
        names = Markup(", ").join(Markup("{} ({})").format(named(name), short) for name, short in worst)
        more = " and others" if len(missing) > len(worst) else ""
        said = (
            "Label slides from more groups that hold {}{}: behind each stands how many more groups validation or test"
            " need. Groups that are there keep their part when you import again; new ones are dealt out to all parts,"
            " so plan for about five new groups for one that is to land in test."
        )
        steps.append(Markup(said).format(names, more))
    most = max((figures.total for figures in statistics.classes), default=0)
    rare = [figures for figures in statistics.classes if 0 < figures.total * STEEP <= most]
    if rare:
        names = Markup(", ").join(
            named(figures.name) for figures in sorted(rare, key=lambda one: one.total)[:MOST_CARDS]
        )
        said = "Rare beside the commonest class ({} to 1 and more): {}. Label slides that have these first."
        steps.append(Markup(said).format(STEEP, names))
    if not statistics.whole.empty:
        steps.append(
            Markup(
                "Add slides without any spore: there are none, and false alarms on empty slides, which is most of what"
                " comes in, cannot be measured."
            )
        )
    if not statistics.scaled:
        steps.append(
            Markup("Say the scale: <code>--um-per-px</code> at import. Then sizes are in µm and densities per mm².")
        )
    for what, command in {
        "Look for faults in the labels": "spore-yolo check",
        "Look at the labels themselves, the rarest, largest and smallest first": "spore-yolo browse --dataset",
        "Train": "spore-yolo train-detector --dataset",
    }.items():
        steps.append(Markup("{}: <code>{} {}</code>").format(what, command, dataset.name))
    return steps


def cut_crops(dataset: Dataset, per_class: int = CROPS) -> tuple[list[Crops], int]:
    """Pictures of labelled boxes, and how many could not be cut since their image is gone or damaged.

    Of each class they are of as many groups and slides as possible, and of boxes from the 10th to the 90th percentile
    of its sizes, the smallest first.
    """
    chosen = pick_boxes(dataset, per_class)
    budget = BUDGET / max(1, len(chosen))
    cut: dict[str, list[tuple[float, str, str]]] = {}
    gone = 0
    for slide, rows in chosen.groupby("image", sort=False):
        try:
            pixels = read_image(dataset.path_of(str(slide)))
        except UnreadableImage:
            gone += len(rows)
            continue
        for row in rows.to_dict("records"):
            x_min, y_min, x_max, y_max = (float(row[name]) for name in COORDINATES)
            longer = max(x_max - x_min, y_max - y_min)
            # Smaller than in the gallery of errors: what matters is the spore, not what lies round it.
            side = max(SMALLEST_WINDOW // 3, math.ceil(WINDOW / 2 * longer))
            scale = float(row["um_per_px"])
            size = f"{longer:.0f}{SPACE}px" + ("" if math.isnan(scale) else f", {longer * scale:.1f}{SPACE}µm")
            uri = window_uri((x_min, y_min, x_max, y_max), pixels, side, budget)
            cut.setdefault(row["class"], []).append((longer, uri, size))
    crops = [
        Crops(name, [(uri, size) for _, uri, size in sorted(cut[name])]) for name in dataset.classes if name in cut
    ]
    return crops, gone


def pick_boxes(dataset: Dataset, per_class: int) -> pd.DataFrame:
    """The labelled boxes that are shown, with their image's columns; see :func:`cut_crops`."""
    boxes = dataset.boxes[~dataset.boxes["ignored"]].merge(dataset.images, on="image")
    boxes = boxes.assign(side=np.hypot(boxes["x_max"] - boxes["x_min"], boxes["y_max"] - boxes["y_min"]))
    parts = [boxes.iloc[:0]]
    for name in [*dataset.targets, *(name for name in dataset.classes if name not in dataset.targets)][:MOST_PICTURED]:
        part = boxes[boxes["class"] == name]
        usual = part[part["side"].between(part["side"].quantile(0.1), part["side"].quantile(0.9))].sort_values("side")
        wanted = min(per_class, len(usual))
        # Of as many neighbouring strips of sizes one box each, from the group and slide that was shown least so far.
        seen: dict[str, int] = {}
        for strip in np.array_split(np.arange(len(usual)), wanted) if wanted else []:
            rows = usual.iloc[strip]
            shown = rows["group"].map(seen).fillna(0) * len(boxes) + rows["image"].map(seen).fillna(0)
            row = rows.iloc[[int(shown.to_numpy().argmin())]]
            for key in (row["group"].iloc[0], row["image"].iloc[0]):
                seen[key] = seen.get(key, 0) + 1
            parts.append(row)
    return pd.concat(parts)


def _split_table(statistics: Statistics) -> Table:
    parts = {**statistics.splits, "all": statistics.whole}
    scaled = statistics.whole.per_mm2 is not None
    rows = []
    for name, part in parts.items():
        cells = [
            Cell(f"{part.images:,}", (counted(part.groups, "group"),)),
            Cell(f"{part.boxes:,}"),
            Cell(f"{part.empty:,}", (number(part.empty_share, "share"),)),
            _range(part.per_image),
            _range(part.per_megapixel),
        ]
        rows.append(Row(name, [*cells, _range(part.per_mm2)] if scaled else cells))
    headers = ["part", "slides", "labelled boxes", "empty slides", "boxes a slide", "boxes a megapixel"]
    return Table(
        "parts",
        "The parts of the dataset",
        [*headers, "boxes a mm²"] if scaled else headers,
        rows,
        "Large: the median slide; small: from the 5th to the 95th of 100 slides.",
    )


def _class_table(statistics: Statistics, targets: Sequence[str]) -> Table:
    rows = []
    for figures in statistics.classes:
        share = figures.total / max(1, statistics.whole.boxes)
        cells = [Cell(f"{figures.total:,}", (number(share, "share"),))]
        cells += [
            Cell(f"{figures.boxes[split]:,}", (counted(figures.groups[split], "group"),)) for split in statistics.splits
        ]
        cells.append(Cell(f"{figures.ignored:,}"))
        rows.append(Row(figures.name, cells, " (target)" if figures.name in targets else ""))
    return Table(
        "classes",
        "Labelled boxes of each class",
        ["class", "all", *statistics.splits, "ignored"],
        rows,
        f"Under a number of boxes: of how many groups they are; a part that is measured on wants {MIN_GROUPS}.",
    )


def _size_table(statistics: Statistics) -> Table:
    scaled = bool(statistics.scaled)
    rows = []
    for figures in statistics.classes:
        cells = [_range(figures.longer_px), _range(figures.shorter_px)]
        cells += [_range(figures.longer_um), _range(figures.shorter_um)] if scaled else []
        crowded = NONE if figures.crowded is None else number(figures.crowded, "share")
        rows.append(Row(figures.name, [*cells, _range(figures.aspect), Cell(crowded)]))
    headers = ["class", "longer side, px", "shorter side, px"]
    headers += ["longer side, µm", "shorter side, µm"] if scaled else []
    note = "Large: the median box; small: from the 5th to the 95th of 100. Overlapped: by another box, IoU 0.1 or more."
    return Table("sizes", "Sizes of boxes", [*headers, "longer by shorter side", "overlapped"], rows, note)


def _group_table(statistics: Statistics) -> Table:
    rows = []
    for group in statistics.groups[:MOST_GROUPS]:
        names = ", ".join(f"{name} {number:,}" for name, number in sorted(group.boxes.items(), key=lambda i: -i[1])[:4])
        more = " …" if len(group.boxes) > 4 else ""
        cells = [Cell(group.split), Cell(f"{group.images:,}"), Cell(f"{group.total:,}"), Cell((names or NONE) + more)]
        rows.append(Row(group.name, cells))
    shown = f"The {MOST_GROUPS} largest of {len(statistics.groups):,} groups; describe.json has all."
    return Table(
        "groups",
        "Groups",
        ["group", "part", "slides", "labelled boxes", "of which"],
        rows,
        shown if len(statistics.groups) > MOST_GROUPS else "",
    )


def _range(values: Spread | None) -> Cell:
    """The median, and where nine in ten lie."""
    if values is None:
        return Cell(NONE)
    return Cell(_short(values.median), (f"{_short(values.p5)}{SPACE}to{SPACE}{_short(values.p95)}",))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _plots(dataset: Dataset, statistics: Statistics) -> list[Plots]:
    by_count = sorted(statistics.classes, key=lambda figures: -figures.total)[: plots.MOST_BARS]
    told = [figures for figures in by_count if figures.total]
    kinds = []
    if len(by_count) > 1:
        alt = "; ".join(f"{figures.name} {figures.total:,}" for figures in by_count)
        kinds.append(_kind("imbalance", "Imbalance", _WORDS["imbalance"], [("", plots.imbalance_uri(by_count), alt)]))
    sizes = []
    for attribute, unit in (("longer_px", "px"), ("longer_um", "µm")):
        spreads = {figures.name: size for figures in told if (size := getattr(figures, attribute)) is not None}
        if spreads:
            alt = "; ".join(f"{name}: median {_short(size.median)} {unit}" for name, size in spreads.items())
            sizes.append((f"in {unit}", plots.sizes_uri(spreads, unit), alt))
    if sizes:
        kinds.append(_kind("sizes", "How large", _WORDS["sizes"], sizes))
    rows: dict[str, dict[str, int]] = {
        "slides": {name: part.images for name, part in statistics.splits.items()},
        "groups": {name: part.groups for name, part in statistics.splits.items()},
    }
    rows |= {figures.name: figures.boxes for figures in told}
    alt = "; ".join(f"{name}: " + ", ".join(f"{split} {n:,}" for split, n in row.items()) for name, row in rows.items())
    kinds.append(_kind("balance", "Balance of the parts", _WORDS["balance"], [("", plots.balance_uri(rows), alt)]))
    used = dataset.images[dataset.images["split"].isin(statistics.splits)]["image"]
    boxes = dataset.boxes[~dataset.boxes["ignored"]]
    per_slide = used.map(boxes["image"].value_counts()).fillna(0).to_numpy(dtype=np.float64)
    median = statistics.whole.per_image.median
    spots = [("boxes a slide", plots.density_uri(per_slide), f"median {_short(median)} boxes a slide")]
    if statistics.whole.boxes:
        spots.append(("place on the slide", plots.heat_uri(statistics.heat), _heat_alt(statistics.heat)))
    largest = statistics.groups[0]
    spots.append(
        ("groups", plots.groups_uri(statistics.groups), f"the largest, {largest.name}, has {largest.total:,} boxes")
    )
    kinds.append(_kind("where", "How dense, and where", _WORDS["where"], spots))
    return kinds


_WORDS = {
    "imbalance": "Labelled boxes of each class. A model sees the rare ones seldom, and misses them first.",
    "sizes": "The longer side of the boxes: the line holds 90 of 100, the bar the middle half, the tick is the median.",
    "balance": "Which share lies in which part. Groups are never torn apart, so shares differ; a class that is missing"
    " from a part can be neither learned nor measured there.",
    "where": "Boxes on each slide; where their centres lie, all slides laid on top of each other (an even shade is as"
    " it should be, dark edges or an empty middle tell of slides labelled in part); and how boxes spread over groups.",
}


def _kind(key: str, title: str, explained: str, shown: Sequence[tuple[str, str, str]]) -> Plots:
    return Plots(key, title, explained, [Plot("", caption, uri, alt) for caption, uri, alt in shown], len(shown) == 1)


def _heat_alt(heat: Sequence[Sequence[float]]) -> str:
    middle = np.array(heat)[len(heat) // 4 : -len(heat) // 4, len(heat) // 4 : -len(heat) // 4].sum()
    return f"{number(float(middle), 'share')} of the boxes lie in the middle quarter of the slide"


def _made(dataset: Dataset) -> list[tuple[str, str]]:
    options = dataset.manifest["options"]
    lines = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "images": dataset.images_root,
        "groups by": options.get("group_by") or "source image",
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "code commit": code_commit(),
        "spore-yolo": package_versions().get("spore-yolo"),
    }
    return [(name, str(value)) for name, value in lines.items() if value]
