"""Small images for the tests of labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from spore_yolo.files.images import EXIF_ORIENTATION
from spore_yolo.labels.image_index import ImageIndex

SaveImage = Callable[..., Path]


@pytest.fixture(scope="session")
def save_image() -> SaveImage:
    """Saves a grey image: path, width and height as stored, and its EXIF orientation."""

    def save(path: Path, width: int = 100, height: int = 80, orientation: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        Image.new("L", (width, height), 128).save(path, exif=exif)
        return path

    return save


@pytest.fixture
def images(tmp_path: Path, save_image: SaveImage) -> ImageIndex:
    """Two images of one folder: a.jpg of 100 x 80 and b.png of 60 x 40 pixels."""
    save_image(tmp_path / "images" / "a.jpg", 100, 80)
    save_image(tmp_path / "images" / "b.png", 60, 40)
    return ImageIndex(tmp_path / "images")


@pytest.fixture
def turned(tmp_path: Path, save_image: SaveImage) -> ImageIndex:
    """One image, t.jpg, stored as 60 x 40 pixels and displayed, turned to the right, as 40 x 60."""
    save_image(tmp_path / "turned" / "t.jpg", 60, 40, orientation=6)
    return ImageIndex(tmp_path / "turned")
