"""Stacks: which plane is looked at, and pixels from several."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.slides import ArraySlide, UnreadableSlide, open_slide
from spore_yolo.inference.slides.focus import MaxContrastSlide, sharpest

Pixels = npt.NDArray[np.uint8]


def spores(height: int, width: int, seed: int) -> Pixels:
    """Dark discs on a bright ground."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), (225, 220, 210), np.uint8)
    for _ in range(height * width // 3000):
        centre = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(pixels, centre, int(rng.integers(5, 14)), rng.integers(40, 160, 3).tolist(), -1, cv2.LINE_AA)
    return pixels


def stack(height: int = 300, width: int = 400, in_focus: int = 2, count: int = 5, seed: int = 0) -> Pixels:
    """Planes ``(count, height, width, 3)``, more blurred the farther from focus, each with its own noise and light."""
    sharp = spores(height, width, seed)
    rng = np.random.default_rng(seed)
    planes = []
    for index in range(count):
        blur = 1.5 * abs(index - in_focus)
        plane = cv2.GaussianBlur(sharp, (0, 0), blur) if blur else sharp
        light = 1 - 0.04 * index
        planes.append(np.clip(plane * light + rng.normal(0, 3, sharp.shape), 0, 255).astype(np.uint8))
    return np.stack(planes)


WRITERS: list[Any] = [
    pytest.param({"ome": True, "metadata": {"axes": "ZYXS"}}, id="OME-TIFF"),
    pytest.param({"ome": True, "metadata": {"axes": "ZYXS"}, "tile": (64, 64), "compression": "zlib"}, id="OME tiles"),
    pytest.param({"metadata": None}, id="pages"),
    pytest.param({"metadata": None, "compression": "lzw", "rowsperstrip": 16}, id="pages in strips"),
    pytest.param({"imagej": True, "metadata": {"axes": "ZYXS"}}, id="ImageJ"),
]


@pytest.mark.parametrize("options", WRITERS)
@pytest.mark.parametrize("in_focus", [0, 2, 4])
def test_best_is_the_plane_in_focus(tmp_path: Path, in_focus: int, options: dict[str, Any]) -> None:
    planes = stack(in_focus=in_focus)
    tifffile.imwrite(tmp_path / "slide.tif", planes, photometric="rgb", **options)
    with open_slide(tmp_path / "slide.tif") as slide:
        assert (slide.planes, slide.plane) == (5, in_focus + 1)
        np.testing.assert_array_equal(slide.read((0, 0, 400, 300)), planes[in_focus])


@pytest.mark.parametrize("options", WRITERS)
def test_one_plane_by_its_number(tmp_path: Path, options: dict[str, Any]) -> None:
    planes = stack()
    tifffile.imwrite(tmp_path / "slide.tif", planes, photometric="rgb", **options)
    for number in range(1, 6):
        with open_slide(tmp_path / "slide.tif", z=number) as slide:
            assert slide.plane == number
            np.testing.assert_array_equal(slide.read((0, 0, 400, 300)), planes[number - 1])


def test_grey_planes(tmp_path: Path) -> None:
    planes = stack()[:, :, :, 0]
    tifffile.imwrite(tmp_path / "slide.ome.tif", planes, photometric="minisblack", metadata={"axes": "ZYX"})
    with open_slide(tmp_path / "slide.ome.tif", z=4) as slide:
        np.testing.assert_array_equal(slide.read((0, 0, 400, 300))[:, :, 1], planes[3])


@pytest.mark.parametrize("z", [0, 6, -1])
def test_plane_that_is_not_there(tmp_path: Path, z: int) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", stack(), photometric="rgb", metadata=None)
    with pytest.raises(UsageError, match=r"slide\.tif: expected best, max-contrast or a plane from 1 to 5, found"):
        open_slide(tmp_path / "slide.tif", z=z)


@pytest.mark.parametrize("z", ["best", "max-contrast", 1, 7])
def test_a_single_plane_is_the_same_whatever_is_asked_for(tmp_path: Path, colours: Pixels, z: Any) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", colours, photometric="rgb")
    with open_slide(tmp_path / "slide.tif", z=z) as slide:
        assert (slide.planes, slide.plane) == (1, None)
        np.testing.assert_array_equal(slide.read((0, 0, 419, 301)), colours)


def test_dark_noisy_plane_is_not_taken_for_a_sharp_one() -> None:
    sharp = spores(300, 400, 1)
    dark = (cv2.GaussianBlur(sharp, (0, 0), 4) * 0.3).astype(np.uint8)
    assert sharpest([ArraySlide(dark), ArraySlide(sharp), ArraySlide(cv2.GaussianBlur(sharp, (0, 0), 4))]) == 1


def test_max_contrast_takes_each_half_from_the_plane_where_it_is_sharp() -> None:
    sharp = spores(300, 400, 2)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 4)
    left, right = sharp.copy(), sharp.copy()
    left[:, 200:], right[:, :200] = blurred[:, 200:], blurred[:, :200]
    with MaxContrastSlide([ArraySlide(left), ArraySlide(right)]) as slide:
        pixels = slide.read((0, 0, 400, 300)).astype(int)
    assert (slide.planes, slide.plane) == (2, None)
    # A spore's edge shows what contrast there is; away from the seam all of it comes from the sharp plane.
    edges = cv2.dilate(cv2.Canny(sharp, 50, 150), np.ones((5, 5))) > 0
    edges[:, 180:220] = False
    off = np.abs(pixels - sharp).max(axis=2)
    assert np.mean(off[edges] == 0) > 0.98
    assert np.abs(blurred.astype(int) - sharp).max(axis=2)[edges].mean() > 20, "there was something to lose"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_windows_of_max_contrast_agree_with_the_whole(data: st.DataObject) -> None:
    slide = MaxContrastSlide([ArraySlide(plane) for plane in PLANES])
    x_min, y_min = data.draw(st.integers(0, 149)), data.draw(st.integers(0, 119))
    x_max, y_max = data.draw(st.integers(x_min + 1, 150)), data.draw(st.integers(y_min + 1, 120))
    np.testing.assert_array_equal(slide.read((x_min, y_min, x_max, y_max)), WHOLE[y_min:y_max, x_min:x_max])


