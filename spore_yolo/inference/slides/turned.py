"""Slides that are stored turned or mirrored, read as they are displayed."""

from __future__ import annotations

import numpy as np

from spore_yolo.inference.slides.slide import Pixels, Slide


class TurnedSlide(Slide):
    """A slide as displayed, over one as stored.

    Args:
        stored: The slide as stored.
        orientation: How it is turned: 2 to 8, with the meaning of EXIF tag 0x0112.
        column_step: How many columns of the slide as stored are stored together.
    """

    def __init__(self, stored: Slide, orientation: int, column_step: int) -> None:
        self._stored = stored
        self._swapped = orientation >= 5
        # Which axes run backwards once rows and columns were swapped.
        self._right_to_left = orientation in (2, 3, 6, 7)
        self._bottom_up = orientation in (3, 4, 7, 8)
        width, height = self._displayed(stored.width, stored.height)
        row_step = column_step if self._swapped else stored.row_step
        super().__init__(stored.name, width, height, stored.um_per_px, stored.downsamples, row_step)

    def size(self, level: int = 0) -> tuple[int, int]:
        """Width and height of a level as displayed."""
        return self._displayed(*self._stored.size(level))

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """The pixels of a window, turned."""
        x_min, y_min, x_max, y_max = window
        width, height = self.size(level)
        if self._right_to_left:
            x_min, x_max = width - x_max, width - x_min
        if self._bottom_up:
            y_min, y_max = height - y_max, height - y_min
        if self._swapped:
            x_min, y_min, x_max, y_max = y_min, x_min, y_max, x_max
        pixels = self._stored.read((x_min, y_min, x_max, y_max), level)
        if self._swapped:
            pixels = pixels.transpose(1, 0, 2)
        return np.ascontiguousarray(pixels[:: -1 if self._bottom_up else 1, :: -1 if self._right_to_left else 1])

    def close(self) -> None:
        """Lets go of the file."""
        self._stored.close()

    def _displayed(self, width: int, height: int) -> tuple[int, int]:
        return (height, width) if self._swapped else (width, height)
