"""The figures over boxes: counts, recall, precision, false alarms; and the forms that all figures share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from tabulate import tabulate

from spore_yolo.evaluation.intervals import Figures, rate_figure, share_figure
from spore_yolo.evaluation.scoring import Scored, group_numbers
from spore_yolo.labels.matching import Floats, Ints


def yes_or_no_figures(truth: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_], group: Ints | None = None) -> Figures:
    """Recall and specificity of something that is said to be so or not.

    Args:
        truth: ``(N,)``, whether it is so.
        said: ``(N,)``, whether it is said to be so.
        group: ``(N,)``, the number of the group of each.

    Returns:
        ``tp, fp, tn, fn``, and as figures ``recall``, TP / (TP + FN), and ``specificity``, TN / (TN + FP).
    """
    group = np.zeros(len(truth), dtype=np.int64) if group is None else group
    groups = int(group.max()) + 1 if len(group) else 0

    def by_group(which: npt.NDArray[np.bool_]) -> Floats:
        return np.bincount(group[which], minlength=groups).astype(np.float64)

    tp, fn = by_group(truth & said), by_group(truth & ~said)
    fp, tn = by_group(~truth & said), by_group(~truth & ~said)
    counts = {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
    return {
        **{name: int(count.sum()) for name, count in counts.items()},
        "recall": share_figure(tp, tp + fn),
        "specificity": share_figure(tn, tn + fp),
    }


def compute_metrics(detections: Scored, ap: Mapping[str | None, Figures]) -> Figures:
    """The figures over boxes of ``metrics.json``.

    Args:
        detections: The matched detections.
        ap: What else is known of each class, and under ``None`` of all, such as its AP.

    Returns:
        ``overall`` and ``per_class`` with the counts ``boxes, tp, fp, fn``, the figures ``recall, precision,
        false_alarms_per_slide, false_alarms_per_megapixel``, and what is in ``ap``; and ``per_group`` with the counts,
        ``recall`` and ``precision`` as plain numbers, since a group is one unit. Overall counts are sums over classes.
    """
    number, groups = group_numbers(detections.images)
    counts = {name: counts_by_group(detections, name) for name in detections.classes}
    overall = {key: sum((count[key] for count in counts.values()), np.zeros(groups)) for key in ("tp", "fp", "fn")}
    area = (detections.images["width"] * detections.images["height"]).to_numpy(dtype=np.float64) / 1e6
    # Where the size of a slide is not known, nobody can say how many false alarms a megapixel has.
    area = area if np.isfinite(area).all() else np.zeros(len(area))
    slides = np.bincount(number, minlength=groups).astype(np.float64)
    megapixels = np.bincount(number, weights=area, minlength=groups).astype(np.float64)

    def figures(count: Mapping[str, Floats], more: Figures) -> Figures:
        tp, fp, fn = (count[key] for key in ("tp", "fp", "fn"))
        return {
            "boxes": int((tp + fn).sum()),
            **{key: int(count[key].sum()) for key in ("tp", "fp", "fn")},
            "recall": share_figure(tp, tp + fn),
            "precision": share_figure(tp, tp + fp),
            **more,
            "false_alarms_per_slide": rate_figure(fp, slides),
            "false_alarms_per_megapixel": rate_figure(fp, megapixels),
        }

    names = sorted(detections.images["group"].unique())
    return {
        "overall": figures(overall, ap[None]),
        "per_class": {name: figures(count, ap[name]) for name, count in counts.items()},
        "per_group": {str(name): _of_group(overall, place) for place, name in enumerate(names)},
    }


def counts_by_group(detections: Scored, name: str) -> dict[str, Floats]:
    """``tp, fp, fn`` of a class in each group, groups by name; detections on ignored boxes count in nothing."""
    groups = sorted(detections.images["group"].unique())
    found, labelled = detections.candidates, detections.truth
    found = found[(found["class"] == name) & ~found["on_ignored"]]
    labelled = labelled[labelled["class"] == name]

    def by_group(rows: pd.DataFrame) -> Floats:
        return np.asarray(rows["group"].value_counts().reindex(groups, fill_value=0), dtype=np.float64)

    tp = by_group(found[found["truth"] >= 0])
    return {"tp": tp, "fp": by_group(found) - tp, "fn": by_group(labelled) - tp}


def found_figure(rows: pd.DataFrame, column: str = "found") -> Figures:
    """The share of rows of which something is so, as a figure; columns ``group`` and the boolean one."""
    by_group = rows.groupby("group")[column]
    return share_figure(by_group.sum().to_numpy(dtype=np.float64), by_group.size().to_numpy(dtype=np.float64))


def _of_group(count: Mapping[str, Floats], place: int) -> Figures:
    tp, fp, fn = (int(count[key][place]) for key in ("tp", "fp", "fn"))
    return {
        "boxes": tp + fn,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "recall": tp / (tp + fn) if tp + fn else None,
        "precision": tp / (tp + fp) if tp + fp else None,
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
    return [
        name,
        *(f"{figures[key]:,}" for key in ("boxes", "tp", "fn", "fp")),
        cell(figures["recall"]),
        cell(figures["precision"]),
        *(cell(figures[key], interval=False) for key in ("ap50", "ap50_95")),
        cell(figures["false_alarms_per_slide"], decimals=2),
        cell(figures["false_alarms_per_megapixel"], decimals=2, interval=False),
    ]


def cell(figure: Figures, decimals: int = 3, interval: bool = True) -> str | None:
    """A figure as tables for people show it: its value, and where there is one its interval in a line below."""
    if figure["value"] is None:
        return None
    text = f"{figure['value']:.{decimals}f}"
    if interval and figure["interval"]:
        low, high = (f"{bound:.2f}" for bound in figure["interval"])
        text += f"\n{low}-{high}"
    return text