PLANES = stack(120, 150, count=4, seed=3)
WHOLE = MaxContrastSlide([ArraySlide(plane) for plane in PLANES]).read((0, 0, 150, 120))


def test_max_contrast_of_a_file(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "slide.tif", PLANES, photometric="rgb", compression="zlib", tile=(32, 32), metadata=None
    )
    with open_slide(tmp_path / "slide.tif", z="max-contrast") as slide:
        np.testing.assert_array_equal(slide.read((0, 0, 150, 120)), WHOLE)
        np.testing.assert_array_equal(slide.read((31, 33, 99, 70)), WHOLE[33:70, 31:99])


def test_levels_of_a_stack(tmp_path: Path) -> None:
    planes = stack()
    path = tmp_path / "slide.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(planes, photometric="rgb", tile=(64, 64), subifds=1, metadata={"axes": "ZYXS"})
        writer.write(planes[:, ::2, ::2], photometric="rgb", tile=(64, 64), subfiletype=1)
    with open_slide(path, z=4) as slide:
        assert slide.downsamples == (1.0, 2.0)
        np.testing.assert_array_equal(slide.read((0, 0, 200, 150), 1), planes[3, ::2, ::2])


@pytest.mark.parametrize(
    ("axes", "options", "message"),
    [
        pytest.param("CYX", {"ome": True}, "3 channels and 1 points in time", id="OME, channels"),
        pytest.param("TYX", {"ome": True}, "1 channels and 3 points in time", id="OME, time"),
        pytest.param("CYX", {"imagej": True}, "3 channels and 1 points in time", id="ImageJ, channels"),
        pytest.param("TYX", {"imagej": True}, "1 channels and 3 points in time", id="ImageJ, time"),
    ],
)
def test_channels_and_time_are_refused(tmp_path: Path, axes: str, options: dict[str, Any], message: str) -> None:
    planes = stack(count=3)[:, :, :, 0]
    tifffile.imwrite(tmp_path / "slide.tif", planes, photometric="minisblack", metadata={"axes": axes}, **options)
    with pytest.raises(UnreadableSlide, match=rf"slide\.tif: .*found {message}"):
        open_slide(tmp_path / "slide.tif")


