"""Reads many small windows of a slide, each part of the slide about once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from spore_yolo.inference.slides import Pixels, Slide

BAND_BYTES = 64 * 2**20
"""Memory of the band of rows that is read at once; with what reaches below its edge it may be twice that."""


def read_windows(
    slide: Slide, windows: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], Pixels, tuple[int, int]]]:
    """Reads windows together that lie in the same band of rows.

    Args:
        slide: Where they lie.
        windows: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide; what lies beyond it is not read.

    Yields:
        The numbers of some windows, the pixels that hold all of them, and the corner ``(x_min, y_min)`` of these
        pixels on the slide. Each window comes once.

    Raises:
        UnreadableSlide: The file is damaged there.
    """
    edges = np.array([slide.width, slide.height] * 2)
    inside = np.clip(windows, np.array([0, 0, 1, 1]), edges)
    inside[:, :2] = np.minimum(inside[:, :2], inside[:, 2:] - 1)
    rows = max(1, BAND_BYTES // (3 * slide.width))
    if slide.row_step < rows:
        rows -= rows % slide.row_step
    bands = inside[:, 1] // rows
    # A window that is taller than a band would make its whole band as tall.
    tall = inside[:, 3] - inside[:, 1] > rows
    bands[tall] = -1 - np.flatnonzero(tall)
    order = np.argsort(bands, kind="stable")
    starts = np.flatnonzero(np.diff(bands[order], prepend=np.iinfo(np.int64).min))
    groups = sorted(np.split(order, starts[1:]), key=lambda group: int(inside[group, 1].min())) if len(order) else []
    for group in groups:
        x_min, y_min = (int(value) for value in inside[group, :2].min(axis=0))
        x_max, y_max = (int(value) for value in inside[group, 2:].max(axis=0))
        yield group, slide.read((x_min, y_min, x_max, y_max)), (x_min, y_min)
