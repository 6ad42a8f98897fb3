"""The plots of the report, each with a text that tells what it shows to those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spore_yolo.evaluation.html_report.tables import BACKGROUND, TRAITS
from spore_yolo.evaluation.html_report.words import counted, number, reach, span
from spore_yolo.evaluation.intervals import Figures
from spore_yolo.evaluation.metrics import by_importance
from spore_yolo.evaluation.operating_point import Curve
from spore_yolo.evaluation.plots import (
    confusion_uri,
    counts_uri,
    precision_recall_uri,
    recall_by_uri,
    reliability_uri,
    slide_roc_uri,
)
from spore_yolo.evaluation.presence import presence_curves

MOST_CLASSES = 12
"""Classes that have plots of their own: targets, then those with the most labels. The tables hold all."""


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        name: The class it is of; empty where it is of all.
        caption: What follows the name below it.
        uri: The picture as a ``data:`` address.
        alt: What it shows, with numbers.
    """

    name: str
    caption: str
    uri: str
    alt: str


@dataclass(frozen=True)
class Plots:
    """Plots of one kind: a heading, how to read them, and the plots."""

    key: str
    title: str
    explained: str
    plots: list[Plot]
    wide: bool = False


def all_plots(
    metrics: Figures,
    slides: pd.DataFrame,
    confusion: pd.DataFrame,
    curves: Mapping[str, Curve],
    reliability: pd.DataFrame | None,
) -> list[Plots]:
    """All plots for which there is something to show, by kind.

    Args:
        metrics: The content of ``metrics.json``.
        slides: Columns of ``slides.csv``.
        confusion: The confusion matrix with background; empty without one.
        curves: The precision-recall curve of each class.
        reliability: See :func:`spore_yolo.evaluation.calibration.reliability`; ``None`` or empty without a classifier.
    """
    names = _shown(metrics)

    def each(draw: Callable[[str, Figures], Plot | None]) -> list[Plot]:
        return [plot for name in names if (plot := draw(name, metrics["per_class"][name]))]

    kinds = [
        Plots(
            "recall-by",
            "Which spores are missed",
            "Bars: of the spores labelled, how many were found. The line over a bar's end is its range; a hatched bar"
            " comes from too few groups to have one.",
            _recall_by(metrics),
        ),
        Plots(
            "precision-recall",
            "Finding more against raising false alarms",
            "The line shows every threshold on the score: further to the right more is found, further up more of what"
            " is reported is right. The diamond is the operating point, at which all figures here hold. It may lie"
            " beside the line, since a pair has thresholds on two scores.",
            each(lambda name, figures: _precision_recall(name, figures, curves.get(name))),
        ),
        Plots(
            "roc",
            "Slides with the class against slides without",
            "The line shows every threshold on a slide's highest score. A line through the upper left corner tells"
            " them apart without an error, one along the dots tosses a coin. The diamond is the operating point.",
            each(lambda name, figures: _roc(name, figures, slides)),
        ),
        Plots(
            "bland-altman",
            "Counts on each slide against those of experts",
            "A dot is a slide, a larger dot several: above zero too many were detected, below too few. The line is the"
            " mean difference; between the dashed lines 95 of 100 slides are expected (Bland and Altman 1986).",
            each(lambda name, figures: _counts(name, figures, slides[slides["class"] == name])),
        ),
        Plots(
            "confusion",
            "What is called what",
            "Rows: what experts labelled. Columns: what it was called. Right names are on the diagonal; the column"
            " background holds what was missed, the row background what experts did not label. Darker is a larger"
            " share of the row.",
            _confusion(confusion),
            wide=True,
        ),
        Plots(
            "reliability",
            "Can class_score be believed?",
            "Of the crops named with a class_score of 80 %, 80 of 100 should bear the right name: a dot on the dotted"
            " line. Below it the classifier is too sure of itself. A larger dot stands for more crops.",
            _reliability(reliability),
        ),
    ]
    return [kind for kind in kinds if kind.plots]


def _shown(metrics: Figures) -> list[str]:
    per_class, targets = metrics["per_class"], metrics.get("targets") or []
    order = list(by_importance(per_class, targets))
    rest = sorted((name for name in order if name not in targets), key=lambda name: -per_class[name]["boxes"])
    kept = {name for name in order if name in targets} | set(rest[: max(0, MOST_CLASSES - len(order) + len(rest))])
    return [name for name in order if name in kept][:MOST_CLASSES]