OME = """<?xml version="1.0" encoding="UTF-8"?>{entity}
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {uuid}><Image ID="Image:0"><Pixels ID="Pixels:0"
DimensionOrder="XYZCT" Type="uint8" SizeX="400" SizeY="300" SizeZ="{depth}" SizeC="3" SizeT="1">
<Channel ID="Channel:0:0" SamplesPerPixel="3"/>{parts}</Pixels></Image></OME>"""


def write_ome(path: Path, planes: Pixels, parts: str, depth: int = 2, uuid: str = "", entity: str = "") -> None:
    text = OME.format(parts=parts, depth=depth, uuid=uuid, entity=entity)
    tifffile.imwrite(path, planes, photometric="rgb", description=text.encode(), metadata=None)


def test_planes_may_lie_in_any_order(tmp_path: Path) -> None:
    planes = stack(count=2, in_focus=0)
    parts = '<TiffData IFD="1" FirstZ="0" PlaneCount="1"/><TiffData IFD="0" FirstZ="1" PlaneCount="1"/>'
    write_ome(tmp_path / "slide.tif", planes, parts)
    with open_slide(tmp_path / "slide.tif") as slide:
        assert slide.plane == 2
        np.testing.assert_array_equal(slide.read((0, 0, 400, 300)), planes[0])


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The files that Python opens during the test."""
    paths: list[str] = []
    listening = True

    def listen(event: str, arguments: Any) -> None:
        if event == "open" and listening:
            paths.append(str(arguments[0]))

    sys.addaudithook(listen)  # for as long as the process lives
    yield paths
    listening = False


@pytest.mark.parametrize("name", ["/etc/passwd", "../other.tif", "other.tif"])
def test_ome_never_opens_other_files(tmp_path: Path, name: str, opened: list[str]) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    for other in (folder / "other.tif", tmp_path / "other.tif"):
        tifffile.imwrite(other, stack(count=1)[0], photometric="rgb")
    parts = (
        '<TiffData IFD="0" FirstZ="0"><UUID FileName="slide.tif">urn:uuid:1</UUID></TiffData>'
        f'<TiffData IFD="0" FirstZ="1"><UUID FileName="{name}">urn:uuid:2</UUID></TiffData>'
    )
    write_ome(folder / "slide.tif", stack(count=1), parts, uuid='UUID="urn:uuid:1"')
    opened.clear()
    with pytest.raises(UnreadableSlide, match=r"slide\.tif: its pixels lie in other files too .*save the slide as one"):
        open_slide(folder / "slide.tif")
    assert str(folder / "slide.tif") in opened
    assert [path for path in opened if path.endswith(("passwd", "other.tif"))] == []


def test_renamed_ome_is_whole(tmp_path: Path) -> None:
    planes = stack(count=2)
    uuid = '<UUID FileName="before.ome.tif">urn:uuid:1</UUID>'
    parts = f'<TiffData IFD="0" FirstZ="0">{uuid}</TiffData><TiffData IFD="1" FirstZ="1">{uuid}</TiffData>'
    write_ome(tmp_path / "slide.tif", planes, parts, uuid='UUID="urn:uuid:1"')
    with open_slide(tmp_path / "slide.tif", z=2) as slide:
        np.testing.assert_array_equal(slide.read((0, 0, 400, 300)), planes[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"depth": 3}, "expected 3 planes of focus, found 2", id="missing planes"),
        pytest.param({"depth": 2**40}, "planes of focus, found 2", id="as many as no file has"),
        pytest.param(
            {"parts": '<TiffData IFD="7" FirstZ="0" PlaneCount="2"/>'}, "expected 2 planes", id="no such page"
        ),
        pytest.param({"parts": '<TiffData IFD="x"/>'}, "expected OME-XML, found something damaged", id="no number"),
        pytest.param({"parts": "<TiffData"}, "expected OME-XML, found something damaged", id="no XML"),
        pytest.param(
            {"entity": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>', "parts": "&b;"},
            "expected OME-XML, found something damaged",
            id="entity of another file",
        ),
    ],
)
def test_damaged_ome(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_ome(tmp_path / "slide.tif", stack(count=2), **{"parts": "<TiffData/>", **changes})
    with pytest.raises(UnreadableSlide, match=rf"slide\.tif: .*{message}"):
        open_slide(tmp_path / "slide.tif")
