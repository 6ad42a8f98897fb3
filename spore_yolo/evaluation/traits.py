"""Traits of labelled boxes that make a spore easy or hard to find: size, crowding, sharpness."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import cKDTree

from spore_yolo.labels.table import COORDINATES

Floats = npt.NDArray[np.float64]

TRAITS = ["side_px", "side_um", "density", "neighbour", "sharpness"]

NEAREST = 8
"""How many boxes with the nearest centres are looked at first for the one with the nearest border."""

PAIRS = 4_000_000
"""The most pairs of boxes that are looked at at once."""

SMOOTHING = 1.0
"""Standard deviation in pixels of the Gaussian that keeps the camera's noise out of the Laplacian."""

REACH = 6
"""Pixels around a box that the median, the Gaussian and the Laplacian look at to say what lies along its border."""

FLAT = 2.0
"""Mean squared slope, in grey levels a pixel, that noise alone may have: it keeps empty boxes from looking sharp."""

FRINGE = 3
"""Pixels along the slide's own border that do not count: what lies beyond is not known, and any guess makes an edge."""

LEAST_PIXELS = 3
"""The shortest side of a box whose sharpness can be told."""


@dataclass(frozen=True)
class Strata:
    """The bins that boxes are put into by one trait; each holds its upper edge.

    Attributes:
        unit: What follows the numbers in the bins' names.
        parts: Into how many parts of equal number the trait is cut where ``edges`` are not fixed.
        edges: Fixed edges between the bins.
        names: The bins' names; without them they are named by their edges, which are rounded to be readable.
        over_slides: Parts hold equal numbers of slides, not of boxes: the trait belongs to the slide.
    """

    unit: str = ""
    parts: int = 0
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    over_slides: bool = False


STRATA = {
    "side_px": Strata(unit="px", parts=4),
    "side_um": Strata(unit="µm", parts=4),
    "density": Strata(unit="a megapixel", parts=3, over_slides=True),
    "neighbour": Strata(edges=(0.0, 1.0), names=("touching", "closer than its own size", "farther")),
    "sharpness": Strata(parts=3, names=("blurred third", "middle third", "sharp third")),
}


