"""Small plots of what a dataset holds, each of one thing; like those of an evaluation they hold in black and white."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spore_yolo.dataset.statistics import ClassFigures, GroupFigures, Spread
from spore_yolo.evaluation.plots import BAR, FAINT, INK, Floats, fixed_figure, plain_text, short_name, svg_uri

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = {"train": "#173f5f", "val": "#9db8cc", "test": "#d98c4a", "calibration": "#dddddd"}
"""Colours of the splits, apart in black and white too."""

MOST_BARS = 40
"""Classes that a plot has a line for; the tables hold all."""


def imbalance_uri(classes: Sequence[ClassFigures]) -> str:
    """Boxes of each class, as bars with their numbers."""
    with plain_text():
        figure, axes = _lines([figures.name for figures in classes], right=1.55)
        totals = [figures.total for figures in classes]
        axes.barh(range(len(totals)), totals, height=0.68, color=BAR, edgecolor=INK, linewidth=0.8)
        for place, figures in enumerate(classes):
            groups = sum(figures.groups.values())
            axes.annotate(
                f"{figures.total:,} ({groups:,} group{'s' if groups != 1 else ''})",
                (figures.total, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                annotation_clip=False,
            )
        axes.set_xlim(0, max(1, *totals))
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.set_xlabel("labelled boxes")
        return svg_uri(figure)


def sizes_uri(spreads: Mapping[str, Spread], unit: str) -> str:
    """The longer side of the boxes of each class: a line holds 90 of 100, the bar the middle half, the tick the median.

    Args:
        spreads: The spread of each class.
        unit: ``px`` or ``µm``.
    """
    with plain_text():
        figure, axes = _lines(list(spreads))
        for place, size in enumerate(spreads.values()):
            axes.plot([size.p5, size.p95], [place, place], "-", color=INK, linewidth=1.2)
            axes.barh(
                place, size.p75 - size.p25, left=size.p25, height=0.5, color=BAR, edgecolor=INK, linewidth=0.8, zorder=2
            )
            axes.plot([size.median] * 2, [place - 0.3, place + 0.3], "-", color="black", linewidth=2.2, zorder=3)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"longer side of the box, {unit}")
        return svg_uri(figure)


def balance_uri(rows: Mapping[str, Mapping[str, int]]) -> str:
    """Which share of something each split has, a line a thing.

    Args:
        rows: For each thing, such as a class, how many of it are in each split.
    """
    with plain_text():
        figure, axes = _lines(list(rows))
        left = np.zeros(len(rows))
        totals = np.array([max(1, sum(row.values())) for row in rows.values()])
        for split in [name for name in PARTS if any(name in row for row in rows.values())]:
            share = 100 * np.array([row.get(split, 0) for row in rows.values()]) / totals
            axes.barh(
                range(len(rows)),
                share,
                left=left,
                height=0.68,
                color=PARTS[split],
                edgecolor=INK,
                linewidth=0.8,
                label=split,
            )
            left += share
        axes.set_xlim(0, 100)
        axes.set_xlabel("share in each part, %")
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, fontsize=8, frameon=False)
        figure.subplots_adjust(top=1 - 0.34 / figure.get_figheight())
        return svg_uri(figure)


def density_uri(per_slide: Floats) -> str:
    """How many slides have how many boxes.

    Args:
        per_slide: ``(N,)``, the boxes of each slide.
    """
    with plain_text():
        figure, axes = fixed_figure(4.2, 3.2, left=0.63)
        most = int(per_slide.max(initial=0))
        wide = max(1, -(-(most + 1) // 24))
        axes.hist(
            per_slide,
            bins=[edge - 0.5 for edge in range(0, most + wide + 1, wide)],
            color=BAR,
            edgecolor=INK,
            linewidth=0.8,
        )
        axes.set(xlabel="labelled boxes on the slide", ylabel="slides")
        axes.locator_params(axis="y", integer=True)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        return svg_uri(figure)


def heat_uri(heat: Sequence[Sequence[float]]) -> str:
    """Where on the slide boxes lie: the darker, the more of them; all slides laid on top of each other."""
    shares = np.array(heat)
    with plain_text():
        figure, axes = fixed_figure(4.2, 3.2, left=0.63)
        # A slide evenly sown is of one middling shade, not of noise stretched to black and white.
        axes.imshow(
            shares * shares.size, cmap="Blues", vmin=0, vmax=max(3.0, shares.max() * shares.size), aspect="auto"
        )
        axes.set_xticks([-0.5, shares.shape[1] - 0.5], ["left", "right"])
        axes.set_yticks([-0.5, shares.shape[0] - 0.5], ["top", "bottom"])
        return svg_uri(figure)


def groups_uri(groups: Sequence[GroupFigures]) -> str:
    """Boxes of each group, those with the most first, coloured by split."""
    with plain_text():
        figure, axes = fixed_figure(4.2, 3.2, left=0.9)
        places = np.arange(len(groups))
        for split, colour in PARTS.items():
            here = np.array([group.split == split for group in groups], dtype=bool)
            if here.any():
                totals = np.array([group.total for group in groups])[here]
                edge = INK if len(groups) <= 60 else "none"
                axes.bar(places[here], totals, width=0.9, color=colour, edgecolor=edge, linewidth=0.6, label=split)
        axes.set(xlabel=f"{len(groups):,} groups, the largest first", ylabel="labelled boxes")
        axes.set_xticks([])
        axes.legend(fontsize=8, frameon=False)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        return svg_uri(figure)


def _lines(names: Sequence[str], right: float = 0.2) -> tuple[Figure, Axes]:
    """A figure with a line a name, the first above; ``right`` is its margin in inches."""
    labels = [short_name(name) for name in names]
    longest = max((len(label) for label in labels), default=0)
    figure, axes = fixed_figure(5.2, 0.75 + 0.32 * len(names), left=0.3 + 0.068 * longest)
    figure.subplots_adjust(right=1 - right / 5.2)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3, color=FAINT)
    axes.set_axisbelow(True)
    return figure, axes
