"""Cuts the crops that the classifier sees: a square window with some context round each box."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def crop_windows(boxes: npt.NDArray[np.float64], margin: float) -> npt.NDArray[np.int64]:
    """The square windows round boxes, in whole pixels; they may reach beyond the slide.

    Args:
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide.
        margin: Context on each side, as a share of the box's longer side.

    Returns:
        ``(N, 4)`` in the same order; the side is at least 2 pixels.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    side = np.maximum(2, np.round((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) * (1 + 2 * margin)))
    corner = np.round((boxes[:, :2] + boxes[:, 2:]) / 2 - side[:, None] / 2)
    return np.hstack([corner, corner + side[:, None]]).astype(np.int64)


def cut_window(pixels: Pixels, window: npt.NDArray[np.int64]) -> Pixels:
    """The pixels of one window; beyond the slide's border its outermost pixels go on.

    Args:
        pixels: The slide, ``(height, width, 3)``.
        window: ``(x_min, y_min, x_max, y_max)``; it must touch the slide.
    """
    height, width = pixels.shape[:2]
    x_min, y_min, x_max, y_max = (int(value) for value in window)
    # A window beside the slide would have no pixels to go on with.
    left, right = min(max(x_min, 0), width - 1), max(min(x_max, width), 1)
    top, bottom = min(max(y_min, 0), height - 1), max(min(y_max, height), 1)
    inside = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    above, below = max(0, top - y_min), max(0, y_max - max(bottom, top + 1))
    before, after = max(0, left - x_min), max(0, x_max - max(right, left + 1))
    if above or below or before or after:
        wider = cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_REPLICATE)
        inside = np.asarray(wider, dtype=np.uint8)
    return inside[: y_max - y_min, : x_max - x_min]


def cut_crops(
    pixels: Pixels,
    boxes: npt.NDArray[np.float64],
    margin: float,
    size: int,
    windows: npt.NDArray[np.int64] | None = None,
) -> Pixels:
    """The crops round boxes, brought to one size.

    Args:
        pixels: The slide, RGB ``(height, width, 3)``.
        boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide.
        margin: Context on each side, as a share of the box's longer side.
        size: Side of a crop in pixels.
        windows: Those of :func:`crop_windows`, where they are known.

    Returns:
        ``(N, size, size, 3)``.
    """
    if windows is None:
        windows = crop_windows(boxes, margin)
    crops = np.empty((len(boxes), size, size, 3), dtype=np.uint8)
    height, width = pixels.shape[:2]
    whole = np.asarray(((windows[:, :2] >= 0) & (windows[:, 2:] <= (width, height))).all(axis=1))
    for index, (x_min, y_min, x_max, y_max) in enumerate(windows.tolist()):
        crop = pixels[y_min:y_max, x_min:x_max] if whole[index] else cut_window(pixels, windows[index])
        if len(crop) == size:
            crops[index] = crop
        else:
            # Shrinking must average over pixels, or fine walls flicker.
            how = cv2.INTER_AREA if len(crop) > size else cv2.INTER_LINEAR
            cv2.resize(crop, (size, size), dst=crops[index], interpolation=how)
    return crops
