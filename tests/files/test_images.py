"""Image files: size as displayed, and pixels."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from spore_yolo.files import images
from spore_yolo.files.images import (
    EXIF_ORIENTATION,
    TooLargeImage,
    UnreadableImage,
    find_images,
    memory_at_hand,
    read_image,
    read_size,
)

STORED = (32, 16)
"""Width and height as stored."""


def save(path: Path, orientation: int | None = None) -> Path:
    """An image of which no two corners are alike, so that every turn and every mirroring shows."""
    pixels = np.zeros((STORED[1], STORED[0], 3), np.uint8)
    pixels[:8, :16] = (250, 10, 10)
    pixels[:8, 16:] = (10, 250, 10)
    pixels[8:, :16] = (10, 10, 250)
    exif = Image.Exif()
    if orientation is not None:
        exif[EXIF_ORIENTATION] = orientation
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}.get(path.suffix, {})
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = save(tmp_path / f"slide{suffix}", orientation)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))

    pixels = read_image(path)
    size = read_size(path)

    np.testing.assert_array_equal(pixels, expected)
    assert (size.height, size.width) == pixels.shape[:2]
    assert size.stored == STORED
    assert size.orientation == orientation


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        # Where the red quarter, at the top left as stored, is displayed (EXIF 2.3, tag 0x0112).
        pytest.param(1, (0, 0), id="as stored"),
        pytest.param(2, (0, -1), id="mirrored left to right"),
        pytest.param(3, (-1, -1), id="turned by 180 degrees"),
        pytest.param(4, (-1, 0), id="mirrored top to bottom"),
        pytest.param(5, (0, 0), id="mirrored at the diagonal"),
        pytest.param(6, (0, -1), id="turned to the right"),
        pytest.param(7, (-1, -1), id="mirrored at the other diagonal"),
        pytest.param(8, (-1, 0), id="turned to the left"),
    ],
)
def test_pixels_are_upright(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    pixels = read_image(save(tmp_path / "slide.png", orientation))
    assert pixels[corner].tolist() == [250, 10, 10]


@pytest.mark.parametrize("orientation", [None, 0, 9, 700], ids=lambda value: f"orientation {value}")
def test_orientation_without_meaning_counts_as_stored(tmp_path: Path, orientation: int | None) -> None:
    path = save(tmp_path / "slide.png", orientation)
    assert read_size(path).orientation == 1
    assert (read_size(path).width, read_size(path).height) == STORED
    assert read_image(path).shape == (16, 32, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("compression", ["raw", "tiff_deflate"])
def test_orientation_of_tiff(tmp_path: Path, compression: str, mode: str, orientation: int) -> None:
    stored = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20).convert(mode)
    stored.getexif()[EXIF_ORIENTATION] = orientation
    expected = ImageOps.exif_transpose(stored).convert("RGB")
    stored.save(tmp_path / "slide.tif", compression=compression, exif=stored.getexif())
    np.testing.assert_array_equal(read_image(tmp_path / "slide.tif"), np.asarray(expected))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_broken_exif_does_not_spoil_the_image(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"slide{suffix}"
    prefix = b"Exif\0\0" if suffix == ".jpg" else b""
    Image.new("RGB", STORED, (9, 9, 9)).save(path, exif=prefix + b"garbage and more garbage")
    assert (read_size(path).width, read_size(path).height) == STORED
    assert read_image(path).shape == (16, 32, 3)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        pytest.param("RGB", (1, 2, 3), [1, 2, 3], id="colour"),
        pytest.param("L", 7, [7, 7, 7], id="grey becomes three equal channels"),
        pytest.param("1", 1, [255, 255, 255], id="black and white"),
        pytest.param("RGBA", (1, 2, 3, 0), [1, 2, 3], id="transparency is dropped, not blended"),
        pytest.param("LA", (7, 0), [7, 7, 7], id="transparent grey"),
    ],
)
def test_modes(tmp_path: Path, mode: str, colour: int | tuple[int, ...], expected: list[int]) -> None:
    Image.new(mode, (4, 2), colour).save(tmp_path / "slide.png")
    pixels = read_image(tmp_path / "slide.png")
    assert pixels.shape == (2, 4, 3)
    assert pixels.dtype == np.uint8
    assert pixels[1, 2].tolist() == expected


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("turned", [False, True], ids=["as stored", "turned to the right"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, suffix: str, turned: bool) -> None:
    # 65535 / 255 = 257: black stays black, white stays white, 0x8080 lies half way.
    values = np.array([[0, 257, 0x8080, 65535]], np.uint16)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6 if turned else 1
    path = tmp_path / f"slide{suffix}"
    Image.fromarray(values).save(path, exif=exif)
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == ((4, 1, 3) if turned else (1, 4, 3))
    assert pixels.reshape(4, 3).tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
@pytest.mark.parametrize("kept", [0.5, 0.99], ids=["half of the file", "all but the end"])
def test_truncated_image_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"slide{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert read_size(path).width == 64, "the header alone is whole"
    with pytest.raises(UnreadableImage, match=f"slide{suffix}.*truncated"):
        read_image(path)


@pytest.mark.parametrize("read", [read_size, read_image], ids=["size", "pixels"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(b"0 0.5 0.5 0.1 0.1\n" * 20, id="text renamed to .jpg"),
        pytest.param(b"\xff\xd8\xff\xe0\x00\x10JF", id="a few bytes of a JPEG"),
    ],
)
def test_no_image_is_refused(tmp_path: Path, read: object, content: bytes) -> None:
    assert callable(read)
    (tmp_path / "slide.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"slide\.jpg"):
        read(tmp_path / "slide.jpg")


@pytest.mark.parametrize("read", [read_size, read_image], ids=["size", "pixels"])
def test_missing_file_and_folder(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(UnreadableImage, match=r"slide\.jpg: no such file"):
        read(tmp_path / "slide.jpg")
    with pytest.raises(UnreadableImage, match="folder"):
        read(tmp_path)


def test_find_images(tmp_path: Path) -> None:
    for name in [
        "b.jpg",
        "a.PNG",
        "deep/er/c.tiff",
        "notes.txt",
        "no_suffix",
        ".hidden.jpg",
        ".cache/d.jpg",
        "deep/.cache/e.jpg",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a.PNG", "b.jpg", "deep/er/c.tiff"]


def test_find_images_below_a_hidden_folder(tmp_path: Path) -> None:
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "a.jpg").touch()
    assert find_images(tmp_path / ".work") == [tmp_path / ".work" / "a.jpg"], "the folder itself was asked for"


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG (ISO/IEC 15948, 5.3)."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: int = 1, extra: bytes = b"") -> bytes:
    """A PNG of 8-bit grey whose header says ``width x height`` and that holds some black rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((min(width, 10**7) + 1) * rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(*tags: tuple[int, int, int, int]) -> bytes:
    """A TIFF of 10 x 10 grey pixels that are missing, with tags ``(number, kind, count, value)`` besides or instead."""
    usual = [(256, 4, 1, 10), (257, 4, 1, 10), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries = {tag[0]: tag for tag in [*usual, *tags]}
    listed = b"".join(struct.pack("<HHII", *entries[number]) for number in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + listed + bytes(4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(png(30_000, 30_000), "decompression bomb", id="900 megapixels in a few bytes"),
        pytest.param(png(9_000_000, 9_000_000), "decompression bomb", id="81 terapixels"),
        pytest.param(
            png(4, 4, 4, chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(50_000_000)))), "too large", id="text of 50 MB"
        ),
        pytest.param(
            png(4, 4, 4, chunk(b"iCCP", b"key\0\0" + zlib.compress(bytes(50_000_000)))),
            "too large",
            id="colour profile of 50 MB",
        ),
        pytest.param(png(2**31 - 1, 2**31 - 1), "no image has that size", id="largest PNG"),
        pytest.param(png(0, 5), "something else", id="no width"),
        pytest.param(tiff((256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1)), "no image has that size", id="largest TIFF"),
        pytest.param(tiff((256, 4, 1, 0)), "", id="TIFF without width"),
        pytest.param(tiff((273, 4, 2**30, 8), (279, 4, 2**30, 8)), "", id="TIFF with a milliard strips"),
    ],
)
@pytest.mark.filterwarnings("ignore:Tag data larger")
def test_hostile_image_is_refused_before_it_fills_the_memory(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "slide.png").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match=rf"slide\.png.*{message}"):
            read_image(tmp_path / "slide.png")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_size_of_a_scanned_slide_is_read_from_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL.PngImagePlugin import PngImageFile

    (tmp_path / "slide.png").write_bytes(png(200_000, 90_000))
    monkeypatch.setattr(PngImageFile, "load", lambda image: pytest.fail("it was decoded, 54 GB of it"))
    size = read_size(tmp_path / "slide.png")
    assert (size.width, size.height) == (200_000, 90_000), "18 gigapixels"


