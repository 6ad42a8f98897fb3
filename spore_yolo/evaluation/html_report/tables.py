"""The tables of the report: what each holds, and why a cell is empty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from spore_yolo.evaluation.html_report.words import NO_SCORES, NONE, Cell, Kind, cell, counted, number, span
from spore_yolo.evaluation.intervals import Figures
from spore_yolo.evaluation.metrics import by_importance

BACKGROUND = "background"
MOST_MIX_UPS = 15

TRAITS = {
    "side_um": "Size of the spore",
    "side_px": "Size of the spore in pixels",
    "density": "Crowding (labelled spores on a megapixel)",
    "sharpness": "Sharpness",
    "neighbour": "Distance to the next spore",
}
"""Traits by which recall is split, in the order shown, with what the report calls them."""


MOST_GROUPS = 12
"""As many groups are listed: enough to see whether the misses come from a few of them."""


@dataclass(frozen=True)
class Row:
    """A row: its name out of the data, what follows that, and its cells."""

    name: str
    cells: list[Cell]
    suffix: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: Names it within the page.
        caption: What it shows.
        headers: Of all columns, that of the names first.
        rows: The rows.
        note: What else must be known to read it.
    """

    key: str
    caption: str
    headers: list[str]
    rows: list[Row]
    note: str = ""


@dataclass(frozen=True)
class _Column:
    """A column of figures: its header, where the figure is, how it is shown, and why it may be missing."""

    header: str
    keys: tuple[str, ...]
    kind: Kind | None = None
    nothing: str = ""


BOXES = [
    _Column("labelled", ("boxes",)),
    _Column("found", ("tp",)),
    _Column("missed", ("fn",)),
    _Column("false alarms", ("fp",)),
    _Column("recall", ("recall",), "share", "none labelled"),
    _Column("precision", ("precision",), "share", "nothing reported"),
    _Column("false alarms a slide", ("false_alarms_per_slide",), "rate", "no slides"),
    _Column("false alarms a megapixel", ("false_alarms_per_megapixel",), "rate", "no slides"),
]

RANKING = [
    _Column("found at all", ("found_at_all",), "share", "none labelled"),
    _Column("AP50", ("ap50",), "score", "none labelled"),
    _Column("AP50-95", ("ap50_95",), "score", "none labelled"),
    _Column("AR", ("ar",), "score", "none labelled"),
]

CROPS = [
    _Column("of the class, called so", ("crops", "tp")),
    _Column("of the class, not called so", ("crops", "fn")),
    _Column("others, called so", ("crops", "fp")),
    _Column("others, not called so", ("crops", "tn")),
    _Column("recall", ("recall_crops",), "share", "no crop of it"),
    _Column("specificity", ("specificity_crops",), "share", "no crop of anything else"),
]

SLIDES = [
    _Column("with it, reported", ("slides", "tp")),
    _Column("with it, not reported", ("slides", "fn")),
    _Column("without, reported", ("slides", "fp")),
    _Column("without, not reported", ("slides", "tn")),
    _Column("left out", ("slides", "left_out")),
    _Column("recall", ("recall_slides",), "share", "no slide with it"),
    _Column("specificity", ("specificity_slides",), "share", "no slide without it"),
]

PRESENCE = [
    _Column("ROC AUC", ("presence", "roc_auc"), "score", "needs slides with and without it"),
    _Column("average precision", ("presence", "average_precision"), "score", "no slide with it"),
]

COUNTS = [
    _Column("too many a slide (bias)", ("counts", "bias"), "signed", "no slides"),
    _Column("spread (SD)", ("counts", "sd"), "rate", "needs two slides"),
    _Column(
        "95 of 100 slides differ by (limits of agreement)",
        ("counts", "limits_of_agreement"),
        "signed",
        "needs two slides",
    ),
    _Column("R²", ("counts", "r2"), "score", "all slides bear as many"),
]


FOUND_AT_ALL = (
    "Found at all: a proposal that is strong enough lies on it, whatever it is called. AP and AR go over all scores."
)
LEFT_OUT = "Left out are slides of which nobody knows whether they bear the class: something on them is to be ignored."


