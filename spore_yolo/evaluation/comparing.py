"""Evaluations of the same slides side by side: paired differences with intervals that take groups as the units.

What makes a group hard or easy is the same for all of them and drops out of a difference. Two runs whose own intervals
overlap may therefore well differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spore_yolo.evaluation.intervals import (
    LEAST_GROUPS,
    Floats,
    Interval,
    rate_difference,
    rate_interval,
    share_difference,
    share_interval,
)
from spore_yolo.evaluation.reading import ALL, Evaluated
from spore_yolo.evaluation.scoring import SPORE
from spore_yolo.files.errors import SporeYoloError

SAME, BETTER, WORSE = "no difference shown", "better", "worse"
VERDICTS = (SAME, BETTER, WORSE)

ROW_COLUMNS = [
    *("class", "figure", "run", "detector_threshold", "class_threshold", "value", "low", "high", "n", "groups"),
    *("difference", "difference_low", "difference_high", "verdict"),
]
"""Columns of the table of :func:`compare`."""


@dataclass(frozen=True)
class Ratio:
    """A figure that is a ratio of sums over groups.

    Attributes:
        part, whole: The columns whose sums it is a ratio of.
        fewer_is_better: Whether a lower figure is the better one.
    """

    part: str
    whole: str
    fewer_is_better: bool = False

    @property
    def is_rate(self) -> bool:
        """Whether it may exceed 1: a count by an exposure, which is the same for all runs."""
        return self.whole in ("slides", "megapixels")


FIGURES = {
    "recall": Ratio("tp", "labelled"),
    "precision": Ratio("tp", "detected"),
    "false_alarms_per_slide": Ratio("fp", "slides", fewer_is_better=True),
    "false_alarms_per_megapixel": Ratio("fp", "megapixels", fewer_is_better=True),
    "recall_slides": Ratio("slides_tp", "slides_with"),
    "specificity_slides": Ratio("slides_tn", "slides_without"),
}
"""The figures that are compared, by their names in ``metrics.json``."""


def check_comparable(runs: Sequence[Evaluated]) -> None:
    """Makes sure that evaluations are of the same slides, labels and classes, matched by the same rule.

    Raises:
        SporeYoloError: They are not; the message says what differs.
    """
    first = runs[0]
    for run in runs[1:]:
        difference = _what_differs(first, run)
        if difference:
            raise SporeYoloError(f"{first.name} and {run.name} cannot be compared: {difference}")


def _what_differs(a: Evaluated, b: Evaluated) -> str:
    """What makes a comparison of two evaluations a lie, and what to do; nothing where it does not."""
    one, other = a.about, b.about
    if one.fingerprint != other.fingerprint:
        prints = [(about.fingerprint or "none")[:12] for about in (one, other)]
        where = f"{one.dataset} (fingerprint {prints[0]}) and {other.dataset} ({prints[1]})"
        again = ", which was imported anew in between" if one.dataset == other.dataset else ""
        return f"they were evaluated on {where}{again}; evaluate both on the same dataset"
    if one.split != other.split:
        return f"they were evaluated on the splits {one.split} and {other.split}; choose one with --split"
    if set(one.per_class) != set(other.per_class):
        names = f"{', '.join(one.per_class)} and {', '.join(other.per_class)}"
        merged = (
            "; a one-class detector without a classifier is evaluated on labels merged to spore: train its classifier"
        )
        hint = (
            merged if [SPORE] in (list(one.per_class), list(other.per_class)) else "; evaluate both on the same classes"
        )
        return f"they have the classes {names}{hint}"
    if one.iou != other.iou:
        return f"their boxes were matched at IoU >= {one.iou:g} and {other.iou:g}; evaluate again with the same --iou"
    lone = set(a.counts["slide"]) ^ set(b.counts["slide"])
    if lone:
        return f"{len(lone)} slides are in one of them only, such as {min(lone)}; evaluate both again"
    # Both have the same slides and classes in the same order by now.
    for column, of in {"labelled": "labels", "group": "group", "width": "width", "height": "height"}.items():
        unlike = ~(
            (a.counts[column] == b.counts[column]) | (a.counts[column].isna() & b.counts[column].isna())
        ).to_numpy()
        if unlike.any():
            row, there = a.counts[unlike].iloc[0], b.counts[unlike].iloc[0]
            kind = f" of {row['class']}" if column == "labelled" else ""
            values = " and ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in (row[column], there[column]))
            return f"slide {row['slide']} has other {of}{kind}, {values}: the truth changed; evaluate both again"
    return ""


def compare(baseline: Evaluated, others: Sequence[Evaluated]) -> pd.DataFrame:
    """Every figure of every run, and how it differs from the baseline's.

    Args:
        baseline: What the others are compared with.
        others: Evaluations that :func:`check_comparable` lets through.

    Returns:
        A row a class (targets first, then :data:`ALL`), figure (:data:`FIGURES`, then ``ap50``) and run (the baseline
        first), with the columns :data:`ROW_COLUMNS`: ``low, high`` is the run's own interval, ``difference`` the run's
        value less the baseline's, with the paired 95 % interval. ``verdict`` is ``baseline``, one of
        :data:`VERDICTS`, says that there are too few groups, or is empty where there is nothing to compare. ``ap50``
        is as ``metrics.json`` states it. What cannot be known is NaN.
    """
    runs = [baseline, *others]
    rows: list[dict[str, Any]] = []
    for name, classes in baseline.classes.items():
        sums = [_by_group(run.counts, classes) for run in runs]
        for figure, ratio in FIGURES.items():
            for run, groups in zip(runs, sums, strict=True):
                own = _own(groups, ratio)
                paired = {"verdict": "baseline"} if run is baseline else _paired(sums[0], groups, ratio)
                rows.append(_head(run, name, figure) | own | paired)
        for run in runs:
            figures = run.about.overall if name == ALL and len(classes) > 1 else run.about.per_class[name]
            ap = figures.ap50
            own = {} if ap is None else {"value": ap.value, "n": ap.n, "groups": ap.groups} | _bounds("", ap.interval)
            rows.append(_head(run, name, "ap50") | own | {"verdict": "baseline" if run is baseline else ""})
    numbers = [column for column in ROW_COLUMNS if column not in ("class", "figure", "run", "groups", "verdict")]
    return pd.DataFrame(rows, columns=ROW_COLUMNS).astype(dict.fromkeys(numbers, "float64") | {"groups": "Int64"})


def changed_slides(baseline: Evaluated, run: Evaluated, classes: Sequence[str], most: int = 10) -> pd.DataFrame:
    """The slides on which two runs miss different numbers of labelled boxes, the largest change first.

    Args:
        baseline: The baseline.
        run: Another run, comparable with it.
        classes: Whose labels.
        most: How many slides.

    Returns:
        ``slide, labelled, missed_before`` (by the baseline), ``missed`` (by the run) and ``change``.
    """
    both = baseline.counts.assign(missed_before=baseline.counts["fn"], missed=run.counts["fn"])
    table = (
        both[both["class"].isin(classes)].groupby("slide")[["labelled", "missed_before", "missed"]].sum().reset_index()
    )
    table = table.assign(change=table["missed"] - table["missed_before"])
    return table[table["change"] != 0].sort_values("change", key=lambda x: -x.abs(), kind="stable").head(most)


def _head(run: Evaluated, name: str, figure: str) -> dict[str, Any]:
    point = run.about.operating_point
    thresholds = (
        {} if point is None else {"detector_threshold": point.detector, "class_threshold": point.class_.get(name)}
    )
    return {"class": name, "figure": figure, "run": run.name} | thresholds


def _by_group(counts: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The sums that figures are made of, a row a group; a slide counts once a class, its area once."""
    rows = counts[counts["class"].isin(classes)]
    with_it, without = rows["known"] & rows["present"], rows["known"] & ~rows["present"]
    rows = rows.assign(
        slides_with=with_it,
        slides_without=without,
        slides_tp=with_it & rows["reported"],
        slides_tn=without & ~rows["reported"],
    )
    summed = ["labelled", "detected", "tp", "fp", "slides_with", "slides_without", "slides_tp", "slides_tn"]
    sums = rows.groupby("group")[summed].sum()
    slides = rows.drop_duplicates("slide")
    areas = slides["width"] * slides["height"] / 1e6
    if areas.isna().any():  # nobody knows what a false alarm per megapixel is
        areas = areas.fillna(0) * 0
    return sums.assign(slides=slides.groupby("group").size(), megapixels=areas.groupby(slides["group"]).sum())


