"""The figures over boxes: counts, recall, precision, false alarms; and the forms that all figures share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from spore_yolo.evaluation.scoring import Scored

Figures = dict[str, Any]


def share(part: int, whole: int) -> Figures:
    """A share with the number that it is a share of: ``{"value", "n"}``; without any the value is ``None``."""
    return {"value": part / whole if whole else None, "n": whole}


def yes_or_no_figures(truth: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_]) -> Figures:
    """Recall and specificity of something that is said to be so or not.

    Args:
        truth: ``(N,)``, whether it is so.
        said: ``(N,)``, whether it is said to be so.

    Returns:
        ``tp, fp, tn, fn``, and, each as ``{"value", "n"}``, ``recall``, TP / (TP + FN), and ``specificity``,
        TN / (TN + FP).
    """
    tp, fn = int(np.sum(truth & said)), int(np.sum(truth & ~said))
    fp, tn = int(np.sum(~truth & said)), int(np.sum(~truth & ~said))
    return {"tp": tp, "fp": fp, "tn": tn, "fn": fn, "recall": share(tp, tp + fn), "specificity": share(tn, tn + fp)}


def compute_metrics(detections: Scored, ap: Mapping[str, tuple[float | None, float | None]]) -> Figures:
    """The figures over boxes of ``metrics.json``.

    Args:
        detections: The matched detections.
        ap: AP50 and AP50-95 of each class, which all candidates make.

    Returns:
        ``overall`` and ``per_class`` with ``boxes, tp, fp, fn, recall, precision, ap50, ap50_95,
        false_alarms_per_slide, false_alarms_per_megapixel``, and ``per_group`` with the first six. Overall counts are
        sums over classes, overall APs are means over the classes that have labelled boxes. A figure that cannot be
        computed is ``None``.
    """
    classes = detections.classes
    return {
        "overall": _figures(detections, classes, [ap[name] for name in classes]),
        "per_class": {name: _figures(detections, [name], [ap[name]]) for name in classes},
        "per_group": {
            str(group): _counts(detections, classes, str(group))
            for group in sorted(detections.images["group"].unique())
        },
    }


def _counts(detections: Scored, classes: Sequence[str], group: str | None = None) -> Figures:
    shown = detections.candidates[~detections.candidates["on_ignored"] & detections.candidates["class"].isin(classes)]
    truth = detections.truth[detections.truth["class"].isin(classes)]
    if group is not None:
        shown, truth = shown[shown["group"] == group], truth[truth["group"] == group]
    tp = int((shown["truth"] >= 0).sum())
    fp, fn = len(shown) - tp, len(truth) - tp
    return {
        "boxes": len(truth),
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "recall": tp / (tp + fn) if tp + fn else None,
        "precision": tp / (tp + fp) if tp + fp else None,
    }


def _figures(detections: Scored, classes: Sequence[str], ap: Sequence[tuple[float | None, float | None]]) -> Figures:
    figures = _counts(detections, classes)
    known = [(ap50, ap50_95) for ap50, ap50_95 in ap if ap50 is not None and ap50_95 is not None]
    slides = len(detections.images)
    return {
        **figures,
        "ap50": sum(ap50 for ap50, _ in known) / len(known) if known else None,
        "ap50_95": sum(ap50_95 for _, ap50_95 in known) / len(known) if known else None,
        "false_alarms_per_slide": figures["fp"] / slides if slides else None,
        "false_alarms_per_megapixel": figures["fp"] / detections.megapixels if detections.megapixels else None,
    }


def by_importance(names: Iterable[str], targets: Sequence[str]) -> dict[str, str]:
    """The classes, targets first, each with what a table calls it."""
    names = list(names)
    leading = [name for name in targets if name in names]
    return {name: f"{name} (target)" for name in leading} | {name: name for name in names if name not in leading}


def metrics_text(metrics: Figures, targets: Sequence[str]) -> str:
    """The figures as a table that leads with the targets."""
    per_class: Mapping[str, Figures] = metrics["per_class"]
    rows = [_row(label, per_class[name]) for name, label in by_importance(per_class, targets).items()]
    if len(rows) > 1:
        rows.append(_row("all", metrics["overall"]))
    headers = ["class", "boxes", "found", "missed", "false", "recall", "precision", "AP50", "AP50-95", "false/slide"]
    headers.append("false/Mpx")
    return str(tabulate(rows, headers, tablefmt="simple", intfmt=",", missingval="-", disable_numparse=True))


def _row(name: str, figures: Figures) -> list[str | None]:
    shares = [figures[key] for key in ("recall", "precision", "ap50", "ap50_95")]
    return [
        name,
        *(f"{figures[key]:,}" for key in ("boxes", "tp", "fn", "fp")),
        *(None if share is None else f"{share:.3f}" for share in shares),
        _number(figures["false_alarms_per_slide"]),
        _number(figures["false_alarms_per_megapixel"]),
    ]


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