def class_tables(metrics: Figures) -> list[Table]:
    """The tables that have a row a class, targets first, and over boxes one for all classes."""
    tables = [
        _by_class(metrics, "boxes", "Spores found, missed and falsely reported", BOXES, overall=True),
        _by_class(metrics, "ranking", "Found at all, and ranked by score", RANKING, overall=True, note=FOUND_AT_ALL),
    ]
    if "crops" in metrics:
        left_out = metrics["crops"].get("left_out_between", 0) + metrics["crops"].get("left_out_ignored", 0)
        note = f"{metrics['crops']['n']:,} crops; {left_out:,} more are left out, since nobody can say what they show."
        tables.append(_by_class(metrics, "crops", "Crops: told from everything else", CROPS, note=note))
    tables.append(_by_class(metrics, "slides", "Slides: is it there or not?", SLIDES + PRESENCE, note=LEFT_OUT))
    tables.append(_by_class(metrics, "counts", "Counts a slide: detected less labelled", COUNTS))
    if "detector_alone" in metrics:
        tables.append(_side_by_side(metrics))
    return [table for table in tables if table.rows]


def trait_tables(metrics: Figures) -> list[Table]:
    """A table a trait, recall of each class in its bins."""
    whose = _classes(metrics, overall=True)
    tables = []
    for trait, title in TRAITS.items():
        split = [(name, suffix, figures.get("recall_by", {}).get(trait)) for name, suffix, figures in whose]
        split = [(name, suffix, bins) for name, suffix, bins in split if bins]
        if not split:
            continue
        names = {tuple(part["bin"] for part in bins) for _, _, bins in split}
        most = max(names, key=len)
        # Where each class has bins of its own, a cell says which it is.
        alike = len(names) == 1
        headers = list(most) if alike else [f"part {place}" for place in range(1, len(most) + 1)]
        rows = []
        for name, suffix, bins in split:
            cells = [_bin_cell(part, named=not alike) for part in bins]
            rows.append(Row(name, cells + [Cell(NONE, ("no such part",))] * (len(most) - len(bins)), suffix))
        note = "" if alike else "Each class is cut into parts of its own, the smallest values first."
        tables.append(Table(f"by-{trait}", f"{title}: recall", ["class", *headers], rows, note))
    return tables


def group_table(metrics: Figures) -> Table | None:
    """The :data:`MOST_GROUPS` groups with the lowest recall, the lowest first; ``None`` without groups."""
    groups: Mapping[str, Figures] = metrics.get("per_group") or {}
    order = sorted(groups, key=lambda name: (groups[name]["recall"] is None, groups[name]["recall"], name))
    rows = []
    for name in order[:MOST_GROUPS]:
        figures = groups[name]
        counts = [Cell(f"{figures[key]:,}") for key in ("boxes", "tp", "fn", "fp")]
        shares = [
            Cell(NONE, (nothing,)) if figures[key] is None else Cell(number(figures[key], "share"))
            for key, nothing in (("recall", "none labelled"), ("precision", "nothing reported"))
        ]
        rows.append(Row(name, counts + shares))
    headers = ["group", "labelled", "found", "missed", "false alarms", "recall", "precision"]
    others = len(order) - len(rows)
    note = f"The other {counted(others, 'group')}: per_group in metrics.json beside this page." if others else ""
    return Table("groups", "Groups, the lowest recall first", headers, rows, note) if rows else None


def mix_up_table(confusion: pd.DataFrame) -> Table | None:
    """The names that were given wrongly, the most frequent first; ``None`` without any."""
    pairs = [
        (int(confusion.at[truth, called]), str(truth), str(called))
        for truth in confusion.index
        for called in confusion.columns
        if truth != called and BACKGROUND not in (truth, called) and confusion.at[truth, called] > 0
    ]
    totals = confusion.sum(axis=1)
    rows = [
        Row(truth, [Cell(called), Cell(f"{count:,}"), Cell(number(count / totals[truth], "share"))])
        for count, truth, called in sorted(pairs, key=lambda pair: -pair[0])[:MOST_MIX_UPS]
    ]
    note = f"The {len(rows)} most frequent of {len(pairs)}; all are in confusion.csv." if len(pairs) > len(rows) else ""
    headers = ["labelled", "called", "how often", "of those labelled"]
    return Table("mix-ups", "Mix-ups: found, but called by another name", headers, rows, note) if rows else None


