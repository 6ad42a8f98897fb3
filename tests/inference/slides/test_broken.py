"""Broken and hostile files: an error for people, with the path, whatever is wrong; never a picture that is made up."""

from __future__ import annotations

import random
import re
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import TooLargeImage, UnreadableImage
from spore_yolo.inference.slides import SLIDE_SUFFIXES, UnreadableSlide, open_slide, tiff_page

Pixels = npt.NDArray[np.uint8]

KINDS: dict[str, dict[str, Any]] = {
    "deflate tiles": {"compression": "zlib", "tile": (64, 64)},
    "LZW strips": {"compression": "lzw", "rowsperstrip": 16},
    "JPEG tiles": {"compression": "jpeg", "tile": (64, 64)},
    "JPEG strips": {"compression": "jpeg", "rowsperstrip": 16},
    "plain strips": {"rowsperstrip": 16},
    "plain tiles": {"tile": (64, 64)},
    "one plain strip": {},
    "ZSTD, BigTIFF": {"compression": "zstd", "rowsperstrip": 16, "bigtiff": True},
}


def read_all(path: Path) -> Pixels:
    with open_slide(path) as slide:
        return slide.read((0, 0, slide.width, slide.height))


@pytest.fixture(params=list(KINDS))
def tiff(request: pytest.FixtureRequest, tmp_path: Path, colours: Pixels) -> Path:
    tifffile.imwrite(tmp_path / "slide.tif", colours, photometric="rgb", **KINDS[request.param])
    return tmp_path / "slide.tif"


def segments(path: Path) -> tuple[list[int], list[int]]:
    with tifffile.TiffFile(path) as file:
        return list(file.pages[0].dataoffsets), list(file.pages[0].databytecounts)


def set_tag(path: Path, tag: str, value: Any) -> None:
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags[tag].overwrite(value)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, 0.9, -1])
def test_truncated_tiff(tiff: Path, kept: float) -> None:
    content = tiff.read_bytes()
    tiff.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(UnreadableImage, match=re.escape(str(tiff))):
        read_all(tiff)


def test_tile_beyond_the_end_of_the_file(tiff: Path) -> None:
    offsets, _ = segments(tiff)
    tag = "TileOffsets" if "Tile" in str(tifffile.TiffFile(tiff).pages[0].tags) else "StripOffsets"
    offsets[-1] = tiff.stat().st_size - 3
    set_tag(tiff, tag, offsets)
    with pytest.raises(UnreadableSlide, match=r"slide\.tif: .*beyond the end"):
        read_all(tiff)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_tile_with_too_few_bytes(tiff: Path, count: int) -> None:
    _, counts = segments(tiff)
    with tifffile.TiffFile(tiff) as file:
        tag = "TileByteCounts" if file.pages[0].is_tiled else "StripByteCounts"
    if count == 0 and len(counts) == 1:
        pytest.skip("readers take a single strip without a size for one that reaches to the end")
    counts[len(counts) // 2] = count
    set_tag(tiff, tag, counts)
    with pytest.raises(UnreadableSlide, match=r"slide\.tif"):
        read_all(tiff)


@pytest.mark.parametrize("kind", ["deflate tiles", "JPEG tiles", "JPEG strips", "ZSTD, BigTIFF"])
@pytest.mark.parametrize("garbage", ["zeros", "noise", "the second half is missing"])
def test_tile_of_garbage(tmp_path: Path, colours: Pixels, kind: str, garbage: str) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, colours, photometric="rgb", **KINDS[kind])
    offsets, counts = segments(path)
    content = bytearray(path.read_bytes())
    begin, end = offsets[3], offsets[3] + counts[3]
    if garbage == "the second half is missing":
        if kind.startswith("ZSTD"):
            pytest.skip("its frames have no checksum here, and zeros can be decoded")
        begin = (begin + end) // 2
    noise = np.random.default_rng(0).integers(0, 256, end - begin, dtype=np.uint8).tobytes()
    content[begin:end] = noise if garbage == "noise" else bytes(end - begin)
    path.write_bytes(content)
    with pytest.raises(UnreadableSlide, match=r"slide\.tif: expected whole pixels at .*found"):
        read_all(path)
    with open_slide(path) as slide:
        assert slide.read((0, 0, 40, 10)).shape == (10, 40, 3), "the rest can be read"


