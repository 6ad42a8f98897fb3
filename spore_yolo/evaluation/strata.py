"""Recall of the easy and the hard: labelled boxes put into bins by size, crowding and sharpness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.intervals import Figures, share_figure
from spore_yolo.evaluation.traits import STRATA, TRAITS, Floats, Strata

UNKNOWN = "unknown"
"""The bin of boxes whose trait is not known, where that of others is."""

DIGITS = range(2, 7)
"""Significant digits of edges: as few as tell them apart."""


def recall_by(truth: pd.DataFrame) -> dict[str, list[Figures]]:
    """Recall of labelled boxes by their traits.

    Bins come from the labels alone, so two pairs on the same split have the same bins. Size is binned in micrometres
    where the scale of all boxes is known, else in pixels. Each bin holds its upper edge.

    Args:
        truth: A row a labelled box, of one class or of all; columns ``slide, group, found`` (bool), and any of the
            traits of :data:`spore_yolo.evaluation.traits.STRATA`.

    Returns:
        For each trait its bins that hold boxes, the small, sparse, crowded or blurred first: ``bin`` (its name),
        ``low`` and ``high`` (``None`` where it has no bound), and the figure of recall. A trait is left out where no
        box has it, or where it has fewer values than parts; boxes without it are in a last bin ``unknown``.
    """
    sized = truth["side_um"] if "side_um" in truth else pd.Series(dtype="float64")
    in_micrometres = sized.notna().any() and sized.notna().all()
    left_out = "side_px" if in_micrometres else "side_um"
    bins = {name: _bins(truth, name) for name in TRAITS if name in truth and name != left_out}
    return {name: figures for name, figures in bins.items() if figures}


def _bins(truth: pd.DataFrame, trait: str) -> list[Figures]:
    values, strata = truth[trait].to_numpy(dtype=np.float64), STRATA[trait]
    known = ~np.isnan(values)
    if not known.any():
        return []
    edges = strata.edges
    if not edges:
        rows = truth[known].drop_duplicates("slide") if strata.over_slides else truth[known]
        if rows[trait].nunique() < strata.parts:
            return []
        edges = _quantiles(rows[trait].to_numpy(dtype=np.float64), strata)
    # An edge belongs to the bin below it.
    number = np.where(known, np.searchsorted(np.asarray(edges), values, side="left"), len(edges) + 1)
    bounds = [None, *edges, None]
    figures = []
    for place in np.unique(number).tolist():
        low, high = (bounds[place], bounds[place + 1]) if place <= len(edges) else (None, None)
        name = _name(strata, place, edges)
        figures.append({"bin": name, "low": low, "high": high} | _recall(truth, number == place))
    return figures


def _recall(truth: pd.DataFrame, rows: npt.NDArray[np.bool_]) -> Figures:
    by_group = truth[rows].groupby("group", observed=True)["found"].agg(["sum", "count"])
    return share_figure(by_group["sum"].to_numpy(dtype=np.float64), by_group["count"].to_numpy(dtype=np.float64))


def _quantiles(values: Floats, strata: Strata) -> tuple[float, ...]:
    """Edges that cut the values into parts of equal number; rounded where they are to be read."""
    edges = np.quantile(values, np.arange(1, strata.parts) / strata.parts)
    if strata.names:
        return tuple(edges.tolist())
    rounded: Sequence[float] = edges.tolist()
    for digits in DIGITS:
        rounded = [float(f"{edge:.{digits}g}") for edge in edges]
        if len(set(rounded)) == len(np.unique(edges)):
            break
    return tuple(rounded)


def _name(strata: Strata, place: int, edges: Sequence[float]) -> str:
    if place > len(edges):
        return UNKNOWN
    if strata.names:
        return strata.names[place]
    if place == 0:
        return f"up to {edges[0]:g} {strata.unit}"
    if place == len(edges):
        return f"over {edges[-1]:g} {strata.unit}"
    return f"{edges[place - 1]:g} to {edges[place]:g} {strata.unit}"