def _by_class(
    metrics: Figures, key: str, caption: str, columns: Sequence[_Column], overall: bool = False, note: str = ""
) -> Table:
    whose = _classes(metrics, overall)
    # What no class has is no column: predictions that were read from a file have no crops, for one.
    shown = [column for column in columns if any(_holds(figures, column) for _, _, figures in whose)]
    overall_ = metrics["overall"]
    unscored = bool(overall_["boxes"]) and overall_["ap50"]["value"] is None
    rows = [
        Row(name, [_cell(figures, column, unscored) for column in shown], suffix) for name, suffix, figures in whose
    ]
    return Table(key, caption, ["class", *(column.header for column in shown)], rows if shown else [], note)


def _classes(metrics: Figures, overall: bool) -> list[tuple[str, str, Figures]]:
    """Name, what follows it, and figures of each class, targets first; then of all together."""
    per_class = metrics["per_class"]
    order = by_importance(per_class, metrics.get("targets") or [])
    rows = [(name, label.removeprefix(name), per_class[name]) for name, label in order.items()]
    return rows + ([("all classes", "", metrics["overall"])] if overall and len(rows) != 1 else [])


def _at(figures: Figures, keys: Iterable[str]) -> Any:
    found: Any = figures
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _holds(figures: Figures, column: _Column) -> bool:
    parent = _at(figures, column.keys[:-1])
    return isinstance(parent, Mapping) and column.keys[-1] in parent


def _cell(figures: Figures, column: _Column, unscored: bool) -> Cell:
    found = _at(figures, column.keys)
    if isinstance(found, Mapping) and column.kind:
        ranks = column.kind == "score" and column.keys[-1] != "r2"
        return cell(dict(found), column.kind, NO_SCORES if unscored and ranks else column.nothing)
    if found is None:
        return Cell(NONE, (column.nothing,))
    if isinstance(found, int):
        return Cell(f"{found:,}")
    kind = column.kind or "rate"
    return Cell(span(found, kind) if isinstance(found, Sequence) else number(found, kind))


def _bin_cell(figure: Figures, named: bool) -> Cell:
    shown = cell(figure, "share", "none labelled")
    labelled = (f"{figure['n']:,} labelled",) if figure["n"] else ()
    return Cell(shown.text, ((figure["bin"],) if named else ()) + shown.notes + labelled)


def _side_by_side(metrics: Figures) -> Table:
    """The detector alone, the classifier on what experts drew, and both together."""
    alone, by_label = metrics["detector_alone"], metrics.get("classifier_on_labels", {})
    named = {**by_label.get("per_class", {}), "": by_label.get("overall", {})}
    merged = alone["classes_merged_to_spore"]
    rows = []
    for name, suffix, figures in _classes(metrics, overall=True):
        of_all = figures is metrics["overall"]
        own = alone["overall"] if of_all else alone["per_class"].get(name)
        if own is None:
            found = alone["found_at_all"][name]
            detector = [cell(found, "share", "none labelled"), *[Cell(NONE, ("it names nothing",))] * 2]
        else:
            detector = _three(own)
        right = named[""].get("accuracy") if of_all else named.get(name, {}).get("recall")
        called = cell(right, "share", "none labelled") if right else Cell(NONE, ("not measured",))
        at_all = cell(figures["found_at_all"], "share", "none labelled")
        rows.append(Row(name, [*detector, at_all, called, *_three(figures)], suffix))
    headers = [
        *("class", "detector alone: recall", "detector alone: precision", "detector alone: false alarms a slide"),
        *("found at all", "classifier alone: named rightly"),
        *("pair: recall", "pair: precision", "pair: false alarms a slide"),
    ]
    note = f"The detector alone has its own threshold, {alone['threshold']:g}."
    if merged:
        note += " It knows spores only, not their classes; its figures over all classes are of spores against all else."
    return Table("parts", "Which part loses what", headers, rows, note)


def _three(figures: Figures) -> list[Cell]:
    return [
        cell(figures["recall"], "share", "none labelled"),
        cell(figures["precision"], "share", "nothing reported"),
        cell(figures["false_alarms_per_slide"], "rate", "no slides"),
    ]
