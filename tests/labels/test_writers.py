from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.labels.writers import CANDIDATE_COLUMNS, safe_names, unique_names, write_coco, write_csv, yolo_text


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        ("a/1.jpg", "Alternaria", 0.9, "spore", 0.9, float("nan"), 10.0, 20.0, 30.0, 60.0),
        ("b/2.jpg", "rust", 0.123456789, "spore", 0.123456789, float("nan"), 0.0, 0.0, 50.125, 25.0),
    ]
    return pd.DataFrame(rows, columns=CANDIDATE_COLUMNS)


def test_csv_without_a_classifier_leaves_class_score_empty(tmp_path: Path, table: pd.DataFrame) -> None:
    write_csv(tmp_path / "predictions.csv", table)
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert lines[0] == "slide,class,score,detector_class,detector_score,class_score,x_min,y_min,x_max,y_max"
    assert lines[1] == "a/1.jpg,Alternaria,0.9,spore,0.9,,10.0,20.0,30.0,60.0"
    assert lines[2].startswith("b/2.jpg,rust,0.12346,spore,0.12346,,")


def test_csv_has_measures_where_there_are_any(tmp_path: Path, table: pd.DataFrame) -> None:
    measured = table.assign(measured_by=["outline", "box"], area_um2=[1.006, 2], width_um=1.0, length_um=[2.3456, 3])
    write_csv(tmp_path / "predictions.csv", measured)
    read = pd.read_csv(tmp_path / "predictions.csv")
    assert read.columns.tolist()[-4:] == ["length_um", "width_um", "area_um2", "measured_by"]
    assert read.iloc[0, -4:].tolist() == [2.35, 1, 1.01, "outline"]


def test_coco_lists_slides_without_detections_and_is_read_by_pycocotools(tmp_path: Path, table: pd.DataFrame) -> None:
    from pycocotools.coco import COCO

    sizes = {"a/1.jpg": (100, 80), "b/2.jpg": (200, 100), "c/3.jpg": (10, 10)}
    write_coco(tmp_path / "p.json", table, sizes, ["rust", "Alternaria"])
    coco = COCO(str(tmp_path / "p.json"))
    assert [image["file_name"] for image in coco.dataset["images"]] == list(sizes)
    first = coco.loadAnns(coco.getAnnIds(catIds=coco.getCatIds(catNms=["Alternaria"])))[0]
    assert first["bbox"] == [10.0, 20.0, 20.0, 40.0]
    assert first["score"] == 0.9
    assert json.loads((tmp_path / "p.json").read_text())["categories"][0] == {"id": 1, "name": "rust"}


def test_yolo_text_has_fractions_and_the_score(table: pd.DataFrame) -> None:
    text = yolo_text(table.iloc[:1], (100, 80), ["rust", "Alternaria"])
    assert text == "1 0.20000000 0.50000000 0.20000000 0.50000000 0.90000\n"


@pytest.mark.parametrize(
    ("slides", "names"),
    [
        pytest.param(["a/1.jpg", "b/2.jpg"], ["1", "2"], id="stems where they tell slides apart"),
        pytest.param(["a/1.jpg", "b/1.jpg", "2.jpg"], ["a__1.jpg", "b__1.jpg", "2"], id="folders where they do not"),
        pytest.param(["../x/1.jpg", "../x/1.png"], ["x__1.jpg", "x__1.png"], id="only the suffix differs"),
        pytest.param(["/s/1.jpg", "/t/1.jpg"], ["s__1.jpg", "t__1.jpg"], id="absolute paths stay inside the folder"),
    ],
)
def test_unique_names(slides: list[str], names: list[str]) -> None:
    assert list(unique_names(slides).values()) == names


@pytest.mark.parametrize(
    ("names", "safe"),
    [
        pytest.param(["Alternaria alternata", "A. solani"], ["Alternaria alternata", "A. solani"], id="ordinary ones"),
        pytest.param(["../../etc", "a/b", "a\\b"], ["_.._etc", "a_b", "a_b-2"], id="no way out of the folder"),
        pytest.param(["Rust", "rust", "rust-2"], ["Rust", "rust-2", "rust-2-2"], id="disks that ignore case"),
        pytest.param(["", " . ", "..."], ["_", "_-2", "_-3"], id="nothing left"),
        pytest.param(["CON", "aux.b", "Connie"], ["CON_", "aux.b_", "Connie"], id="names of devices"),
        pytest.param(["Рост", "錆", "a\nb?*"], ["Рост", "錆", "a_b__"], id="other letters stay, signs do not"),
        pytest.param(["x" * 300], ["x" * 100], id="long ones"),
    ],
)
def test_safe_names(names: list[str], safe: list[str]) -> None:
    assert safe_names(names) == safe


@given(names=st.lists(st.text(max_size=30), max_size=8))
def test_safe_names_are_as_many_files(names: list[str]) -> None:
    safe = safe_names(names)
    assert len({name.casefold() for name in safe}) == len(names) == len(safe)
    for name in safe:
        assert PurePosixPath(name).name == name == PureWindowsPath(name).name
        assert name not in ("", ".", "..")
