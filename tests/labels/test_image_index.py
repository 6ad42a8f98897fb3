"""Which image a label file means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import ImageIndex, KnownImages, NamedImages
from spore_yolo.labels.table import UNKNOWN_SIZE

SaveImage = Callable[..., Path]


@pytest.fixture
def index_of(tmp_path: Path, save_image: SaveImage) -> Callable[[list[str]], ImageIndex]:
    """An index of images with the names given."""

    def make(names: list[str]) -> ImageIndex:
        for name in names:
            save_image(tmp_path / "pictures" / name, 4, 3)
        return ImageIndex(tmp_path / "pictures")

    return make


IndexOf = Callable[[list[str]], ImageIndex]


def test_sizes_are_those_of_the_displayed_images(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "z.png", 10, 20)
    save_image(tmp_path / "deep" / "turned.jpg", 10, 20, orientation=6)
    (tmp_path / "notes.txt").touch()
    index = ImageIndex(tmp_path)
    assert index.sizes == {"deep/turned.jpg": ImageSize(20, 10, 6), "z.png": ImageSize(10, 20)}
    assert list(index.sizes) == sorted(index.sizes)
    assert index.problems == []


def test_an_unreadable_image_is_a_problem_but_known_by_name(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "good.jpg")
    (tmp_path / "bad.jpg").write_text("no image")
    index = ImageIndex(tmp_path)
    assert list(index.sizes) == ["good.jpg"]
    assert [(problem.file, problem.line) for problem in index.problems] == [(tmp_path / "bad.jpg", None)]
    assert str(index.problems[0]).count("bad.jpg") == 1, "the file is named once"
    assert index.find("bad.jpg") == "bad.jpg"
    assert index.find_for_label(PurePosixPath("bad.txt")) == "bad.jpg"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("nowhere", "nothing", id="no such folder"),
        pytest.param("file.jpg", "a file", id="a file in place of a folder"),
        pytest.param("empty", "expected images", id="a folder without images"),
    ],
)
def test_no_images(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").touch()
    (tmp_path / "file.jpg").touch()
    with pytest.raises(SporeYoloError, match=message):
        ImageIndex(tmp_path / path)


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        pytest.param(["a.jpg", "b.jpg"], "a.jpg", "a.jpg", id="a bare name"),
        pytest.param(["deep/a.jpg"], "a.jpg", "deep/a.jpg", id="a bare name of an image further down"),
        pytest.param(["deep/a.jpg"], "deep/a.jpg", "deep/a.jpg", id="a relative path"),
        pytest.param(["deep/a.jpg"], "./deep/a.jpg", "deep/a.jpg", id="a relative path with a dot"),
        pytest.param(["a.jpg"], "/home/anna/slides/a.jpg", "a.jpg", id="an absolute path of another machine"),
        pytest.param(["deep/a.jpg"], r"C:\slides\deep\a.jpg", "deep/a.jpg", id="an absolute path of Windows"),
        pytest.param(["a.jpg", "deep/a.jpg"], "a.jpg", "a.jpg", id="the exact path comes first"),
        pytest.param(["x/a.jpg", "y/a.jpg"], "y/a.jpg", "y/a.jpg", id="same name in two folders"),
        pytest.param(
            ["x/a.jpg", "y/a.jpg"], "/data/y/a.jpg", "y/a.jpg", id="the folder tells, also below another root"
        ),
        pytest.param(["x/a.jpg", "y/a.jpg"], r"D:\data\x\a.jpg", "x/a.jpg", id="the folder tells, with backslashes"),
        pytest.param(["1/x/a.jpg", "2/x/a.jpg"], "/d/2/x/a.jpg", "2/x/a.jpg", id="the longest tail wins"),
        pytest.param(["a.jpg", "a.png"], "a.png", "a.png", id="the suffix tells"),
        pytest.param(["a b (1).jpg"], "a b (1).jpg", "a b (1).jpg", id="blanks and brackets"),
    ],
)
def test_find(index_of: IndexOf, names: list[str], asked: str, expected: str) -> None:
    assert index_of(names).find(asked) == expected


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        pytest.param(["a.jpg"], "c.jpg", "unknown image.*c.jpg", id="no such image"),
        pytest.param(["a.jpg"], "", "unknown image", id="an empty name"),
        pytest.param(["a.jpg"], "a.png", "unknown image", id="another suffix is another file"),
        pytest.param(["x/a.jpg", "y/a.jpg"], "a.jpg", "x/a.jpg, y/a.jpg", id="two images fit, both are named"),
        pytest.param(["x/a.jpg", "y/a.jpg"], "/data/z/a.jpg", "x/a.jpg, y/a.jpg", id="the folder does not help"),
    ],
)
def test_find_fails(index_of: IndexOf, names: list[str], asked: str, message: str) -> None:
    with pytest.raises(LookupError, match=message):
        index_of(names).find(asked)


@pytest.mark.parametrize(
    ("names", "label", "expected"),
    [
        pytest.param(["a.jpg", "b.jpg"], "b.txt", "b.jpg", id="side by side"),
        pytest.param(["a.b.jpg"], "a.b.txt", "a.b.jpg", id="a dot in the name"),
        pytest.param(
            ["train/images/a.jpg", "valid/images/a.jpg"],
            "valid/labels/a.txt",
            "valid/images/a.jpg",
            id="Roboflow: a folder a split, images and labels inside",
        ),
        pytest.param(
            ["images/train/a.jpg", "images/val/a.jpg"],
            "labels/val/a.txt",
            "images/val/a.jpg",
            id="Ultralytics: images and labels, a folder a split inside",
        ),
        pytest.param(["train/a.jpg", "val/a.jpg"], "train/a.txt", "train/a.jpg", id="two trees of one shape"),
        pytest.param(["deep/a.jpg"], "a.txt", "deep/a.jpg", id="labels in one folder, images further down"),
        pytest.param(["a.jpg"], "deep/a.txt", "a.jpg", id="images in one folder, labels further down"),
    ],
)
def test_find_for_label(index_of: IndexOf, names: list[str], label: str, expected: str) -> None:
    assert index_of(names).find_for_label(PurePosixPath(label)) == expected


@pytest.mark.parametrize(
    ("names", "label", "message"),
    [
        pytest.param(["a.jpg"], "c.txt", "unknown image", id="no image of that stem"),
        pytest.param(["a.jpg", "a.png"], "a.txt", "a.jpg, a.png", id="two images of that stem"),
        pytest.param(["x/a.jpg", "y/a.jpg"], "a.txt", "x/a.jpg, y/a.jpg", id="two folders have one"),
    ],
)
def test_find_for_label_fails(index_of: IndexOf, names: list[str], label: str, message: str) -> None:
    with pytest.raises(LookupError, match=message):
        index_of(names).find_for_label(PurePosixPath(label))


def test_known_images_are_found_as_those_of_a_folder() -> None:
    sizes = {"x/a.jpg": ImageSize(4, 3), "y/a.jpg": ImageSize(5, 3)}
    known = KnownImages(sizes, Path("slides"), "in split test")
    assert known.sizes == sizes
    assert known.find("/data/y/a.jpg") == "y/a.jpg"
    assert known.find_for_label(PurePosixPath("x/a.txt")) == "x/a.jpg"
    assert known.has_stem("a")
    with pytest.raises(LookupError, match=r"unknown image: no c\.jpg in split test"):
        known.find("c.jpg")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("a.jpg", "a.jpg", id="a bare name"),
        pytest.param("./deep/a.jpg", "deep/a.jpg", id="a relative path"),
        pytest.param("/home/anna/a.jpg", "home/anna/a.jpg", id="an absolute path"),
        pytest.param(r"deep\a.jpg", "deep/a.jpg", id="a path of Windows"),
    ],
)
def test_named_images_are_what_the_labels_say(tmp_path: Path, asked: str, expected: str) -> None:
    images = NamedImages(tmp_path / "labels.csv")
    assert images.find(asked) == images.find(asked) == expected
    assert images.sizes == {expected: UNKNOWN_SIZE}
    assert images.root == tmp_path


def test_named_images_of_the_same_name_are_two(tmp_path: Path) -> None:
    images = NamedImages(tmp_path)
    assert [images.find(name) for name in ("x/a.jpg", "y/a.jpg", "a.jpg")] == ["x/a.jpg", "y/a.jpg", "a.jpg"]
    assert images.root == tmp_path


NO_FILES = ["a" * 256 + ".jpg", "x/" * 100 + "a.jpg", "a\0.jpg", "\ud800.jpg"]


@pytest.mark.parametrize("asked", ["", "/", "../a.jpg", "deep/../../a.jpg", r"..\a.jpg", *NO_FILES])
def test_named_images_do_not_lead_outside(tmp_path: Path, asked: str) -> None:
    with pytest.raises(LookupError, match="path of an image below one folder, found"):
        NamedImages(tmp_path).find(asked)


def test_a_label_file_does_not_name_its_image(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"folder that holds a\.\*"):
        NamedImages(tmp_path).find_for_label(PurePosixPath("a.xml"))


def test_messages_stay_short() -> None:
    size = ImageSize(4, 3)
    known = KnownImages({f"{number}/a.jpg": size for number in range(1000)}, Path("slides"), "below slides")
    with pytest.raises(LookupError, match=r"a\.jpg may mean any of 0/a\.jpg, .* 9/a\.jpg, …; expected one image"):
        known.find("a.jpg")
    with pytest.raises(LookupError, match=r"^unknown image: no b{200} below slides$"):
        known.find("b" * 100_000)
