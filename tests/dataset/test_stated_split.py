from __future__ import annotations

from pathlib import Path

import pytest

from spore_yolo.dataset.stated_split import stated_split
from spore_yolo.files.errors import InputProblems
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import KnownImages


def _split(images: list[str], root: Path, table: Path | None = None) -> dict[str, str]:
    known = KnownImages(dict.fromkeys(images, ImageSize(10, 10)), root, "below slides")
    return stated_split(images, root.parent / "labels", root, table, known)


@pytest.mark.parametrize(
    ("image", "split"),
    [
        ("train/images/a.png", "train"),
        ("images/valid/a.png", "val"),
        ("Test/a.png", "test"),
        ("farm/a.png", None),
        ("train.png", None),
        ("training/day_1/a.png", "train"),
    ],
)
def test_folders_tell(tmp_path: Path, image: str, split: str | None) -> None:
    assert _split([image], tmp_path / "slides") == ({} if split is None else {image: split})


def test_data_yaml_tells_by_folders_and_by_lists(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(
        "path: .\ntrain: [slides/farm, slides/hill]\nval: val.txt\ntest:\nnames: [rust]\n"
    )
    (tmp_path / "val.txt").write_text("./slides/lake/a.png\n\nslides/gone.png\n")
    images = ["farm/day/a.png", "farmer/a.png", "hill/a.png", "lake/a.png", "lake/b.png"]
    expected = {"farm/day/a.png": "train", "hill/a.png": "train", "lake/a.png": "val"}
    assert _split(images, tmp_path / "slides") == expected


def test_data_yaml_of_another_machine_leaves_it_to_the_folders(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("path: /home/somebody\ntrain: train.txt\nval: images/val\n")
    assert _split(["val/a.png", "b.png"], tmp_path / "slides") == {"val/a.png": "val"}


def test_a_table_alone_tells(tmp_path: Path) -> None:
    table = tmp_path / "split.csv"
    table.write_text("image,split\na.png,test\nslides/b.png,val\n")
    assert _split(["train/a.png", "b.png", "train/c.png"], tmp_path, table) == {"train/a.png": "test", "b.png": "val"}


def test_what_is_wrong_with_a_table_is_said_at_once(tmp_path: Path) -> None:
    table = tmp_path / "split.csv"
    table.write_text("image,split\na.png,holdout\nz.png,val\n")
    with pytest.raises(InputProblems) as caught:
        _split(["a.png"], tmp_path, table)
    assert "expected one of the splits train, val, test, calibration for a.png, found 'holdout'" in str(caught.value)
    assert "no z.png" in str(caught.value)