def test_image_that_does_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "BOMB_BYTES", 10_000)
    noise = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "slide.png")
    needed = 100 * 100 * 12
    monkeypatch.setattr(images, "memory_at_hand", lambda: int(needed / images.MEMORY_SHARE) + 1)
    np.testing.assert_array_equal(read_image(tmp_path / "slide.png"), noise)
    monkeypatch.setattr(images, "memory_at_hand", lambda: needed)
    with pytest.raises(TooLargeImage, match=r"slide\.png: 100 x 100 pixels take about"):
        read_image(tmp_path / "slide.png")


def test_memory_at_hand_is_no_more_than_the_machine_has() -> None:
    assert 2**20 < memory_at_hand() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("suffix", "least"), [(".jpg", 100), (".png", 300)])
def test_blank_slide_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, least: int) -> None:
    monkeypatch.setattr(images, "BOMB_BYTES", 10_000)
    path = tmp_path / f"slide{suffix}"
    Image.new("RGB", (1000, 1000), (250, 250, 250)).save(path)
    assert least * path.stat().st_size < 3_000_000, "it is packed well"
    assert read_image(path).shape == (1000, 1000, 3)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".gif"])
def test_first_picture_of_a_moving_image(tmp_path: Path, suffix: str) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    first.save(tmp_path / f"slide{suffix}", save_all=True, append_images=[second])
    assert np.abs(read_image(tmp_path / f"slide{suffix}") - np.array([250, 0, 0])).max() <= 3