def _recall_by(metrics: Figures) -> list[Plot]:
    """Of targets, and of all classes together."""
    per_class, targets = metrics["per_class"], metrics.get("targets") or []
    whose = {name: per_class[name] for name in _shown(metrics) if name in targets or len(per_class) == 1}
    whose = whose or {name: per_class[name] for name in _shown(metrics)[:4] if "recall_by" not in metrics["overall"]}
    if len(per_class) > 1:
        whose = {**whose, "": metrics["overall"]}
    plots = []
    for name, figures in whose.items():
        for trait, title in TRAITS.items():
            rows = figures.get("recall_by", {}).get(trait) or []
            if not any(row["n"] for row in rows):
                continue
            told = "; ".join(f"{row['bin']}: {_told(row)}" for row in rows)
            caption = f"{title.lower()}" if name else f"All classes, {title.lower()}"
            plots.append(Plot(name, caption, recall_by_uri(rows), f"Recall by {title.lower()}. {told}."))
    return plots


def _told(row: Figures) -> str:
    if row["value"] is None:
        return "none labelled"
    return f"{number(row['value'], 'share')} of {row['n']:,} ({reach(row, 'share')})"


def _precision_recall(name: str, figures: Figures, curve: Curve | None) -> Plot | None:
    if curve is None or not curve.boxes or not len(curve.thresholds):
        return None
    recall, precision = figures["recall"]["value"], figures["precision"]["value"]
    at = f"recall {_share(recall)}, precision {_share(precision)}"
    highest = float(curve.recall.max())
    precise = float(curve.precision[curve.recall >= highest].max())
    alt = (
        f"Precision over recall. At the operating point: {at}. With every candidate let in, recall is"
        f" {number(highest, 'share')} at a precision of {number(precise, 'share')}."
    )
    return Plot(name, at, precision_recall_uri(curve, (recall, precision)), alt)


def _roc(name: str, figures: Figures, slides: pd.DataFrame) -> Plot | None:
    curves = presence_curves(slides, name)
    if curves is None:
        return None
    right, clean = figures["recall_slides"]["value"], figures["specificity_slides"]["value"]
    false = None if clean is None else 1 - clean
    at = f"reported on {_share(right)} of slides with it, on {_share(false)} without"
    with_it, without = figures["recall_slides"]["n"], figures["specificity_slides"]["n"]
    area = figures["presence"]["roc_auc"]["value"]
    alt = f"{counted(with_it, 'slide')} with it, {without:,} without. Operating point: {at}."
    alt += "" if area is None else f" Area under the line: {number(area, 'score')}."
    return Plot(name, at, slide_roc_uri(curves, (false, right)), alt)


def _counts(name: str, figures: Figures, slides: pd.DataFrame) -> Plot | None:
    counts = figures.get("counts")
    if not counts or not len(slides):
        return None
    labelled, detected = (slides[key].to_numpy(dtype=np.float64) for key in ("labelled", "detected"))
    if not labelled.any() and not detected.any():
        return None
    bias, limits = counts["bias"]["value"], counts["limits_of_agreement"]
    told = "" if bias is None else f"on average {number(bias, 'signed')} a slide"
    told += f", 95 of 100 differ by {span(limits, 'signed')}" if limits else ""
    alt = (
        f"Detected less labelled on {counted(len(slides), 'slide')}: {told}. Labelled {int(labelled.sum()):,},"
        f" detected {int(detected.sum()):,} in all."
    )
    return Plot(name, told, counts_uri(labelled, detected, bias, limits), alt)


def _confusion(confusion: pd.DataFrame) -> list[Plot]:
    if confusion.empty or not confusion.to_numpy().sum():
        return []
    parts = []
    for truth in confusion.index:
        total = int(confusion.loc[truth].sum())
        if not total:
            continue
        if truth == BACKGROUND:
            parts.append(f"{counted(total, 'detection')} on what experts did not label")
        else:
            right = int(confusion.at[truth, truth]) if truth in confusion.columns else 0
            missed = int(confusion.at[truth, BACKGROUND]) if BACKGROUND in confusion.columns else 0
            parts.append(f"{truth}: {right:,} of {total:,} named rightly, {missed:,} missed")
    return [Plot("", "Detections at the operating point", confusion_uri(confusion), "; ".join(parts) + ".")]


def _reliability(reliability: pd.DataFrame | None) -> list[Plot]:
    if reliability is None or reliability.empty:
        return []
    parts = [
        f"{number(score, 'share')} promised, {number(right, 'share')} right of {counted(int(n), 'crop')}"
        for score, right, n in zip(reliability["score"], reliability["right"], reliability["n"], strict=True)
    ]
    caption = f"{int(reliability['n'].sum()):,} crops, all classes"
    return [Plot("", caption, reliability_uri(reliability), "; ".join(parts) + ".")]


def _share(value: float | None) -> str:
    return "not known" if value is None else number(value, "share")
