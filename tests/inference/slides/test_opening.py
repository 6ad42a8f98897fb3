"""Which reader opens what, and which files of a folder are slides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from spore_yolo.files.images import read_image
from spore_yolo.inference.slides import ArraySlide, UnreadableSlide, find_slides, open_slide

Pixels = npt.NDArray[np.uint8]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".gif", ".webp", ".JPG"])
def test_images_are_read_as_images_are(tmp_path: Path, colours: Pixels, suffix: str) -> None:
    path = tmp_path / f"slide{suffix}"
    Image.fromarray(colours).save(path)
    with open_slide(path) as slide:
        assert isinstance(slide, ArraySlide)
        assert slide.name == str(path)
        np.testing.assert_array_equal(slide.read((0, 0, 419, 301)), read_image(path))


def test_path_as_text(tmp_path: Path, colours: Pixels) -> None:
    Image.fromarray(colours).save(tmp_path / "slide.png")
    assert open_slide(str(tmp_path / "slide.png")).width == 419


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSlide, match=r"slide\.tif: no such file"):
        open_slide(tmp_path / "slide.tif")
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(UnreadableSlide, match=r"folder\.tif: expected a slide, found a folder"):
        open_slide(tmp_path / "folder.tif")
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(UnreadableSlide, match=r"pipe\.tif: expected a slide, found a pipe"):
        open_slide(tmp_path / "pipe.tif")


@pytest.mark.parametrize(
    ("suffix", "module", "extra"),
    [(".czi", "pylibCZIrw", "czi"), (".nd2", "nd2", "nd2"), (".lif", "readlif", "lif")],
)
def test_missing_package(tmp_path: Path, suffix: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"slide{suffix}").write_bytes(b"something")
    with pytest.raises(
        UnreadableSlide, match=rf"slide\{suffix}: .*the package {module}.*pip install 'spore-yolo\[{extra}\]'"
    ):
        open_slide(tmp_path / f"slide{suffix}")


def test_closing_closes_the_file(tmp_path: Path, colours: Pixels) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", np.stack([colours] * 3), photometric="rgb", metadata=None)

    def open_files() -> list[str]:
        return [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()]

    for z in ("best", "max-contrast", 2):
        with open_slide(tmp_path / "slide.tif", z=z, threads=2):
            assert open_files().count(str(tmp_path / "slide.tif")) == 1
        assert str(tmp_path / "slide.tif") not in open_files()


def test_find_slides(tmp_path: Path) -> None:
    slides = ["a.JPG", "deep/b.ome.tiff", "c.svs", "d.czi", "e.ndpi", "f.nd2", "g.lif", "h.mrxs", "i.vms", "k.vsi"]
    others = [
        "notes.txt",
        ".hidden.tif",
        ".cache/x.tif",
        "h/Data0000.dat",
        "h/thumbnail.jpg",
        "i.jpg",
        "i(1,0).jpg",
        "i_macro.jpg",
        "_k_/stack1/frame_t.tif",
    ]
    for name in slides + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "i.vms").write_text(
        "[Virtual Microscope Specimen]\nImageFile=i.jpg\nImageFile(1,0)=i(1,0).jpg\nMacroImage=i_macro.jpg\n"
    )
    (tmp_path / "folder.tif").mkdir()
    assert [path.relative_to(tmp_path).as_posix() for path in find_slides(tmp_path)] == sorted(slides)


def test_importing_loads_no_reader() -> None:
    code = (
        "import sys, spore_yolo.inference.slides;"
        "print({'tifffile', 'openslide', 'imagecodecs', 'pylibCZIrw', 'torch'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
