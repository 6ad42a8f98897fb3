from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from spore_yolo.dataset.importing import ImportResult
from spore_yolo.dataset.store import Dataset, check_whole_groups, load_dataset, read_manifest
from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError


@pytest.fixture
def imported(add_image: Callable[..., Path], run_import: Callable[..., ImportResult]) -> Dataset:
    for number in range(5):
        add_image(f"s{number}.png", [(number % 2, 4, 5, 14.5, 15.25)])
    return run_import(targets=("Alternaria",)).dataset


def _images(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(f"i{n}.png", *row) for n, row in enumerate(rows)], columns=["image", "group", "source", "split"]
    )


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([("g", "s", "train"), ("g", "t", "train"), ("h", "u", "test")], id="whole groups"),
        pytest.param(
            [("g", "s", "val"), ("g", "s", "spare"), ("g", "s", "spare")], id="spare variants belong to no split"
        ),
        pytest.param([("g", "s", "calibration"), ("h", "t", "val")], id="the calibration part is a split"),
    ],
)
def test_check_whole_groups__fine(rows: list[tuple[str, str, str]]) -> None:
    check_whole_groups(_images(*rows), Path("images.csv"))


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        pytest.param(
            [("g", "s", "train"), ("g", "t", "train"), ("g", "u", "test")],
            [(4, "group g is in train (line 2) and test (line 4)")],
            id="a group in two splits, several rows before",
        ),
        pytest.param(
            [("g", "s", "val"), ("h", "s", "calibration")],
            [(3, "source s is in val (line 2) and calibration (line 3)")],
            id="a source in two groups and two splits",
        ),
        pytest.param(
            [("g", "s", "train"), ("g", "s", "spare"), ("g", "s", "test")],
            [
                (4, "group g is in train (line 2) and test (line 4)"),
                (4, "source s is in train (line 2) and test (line 4)"),
            ],
            id="both; the spare row between is no split",
        ),
        pytest.param(
            [("g", "s", "train"), ("g", "t", "val"), ("g", "u", "test")],
            [(3, "group g is in train (line 2) and val (line 3) and test (line 4)")],
            id="three splits",
        ),
        pytest.param(
            [("g", "s", "train"), ("h", "t", "Test")],
            [(3, "expected a split (train, val, test, calibration, spare), found 'Test'")],
            id="an unknown split",
        ),
    ],
)
def test_check_whole_groups__torn(rows: list[tuple[str, str, str]], named: list[tuple[int, str]]) -> None:
    with pytest.raises(InputProblems) as caught:
        check_whole_groups(_images(*rows), Path("images.csv"))
    assert [(problem.line, problem.message) for problem in caught.value.problems] == named


def test_load_dataset(imported: Dataset, register: Path, slides: Path) -> None:
    dataset = load_dataset("spores", register)
    assert (dataset.name, dataset.classes, dataset.targets) == ("spores", ["Alternaria", "Botrytis"], ["Alternaria"])
    assert dataset.images["um_per_px"].isna().all()
    assert dataset.boxes["line"].tolist() == [1] * 5
    assert dataset.boxes.dtypes.astype(str).to_dict()["ignored"] == "bool"
    for image in dataset.images["image"]:
        assert dataset.path_of(image).resolve() == (slides / image).resolve()
    parts = [dataset.split(name) for name in ("train", "val", "test")]
    assert sum(len(images) for images, _ in parts) == 5
    for images, boxes in parts:
        assert sorted(images["image"]) == sorted(boxes["image"])


def test_load_dataset__names_that_look_like_something_else(
    slides: Path, labels: Path, paint: Callable[..., Path], run_import: Callable[..., ImportResult], register: Path
) -> None:
    rows = ["image,x_min,y_min,x_max,y_max,class"]
    for number, group in enumerate(["NA", "007", "7", "null"]):
        paint(slides / group / f"{number}.png")
        rows.append(f"{group}/{number}.png,1,1,9,9,{'NA' if number % 2 else '01'}")
    file = labels / "boxes.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    run_import(labels=file, label_format="csv", group_by="^([^/]+)/")
    dataset = load_dataset("spores", register)
    assert set(dataset.images["group"]) == {"NA", "007", "7", "null"}
    assert set(dataset.boxes["class"]) == {"NA", "01"} == set(dataset.classes)


def test_split__unknown(imported: Dataset) -> None:
    with pytest.raises(SporeYoloError, match="no split 'calibration'") as caught:
        imported.split("calibration")
    assert "train" in str(caught.value)


@pytest.mark.parametrize("name", ["images.csv", "boxes.csv", "manifest.json"])
def test_load_dataset__a_file_is_missing(imported: Dataset, register: Path, name: str) -> None:
    (imported.folder / name).unlink()
    with pytest.raises(SporeYoloError, match=f"{name}: no such file.*import"):
        load_dataset("spores", register)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("images.csv", "", "damaged", id="empty table"),
        pytest.param("images.csv", "image,split\na.png,train\n", "width", id="columns are missing"),
        pytest.param("boxes.csv", 'image,class\n"a', "damaged", id="broken off"),
        pytest.param("manifest.json", "{", "damaged", id="broken off manifest"),
        pytest.param("manifest.json", "[]", "damaged", id="another manifest"),
        pytest.param("manifest.json", "{}", "damaged", id="empty manifest"),
    ],
)
def test_load_dataset__damaged(imported: Dataset, register: Path, name: str, text: str, words: str) -> None:
    (imported.folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(SporeYoloError, match=name) as caught:
        load_dataset("spores", register)
    assert words in str(caught.value)


@pytest.mark.parametrize("key", ["groups", "classes", "targets", "fingerprint", "options", "evaluated", "images"])
def test_read_manifest__a_part_that_commands_read_is_missing(imported: Dataset, key: str) -> None:
    path = imported.folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content[key]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SporeYoloError, match="damaged"):
        read_manifest(imported.folder)


def test_read_manifest__none_yet(tmp_path: Path) -> None:
    assert read_manifest(tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", [None, "spore"])
def test_load_dataset__unknown(imported: Dataset, register: Path, name: str | None) -> None:
    with pytest.raises(UsageError, match="spores"):
        load_dataset(name, register)
