"""Ordinary image files: JPEG, PNG, BMP, WebP, GIF."""

from __future__ import annotations

from pathlib import Path

from spore_yolo.files.images import read_image
from spore_yolo.inference.slides.slide import ArraySlide


def open_plain(path: Path) -> ArraySlide:
    """Reads an image file as a whole.

    Raises:
        TooLargeImage: Its pixels do not fit into memory.
        UnreadableImage: It is damaged, truncated, no image or a decompression bomb.
    """
    return ArraySlide(read_image(path), str(path))
