"""Slides that OpenSlide reads: files as a scanner lays them out, written by tifffile."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from spore_yolo.inference.slides import UnreadableSlide, open_slide
from spore_yolo.inference.slides.scanners import ScannerSlide
from spore_yolo.inference.slides.tiff import TiffSlide

Pixels = npt.NDArray[np.uint8]

APERIO = "Aperio Image Library v11.2.1 \r\n{} (64x64) JPEG/RGB Q=85|AppMag = 20|MPP = 0.4990"


def aperio(path: Path, *levels: Pixels, **options: Any) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for level in levels:
            text = APERIO.format(f"{level.shape[1]}x{level.shape[0]}")
            writer.write(level, tile=(64, 64), photometric="rgb", description=text, metadata=None, **options)
    return path


def test_openslide_and_this_reader_agree(tmp_path: Path, colours: Pixels) -> None:
    colours = colours[:300, :416]  # OpenSlide interpolates in levels that are a fraction of a pixel off
    path = aperio(tmp_path / "slide.svs", colours, colours[::4, ::4], compression="lzw")
    with open_slide(path) as ours, ScannerSlide(path) as theirs:
        assert type(ours) is TiffSlide, "it is several times as fast"
        assert (theirs.width, theirs.height, theirs.um_per_px) == (ours.width, ours.height, ours.um_per_px)
        assert theirs.um_per_px == 0.499
        assert theirs.row_step == ours.row_step == 64
        assert theirs.downsamples == pytest.approx(ours.downsamples, rel=0.01)
        np.testing.assert_array_equal(theirs.read((0, 0, 416, 300)), colours)
        np.testing.assert_array_equal(theirs.read((33, 70, 250, 201)), colours[70:201, 33:250])
        for level in (0, 1):
            assert theirs.size(level) == ours.size(level)
            window = 3, 5, 90, 70
            np.testing.assert_array_equal(theirs.read(window, level), ours.read(window, level))


def test_what_a_scanner_left_out_is_background(tmp_path: Path, colours: Pixels) -> None:
    tiles = [colours[:64, :64], None, colours[64:128, :64], colours[64:128, 64:128]]
    path = tmp_path / "slide.svs"
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=(128, 128, 3),
        dtype=np.uint8,
        tile=(64, 64),
        photometric="rgb",
        compression="lzw",
        description=APERIO.format("128x128"),
        metadata=None,
    )
    expected = colours[:128, :128].copy()
    expected[:64, 64:] = 255
    with open_slide(path) as slide:
        assert type(slide) is ScannerSlide
        np.testing.assert_array_equal(slide.read((0, 0, 128, 128)), expected)


def test_jpeg_2000_with_colours_of_aperio_is_left_to_openslide(tmp_path: Path, colours: Pixels) -> None:
    path = aperio(tmp_path / "slide.svs", colours, compression="aperio_jp2000_rgb")
    with open_slide(path) as slide:
        assert type(slide) is TiffSlide
        expected = slide.read((0, 0, 419, 301))
    with ScannerSlide(path) as slide:
        assert np.abs(slide.read((0, 0, 419, 301)).astype(int) - expected).max() <= 1
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(33003)
    with open_slide(path) as slide:
        assert type(slide) is ScannerSlide


def test_truncated_slide(tmp_path: Path, colours: Pixels) -> None:
    path = aperio(tmp_path / "slide.svs", colours, compression="jpeg")
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(UnreadableSlide, match=r"slide\.svs"), open_slide(path) as slide:
        slide.read((0, 0, slide.width, slide.height))


def test_damage_that_openslide_meets_while_it_reads(tmp_path: Path, colours: Pixels) -> None:
    path = aperio(tmp_path / "slide.svs", colours, compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = bytes(count)
    path.write_bytes(content)
    with ScannerSlide(path) as slide, pytest.raises(UnreadableSlide, match=r"slide\.svs: expected whole pixels at"):
        slide.read((0, 0, 419, 301))


@pytest.mark.parametrize("suffix", [".mrxs", ".ndpi", ".scn", ".vms", ".bif", ".vsi"])
def test_what_openslide_does_not_know(tmp_path: Path, colours: Pixels, suffix: str) -> None:
    path = tmp_path / f"slide{suffix}"
    path.write_bytes(b"nothing that a scanner writes")
    with pytest.raises(UnreadableSlide, match=rf"slide\{suffix}: expected a slide that OpenSlide reads"):
        open_slide(path)


@pytest.mark.parametrize("part", ["../secret.jpg", "/etc/passwd", "..\\secret.jpg"])
@pytest.mark.parametrize("suffix", [".vms", ".mrxs"])
def test_parts_elsewhere_are_refused(tmp_path: Path, suffix: str, part: str) -> None:
    path = tmp_path / f"slide{suffix}"
    path.write_text(f"[Virtual Microscope Specimen]\nNoLayers=1\nImageFile={part}\n")
    (tmp_path / "slide").mkdir()
    (tmp_path / "slide" / "Slidedat.ini").write_text(f"[DATAFILE]\nFILE_COUNT=1\nFILE_0={part}\n")
    with pytest.raises(UnreadableSlide, match=r"expected parts that lie beside it, found"):
        open_slide(path)


def test_a_slide_is_not_closed_while_it_is_read(
    tmp_path: Path, colours: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSlide would abort the process."""
    slide = ScannerSlide(aperio(tmp_path / "slide.svs", colours))
    begun, order = threading.Event(), list[str]()

    class Slow:
        def read_region(self, *arguments: Any) -> Any:
            begun.set()
            time.sleep(0.1)
            order.append("read")
            return np.zeros((8, 8, 4), dtype=np.uint8)

        def close(self) -> None:
            order.append("closed")

    slide.close()
    monkeypatch.setattr(slide, "_slide", Slow())
    reader = threading.Thread(target=slide.read, args=[(0, 0, 8, 8)])
    reader.start()
    assert begun.wait(60)
    slide.close()
    reader.join()
    assert order == ["read", "closed"]