def box_traits(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Size and crowding of labelled boxes.

    Boxes that are ignored have traits too, and count as neighbours and in the density: something lies there, and it
    crowds the others whoever may say what it is. So do boxes of other classes.

    Args:
        boxes: Columns ``image, x_min, y_min, x_max, y_max`` of all boxes of the slides.
        images: Columns ``image, width, height`` and, where known, ``um_per_px``.

    Returns:
        A row a box, with the index of ``boxes``:

        - ``side_px``: side of a square of the same area, in pixels; ``side_um``: in micrometres, NaN without a scale.
        - ``density``: boxes per megapixel of the slide; NaN where the slide's size is not known.
        - ``neighbour``: distance from the box's border to the nearest border of another box of the slide, in sides of
          the box itself; 0 where they touch or overlap, infinite for a box alone on its slide.
    """
    corners = boxes[COORDINATES].to_numpy(dtype=np.float64).reshape(-1, 4)
    side = np.sqrt((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))
    slide = pd.Index(images["image"]).get_indexer(boxes["image"])
    extent = images[["width", "height"]].to_numpy(dtype=np.float64).prod(axis=1)
    scale = images["um_per_px"].to_numpy(dtype=np.float64) if "um_per_px" in images else np.full(len(images), np.nan)
    known = slide >= 0
    megapixels, um_per_px = np.full(len(boxes), np.nan), np.full(len(boxes), np.nan)
    megapixels[known], um_per_px[known] = extent[slide[known]] / 1e6, scale[slide[known]]
    distance, number = np.full(len(boxes), np.inf), np.zeros(len(boxes))
    for rows in boxes.groupby("image", sort=False).indices.values():
        distance[rows], number[rows] = border_distance(corners[rows]), len(rows)
    return pd.DataFrame(
        {
            "side_px": side,
            "side_um": side * um_per_px,
            "density": number / np.where(megapixels > 0, megapixels, np.nan),
            "neighbour": np.divide(distance, side, out=np.full(len(side), np.inf), where=side > 0),
        },
        index=boxes.index,
    )


def border_distance(corners: Floats) -> Floats:
    """Distance of each box to the nearest other one, between their borders.

    Args:
        corners: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, the boxes of one slide.

    Returns:
        ``(N,)`` in pixels; 0 where boxes touch or overlap, infinite for a box alone.
    """
    count = len(corners)
    if count < 2:
        return np.full(count, np.inf)
    sides = np.ascontiguousarray(corners.T)
    centres, radius = (sides[:2] + sides[2:]) / 2, np.hypot(*(sides[2:] - sides[:2])) / 2
    away, near = cKDTree(centres.T).query(centres.T, k=min(NEAREST + 1, count))
    gaps = _gaps(sides[:, :, None], sides[:, near])
    gaps[near == np.arange(count)[:, None]] = np.inf
    distance = np.asarray(gaps.min(axis=1))
    # Any box not looked at has its centre farther off than the last one, and its border no nearer than the radii leave.
    sure = (distance == 0) | (away[:, -1] - radius - radius.max() >= distance) | (near.shape[1] == count)
    unsure = np.flatnonzero(~sure)
    for rows in np.array_split(unsure, ceil(len(unsure) * count / PAIRS) or 1):
        gaps = _gaps(sides[:, rows, None], sides[:, None])
        gaps[np.arange(len(rows)), rows] = np.inf
        distance[rows] = gaps.min(axis=1)
    return distance


def _gaps(first: Floats, second: Floats) -> Floats:
    """Distances between the borders of boxes, ``(4, ...)``, the coordinates first; 0 where they touch."""
    across, down = (
        np.maximum(np.maximum(first[low] - second[low + 2], second[low] - first[low + 2]), 0) for low in (0, 1)
    )
    return np.asarray(np.sqrt(across * across + down * down))


def sharpness_of(pixels: npt.NDArray[np.uint8], corners: Floats) -> Floats:
    """How sharp what lies in each box is, comparable between slides of different stain and exposure.

    The variance of the Laplacian over the box (J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", 2000) by the mean squared slope (Tenengrad: J. M. Tenenbaum, 1970): how fast brightness bends by how
    fast it changes, so a pale spore in focus is as sharp as a dark one. A median of 3 x 3 pixels takes single white or
    black pixels out first, a Gaussian the camera's noise. It is in pixels: the same spore scanned at a higher
    resolution is less sharp.

    Args:
        pixels: The slide, RGB of shape ``(height, width, 3)``.
        corners: ``(N, 4)``, boxes in ``(x_min, y_min, x_max, y_max)``.

    Returns:
        ``(N,)``, from 0 on; NaN for boxes of which less than 3 x 3 pixels lie on the slide, its outermost
        3 pixels left out.
    """
    height, width = pixels.shape[:2]
    sharpness = np.full(len(corners), np.nan)
    for place, (x_min, y_min, x_max, y_max) in enumerate(np.asarray(corners, dtype=np.float64)):
        left, top = max(FRINGE, floor(x_min)), max(FRINGE, floor(y_min))
        right, bottom = min(width - FRINGE, ceil(x_max)), min(height - FRINGE, ceil(y_max))
        if min(right - left, bottom - top) < LEAST_PIXELS:
            continue
        x, y = max(0, left - REACH), max(0, top - REACH)
        window = np.ascontiguousarray(pixels[y : bottom + REACH, x : right + REACH])
        clean = cv2.medianBlur(cv2.cvtColor(window, cv2.COLOR_RGB2GRAY), 3).astype(np.float32)
        grey = cv2.GaussianBlur(clean, (0, 0), SMOOTHING)
        inside = (slice(top - y, bottom - y), slice(left - x, right - x))
        bend = cv2.Laplacian(grey, cv2.CV_32F)[inside]
        slopes = [cv2.Sobel(grey, cv2.CV_32F, dx, dy, scale=1 / 8)[inside] for dx, dy in ((1, 0), (0, 1))]
        slope = sum(float(np.mean(part * part)) for part in slopes)
        sharpness[place] = float(bend.var()) / (slope + FLAT)
    return sharpness
