"""Plots of an evaluation: two that are written as files, and small ones, each of one thing, for the report.

The small ones hold in black and white, and take any name: nothing in it is read as a formula.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.intervals import Figures
from spore_yolo.evaluation.operating_point import Curve
from spore_yolo.files.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spore_yolo.evaluation.presence import PresenceCurves

INK, BAR, MARK, FAINT = "#173f5f", "#9db8cc", "#b3400f", "#5c6670"

LONGEST_NAME = 28
"""Letters of a name on a plot; longer ones lose their middle."""

MOST_COUNTS = 12
"""Up to so many rows and columns the confusion matrix has its counts written in."""

Floats = npt.NDArray[np.float64]


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
    with plain_text():
        figure = _figure(7, 6)
        axes = figure.add_subplot()
        labels = []
        for number, (name, curve) in enumerate(curves.items()):
            if curve.boxes == 0 or len(curve.thresholds) == 0:
                continue
            style = ("-", "--", ":", "-.")[number // 10 % 4]
            (line,) = axes.plot(curve.recall, curve.precision, style)
            labels.append((line, f"{short_name(name)} ({curve.boxes:,} boxes)"))
            recall, precision = points[name]
            if recall is not None and precision is not None:
                axes.plot(recall, precision, "o", color=line.get_color(), markersize=9)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
        axes.set_title(f"{title}\nlines: all candidates by score; dots: the operating point", fontsize=11)
        axes.grid(alpha=0.3)
        if labels:
            size = "medium" if len(labels) <= 20 else "x-small"
            axes.legend(*zip(*labels, strict=True), loc="lower left", fontsize=size)
        _save(figure, path)


def plot_confusion(path: Path, confusion: pd.DataFrame, title: str) -> None:
    """Draws the confusion matrix; a cell's colour is its share of the row.

    Args:
        path: The PNG file.
        confusion: Counts, rows the truth, columns what it is called.
        title: What was evaluated on what.
    """
    with plain_text():
        side = 2.5 + 0.8 * len(confusion)
        figure = _figure(side + 1, side)
        axes = _draw_confusion(figure, confusion, counted=True)
        axes.set_title(f"{title}\ndetections at the operating point", fontsize=11)
        _save(figure, path)


def confusion_uri(confusion: pd.DataFrame) -> str:
    """The confusion matrix for the report; counts are written in up to :data:`MOST_COUNTS` rows."""
    with plain_text():
        counted = len(confusion) <= MOST_COUNTS
        side = 2 + (0.62 if counted else 0.3) * len(confusion)
        figure = _figure(side + 1.2, side)
        _draw_confusion(figure, confusion, counted)
        return svg_uri(figure)


def precision_recall_uri(curve: Curve, point: tuple[float | None, float | None]) -> str:
    """Precision over recall of one class, with recall and precision at the operating point as a diamond."""
    with plain_text():
        figure, axes = _small()
        axes.plot(_percent(curve.recall), _percent(curve.precision), "-", color=INK, linewidth=1.8)
        _mark(axes, *point)
        _unit_square(axes, "recall (found of those labelled), %", "precision (right of those reported), %")
        return svg_uri(figure)


def slide_roc_uri(curves: PresenceCurves, point: tuple[float | None, float | None]) -> str:
    """How well slides that bear a class are told from those that do not, whatever the threshold.

    Args:
        curves: The curves of the class over slides.
        point: The share of slides without the class that are reported, and of those with it, at the operating point.
    """
    with plain_text():
        figure, axes = _small()
        axes.plot([0, 100], [0, 100], ":", color=FAINT, linewidth=1)
        axes.plot(_percent(curves.fpr), _percent(curves.tpr), "-", color=INK, linewidth=1.8)
        _mark(axes, *point)
        _unit_square(axes, "slides without it that are reported, %", "slides with it that are reported, %")
        return svg_uri(figure)


def reliability_uri(reliability: pd.DataFrame) -> str:
    """The share of names that are right over what class_score promised; a dot's area is its number of crops.

    Args:
        reliability: The bins; see :func:`spore_yolo.evaluation.calibration.reliability`.
    """
    score, right = _percent(reliability["score"]), _percent(reliability["right"])
    reach = np.stack([right - _percent(reliability["right_low"]), _percent(reliability["right_high"]) - right])
    with plain_text():
        figure, axes = _small()
        axes.plot([0, 100], [0, 100], ":", color=FAINT, linewidth=1)
        axes.plot(score, right, "-", color=INK, linewidth=0.8)
        told = np.isfinite(reach).all(axis=0)
        axes.errorbar(
            score[told], right[told], reach[:, told].clip(0), fmt="none", ecolor="black", capsize=3, elinewidth=1
        )
        number = reliability["n"].to_numpy(dtype=np.float64)
        axes.scatter(score, right, 14 + 130 * number / number.max(), color=BAR, edgecolors=INK, zorder=3)
        _unit_square(axes, "class_score, %", "named rightly, %")
        return svg_uri(figure)


def recall_by_uri(rows: Sequence[Figures]) -> str:
    """Recall in bins of a trait, as bars with their intervals; a bin without one is hatched.

    Args:
        rows: Figures with ``bin``, its name.
    """
    with plain_text():
        labels = [f"{short_name(row['bin'])}\n{row['n']:,} labelled" for row in rows]
        longest = max(len(line) for label in labels for line in label.split("\n"))
        figure, axes = fixed_figure(4.6, 0.75 + 0.42 * len(rows), left=0.25 + 0.062 * longest)
        for place, row in enumerate(rows):
            value, interval = row["value"], row["interval"]
            if value is None:
                axes.text(1, place, "none labelled", va="center", color=FAINT)
                continue
            hatch = None if interval else "///"
            axes.barh(place, 100 * value, height=0.68, color=BAR, edgecolor=INK, linewidth=0.8, hatch=hatch)
            if interval:
                reach = [[100 * max(0.0, value - interval[0])], [100 * max(0.0, interval[1] - value)]]
                axes.errorbar(100 * value, place, xerr=reach, color="black", capsize=4, linewidth=1.4)
        axes.set_yticks(range(len(rows)), labels, fontsize=8)
        axes.set(xlim=(0, 101), ylim=(len(rows) - 0.5, -0.5))
        axes.set_xlabel("found of those labelled, %")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        return svg_uri(figure)


def counts_uri(labelled: Floats, detected: Floats, bias: float | None, limits: Sequence[float] | None) -> str:
    """Counts of slides after Bland and Altman 1986: by how much they differ, over how many there are.

    Args:
        labelled: ``(N,)``, what experts counted on each slide.
        detected: ``(N,)``, what was detected there.
        bias: The mean difference.
        limits: Between which 95 % of the differences are expected.
    """
    spots, times = np.unique(
        np.column_stack([(labelled + detected) / 2, detected - labelled]), axis=0, return_counts=True
    )
    with plain_text():
        figure, axes = _small()
        axes.axhline(0, color=FAINT, linewidth=0.8)
        if bias is not None:
            axes.axhline(bias, color=INK, linewidth=1.6)
        for limit in limits or ():
            axes.axhline(limit, color=INK, linewidth=1.2, linestyle="--")
        sizes = 16 + 120 * times / max(1, times.max(initial=0)) * (times > 1)
        axes.scatter(spots[:, 0], spots[:, 1], sizes, color=BAR, edgecolors=INK, linewidths=0.8, zorder=3)
        axes.set_xlabel("spores on the slide (mean of both counts)")
        axes.set_ylabel("detected less labelled")
        # Few slides that agree must not look wild.
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -1.5), max(high, 1.5))
        axes.locator_params(integer=True)
        axes.grid(alpha=0.3)
        return svg_uri(figure)


def _draw_confusion(figure: Figure, confusion: pd.DataFrame, counted: bool) -> Axes:
    counts = confusion.to_numpy()
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape) if counted else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
    places = range(len(counts))
    axes.set_xticks(places, [short_name(name) for name in confusion.columns], rotation=45, ha="right")
    axes.set_yticks(places, [short_name(name) for name in confusion.index])
    axes.set(xlabel="called", ylabel="truth")
    figure.colorbar(image, label="share of the row", shrink=0.8)
    return axes


def _mark(axes: Axes, across: float | None, up: float | None) -> None:
    if across is not None and up is not None:
        axes.plot(100 * across, 100 * up, "D", color=MARK, markeredgecolor="black", markersize=8, clip_on=False)


def _unit_square(axes: Axes, across: str, up: str) -> None:
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)


def _percent(values: Any) -> Floats:
    return 100 * np.asarray(values, dtype=np.float64)


def short_name(name: object) -> str:
    """A name that a plot can bear: one line, no control characters, not too long."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(name))
    half = LONGEST_NAME // 2
    return text if len(text) <= LONGEST_NAME else f"{text[: half - 1]}…{text[-half:]}"


