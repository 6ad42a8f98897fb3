"""The figures as tables for people: which part of the pair loses what, and how it does on what is no spore."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from spore_yolo.evaluation.intervals import Figures
from spore_yolo.evaluation.metrics import by_importance, cell


def side_by_side_text(metrics: Figures, targets: Sequence[str]) -> str:
    """The detector alone, the classifier alone and the pair, a row a class, targets first.

    Args:
        metrics: Figures with ``detector_alone`` and ``classifier_on_labels``.
        targets: The classes that the user is after.
    """
    per_class, alone = metrics["per_class"], metrics["detector_alone"]
    by_label = metrics["classifier_on_labels"]
    rows = []
    for name, label in by_importance(per_class, targets).items():
        if alone["classes_merged_to_spore"]:
            detector = [cell(alone["found_at_all"][name], interval=False), None, None]
        else:
            detector = _boxes(alone["per_class"][name], interval=False)
        named = by_label["per_class"][name]["recall"]
        rows.append(_row(label, per_class[name], detector, named))
    overall = metrics["overall"]
    accuracy = by_label["overall"]["accuracy"]
    rows.append(_row("all", overall, _boxes(alone["overall"], interval=False), accuracy))
    headers = [
        *("class", "boxes", "alone:\nrecall", "alone:\nprecision", "alone:\nfalse/slide"),
        *("found\nat all", "named\nright", "pair:\nrecall", "pair:\nprecision", "pair:\nfalse/slide"),
    ]
    return _table(rows, headers)


def specificity_text(metrics: Figures, targets: Sequence[str]) -> str:
    """Recall and specificity over crops and over slides, a row a class, targets first."""
    per_class = metrics["per_class"]
    keys = ("recall_crops", "specificity_crops", "recall_slides", "specificity_slides")
    rows = [
        [label, *(_share(per_class[name][key]) for key in keys)]
        for name, label in by_importance(per_class, targets).items()
    ]
    return _table(rows, ["class", "crops:\nrecall", "crops:\nspecificity", "slides:\nrecall", "slides:\nspecificity"])


def _row(label: str, pair: Figures, detector: Sequence[str | None], named: Figures) -> list[str | None]:
    parts = [cell(pair["found_at_all"], interval=False), cell(named, interval=False)]
    return [label, f"{pair['boxes']:,}", *detector, *parts, *_boxes(pair)]


def _boxes(figures: Figures, interval: bool = True) -> list[str | None]:
    return [
        cell(figures["recall"], interval=interval),
        cell(figures["precision"], interval=interval),
        cell(figures["false_alarms_per_slide"], decimals=2, interval=interval),
    ]


def _share(figure: Figures) -> str:
    value, *interval = (cell(figure) or "-").split("\n")
    return "\n".join([f"{value} of {figure['n']:,}", *interval])


def _table(rows: Sequence[Sequence[str | None]], headers: Sequence[str]) -> str:
    return str(tabulate(rows, headers, tablefmt="simple", missingval="-", disable_numparse=True))
