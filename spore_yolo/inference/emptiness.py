"""Tells tiles on which nothing lies by a cheap look at them, reduced, so that the detector need not look.

What counts is how much the pixel that stands out most differs from the ground. The ground is a median over five cells
of 20 pixels each way: it follows vignetting and uneven light, and a spore is no part of it. The difference is taken
relative to the ground, so that a dimmer lamp changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from spore_yolo.inference.manifest import EmptyPart
from spore_yolo.inference.tiling import rescale

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Contrast = npt.NDArray[np.float32]

MARGIN = 0.75
"""A spore that stands out this share as much as the faintest labelled one is still looked at."""

CELL = 20
"""Side of a cell of the ground in pixels of the model."""

MEDIAN = 5
"""Cells each way over which the ground is the median."""

DARKEST = np.uint8(16)
"""Grey levels; on a darker ground, differences are taken relative to this."""

SPORE_PIXELS = 2
"""Reduced pixels that the shorter side of a small spore spans: fewer wash it out, more let the noise stand out."""

REDUCTIONS = (2, 4, 8)
"""They divide every tile's side: averaging over broken numbers of pixels takes several times as long."""

PATCH = 64
"""Side of a patch in pixels of the model; see :func:`patch_contrasts`."""


@dataclass(frozen=True)
class Emptiness:
    """Tells empty tiles.

    Attributes:
        reduction: Pixels of the model per reduced pixel.
        threshold: A tile is empty if none of its reduced pixels has this contrast; see :func:`contrast_map`.
    """

    reduction: int
    threshold: float

    @classmethod
    def of(cls, part: EmptyPart) -> Emptiness:
        """What a pair's manifest says."""
        return cls(part.reduction, part.threshold)

    def is_empty(self, window: Pixels, scale: float) -> bool:
        """Whether nothing lies on a tile.

        Args:
            window: ``(height, width, 3)``, RGB, pixels of the slide.
            scale: Pixels of the model per pixel of the slide.
        """
        return bool(_contrasts(window, scale, self.reduction).max() < self.threshold)


def contrast_map(window: Pixels, scale: float, reduction: int) -> Contrast:
    """How much each part of a window stands out from the ground.

    Args:
        window: ``(height, width, 3)``, RGB, pixels of the slide.
        scale: Pixels of the model per pixel of the slide; at another magnification, the same things look the same.
        reduction: Pixels of the model per reduced pixel.

    Returns:
        ``(h, w)``, of each reduced pixel the difference from the ground as a share of the ground, the largest over the
        channels; 0 is ground, 1 is black on it.
    """
    return np.asarray(_contrasts(window, scale, reduction).max(axis=2))


def _contrasts(window: Pixels, scale: float, reduction: int) -> Contrast:
    """As :func:`contrast_map`, ``(h, w, 3)``: of each channel."""
    small = rescale(window, scale / reduction)
    cells = cv2.medianBlur(rescale(small, reduction / CELL), MEDIAN)
    ground = cv2.resize(cells, small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    # Whole arrays at once in 8 bits: a plain subtraction of numpy's costs more than the reduction.
    contrasts = cv2.divide(cv2.absdiff(small, ground), np.maximum(ground, DARKEST), dtype=cv2.CV_32F)
    return np.asarray(contrasts, dtype=np.float32)


def box_contrasts(contrast: Contrast, boxes: Floats, shape: tuple[int, ...]) -> Floats:
    """How much each spore stands out: the contrast that its tile would have if nothing else lay on it.

    Args:
        contrast: What :func:`contrast_map` gives of the window.
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide, 0 at the window's corner.
        shape: Height and width of the window in pixels of the slide.

    Returns:
        ``(N,)``, the largest contrast of the reduced pixels that a box touches; of a box outside, of those nearest.
    """
    height, width = contrast.shape
    scaled = boxes * np.tile([width / shape[1], height / shape[0]], 2)
    low = np.clip(np.floor(scaled[:, :2]), 0, [width - 1, height - 1]).astype(int)
    high = np.maximum(low + 1, np.ceil(scaled[:, 2:]).astype(int))
    found = [contrast[y0:y1, x0:x1].max() for (x0, y0), (x1, y1) in zip(low, high, strict=True)]
    return np.array(found, dtype=np.float64)


def patch_contrasts(contrast: Contrast, reduction: int) -> Floats:
    """How much the patches of a window stand out, each as large as a few spores.

    A tile is rarely bare on a field that somebody chose to label, but parts of it are: they show how bare ground looks.

    Args:
        contrast: What :func:`contrast_map` gives of the window.
        reduction: The one that it was made with.

    Returns:
        ``(n,)``, the largest contrast of each patch; a window smaller than a patch is one.
    """
    side = max(1, PATCH // reduction)
    rows, columns = (max(1, length // side) for length in contrast.shape)
    whole = contrast[: rows * side, : columns * side]
    parts = [part for row in np.array_split(whole, rows) for part in np.array_split(row, columns, axis=1)]
    return np.array([part.max() for part in parts], dtype=np.float64)


def reduction_for(boxes: Floats, scale: float) -> int:
    """By how much tiles may be reduced so that small spores are still seen.

    Args:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, at least one, pixels of the slide; all but the smallest
            one in a hundred are small spores or larger, so that a slip of the mouse does not decide.
        scale: Pixels of the model per pixel of the slide.
    """
    shorter = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) * scale
    wanted = float(np.quantile(shorter, 0.01)) / SPORE_PIXELS
    return max((reduction for reduction in REDUCTIONS if reduction <= wanted), default=REDUCTIONS[0])


def threshold_for(contrasts: Floats, margin: float = MARGIN) -> float:
    """The contrast below which a tile is empty.

    Every labelled spore stays well above it, whatever else lies on its tile: also a spore as faint as the faintest
    would be looked at if it lay alone.

    Args:
        contrasts: ``(N,)``, at least one, what :func:`box_contrasts` gives of labelled spores.
        margin: A spore that stands out this share as much as the faintest labelled one is still looked at.
    """
    return float(contrasts.min() * margin)