@contextmanager
def plain_text() -> Iterator[None]:
    """Names are drawn as they are: ``$`` begins no formula, and letters that the font lacks are the viewer's affair."""
    import matplotlib

    with (
        warnings.catch_warnings(),
        matplotlib.rc_context(
            {
                "text.parse_math": False,
                "font.family": ["DejaVu Sans"],
                # Letters stay letters, so that the viewer's fonts draw those that ours lacks.
                "svg.fonttype": "none",
                # The same plot is the same file.
                "svg.hashsalt": "spore-yolo",
                "hatch.linewidth": 0.6,
            }
        ),
    ):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _small() -> tuple[Figure, Axes]:
    return fixed_figure(4.2, 3.7, left=0.63)


def fixed_figure(width: float, height: float, left: float) -> tuple[Figure, Axes]:
    """A figure whose margins are known, in inches: laying it out would cost as much as drawing it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left=left / width, bottom=0.5 / height, right=1 - 0.15 / width, top=1 - 0.12 / height)
    return figure, figure.add_subplot()


def _figure(width: float, height: float) -> Figure:
    # Not pyplot, which keeps figures and looks for a screen.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")


def svg_uri(figure: Figure) -> str:
    """A figure as an SVG in a ``data:`` address; the same figure is the same address."""
    svg = BytesIO()
    figure.savefig(svg, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode("ascii")
