"""Labels together with their images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from spore_yolo.files.errors import UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.source import images_beside, open_labels
from spore_yolo.labels.table import UNKNOWN_SIZE

CSV = "image,x_min,y_min,x_max,y_max,class,image_width,image_height\na.png,1,2,3,4,rust,{size}\n"


def draw(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (100, 80)).save(path)
    return path


@pytest.mark.parametrize(
    ("size", "expected"),
    [pytest.param("50,40", ImageSize(50, 40), id="stated"), pytest.param(",", UNKNOWN_SIZE, id="not stated")],
)
def test_without_images(tmp_path: Path, size: str, expected: ImageSize) -> None:
    (tmp_path / "l.csv").write_text(CSV.format(size=size))
    source = open_labels(tmp_path / "l.csv", "auto", None)
    assert source.sizes == {"a.png": expected}
    assert (source.label_format, source.folder) == ("csv", None)
    assert "columns" in source.reason


def test_with_images(tmp_path: Path) -> None:
    draw(tmp_path / "slides" / "a.png")
    draw(tmp_path / "slides" / "b.png")
    (tmp_path / "slides" / "c.png").write_text("no image")
    (tmp_path / "l.csv").write_text(CSV.format(size="100,80"))
    source = open_labels(tmp_path / "l.csv", "csv", tmp_path / "slides")
    assert source.sizes == dict.fromkeys(["a.png", "b.png"], ImageSize(100, 80))
    assert source.unnamed == {"b.png"}
    assert [problem.file for problem in source.unreadable] == [tmp_path / "slides" / "c.png"]
    assert source.reason == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("0 .5 .5 .1 .1\n", "how large its images are", id="yolo"),
        pytest.param("50 40 0\n", "which images there are", id="points"),
    ],
)
def test_formats_that_need_the_images(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "a.txt").write_text(content)
    with pytest.raises(UsageError, match=f"--images: .*{message}"):
        open_labels(tmp_path / "l", "auto", None)
    draw(tmp_path / "slides" / "a.png")
    source = open_labels(
        tmp_path / "l", "auto", tmp_path / "slides", ReadOptions(point_size=9 if "40" in content else None)
    )
    assert len(source.labels.boxes) == 1


@pytest.mark.parametrize(
    ("labels", "image", "expected"),
    [
        pytest.param("l/a.txt", "l/a.png", "l", id="beside the labels"),
        pytest.param("l/a.txt", "l/deep/a.png", "l", id="inside"),
        pytest.param("l/a.txt", "images/a.png", "images", id="images beside the folder of the labels"),
        pytest.param("l/a.txt", "slides/a.png", None, id="somewhere else"),
        pytest.param("l/a.txt", "l/.hidden/a.png", None, id="hidden"),
    ],
)
def test_images_beside_a_folder(tmp_path: Path, labels: str, image: str, expected: str | None) -> None:
    draw(tmp_path / image)
    (tmp_path / labels).parent.mkdir(exist_ok=True)
    (tmp_path / labels).touch()
    found = images_beside((tmp_path / labels).parent)
    assert found == (None if expected is None else tmp_path / expected)


@pytest.mark.parametrize(
    ("labels", "image", "expected"),
    [
        pytest.param("l.csv", "a.png", ".", id="beside the file"),
        pytest.param("l.csv", "images/a.png", "images", id="images beside the file"),
        pytest.param("annotations/l.json", "images/a.png", "images", id="images beside its folder"),
        pytest.param("l.csv", "slides/a.png", None, id="somewhere else"),
    ],
)
def test_images_beside_a_file(tmp_path: Path, labels: str, image: str, expected: str | None) -> None:
    draw(tmp_path / image)
    (tmp_path / labels).parent.mkdir(exist_ok=True)
    (tmp_path / labels).touch()
    assert images_beside(tmp_path / labels) == (None if expected is None else tmp_path / expected)