def test_tiles_that_were_never_written(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    tiles = [np.full((64, 64, 3), 200, np.uint8), None, None, None]
    tifffile.imwrite(
        path, iter(tiles), shape=(128, 128, 3), dtype=np.uint8, tile=(64, 64), photometric="rgb", compression="zlib"
    )
    with pytest.raises(UnreadableSlide, match=r"slide\.tif: expected 4 tiles, found 3 of them without data"):
        open_slide(path)


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({"ImageWidth": 100_000, "ImageLength": 100_000}, id="more tiles than there are"),
        pytest.param({"ImageWidth": 2**32 - 1, "ImageLength": 2**32 - 1}, id="the largest TIFF"),
        pytest.param({"ImageWidth": 100_000, "ImageLength": 100_000, "RowsPerStrip": 100_000}, id="one strip"),
        pytest.param({"ImageWidth": 0}, id="no width"),
        pytest.param({"RowsPerStrip": 0}, id="no rows"),
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_header_that_claims_what_the_file_cannot_hold(
    tmp_path: Path, compression: str | None, tags: dict[str, int]
) -> None:
    path = tmp_path / "slide.tif"
    grey = np.zeros((64, 64), np.uint8)
    tifffile.imwrite(path, grey, compression=compression, rowsperstrip=64, metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for name, value in tags.items():
            tag = file.pages[0].tags[name]
            content[tag.offset + 2 : tag.offset + 12] = struct.pack("<HII", 4, 1, value)
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match=r"slide\.tif"):
            read_all(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_tile_that_claims_what_the_file_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), compression="zlib", tile=(64, 64), metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for name in ("ImageWidth", "ImageLength", "TileWidth", "TileLength"):
            tag = file.pages[0].tags[name]
            content[tag.offset + 2 : tag.offset + 12] = struct.pack("<HII", 4, 1, 65_536)
    path.write_bytes(content)
    with pytest.raises(UnreadableSlide, match=r"slide\.tif: 4,294,967,296 bytes of pixels in .*bomb"):
        open_slide(path)


def test_strip_that_does_not_fit_into_memory(tmp_path: Path, colours: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", colours, photometric="rgb", compression="zlib", rowsperstrip=301)
    monkeypatch.setattr(tiff_page, "BOMB_BYTES", 10_000)
    np.testing.assert_array_equal(read_all(tmp_path / "slide.tif"), colours)
    monkeypatch.setattr(tiff_page, "memory_at_hand", lambda: 3 * colours.nbytes)
    with pytest.raises(TooLargeImage, match=r"slide\.tif: one of its strips takes about"):
        open_slide(tmp_path / "slide.tif")


@pytest.mark.parametrize("suffix", sorted(SLIDE_SUFFIXES - {".nd2", ".lif"}))
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(b"0 0.5 0.5 0.1 0.1\n" * 20, id="text"),
        pytest.param(b"II*\0" + bytes(200), id="the beginning of a TIFF"),
        pytest.param(b"\xff\xd8\xff\xe0\0\x10JFIF", id="the beginning of a JPEG"),
        pytest.param(b"ZISRAWFILE" + bytes(1000), id="the beginning of a CZI"),
    ],
)
def test_no_slide(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"slide{suffix}"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=re.escape(str(path))):
        open_slide(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".gif", ".webp"])
def test_truncated_image(tmp_path: Path, colours: Pixels, suffix: str) -> None:
    path = tmp_path / f"slide{suffix}"
    Image.fromarray(colours).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImage, match=re.escape(str(path))):
        open_slide(path)


def test_colours_of_floating_point_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", np.zeros((64, 64), np.float32))
    with pytest.raises(UnreadableSlide, match="expected whole numbers of 1 to 16 bits, found 32"):
        open_slide(tmp_path / "slide.tif")


@pytest.mark.parametrize("kind", ["deflate tiles", "JPEG tiles", "plain strips", "ZSTD, BigTIFF"])
@pytest.mark.filterwarnings("ignore")
def test_mutilated_files_give_pixels_or_an_error_for_people(tmp_path: Path, colours: Pixels, kind: str) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, colours[:90, :120], photometric="rgb", **KINDS[kind])
    content = path.read_bytes()
    rng = random.Random(kind)
    refused = []
    for _ in range(150):
        broken = bytearray(content)
        for _ in range(rng.choice((1, 2, 8))):
            place = rng.choice((rng.randrange(len(broken)), rng.randrange(400)))
            broken[place] = rng.choice((0, 255, rng.randrange(256)))
        path.write_bytes(broken)
        try:
            with open_slide(path) as slide:
                slide.read((0, 0, min(500, slide.width), min(500, slide.height)))
        except SporeYoloError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert all(str(path) in message for message in refused)
