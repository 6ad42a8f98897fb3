"""CZI, written by pylibCZIrw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from spore_yolo.inference.slides import UnreadableSlide, open_slide

czi = pytest.importorskip("pylibCZIrw.czi")

Samples = npt.NDArray[Any]


def write(path: Path, *planes: Samples, location: tuple[int, int] = (0, 0), axis: str = "Z", **metadata: Any) -> Path:
    """Writes planes, RGB or grey, one beside another along an axis."""
    with czi.create_czi(str(path)) as document:
        for index, plane in enumerate(planes):
            samples = plane[:, :, ::-1] if plane.ndim == 3 else plane[:, :, None]
            document.write(np.ascontiguousarray(samples), plane={axis: index}, location=location)
        document.write_metadata("slide", **metadata)
    return path


@pytest.mark.parametrize("location", [(0, 0), (120, 77), (-300, -20)])
def test_colour(tmp_path: Path, colours: Samples, location: tuple[int, int]) -> None:
    path = write(tmp_path / "slide.czi", colours, location=location, scale_x=0.345e-6, scale_y=0.345e-6)
    with open_slide(path) as slide:
        assert (slide.width, slide.height, slide.planes, slide.plane) == (419, 301, 1, None)
        assert slide.um_per_px == pytest.approx(0.345)
        np.testing.assert_array_equal(slide.read((0, 0, 419, 301)), colours)
        np.testing.assert_array_equal(slide.read((30, 40, 250, 41)), colours[40:41, 30:250])


def test_grey(tmp_path: Path, colours: Samples) -> None:
    with open_slide(write(tmp_path / "slide.czi", colours[:, :, 0])) as slide:
        assert slide.um_per_px is None
        np.testing.assert_array_equal(slide.read((0, 0, 419, 301)), np.repeat(colours[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_sixteen_bits(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (60, 80, 3), dtype=np.uint16)
    expected = np.rint(values / 257).astype(np.uint8)
    if kind == "grey":
        values, expected = values[:, :, 0], np.repeat(expected[:, :, :1], 3, axis=2)
    with open_slide(write(tmp_path / "slide.czi", values)) as slide:
        np.testing.assert_array_equal(slide.read((0, 0, 80, 60)), expected)


def test_what_was_not_scanned_is_white(tmp_path: Path, colours: Samples) -> None:
    path = tmp_path / "slide.czi"
    with czi.create_czi(str(path)) as document:
        tile = np.ascontiguousarray(colours[:100, :100, ::-1])
        document.write(tile, plane={"Z": 0}, location=(0, 0))
        document.write(tile, plane={"Z": 0}, location=(150, 100))
    with open_slide(path) as slide:
        pixels = slide.read((0, 0, 250, 200))
    assert (slide.width, slide.height) == (250, 200)
    np.testing.assert_array_equal(pixels[:100, :100], colours[:100, :100])
    np.testing.assert_array_equal(pixels[100:, 150:], colours[:100, :100])
    assert (pixels[:100, 100:] == 255).all() and (pixels[100:, :150] == 255).all()


def test_stack(tmp_path: Path, colours: Samples) -> None:
    planes = [cv2.GaussianBlur(colours, (0, 0), 3), colours, cv2.GaussianBlur(colours, (0, 0), 5)]
    path = write(tmp_path / "slide.czi", *planes)
    with open_slide(path) as slide:
        assert (slide.planes, slide.plane) == (3, 2)
        np.testing.assert_array_equal(slide.read((0, 0, 419, 301)), colours)
    with open_slide(path, z=3) as slide:
        np.testing.assert_array_equal(slide.read((0, 0, 419, 301)), planes[2])
    with open_slide(path, z="max-contrast") as slide:
        assert slide.read((5, 5, 300, 200)).shape == (195, 295, 3)


@pytest.mark.parametrize(("axis", "message"), [("C", "2 channels and 1 points"), ("T", "1 channels and 2 points")])
def test_channels_and_time_are_refused(tmp_path: Path, colours: Samples, axis: str, message: str) -> None:
    path = write(tmp_path / "slide.czi", colours[:, :, 0], colours[:, :, 1], axis=axis)
    with pytest.raises(UnreadableSlide, match=rf"slide\.czi: .*found {message}"):
        open_slide(path)


def test_levels(tmp_path: Path) -> None:
    rows = np.linspace(0, 255, 1500).astype(np.uint8)
    pixels = np.repeat(np.repeat(rows[:, None, None], 2301, axis=1), 3, axis=2)
    with open_slide(write(tmp_path / "slide.czi", pixels)) as slide:
        assert slide.downsamples == (1.0, 2.0, 4.0)
        for level in (1, 2):
            width, height = slide.size(level)
            small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).astype(int)
            assert np.abs(slide.read((0, 0, width, height), level) - small).max() <= 2
        assert slide.reduced(500).shape == (326, 500, 3)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_truncated(tmp_path: Path, colours: Samples, kept: float) -> None:
    path = write(tmp_path / "slide.czi", colours)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(UnreadableSlide, match=r"slide\.czi: expected a whole CZI"):
        open_slide(path)
