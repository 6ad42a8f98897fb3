"""One picture of a TIFF file, of which only the tiles or strips that a window touches are decoded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from spore_yolo.files.images import (
    BOMB_BYTES,
    BOMB_RATIO,
    LARGEST_SIDE,
    MEMORY_SHARE,
    TooLargeImage,
    memory_at_hand,
)
from spore_yolo.inference.slides.slide import Pixels, UnreadableSlide, clear_errors

Samples = npt.NDArray[Any]
"""``(height, width, samples)`` as stored: whole numbers of 1 to 16 bits."""

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
"""PhotometricInterpretation, tag 262."""

CMYK, CIELAB = 5, 8
"""Values of the same tag that are not read here."""

APERIO_YCBCR = (33003, 33004)
"""Compressions of Aperio, JPEG 2000, whose colours would have to be guessed."""

JPEG = (6, 7, 34892, 33007)
"""Compressions that are JPEG, tag 259; their YCbCr is decoded to RGB."""

SEPARATE_PLANES = 2
"""PlanarConfiguration, tag 284."""


class UnsupportedColours(UnreadableSlide):
    """The colours of a TIFF are of a kind that another reader may know."""


class MissingTiles(UnreadableSlide):
    """A TIFF has tiles without data; some scanners leave out what they did not scan."""


class SharedFile:
    """A file that all pages of a TIFF read from, from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        self.length = path.stat().st_size
        self.last: tuple[tuple[int, int], Samples] | None = None
        """The strip that was decoded last, with its page and index: strips are often larger than windows."""

    def read(self, offset: int, count: int) -> bytearray:
        """Bytes of the file.

        Raises:
            EOFError: There are fewer.
        """
        content = bytearray(count)
        self.read_into(offset, memoryview(content))
        return content

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fills a buffer with bytes of the file.

        Raises:
            EOFError: There are fewer.
        """
        with self._lock:
            self._file.seek(offset)
            done = 0
            while done < len(buffer):
                count = self._file.readinto(buffer[done:])
                if not count:
                    raise EOFError(f"the file ends at byte {offset + done:,}")
                done += count

    def close(self) -> None:
        """Closes the file."""
        self.last = None
        self._file.close()


class TiffPage:
    """The pixels of one page.

    Args:
        file: Where its bytes are.
        page: The page as ``tifffile`` describes it.
        bits: Bits of a sample that are used, where that is known to be fewer than are stored.
        mapper: Decodes several tiles at once: ``map``, or that of an executor.

    Attributes:
        width, height: Size in pixels, as stored.
        row_step, column_step: How many rows and columns are stored together.

    Raises:
        MissingTiles: Tiles have no data.
        TooLargeImage: One strip or tile does not fit into memory.
        UnreadableSlide: What the header says cannot be.
        UnsupportedColours: Another reader may know its colours.
    """

    def __init__(
        self, file: SharedFile, page: Any, bits: int | None = None, mapper: Callable[..., Iterable[Any]] = map
    ) -> None:
        self._file = file
        self._page = page
        self._map = mapper
        self.width, self.height = int(page.imagewidth), int(page.imagelength)
        self._check_kind()
        self._samples = int(page.samplesperpixel)
        self._kept = 3 if page.photometric in (RGB, YCBCR) else 1
        self._bits = min(page.bitspersample, bits or page.bitspersample)
        self._separate = page.planarconfig == SEPARATE_PLANES and self._samples > 1
        self._length = int(page.tilelength if page.is_tiled else min(page.rowsperstrip, self.height))
        self._width = int(page.tilewidth if page.is_tiled else self.width)
        if self._length < 1 or self._width < 1:
            raise UnreadableSlide(f"{file.path}: expected tiles, found tiles of {self._width} x {self._length} pixels")
        self._across, self._down = -(-self.width // self._width), -(-self.height // self._length)
        self._offsets = np.asarray(page.dataoffsets, dtype=np.int64)
        self._counts = np.asarray(page.databytecounts, dtype=np.int64)
        self._check_segments()
        self._rows_at_once = (
            page.compression == 1
            and page.predictor == 1
            and page.fillorder == 1
            and page.bitspersample in (8, 16)
            and not page.is_tiled
            and not self._separate
        )
        self.row_step = 1 if self._rows_at_once else self._length
        self.column_step = 1 if self._rows_at_once else self._width
        # The page reads from its own handle, which is closed soon, what nobody asked for yet.
        page.init_decode()
        self._tables = page.jpegtables
        self._colours = self._read_colours()

    def read(self, window: tuple[int, int, int, int]) -> Pixels:
        """The pixels of a window ``(x_min, y_min, x_max, y_max)``, as stored.

        Raises:
            UnreadableSlide: The file is damaged there.
        """
        with clear_errors(str(self._file.path), f"whole pixels at {window}"):
            samples = self._read_rows(window) if self._rows_at_once else self._read_segments(window)
            return self._to_rgb(samples)

    def _check_kind(self) -> None:
        """Raises an error where the header says what is not read here."""
        page, name = self._page, self._file.path
        if not (0 < self.width <= LARGEST_SIDE and 0 < self.height <= LARGEST_SIDE):
            raise UnreadableSlide(
                f"{name}: the header says {self.width} x {self.height} pixels; no image has that size"
            )
        if page.imagedepth != 1 or page.tiledepth > 1:
            raise UnreadableSlide(f"{name}: expected flat pages, found pages of {page.imagedepth} planes")
        bits, kind = page.bitspersample, page.sampleformat
        if not isinstance(bits, int) or not 1 <= bits <= 16 or kind not in (1, 4):
            raise UnreadableSlide(
                f"{name}: expected whole numbers of 1 to 16 bits, found {bits} bits a sample of format {kind};"
                " save the slide with 8 or 16 bits"
            )
        samples, photometric = page.samplesperpixel, page.photometric
        grey = photometric in (MIN_IS_WHITE, MIN_IS_BLACK)
        alpha = sum(int(extra) in (1, 2) for extra in page.extrasamples)
        if grey and samples - alpha != 1:
            raise UnreadableSlide(
                f"{name}: expected colour (RGB) or one grey channel, found {samples} channels; save one of them"
            )
        colour = photometric == RGB or (photometric == YCBCR and page.compression in JPEG)
        known = grey or (photometric == PALETTE and samples == 1) or (colour and samples >= 3)
        if not known or page.compression in APERIO_YCBCR:
            maybe = photometric in (CMYK, YCBCR, CIELAB) or page.compression in APERIO_YCBCR
            raise (UnsupportedColours if maybe else UnreadableSlide)(
                f"{name}: expected RGB, grey, palette or YCbCr in JPEG, found photometric interpretation"
                f" {int(photometric)} with {samples} samples, compression {int(page.compression)}; save it as RGB"
            )

    def _check_segments(self) -> None:
        """Raises an error where tiles or strips are missing, beyond the file's end, or larger than can be."""
        page, name = self._page, self._file.path
        what = "tiles" if page.is_tiled else "strips"
        expected = self._across * self._down * (self._samples if self._separate else 1)
        if len(self._offsets) < expected or len(self._counts) < expected:
            found = min(len(self._offsets), len(self._counts))
            raise UnreadableSlide(
                f"{name}: {self.width} x {self.height} pixels need {expected:,} {what}, found {found:,}:"
                " a damaged header"
            )
        offsets, counts = self._offsets[:expected], self._counts[:expected]
        row_bits = self._width * page.bitspersample * (1 if self._separate else self._samples)
        segment = -(-row_bits // 8) * self._length
        if page.compression == 1:
            rows = np.full(self._down, self._length)
            if not page.is_tiled:
                rows[-1] = self.height - (self._down - 1) * self._length
            needed = np.resize(np.repeat(rows, self._across), expected) * -(-row_bits // 8)
        else:
            needed = np.ones(expected, dtype=np.int64)
        if missing := int(((offsets <= 0) | (counts <= 0)).sum()):
            raise MissingTiles(f"{name}: expected {expected:,} {what}, found {missing:,} of them without data")
        beyond = int((offsets + np.maximum(counts, needed) > self._file.length).sum())
        if beyond:
            raise UnreadableSlide(
                f"{name}: expected a whole TIFF, found {beyond:,} of {expected:,} {what} beyond the end of the file's"
                f" {self._file.length:,} bytes: it is truncated, copy it again"
            )
        if short := int((counts < needed).sum()):
            raise UnreadableSlide(f"{name}: {short:,} of {expected:,} {what} have fewer bytes than their pixels need")
        if segment > BOMB_BYTES and page.compression != 1:
            if segment > BOMB_RATIO * int(counts.max()):
                raise UnreadableSlide(
                    f"{name}: {segment:,} bytes of pixels in {int(counts.max()):,} bytes of the file: a damaged header"
                    " or a decompression bomb; it is not decoded"
                )
            at_hand = memory_at_hand()
            if 3 * segment > MEMORY_SHARE * at_hand:  # the decoded strip, and what is made of it
                raise TooLargeImage(
                    f"{name}: one of its {what} takes about {3 * segment / 2**30:.1f} GB of memory,"
                    f" {at_hand / 2**30:.1f} GB are free; save the slide with tiles"
                )

    def _read_colours(self) -> Pixels | None:
        """The palette ``(2**bits, 3)``, where the page has one."""
        if self._page.photometric != PALETTE:
            return None
        colours = np.asarray(self._page.colormap, dtype=np.uint16).reshape(3, 2**self._page.bitspersample).T
        # The standard says 16 bits, but some programs write 8.
        return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)

    def _read_rows(self, window: tuple[int, int, int, int]) -> Samples:
        """Reads rows that are stored as they are; nothing else of the file is touched."""
        x_min, y_min, x_max, y_max = window
        stored = np.dtype(self._page.parent.byteorder + ("u1" if self._page.bitspersample == 8 else "u2"))
        result = np.empty((y_max - y_min, x_max - x_min, self._samples), dtype=stored)
        pixel = stored.itemsize * self._samples
        for y in range(y_min, y_max):
            strip, row = divmod(y, self._length)
            offset = int(self._offsets[strip]) + (row * self.width + x_min) * pixel
            self._file.read_into(offset, memoryview(result[y - y_min]).cast("B"))
        return result[:, :, : self._kept].astype(stored.newbyteorder("="), copy=False)

    def _read_segments(self, window: tuple[int, int, int, int]) -> Samples:
        """Decodes the tiles or strips that the window touches."""
        x_min, y_min, x_max, y_max = window
        dtype = np.uint8 if self._page.bitspersample <= 8 else np.uint16
        result: Samples = np.empty((y_max - y_min, x_max - x_min, self._kept), dtype=dtype)
        touched = [
            (sample, row, column)
            for sample in range(self._kept if self._separate else 1)
            for row in range(y_min // self._length, -(-y_max // self._length))
            for column in range(x_min // self._width, -(-x_max // self._width))
        ]

        def place(where: tuple[int, int, int]) -> None:
            sample, row, column = where
            decoded = self._decode((sample * self._down + row) * self._across + column)
            top, left = row * self._length, column * self._width
            rows = slice(max(top, y_min), min(top + self._length, y_max))
            columns = slice(max(left, x_min), min(left + self._width, x_max))
            samples = slice(sample, sample + 1) if self._separate else slice(0, self._kept)
            part = decoded[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            result[rows.start - y_min : rows.stop - y_min, columns.start - x_min : columns.stop - x_min, samples] = (
                part if self._separate else part[:, :, : self._kept]
            )

        for _ in self._map(place, touched):
            pass
        return result

    def _decode(self, index: int) -> Samples:
        """A tile or strip: ``(rows, columns, samples)``."""
        key = (int(self._page.offset), index)
        last = self._file.last
        if last is not None and last[0] == key:
            return last[1]
        content = self._file.read(int(self._offsets[index]), int(self._counts[index]))
        options = {}
        if self._page.compression in JPEG:
            # The decoder would fill what is missing with grey.
            if b"\xff\xd9" not in content[-64:]:
                raise ValueError(f"the JPEG of tile or strip {index} has no end")
            options["jpegtables"] = self._tables
        decoded: Samples = self._page.decode(content, index, **options)[0][0]
        if decoded.dtype == bool:
            decoded = decoded.view(np.uint8)
        if not self._page.is_tiled:
            self._file.last = (key, decoded)
        return decoded

    def _to_rgb(self, samples: Samples) -> Pixels:
        """Samples as stored as RGB of 8 bits."""
        page = self._page
        if self._colours is not None:
            return np.take(self._colours, samples[:, :, 0], axis=0)
        if self._bits != 8:
            samples = cv2.convertScaleAbs(samples, alpha=255 / (2**self._bits - 1)).reshape(samples.shape)
        if page.photometric == MIN_IS_WHITE:
            samples = 255 - samples
        return samples if self._kept == 3 else np.repeat(samples, 3, axis=2)
