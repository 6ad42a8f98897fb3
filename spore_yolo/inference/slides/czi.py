"""Zeiss CZI, through pylibCZIrw."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from spore_yolo.files.images import LARGEST_SIDE
from spore_yolo.inference.slides.focus import Focus, in_focus
from spore_yolo.inference.slides.makers import need
from spore_yolo.inference.slides.scale import plausible
from spore_yolo.inference.slides.slide import Pixels, Slide, UnreadableSlide, clear_errors

PIXEL_TYPES = {"Gray8": 8, "Gray16": 16, "Bgr24": 8, "Bgr48": 16}
"""Bits of a sample, by CZI's names."""

MOST_PLANES = 10_000
"""Planes of focus; no stack has more, so a header that says so is damaged."""

SMALLEST_LEVEL = 1024
"""Pixels; the slide is offered in halves, quarters and so on, until no side is longer."""

STEP = 256
"""Rows that are read together; CZI does not say how its tiles lie."""


class CziSlide(Slide):
    """One plane of focus of a CZI; what was not scanned is white.

    Args:
        path: The file.
        document: The open file, shared by all planes; whoever closes one closes all.
        closing: Closes it.
        z: The index of the plane in the file.
    """

    def __init__(self, path: Path, document: Any, closing: ExitStack, z: int) -> None:
        box = document.total_bounding_rectangle_no_pyramid
        downsamples = [1.0]
        while max(box.w, box.h) / downsamples[-1] > SMALLEST_LEVEL:
            downsamples.append(downsamples[-1] * 2)
        kind = document.get_channel_pixel_type(0)
        if kind not in PIXEL_TYPES:
            raise UnreadableSlide(f"{path}: expected 8 or 16 bits, grey or colour, found pixels of type {kind}")
        super().__init__(str(path), box.w, box.h, _um_per_px(document), tuple(downsamples), STEP)
        self._document, self._closing = document, closing
        self._left, self._top, self._z = box.x, box.y, z
        self._bits = PIXEL_TYPES[kind]
        if self._bits == 16:
            self._bits = min(16, _bits_used(document) or 16)

    def read(self, window: tuple[int, int, int, int], level: int = 0) -> Pixels:
        """The pixels of a window."""
        factor = int(self.downsamples[level])
        x_min, y_min, x_max, y_max = (at * factor for at in window)
        with clear_errors(self.name, f"whole pixels at {window}"):
            pixels = self._document.read(
                roi=(self._left + x_min, self._top + y_min, x_max - x_min, y_max - y_min),
                plane={"C": 0, "Z": self._z},
                zoom=1 / factor,
                background_pixel=(1.0, 1.0, 1.0),
            )
            if pixels.shape[:2] != (window[3] - window[1], window[2] - window[0]):
                raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels")
        if self._bits != 8:
            pixels = cv2.convertScaleAbs(pixels, alpha=255 / (2**self._bits - 1)).reshape(pixels.shape)
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        return np.ascontiguousarray(pixels[:, :, ::-1], dtype=np.uint8)

    def close(self) -> None:
        """Closes the file, for all planes."""
        self._closing.close()


def open_czi(path: Path, z: Focus = "best") -> Slide:
    """Opens a CZI.

    Args:
        path: The file.
        z: Which plane of a stack.

    Raises:
        UnreadableSlide: It is damaged, of several channels or points in time, or ``pylibCZIrw`` is not installed.
        UsageError: It has no such plane.
    """
    reader = need(path, "pylibCZIrw.czi", "czi")
    closing = ExitStack()
    with clear_errors(str(path), "a whole CZI"):
        try:
            document = closing.enter_context(reader.open_czi(str(path)))
            box = document.total_bounding_box_no_pyramid
            channels, times = (box.get(axis, (0, 1))[1] - box.get(axis, (0, 1))[0] for axis in "CT")
            if channels > 1 or times > 1:
                raise UnreadableSlide(
                    f"{path}: expected one colour or grey image, in one or several planes of focus; found {channels}"
                    f" channels and {times} points in time; save the one to look at on its own"
                )
            depths = range(*box.get("Z", (0, 1)))
            width, height = (box.get(axis, (0, 0))[1] - box.get(axis, (0, 0))[0] for axis in "XY")
            if not (0 < len(depths) <= MOST_PLANES and 0 < min(width, height) <= max(width, height) <= LARGEST_SIDE):
                raise UnreadableSlide(
                    f"{path}: the header says {width} x {height} pixels in {len(depths)} planes; no slide has that size"
                )
            planes = [CziSlide(path, document, closing, index) for index in depths]
            return in_focus(planes, z)
        except BaseException:
            closing.close()
            raise


def _um_per_px(document: Any) -> float | None:
    try:
        distances = document.metadata["ImageDocument"]["Metadata"]["Scaling"]["Items"]["Distance"]
        listed = distances if isinstance(distances, list) else [distances]
        return next((plausible(one["Value"], "m") for one in listed if one["@Id"] == "X"), None)
    except (KeyError, TypeError):
        return None


def _bits_used(document: Any) -> int | None:
    """Bits of a sample that the camera used."""
    try:
        return int(document.metadata["ImageDocument"]["Metadata"]["Information"]["Image"]["ComponentBitCount"]) or None
    except (KeyError, TypeError, ValueError):
        return None