def _columns(groups: pd.DataFrame, ratio: Ratio) -> tuple[Floats, Floats]:
    return groups[ratio.part].to_numpy(dtype=np.float64), groups[ratio.whole].to_numpy(dtype=np.float64)


def _own(groups: pd.DataFrame, ratio: Ratio) -> dict[str, Any]:
    part, whole = _columns(groups, ratio)
    n = float(whole.sum())
    interval = (rate_interval if ratio.is_rate else share_interval)(part, whole)
    own = {"value": part.sum() / n if n else None, "n": n, "groups": int((whole > 0).sum())}
    return own | _bounds("", interval)


def _paired(before: pd.DataFrame, after: pd.DataFrame, ratio: Ratio) -> dict[str, Any]:
    (part_a, whole_a), (part_b, whole_b) = _columns(before, ratio), _columns(after, ratio)
    if not whole_a.sum() or not whole_b.sum():
        return {"verdict": ""}
    difference = float(part_b.sum() / whole_b.sum() - part_a.sum() / whole_a.sum())
    if ratio.is_rate:
        interval = rate_difference(part_a, part_b, whole_a)
    else:
        interval = share_difference(part_a, whole_a, part_b, whole_b)
    groups = int(((whole_a > 0) | (whole_b > 0)).sum())
    verdict = f"too few groups to tell ({groups} of {LEAST_GROUPS})" if interval is None else _verdict(interval, ratio)
    return {"difference": difference, "verdict": verdict} | _bounds("difference_", interval)


def _verdict(interval: Interval, ratio: Ratio) -> str:
    low, high = interval
    if low <= 0 <= high:
        return SAME
    return BETTER if (high < 0) == ratio.fewer_is_better else WORSE


def _bounds(prefix: str, interval: Interval | None) -> dict[str, float]:
    return {} if interval is None else {f"{prefix}low": interval[0], f"{prefix}high": interval[1]}
