"""Image files: their size as displayed, and their pixels.

Everything goes through Pillow, because it refuses truncated files where OpenCV fills the missing part with grey
and only prints a warning. Image files come from anywhere: what the header promises is weighed before it is believed.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from spore_yolo.files.errors import SporeYoloError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes, in lower case, of the files that are taken for images."""

EXIF_ORIENTATION = 0x0112
IMAGE_DESCRIPTION = 270

# Ultralytics replaces Image.open by a function that tries to install a package when it meets a damaged file.
_open_image = Image.open

# Pillow tries some fifty formats by what the file holds, whatever its suffix; one of them starts Ghostscript.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")

LARGEST_SIDE = 10_000_000
"""Pixels; no scanner makes more, so a header that says so is damaged."""

BOMB_BYTES = 256 * 2**20
BOMB_RATIO = 1000
"""A file that would decode to more than :data:`BOMB_BYTES`, and to more than so many times its own bytes, is a bomb.
JPEG packs blank pixels about 300 to one; PNG can reach 1000 to one, but only without any noise."""

MEMORY_SHARE = 0.8
"""Share of the memory at hand that one image may take while it is decoded."""


class UnreadableImage(SporeYoloError):
    """An image file is missing, damaged or of a kind that is not read."""


class TooLargeImage(UnreadableImage):
    """An image does not fit into the memory that this machine has at hand; the file may be whole."""


@dataclass(frozen=True)
class ImageSize:
    """The size of an image in pixels.

    Attributes:
        width: Width as displayed, that is after the EXIF orientation was applied.
        height: Height as displayed.
        orientation: The EXIF orientation, 1 to 8; 1 means that pixels are stored as displayed.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height as stored in the file, before the EXIF orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_size(path: Path) -> ImageSize:
    """Reads an image's header, not its pixels; a scanned slide of many gigapixels takes no longer than any other.

    Raises:
        UnreadableImage: The file is missing, no ordinary file or no image.
    """
    with _open(path) as image:
        orientation = _orientation(image)
        width, height = image.size
        # Pillow gives a TIFF's size as displayed already.
        swap = orientation >= 5 and image.format != "TIFF"
        return ImageSize(*((height, width) if swap else (width, height)), orientation)


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Reads an image's pixels as displayed.

    Returns:
        Array of shape ``(height, width, 3)``, RGB, 8 bit, EXIF orientation applied. Images of 16 bits, or of as many as
        an OME-TIFF says are used, are scaled to 8; transparency is dropped. Of several pictures in one file it is the
        first.

    Raises:
        TooLargeImage: Its pixels do not fit into memory.
        UnreadableImage: The file is missing, damaged, truncated, no image or a decompression bomb.
    """
    with _open(path) as image:
        _check_decoded_size(path, image)
        try:
            orientation = _orientation(image)
            # Pillow turns TIFFs while it loads them, but its memory-mapped way mirrors some; without a file name it
            # reads them the ordinary way.
            image.filename = ""
            image.load()
            upright = image if orientation == 1 or image.format == "TIFF" else ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                values = np.asarray(upright, dtype=np.float64) * (255 / (2 ** _bits_used(image) - 1))
                grey = np.clip(values, 0, 255).round().astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            return np.asarray(upright.convert("RGB"))
        except MemoryError:
            raise TooLargeImage(f"{path}: {image.size[0]} x {image.size[1]} pixels do not fit into memory") from None
        except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more for damaged files
            raise UnreadableImage(
                f"{path}: expected a whole image, found a truncated or damaged file ({error}); copy it again"
            ) from None


def find_images(folder: Path) -> list[Path]:
    """All image files under ``folder``, at any depth, sorted; hidden files and folders are left out.

    A link to a file counts as the file, wherever that lies. Links to folders are not followed: some lead in circles.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and os.path.isfile(path)  # unlike Path.is_file it takes a folder that may not be entered for no file
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _check_decoded_size(path: Path, image: Any) -> None:
    """Refuses what would fill the memory, before a single pixel is decoded.

    Raises:
        TooLargeImage: It does not fit into the memory at hand.
        UnreadableImage: So few bytes cannot hold so many pixels.
    """
    width, height = image.size
    decoded = width * height * 3
    if decoded <= BOMB_BYTES:
        return
    size = path.stat().st_size
    if decoded > BOMB_RATIO * size:
        raise UnreadableImage(
            f"{path}: {width} x {height} pixels in a file of {size:,} bytes: a damaged header or a decompression bomb;"
            " it is not decoded"
        )
    # Pillow keeps 4 bytes a pixel, twice while it turns or converts them, and the array takes 3 or, of 16 bits, more.
    needed = width * height * (36 if image.mode.startswith("I") else 12)
    at_hand = memory_at_hand()
    if needed > MEMORY_SHARE * at_hand:
        raise TooLargeImage(
            f"{path}: {width} x {height} pixels take about {needed / 2**30:.1f} GB of memory while they are decoded,"
            f" {at_hand / 2**30:.1f} GB are free; cut the slide into parts, or use a machine with more memory"
        )


def memory_at_hand() -> int:
    """Bytes of memory that this process may still take, roughly; where the system does not say, 4 GiB."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        try:
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        except (AttributeError, ValueError, OSError):
            return 4 * 2**30
    try:
        # A container has less than its machine.
        return min(free, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such file, or "max"
        return free


def _orientation(image: Any) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read.

    Pillow decodes a whole PNG to look for EXIF behind the pixels; in a large one, which may be a bomb, none is looked
    for there.
    """
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info and width * height * 3 > BOMB_BYTES:
        return 1
    try:
        orientation = int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # EXIF blocks are written by many programs; a broken one says nothing about the pixels
        return 1
    return orientation if orientation in range(1, 9) else 1


def _bits_used(image: Any) -> int:
    """Bits of a sample that the camera used, where an OME-TIFF says it: 12 of 16, say; else 16."""
    description = str(getattr(image, "tag_v2", {}).get(IMAGE_DESCRIPTION, ""))
    stated = re.search(r'<Pixels[^>]*\bSignificantBits="([0-9]{1,2})"', description)
    return min(16, int(stated[1]) or 16) if stated else 16


def _open(path: Path) -> Any:
    Image.MAX_IMAGE_PIXELS = None  # scanned slides are larger than Pillow allows; see _check_decoded_size
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise UnreadableImage(f"{path}: expected an image, found a folder")
        if not stat.S_ISREG(kind):  # reading a pipe or a device may never end
            raise UnreadableImage(f"{path}: expected an image, found a pipe, a socket or a device")
        image = _open_image(path, formats=FORMATS)
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: no such file") from None
    except (UnidentifiedImageError, ImportError):
        raise UnreadableImage(f"{path}: expected an image (JPEG, PNG, TIFF, BMP, WebP), found something else") from None
    except Exception as error:
        raise UnreadableImage(f"{path}: cannot be read as an image ({error})") from None
    if not 0 < min(image.size) <= max(image.size) <= LARGEST_SIDE:
        image.close()
        raise UnreadableImage(
            f"{path}: the header says {image.size[0]} x {image.size[1]} pixels; no image has that size"
        )
    return image
