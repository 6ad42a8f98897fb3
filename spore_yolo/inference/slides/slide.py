"""What a slide is to the rest of the program, whatever file it lies in."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import SporeYoloError, stop_behind
from spore_yolo.files.images import TooLargeImage, UnreadableImage

Pixels = npt.NDArray[np.uint8]
"""``(height, width, 3)``, RGB, 8 bit."""

BLOCK = 4096 * 4096
"""Pixels that are read at once, at most, while a slide is reduced, if a band of ``row_step`` rows has no more."""


class UnreadableSlide(UnreadableImage):
    """A slide is missing, damaged or of a kind that is not read."""


@contextmanager
def clear_errors(name: str, expected: str) -> Iterator[None]:
    """Turns whatever a reader raises for a damaged file into an error for people.

    Args:
        name: The file.
        expected: What it should have been, such as ``a whole TIFF``.

    Raises:
        TooLargeImage: What is read does not fit into memory.
        UnreadableSlide: Anything else went wrong.
    """
    try:
        yield
    except SporeYoloError:
        raise
    except MemoryError:
        raise TooLargeImage(f"{name}: its pixels do not fit into memory; use a machine with more") from None
    except Exception as error:  # readers raise errors of every type for damaged files
        if stop := stop_behind(error):
            raise stop from None
        found = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UnreadableSlide(
            f"{name}: expected {expected}, found a damaged or truncated file ({found[:200]}); copy it again"
        ) from None


class Slide(ABC):
    """A slide that is read window by window.

    A slide is read by one thread at a time. Coordinates are pixels of the slide as displayed, 0-based, max exclusive.

    Attributes:
        name: What messages call it: its path.
        width, height: Size in pixels at full resolution.
        um_per_px: Micrometres per pixel at full resolution, where the file says it.
        downsamples: How many times each level is smaller than the full resolution, beginning with 1.0, rising.
        row_step: How many rows are stored together at full resolution: whoever reads downwards reads no row twice if
            the windows' edges are multiples of it.
        planes: How many planes of focus the file holds.
        plane: Which of them this is, counted from 1; ``None`` where there is one plane only, or where several are
            put together.
        in_memory: Whether reading costs nothing, since the pixels lie in memory.
    """

    in_memory: bool = False
    planes: int = 1
    plane: int | None = None

    def __init__(
        self,
        name: str,
        width: int,
        height: int,
        um_per_px: float | None = None,
        downsamples: tuple[float, ...] = (1.0,),
        row_step: int = 1,
    ) -> None:
        self.name = name
        self.width = width
        self.height = height
        self.um_per_px = um_per_px
        self.downsamples = downsamples
        self.row_step = row_step

    def size(self, level: int = 0) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        if level == 0:
            return self.width, self.height
        factor = self.downsamples[level]
        return max(1, int(self.width / factor)), max(1, int(self.height / factor))

    @abstractmethod
    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """The pixels of a window.

        Args:
            window: ``(x_min, y_min, x_max, y_max)`` in pixels of the level; it lies inside of the slide.
            level: Which resolution.

        Raises:
            UnreadableSlide: The file is damaged there.
        """

    def close(self) -> None:  # noqa: B027 - most slides hold nothing open
        """Lets go of the file."""

    def level_for(self, factor: float) -> int:
        """The smallest level that is not smaller than the slide reduced ``factor`` times."""
        # A level's size is a whole number of pixels, so its factor is a little off.
        return max(level for level, down in enumerate(self.downsamples) if down <= max(1.0, factor * 1.001))

    def reduced(self, longest_side: int) -> Pixels:
        """The whole slide, reduced so that no side is longer than so many pixels; never enlarged.

        It is read in bands of full width from the smallest level that serves, so memory holds the result and one band.
        """
        factor = max(1.0, max(self.width, self.height) / longest_side)
        level = self.level_for(factor)
        width, height = self.size(level)
        result = np.empty((max(1, round(self.height / factor)), max(1, round(self.width / factor)), 3), dtype=np.uint8)
        if result.shape[:2] == (height, width):
            return self.read((0, 0, width, height), level)
        rows = result.shape[0] / height  # of the result, per row of the level
        step = max(1, int(max(BLOCK // width, self.row_step) * rows))
        for top in range(0, result.shape[0], step):
            bottom = min(result.shape[0], top + step)
            window = (0, int(top / rows), width, min(height, math.ceil(bottom / rows)))
            size = (result.shape[1], bottom - top)
            result[top:bottom] = cv2.resize(self.read(window, level), size, interpolation=cv2.INTER_AREA)
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ArraySlide(Slide):
    """A slide that lies in memory.

    Args:
        pixels: The slide, RGB.
        name: What messages call it.
        um_per_px: Micrometres per pixel, where known.
    """

    in_memory = True

    def __init__(self, pixels: Pixels, name: str = "slide", um_per_px: float | None = None) -> None:
        super().__init__(name, pixels.shape[1], pixels.shape[0], um_per_px)
        self._pixels = pixels

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """A view, not a copy."""
        x_min, y_min, x_max, y_max = window
        return self._pixels[y_min:y_max, x_min:x_max]


class SlideLevel(Slide):
    """One level of a slide, as a slide of its own.

    Args:
        slide: The slide.
        level: Which of its levels.
    """

    def __init__(self, slide: Slide, level: int) -> None:
        width, height = slide.size(level)
        um_per_px = None if slide.um_per_px is None else slide.um_per_px * slide.width / width
        super().__init__(slide.name, width, height, um_per_px, row_step=slide.row_step)
        self._slide, self._level = slide, level
        self.in_memory = slide.in_memory

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """See :meth:`Slide.read`."""
        return self._slide.read(window, self._level)