@pytest.mark.parametrize("read", [read_size, read_image], ids=["size", "pixels"])
def test_pipe_and_device_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    os.mkfifo(tmp_path / "slide.jpg")
    (tmp_path / "zeros.jpg").symlink_to("/dev/zero")
    for name in ("slide.jpg", "zeros.jpg"):
        with pytest.raises(UnreadableImage, match="found a pipe"):
            read(tmp_path / name)
    assert find_images(tmp_path) == []


def test_other_formats_of_pillow_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "slide.eps")
    (tmp_path / "slide.eps").rename(tmp_path / "slide.jpg")
    with pytest.raises(UnreadableImage, match="something else"):
        read_size(tmp_path / "slide.jpg")


def test_links(tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    for name in ("slides/a.jpg", "slides/day/b.jpg", "elsewhere/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (folder / "linked.jpg").symlink_to(tmp_path / "elsewhere" / "c.jpg")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "one.jpg").symlink_to("other.jpg")
    (folder / "other.jpg").symlink_to("one.jpg")
    (folder / "nowhere.jpg").symlink_to("missing.jpg")
    (folder / "day" / "up").symlink_to("..")
    (folder / "day" / "loop.jpg").symlink_to("../day", target_is_directory=True)
    (folder / "root").symlink_to("/")
    found = [path.relative_to(folder).as_posix() for path in find_images(folder)]
    assert found == ["a.jpg", "day/b.jpg", "linked.jpg"]
    with pytest.raises(UnreadableImage, match=r"itself\.jpg: cannot be read"):
        read_size(folder / "itself.jpg")


@pytest.mark.parametrize("bits", [12, 14, None])
def test_bits_that_the_camera_did_not_use_do_not_make_it_dark(tmp_path: Path, bits: int | None) -> None:
    """Training sees such a file as prediction does."""
    import tifffile

    from spore_yolo.inference.slides import open_slide

    values = np.linspace(0, 2 ** (bits or 16) - 1, 40 * 50).astype(np.uint16).reshape(40, 50)
    metadata = {"axes": "YX", **({"SignificantBits": bits} if bits else {})}
    tifffile.imwrite(tmp_path / "slide.ome.tif", values, metadata=metadata)
    pixels = read_image(tmp_path / "slide.ome.tif")
    assert (pixels.min(), pixels.max()) == (0, 255)
    with open_slide(tmp_path / "slide.ome.tif") as slide:
        shown = slide.read((0, 0, 50, 40))
    assert np.abs(shown.astype(int) - pixels).max() <= 1
