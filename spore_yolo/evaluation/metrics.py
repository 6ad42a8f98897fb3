"""The figures of an evaluation: counts, recall, precision, average precision, false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from spore_yolo.evaluation.scoring import Scored

Figures = dict[str, Any]


def compute_metrics(scored: Scored, threshold: float, ap: Mapping[str, tuple[float | None, float | None]]) -> Figures:
    """The content of ``metrics.json`` that depends on the operating point.

    Args:
        scored: The matched split.
        threshold: Lowest detector_score that counts.
        ap: AP50 and AP50-95 of each class.

    Returns:
        ``overall`` and ``per_class`` with ``boxes, tp, fp, fn, recall, precision, ap50, ap50_95,
        false_alarms_per_slide, false_alarms_per_megapixel``. Overall counts are sums over classes, overall APs are
        means over the classes that have labelled boxes. A figure that cannot be computed is ``None``.
    """
    per_class = {name: _figures(scored, threshold, [name], [ap[name]]) for name in scored.classes}
    per_group = {
        str(group): _counts(scored, threshold, scored.classes, str(group))
        for group in sorted(scored.images["group"].unique())
    }
    return {
        "overall": _figures(scored, threshold, scored.classes, [ap[name] for name in scored.classes]),
        "per_class": per_class,
        "per_group": per_group,
    }


def _counts(scored: Scored, threshold: float, classes: Sequence[str], group: str | None = None) -> Figures:
    shown = scored.candidates[
        (scored.candidates["score"] >= threshold)
        & scored.candidates["class"].isin(classes)
        & ~scored.candidates["on_ignored"]
    ]
    truth = scored.truth[scored.truth["class"].isin(classes)]
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


def _figures(
    scored: Scored,
    threshold: float,
    classes: Sequence[str],
    ap: Sequence[tuple[float | None, float | None]],
) -> Figures:
    figures = _counts(scored, threshold, classes)
    known = [(ap50, ap50_95) for ap50, ap50_95 in ap if ap50 is not None and ap50_95 is not None]
    slides = len(scored.images)
    return {
        **figures,
        "ap50": sum(ap50 for ap50, _ in known) / len(known) if known else None,
        "ap50_95": sum(ap50_95 for _, ap50_95 in known) / len(known) if known else None,
        "false_alarms_per_slide": figures["fp"] / slides if slides else None,
        "false_alarms_per_megapixel": figures["fp"] / scored.megapixels if scored.megapixels else None,
    }


def metrics_text(metrics: Figures, targets: Sequence[str]) -> str:
    """The figures as a table that leads with the targets."""
    per_class: Mapping[str, Figures] = metrics["per_class"]
    names = [*(name for name in targets if name in per_class), *(name for name in per_class if name not in targets)]
    rows = [_row(f"{name} (target)" if name in targets else name, per_class[name]) for name in names]
    if len(names) > 1:
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
