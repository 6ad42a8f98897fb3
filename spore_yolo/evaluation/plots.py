"""Plots of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spore_yolo.evaluation.operating_point import Curve
from spore_yolo.files.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_precision_recall(
    path: Path, curves: Mapping[str, Curve], points: Mapping[str, tuple[float | None, float | None]], title: str
) -> None:
    """Draws precision over recall, a line a class, with the operating point marked.

    A pair's point may lie off its curve: the curve ranks all candidates by score, the point has a threshold on each of
    the two scores.

    Args:
        path: The PNG file.
        curves: The curve of each class.
        points: Recall and precision of each class at the operating point.
        title: What was evaluated on what.
    """
    figure = _figure(7, 6)
    axes = figure.add_subplot()
    for number, (name, curve) in enumerate(curves.items()):
        if curve.boxes == 0 or len(curve.thresholds) == 0:
            continue
        style = ("-", "--", ":", "-.")[number // 10 % 4]
        (line,) = axes.plot(curve.recall, curve.precision, style, label=f"{name} ({curve.boxes:,} boxes)")
        recall, precision = points[name]
        if recall is not None and precision is not None:
            axes.plot(recall, precision, "o", color=line.get_color(), markersize=9)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title(f"{title}\nlines: all candidates by score; dots: the operating point", fontsize=11)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="lower left")
    _save(figure, path)


def plot_confusion(path: Path, confusion: pd.DataFrame, title: str) -> None:
    """Draws the confusion matrix; a cell's colour is its share of the row.

    Args:
        path: The PNG file.
        confusion: Counts, rows the truth, columns what it is called.
        title: What was evaluated on what.
    """
    counts = confusion.to_numpy()
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    side = 2.5 + 0.8 * len(counts)
    figure = _figure(side + 1, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
    places = range(len(counts))
    axes.set_xticks(places, confusion.columns, rotation=45, ha="right")
    axes.set_yticks(places, confusion.index)
    axes.set(xlabel="called", ylabel="truth")
    axes.set_title(f"{title}\ndetections at the operating point", fontsize=11)
    figure.colorbar(image, label="share of the row", shrink=0.8)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    # Not pyplot, which keeps figures and looks for a screen.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")
