from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from spore_yolo.dataset.store import Dataset
from spore_yolo.dataset.yolo_layout import write_layout
from spore_yolo.files.errors import InputProblems

Make = Callable[..., Dataset]


def _write(dataset: Dataset, folder: Path, paint: Callable[..., Path]) -> None:
    for image in dataset.images["image"]:
        paint(dataset.path_of(image))
    folder.mkdir(parents=True)
    write_layout(folder, folder, dataset.images_root, dataset.images, dataset.boxes, dataset.classes)


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def test_write_layout__files(make_dataset: Make, tmp_path: Path, paint: Callable[..., Path]) -> None:
    dataset = make_dataset(
        {
            "day/a.png": ("train", "g", "a", 40, 30),
            "b.png": ("val", "h", "b", 40, 30),
            "c.png": ("spare", "h", "b", 40, 30),
            "d.png": ("calibration", "k", "d", 40, 30),
        },
        [
            ("day/a.png", "Botrytis", 10, 10, 20, 20),
            ("day/a.png", "unsure", 1, 1, 9, 9, True),
            ("c.png", "Botrytis", 10, 10, 20, 20),
        ],
    )
    folder = tmp_path / "data" / "spores"
    _write(dataset, folder, paint)
    assert _files(folder) == [
        "data.yaml",
        "images/calibration/d.png",
        "images/train/day/a.png",
        "images/val/b.png",
        "labels/calibration/d.txt",
        "labels/train/day/a.txt",
        "labels/val/b.txt",
    ]
    assert (folder / "labels/train/day/a.txt").read_text().split() == [
        "1",
        "0.37500000",
        "0.50000000",
        "0.25000000",
        "0.33333333",
    ]
    assert (folder / "labels/val/b.txt").read_text() == "", "a negative has an empty label file"
    content = yaml.safe_load((folder / "data.yaml").read_text())
    assert content == {
        "train": "images/train",
        "val": "images/val",
        "calibration": "images/calibration",
        "names": {0: "Alternaria", 1: "Botrytis"},
    }
    assert (folder / "images/train/day/a.png").read_bytes() == dataset.path_of("day/a.png").read_bytes()


@pytest.mark.parametrize(
    "image",
    [
        pytest.param("a.png", id="no folder"),
        pytest.param("day/a.png", id="a folder"),
        pytest.param("train/images/a.png", id="the folders of an export"),
        pytest.param("images/a.png", id="a folder called images"),
        pytest.param("labels/a.png", id="a folder called labels"),
    ],
)
def test_write_layout__labels_lie_where_yolo_looks(
    make_dataset: Make, tmp_path: Path, paint: Callable[..., Path], image: str
) -> None:
    dataset = make_dataset({image: ("train", "g", "a", 40, 30)}, [(image, "Botrytis", 10, 10, 20, 20)])
    folder = tmp_path / "data" / "spores"
    _write(dataset, folder, paint)
    (linked,) = (path for path in (folder / "images" / "train").rglob("*") if not path.is_dir())
    # Ultralytics (img2label_paths) puts "labels" in place of the last "images" of the path.
    label = Path("/labels/".join(str(linked).rsplit("/images/", 1))).with_suffix(".txt")
    assert label.is_file()
    assert label.read_text().startswith("1 ")


def test_write_layout__links_hold_after_the_rename(
    make_dataset: Make, tmp_path: Path, paint: Callable[..., Path]
) -> None:
    dataset = make_dataset({"day/a.png": ("train", "g", "a", 40, 30)}, [])
    paint(dataset.path_of("day/a.png"))
    temporary, final = tmp_path / "other" / "deep" / "tmp", tmp_path / "data" / "spores"
    temporary.mkdir(parents=True)
    write_layout(temporary, final, dataset.images_root, dataset.images, dataset.boxes, dataset.classes)
    final.parent.mkdir()
    temporary.rename(final)
    link = final / "images" / "train" / "day" / "a.png"
    assert link.is_symlink()
    assert not os.path.isabs(os.readlink(link)), "a relative link survives moving the project"
    assert link.resolve() == dataset.path_of("day/a.png").resolve()


def test_write_layout__copies_where_links_are_not_allowed(
    make_dataset: Make, tmp_path: Path, paint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    dataset = make_dataset({"a.png": ("train", "g", "a", 40, 30)}, [])
    _write(dataset, tmp_path / "out", paint)
    copy = tmp_path / "out" / "images" / "train" / "a.png"
    assert not copy.is_symlink()
    assert copy.read_bytes() == dataset.path_of("a.png").read_bytes()


def test_write_layout__a_full_disk_is_no_reason_to_copy(
    make_dataset: Make, tmp_path: Path, paint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(OSError, match="No space left"):
        _write(make_dataset({"a.png": ("train", "g", "a", 40, 30)}, []), tmp_path / "out", paint)


def test_write_layout__two_images_one_label_file(
    make_dataset: Make, tmp_path: Path, paint: Callable[..., Path]
) -> None:
    twins = {"a.png": ("train", "g", "a.png", 40, 30), "a.bmp": ("train", "h", "a.bmp", 40, 30)}
    with pytest.raises(InputProblems) as caught:
        _write(make_dataset(twins, []), tmp_path / "out", paint)
    (problem,) = caught.value.problems
    assert problem.file == "a.bmp"
    assert "a.png" in problem.message


@pytest.mark.parametrize("split", ["val", "spare"])
def test_write_layout__twins_apart_are_fine(
    make_dataset: Make, tmp_path: Path, paint: Callable[..., Path], split: str
) -> None:
    twins = {"a.png": ("train", "g", "a.png", 40, 30), "a.bmp": (split, "h", "a.bmp", 40, 30)}
    _write(make_dataset(twins, []), tmp_path / "out", paint)
    assert "images/train/a.png" in _files(tmp_path / "out")
