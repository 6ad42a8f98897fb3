"""TIFFs by independent writers: what was written, or what the writer's own decoder gives, is what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from spore_yolo.files.images import read_image
from spore_yolo.inference.slides import ArraySlide, Slide, open_slide
from spore_yolo.inference.slides.tiff import TiffSlide
from spore_yolo.inference.slides.turned import TurnedSlide

Pixels = npt.NDArray[np.uint8]


def whole(slide: Slide, level: int = 0) -> Pixels:
    return slide.read((0, 0, *slide.size(level)), level)


def check(path: Path, expected: Pixels, kind: type[Slide] = TiffSlide) -> None:
    """The slide as a whole, its windows, and its rows step by step are the expected pixels."""
    with open_slide(path) as slide:
        assert type(slide) is kind
        assert (slide.height, slide.width, 3) == expected.shape
        pixels = whole(slide)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, expected)
        rng = np.random.default_rng(1)
        for _ in range(12):
            x_min, y_min = rng.integers(0, slide.width), rng.integers(0, slide.height)
            x_max, y_max = rng.integers(x_min, slide.width) + 1, rng.integers(y_min, slide.height) + 1
            window = int(x_min), int(y_min), int(x_max), int(y_max)
            np.testing.assert_array_equal(slide.read(window), expected[y_min:y_max, x_min:x_max])
        for top in range(0, slide.height, slide.row_step):
            bottom = min(slide.height, top + slide.row_step)
            np.testing.assert_array_equal(slide.read((0, top, slide.width, bottom)), expected[top:bottom])


LAYOUTS: list[Any] = [
    pytest.param({}, id="one strip"),
    pytest.param({"rowsperstrip": 7}, id="strips"),
    pytest.param({"tile": (64, 48)}, id="tiles"),
    pytest.param({"tile": (512, 512)}, id="a tile larger than the slide"),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
def test_lossless_colour(tmp_path: Path, colours: Pixels, compression: str, layout: dict[str, Any], big: bool) -> None:
    predictor = compression in ("zlib", "lzw")
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path, colours, photometric="rgb", compression=compression, predictor=predictor, bigtiff=big, **layout
    )
    check(path, colours)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["grey", "RGB", "RGBA"])
@pytest.mark.parametrize("bits", [8, 16])
def test_samples(
    tmp_path: Path,
    bits: int,
    kind: str,
    compression: str | None,
    planar: str,
    byteorder: str,
    layout: dict[str, Any],
) -> None:
    rng = np.random.default_rng(bits)
    count = {"grey": 1, "RGB": 3, "RGBA": 4}[kind]
    samples = rng.integers(0, 2**bits, (101, 133, count), dtype=np.uint8 if bits == 8 else np.uint16)
    eight = np.rint(samples / (1 if bits == 8 else 257)).astype(np.uint8)
    expected = np.repeat(eight, 3, axis=2) if count == 1 else eight[:, :, :3]
    written = samples[:, :, 0] if count == 1 else samples if planar == "contig" else np.moveaxis(samples, 2, 0)
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path,
        written,
        photometric="minisblack" if count == 1 else "rgb",
        planarconfig=None if count == 1 else planar,
        extrasamples=["unassalpha"] if count == 4 else None,
        compression=compression,
        byteorder=byteorder,
        **layout,
    )
    check(path, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("options", "photometric"),
    [
        pytest.param({"subsampling": (2, 2)}, 6, id="YCbCr 4:2:0"),
        pytest.param({"subsampling": (2, 1)}, 6, id="YCbCr 4:2:2"),
        pytest.param({"subsampling": (1, 1)}, 6, id="YCbCr 4:4:4"),
        pytest.param({"compressionargs": {"level": 85, "outcolorspace": "rgb"}}, 2, id="RGB"),
    ],
)
def test_jpeg_gives_what_the_writers_decoder_gives(
    tmp_path: Path, colours: Pixels, options: dict[str, Any], photometric: int, layout: dict[str, Any]
) -> None:
    path = tmp_path / "slide.tif"
    layout = {"rowsperstrip": 16} if "rowsperstrip" in layout else layout
    options = {"compressionargs": {"level": 85}, **options}
    tifffile.imwrite(path, colours, photometric="rgb", compression="jpeg", **options, **layout)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].photometric == photometric
        expected = tiff.asarray()
    assert np.abs(expected.astype(int) - colours).mean() < 4, "it is the slide"
    check(path, expected)


def test_grey_jpeg(tmp_path: Path, colours: Pixels) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, colours[:, :, 1], photometric="minisblack", compression="jpeg", tile=(64, 64))
    check(path, np.repeat(tifffile.imread(path)[:, :, None], 3, axis=2))


@pytest.mark.parametrize("tile", [False, True], ids=["strips", "tiles"])
@pytest.mark.parametrize("compression", ["none", "deflate", "lzw", "jpeg"])
def test_slides_that_libvips_wrote(tmp_path: Path, colours: Pixels, compression: str, tile: bool) -> None:
    path = tmp_path / "slide.tif"
    image = pyvips.Image.new_from_array(colours)
    image.tiffsave(str(path), compression=compression, tile=tile, tile_width=128, tile_height=128, Q=90)
    expected = read_image(path) if compression == "jpeg" else colours
    if compression == "jpeg":
        with open_slide(path) as slide:
            off = np.abs(whole(slide).astype(int) - expected)
        assert off.max() <= 8 and off.mean() < 0.5, "decoders may round, and smooth chroma, in their own way"
    else:
        check(path, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "I;16", "CMYK", "YCbCr"])
@pytest.mark.parametrize("compression", ["raw", "tiff_adobe_deflate"])
def test_every_mode_of_pillow_is_read_as_images_are(
    tmp_path: Path, colours: Pixels, compression: str, mode: str
) -> None:
    path = tmp_path / "slide.tif"
    if mode == "I;16":
        Image.fromarray(colours[:, :, 0].astype(np.uint16) * 200).save(path, compression=compression)
    else:
        Image.fromarray(colours).convert(mode).save(path, compression=compression)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide), read_image(path))


def test_white_is_zero(tmp_path: Path, colours: Pixels) -> None:
    grey = colours[:, :, 0]
    tifffile.imwrite(tmp_path / "slide.tif", 255 - grey, photometric="miniswhite", compression="zlib", tile=(64, 64))
    check(tmp_path / "slide.tif", np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_packed_bits_are_spread_over_the_eight(tmp_path: Path, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (40, 56), dtype=np.uint16)
    values = values.astype(bool if bits == 1 else np.uint8 if bits < 8 else np.uint16)
    tifffile.imwrite(tmp_path / "slide.tif", values, bitspersample=bits, photometric="minisblack", rowsperstrip=8)
    expected = np.rint(values * (255 / (2**bits - 1))).astype(np.uint8)
    check(tmp_path / "slide.tif", np.repeat(expected[:, :, None], 3, axis=2))


def test_each_value_of_sixteen_bits_is_rounded_as_images_are(tmp_path: Path) -> None:
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    tifffile.imwrite(tmp_path / "slide.tif", values, photometric="minisblack")
    check(tmp_path / "slide.tif", read_image(tmp_path / "slide.tif"))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_bits_that_the_camera_used_become_the_full_range(tmp_path: Path, bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 64 * 64).astype(np.uint16).reshape(64, 64)
    path = tmp_path / "slide.ome.tif"
    tifffile.imwrite(path, values, metadata={"axes": "YX", "SignificantBits": bits})
    with open_slide(path) as slide:
        pixels = whole(slide)
    np.testing.assert_array_equal(pixels[:, :, 0], np.rint(values * (255 / (2**bits - 1))).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", [{"rowsperstrip": 7}, {"tile": (32, 48)}], ids=["strips", "tiles"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_orientation(tmp_path: Path, compression: str | None, layout: dict[str, Any], orientation: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (101, 133, 3), dtype=np.uint8)
    upright = Image.fromarray(stored)
    upright.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(upright))
    path = tmp_path / "slide.tif"
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, stored, photometric="rgb", compression=compression, extratags=tags, **layout)
    check(path, expected, TiffSlide if orientation == 1 else TurnedSlide)
    np.testing.assert_array_equal(read_image(path), expected, "images and slides are turned alike")


@pytest.mark.parametrize("orientation", [1, 6])
def test_levels_of_a_turned_pyramid(tmp_path: Path, colours: Pixels, orientation: int) -> None:
    path = tmp_path / "slide.tif"
    tags = [(274, "H", 1, orientation, True)]
    with tifffile.TiffWriter(path) as writer:
        writer.write(colours, tile=(64, 64), photometric="rgb", subifds=1, extratags=tags)
        writer.write(colours[::2, ::2], tile=(64, 64), photometric="rgb", subfiletype=1)
    with open_slide(path) as slide:
        small = colours[::2, ::2] if orientation == 1 else np.rot90(colours[::2, ::2], -1)
        assert slide.size(1) == (small.shape[1], small.shape[0])
        np.testing.assert_array_equal(whole(slide, 1), small)
        np.testing.assert_array_equal(slide.read((3, 5, 70, 80), 1), small[5:80, 3:70])


@pytest.mark.parametrize("subifds", [True, False], ids=["SubIFDs", "pages"])
def test_pyramid(tmp_path: Path, colours: Pixels, subifds: bool) -> None:
    path = tmp_path / "slide.tif"
    levels = [colours, colours[::2, ::2], colours[::4, ::4]]
    with tifffile.TiffWriter(path) as writer:
        writer.write(levels[0], tile=(64, 64), photometric="rgb", subifds=2 if subifds else None)
        for level in levels[1:]:
            writer.write(level, tile=(64, 64), photometric="rgb", subfiletype=1)
    with open_slide(path) as slide:
        assert slide.downsamples == pytest.approx([1, 2, 4], rel=0.02)
        for index, expected in enumerate(levels):
            assert slide.size(index) == (expected.shape[1], expected.shape[0])
            np.testing.assert_array_equal(whole(slide, index), expected)


@pytest.mark.parametrize("subifd", [True, False])
def test_pyramid_that_libvips_wrote(tmp_path: Path, colours: Pixels, subifd: bool) -> None:
    path = tmp_path / "slide.tif"
    image = pyvips.Image.new_from_array(colours)
    image.tiffsave(str(path), tile=True, tile_width=64, tile_height=64, pyramid=True, subifd=subifd, compression="lzw")
    with open_slide(path) as slide:
        assert len(slide.downsamples) == 4
        np.testing.assert_array_equal(whole(slide), colours)
        for level in range(1, 4):
            page = -1 if subifd else level
            loaded = (
                pyvips.Image.tiffload(str(path), subifd=level - 1)
                if page < 0
                else pyvips.Image.tiffload(str(path), page=page)
            )
            np.testing.assert_array_equal(whole(slide, level), loaded.numpy())


def test_thumbnail_and_label_of_an_aperio_slide_are_no_levels(tmp_path: Path, colours: Pixels) -> None:
    path = tmp_path / "slide.svs"
    text = "Aperio Image Library v11.2.1 \r\n419x301 (64x64) JPEG/RGB Q=85|AppMag = 20|MPP = 0.4990|Left = 25"
    options = {"metadata": None, "compression": "jpeg", "photometric": "rgb", "subsampling": (2, 2)}
    with tifffile.TiffWriter(path) as writer:
        writer.write(colours, tile=(64, 64), description=text, **options)
        writer.write(colours[::3, ::3], description=text, rowsperstrip=16, **options)
        writer.write(colours[::4, ::4], tile=(64, 64), description=text, **options)
        writer.write(
            colours[:60, :90], description="Aperio\r\nlabel 90x60", subfiletype=1, metadata=None, photometric="rgb"
        )
        writer.write(colours[:80, :200], description="Aperio\r\nmacro", subfiletype=9, metadata=None, photometric="rgb")
    with open_slide(path) as slide:
        assert slide.um_per_px == 0.499
        assert [slide.size(level) for level in range(len(slide.downsamples))] == [(419, 301), (105, 76)]
        np.testing.assert_array_equal(whole(slide), tifffile.imread(path, key=0))
        np.testing.assert_array_equal(whole(slide, 1), tifffile.imread(path, key=2))
        assert slide.planes == 1


@pytest.mark.parametrize("mask", [True, False], ids=["a mask", "another size"])
def test_pages_that_are_no_stack(tmp_path: Path, colours: Pixels, mask: bool) -> None:
    path = tmp_path / "slide.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(colours, photometric="rgb")
        if mask:
            writer.write(colours[:, :, 0] > 128, photometric="minisblack", subfiletype=4)
        else:
            writer.write(colours[:50, :100], photometric="rgb")
    check(path, colours)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory, colours: Pixels) -> Slide:
    path = tmp_path_factory.mktemp("tiled") / "slide.tif"
    tifffile.imwrite(path, colours, photometric="rgb", compression="zlib", tile=(80, 112), planarconfig="contig")
    return open_slide(path, threads=2)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_window(tiled: Slide, colours: Pixels, data: st.DataObject) -> None:
    x_min = data.draw(st.integers(0, 418))
    y_min = data.draw(st.integers(0, 300))
    x_max = data.draw(st.integers(x_min + 1, 419))
    y_max = data.draw(st.integers(y_min + 1, 301))
    np.testing.assert_array_equal(tiled.read((x_min, y_min, x_max, y_max)), colours[y_min:y_max, x_min:x_max])


def test_only_the_tiles_that_a_window_touches_are_decoded(
    tmp_path: Path, colours: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, colours, photometric="rgb", compression="zlib", tile=(64, 64))
    with open_slide(path) as slide:
        assert isinstance(slide, TiffSlide)
        page = slide._levels[0]
        decoded: list[int] = []
        decode = page._decode
        monkeypatch.setattr(page, "_decode", lambda index: (decoded.append(index), decode(index))[1])
        slide.read((64, 64, 129, 128))
    assert decoded == [8, 9], "seven tiles a row"


def test_compressed_strip_is_kept_for_the_windows_that_share_it(tmp_path: Path, colours: Pixels) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", colours, photometric="rgb", compression="zlib", rowsperstrip=301)
    with open_slide(tmp_path / "slide.tif") as slide:
        assert isinstance(slide, TiffSlide)
        assert slide.row_step == 301
        slide.read((0, 0, 419, 10))
        strip = slide._file.last
        slide.read((0, 10, 419, 20))
        assert slide._file.last is strip


@pytest.mark.parametrize(
    ("options", "um_per_px"),
    [
        pytest.param({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}, 0.5, id="pixels per centimetre"),
        pytest.param({"resolution": (300, 300), "resolutionunit": "INCH"}, None, id="dots per inch"),
        pytest.param({"resolution": (50_800, 50_800), "resolutionunit": "INCH"}, None, id="many dots per inch"),
        pytest.param(
            {"resolution": (118.11, 118.11), "resolutionunit": "CENTIMETER"}, None, id="300 dpi in centimetres"
        ),
        pytest.param({"resolution": (1, 1), "resolutionunit": "NONE"}, None, id="no unit"),
        pytest.param({}, None, id="nothing"),
        pytest.param({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "micron"}}, 0.25, id="ImageJ, micron"),
        pytest.param({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, 0.25, id="ImageJ, um"),
        pytest.param({"imagej": True, "resolution": (2000, 2000), "metadata": {"unit": "mm"}}, 0.5, id="ImageJ, mm"),
        pytest.param({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "inch"}}, None, id="ImageJ, inch"),
        pytest.param({"ome": True, "metadata": {"PhysicalSizeX": 0.345, "PhysicalSizeXUnit": "µm"}}, 0.345, id="OME"),
        pytest.param({"ome": True, "metadata": {"PhysicalSizeX": 345, "PhysicalSizeXUnit": "nm"}}, 0.345, id="OME, nm"),
        pytest.param(
            {"ome": True, "metadata": {"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"}}, None, id="OME, pixel"
        ),
        pytest.param({"ome": True, "metadata": {"PhysicalSizeX": 0}}, None, id="OME, zero"),
        pytest.param({"ome": True}, None, id="OME without a scale"),
        pytest.param({"description": "Aperio Image|MPP = 0.2520|x = 1", "metadata": None}, 0.252, id="Aperio"),
        pytest.param({"description": "Aperio Image|x = 1", "metadata": None}, None, id="Aperio without a scale"),
    ],
)
def test_scale(tmp_path: Path, colours: Pixels, options: dict[str, Any], um_per_px: float | None) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", colours, photometric="rgb", **options)
    with open_slide(tmp_path / "slide.tif") as slide:
        assert slide.um_per_px == pytest.approx(um_per_px)
        np.testing.assert_array_equal(whole(slide), colours)


def test_tiff_is_known_by_what_it_holds(tmp_path: Path, colours: Pixels) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", colours, photometric="rgb")
    (tmp_path / "slide.tif").rename(tmp_path / "slide.jpg")
    check(tmp_path / "slide.jpg", colours)


def test_kinds_that_pillow_alone_reads_lie_in_memory(tmp_path: Path, colours: Pixels) -> None:
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "slide.tif")
    with open_slide(tmp_path / "slide.tif") as slide:
        assert type(slide) is ArraySlide
