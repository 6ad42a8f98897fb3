"""Image files: their size as displayed, and their pixels.

Everything goes through Pillow, because it refuses truncated files where OpenCV fills the missing part with grey
and only prints a warning.
"""

from __future__ import annotations

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

# Ultralytics replaces Image.open by a function that tries to install a package when it meets a damaged file.
_open_image = Image.open

# Pillow refuses more than 179 megapixels by default as a possible attack; scanned slides are larger than that.
MAX_PIXELS = 4_000_000_000


class UnreadableImage(SporeYoloError):
    """An image file is missing, damaged or of a kind that is not read."""


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
    """Reads an image's header, not its pixels.

    Raises:
        UnreadableImage: The file is missing or no image.
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
        Array of shape ``(height, width, 3)``, RGB, 8 bit, EXIF orientation applied. Images of 16 bits are scaled
        to 8; transparency is dropped.

    Raises:
        UnreadableImage: The file is missing, damaged, truncated or no image.
    """
    with _open(path) as image:
        try:
            orientation = _orientation(image)
            # Pillow turns TIFFs while it loads them, but its memory-mapped way mirrors some; without a file name it
            # reads them the ordinary way.
            image.filename = ""
            image.load()
            upright = image if orientation == 1 or image.format == "TIFF" else ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                values = np.asarray(upright, dtype=np.float64)
                grey = np.clip(values / 257.0, 0, 255).round().astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            return np.asarray(upright.convert("RGB"))
        except MemoryError:
            raise UnreadableImage(f"{path}: {image.size[0]} x {image.size[1]} pixels do not fit into memory") from None
        except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more for damaged files
            raise UnreadableImage(
                f"{path}: expected a whole image, found a truncated or damaged file ({error}); copy it again"
            ) from None


def find_images(folder: Path) -> list[Path]:
    """All image files under ``folder``, at any depth, sorted; hidden files and folders are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _orientation(image: Any) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        orientation = int(image.getexif().get(EXIF_ORIENTATION, 1))
    except Exception:  # EXIF blocks are written by many programs; a broken one says nothing about the pixels
        return 1
    return orientation if orientation in range(1, 9) else 1


def _open(path: Path) -> Any:
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        return _open_image(path)
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UnreadableImage(f"{path}: expected an image, found a folder") from None
    except (UnidentifiedImageError, ImportError):
        raise UnreadableImage(f"{path}: expected an image (JPEG, PNG, TIFF, BMP, WebP), found something else") from None
    except Exception as error:
        raise UnreadableImage(f"{path}: cannot be read as an image ({error})") from None
