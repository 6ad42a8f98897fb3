"""Plots of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spore_yolo.evaluation.operating_point import Curve
from spore_yolo.files.atomic import atomic_file


def plot_precision_recall(path: Path, curves: Mapping[str, Curve], threshold: float, title: str) -> None:
    """Draws precision over recall, a line a class, with the operating point marked.

    Args:
        path: The PNG file.
        curves: The curve of each class.
        threshold: The operating point.
        title: What was evaluated on what.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 6), dpi=120, layout="constrained")
    for number, (name, curve) in enumerate(curves.items()):
        if curve.boxes == 0 or len(curve.thresholds) == 0:
            continue
        style = ("-", "--", ":", "-.")[number // 10 % 4]
        (line,) = axes.plot(curve.recall, curve.precision, style, label=f"{name} ({curve.boxes:,} boxes)")
        passed = np.flatnonzero(curve.thresholds >= threshold)
        if len(passed):
            at = passed[-1]
            axes.plot(curve.recall[at], curve.precision[at], "o", color=line.get_color(), markersize=9)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title(f"{title}\ndots: operating point, detector_score >= {threshold:.3f}", fontsize=11)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="lower left")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)
