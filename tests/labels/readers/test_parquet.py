"""Parquet with a row a box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError
from spore_yolo.labels.image_index import ImageIndex
from spore_yolo.labels.readers import parquet
from spore_yolo.labels.readers.csv import read_csv
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.readers.parquet import parquet_header, read_parquet

COLUMNS = ["image", "x_min", "y_min", "x_max", "y_max", "class"]
ROWS = [["a.jpg", 1.0, 2, 3, 4, "rust"], ["b.png", None, None, None, None, None], ["a.jpg", 5.5, 6, 7, 8, "smut"]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two boxes on a.jpg, none on b.png."""
    pd.DataFrame(ROWS, columns=COLUMNS).to_parquet(tmp_path / "boxes.parquet")
    return tmp_path / "boxes.parquet"


def test_rows(table: Path, images: ImageIndex) -> None:
    labels = read_parquet(table, images)
    assert labels.problems == []
    assert [(box.image, box.class_name, *box[2:6], box.line) for box in labels.boxes] == [
        ("a.jpg", "rust", 1, 2, 3, 4, 1),
        ("a.jpg", "smut", 5.5, 6, 7, 8, 3),
    ]
    assert labels.labelled_images == {"a.jpg", "b.png"}
    assert labels.classes == ["rust", "smut"]
    assert parquet_header(table) == COLUMNS


def test_the_same_as_csv_in_any_order_and_type(tmp_path: Path, images: ImageIndex) -> None:
    frame = pd.DataFrame(
        {
            "confidence": np.array([0.25, 0.5], dtype="float32"),
            "label": pd.Categorical(["rust", "smut"]),
            "w": [3, 4],
            "h": [5, 6],
            "filename": ["a.jpg", "b.png"],
            "cx": np.array([10.5, 20.5], dtype="float32"),
            "cy": [8, 9],
            "extra": ["x", "y"],
        }
    )
    frame.to_parquet(tmp_path / "f.parquet")
    frame.to_csv(tmp_path / "f.csv", index=False)
    options = ReadOptions(scores=True)
    ours = [(*box[:7], box.score) for box in read_parquet(tmp_path / "f.parquet", images, options).boxes]
    assert ours == [(*box[:7], box.score) for box in read_csv(tmp_path / "f.csv", images, options).boxes]
    assert ours[0] == ("a.jpg", "rust", 9, 5.5, 12, 10.5, False, 0.25)


def test_numbers_as_classes(tmp_path: Path, images: ImageIndex) -> None:
    rows = {"image": ["a.jpg", "a.jpg"], "class": [3, None], "x": [1.0, None], "y": [2, None], "w": [3, None]}
    pd.DataFrame(rows | {"h": [4, None]}).to_parquet(tmp_path / "f.parquet")
    labels = read_parquet(tmp_path / "f.parquet", images)
    assert [(box.class_name, box[2:6]) for box in labels.boxes] == [("3", (1, 2, 4, 6))]
    assert labels.problems == []


def test_lists_are_refused(tmp_path: Path, images: ImageIndex) -> None:
    rows = {"image": ["a.jpg", "a.jpg"], "class": ["rust", None], "bbox": [[1.0, 2, 3, 4], None]}
    pd.DataFrame(rows).to_parquet(tmp_path / "f.parquet")
    with pytest.raises(InputProblems, match=r"found lists or the like in bbox; write a box as four columns"):
        read_parquet(tmp_path / "f.parquet", images)


def test_columns_that_are_given(table: Path, images: ImageIndex) -> None:
    with pytest.raises(UsageError, match="taxon"):
        read_parquet(table, images, ReadOptions(columns={"class": "taxon"}))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and more PAR1", b"image,x_min\n"])
def test_no_parquet(tmp_path: Path, images: ImageIndex, content: bytes) -> None:
    (tmp_path / "f.parquet").write_bytes(content)
    with pytest.raises(InputProblems, match="expected a Parquet file"):
        read_parquet(tmp_path / "f.parquet", images)
    with pytest.raises(InputProblems, match="found a folder"):
        read_parquet(tmp_path, images)


def test_damaged_file_is_read_or_refused(table: Path, images: ImageIndex) -> None:
    content = table.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = bytearray(content)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        table.write_bytes(data)
        try:
            read_parquet(table, images)
        except SporeYoloError:
            refused += 1
    assert refused > 10


def test_what_a_file_unpacks_to_is_bounded(table: Path, images: ImageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_ROWS", 2)
    with pytest.raises(InputProblems, match=r"at most 2 rows .* found 3 rows"):
        read_parquet(table, images)


@pytest.mark.parametrize(
    ("kind", "damaged"),
    [
        pytest.param(b"\x15\x0c%\x02\x18\x05image", b"\x15\x00%\x02\x18\x05image", id="another type"),
        pytest.param(b"%\x02\x18\x05x_max", b"%\x5b\x18\x05x_max", id="another repetition"),
    ],
)
def test_footer_that_contradicts_itself(table: Path, images: ImageIndex, kind: bytes, damaged: bytes) -> None:
    """pyarrow ends the program where a row group's column is asked for; 26.0 does."""
    content = table.read_bytes()
    assert content.count(kind) == 1
    table.write_bytes(content.replace(kind, damaged))
    with pytest.raises(InputProblems, match="damaged"):
        read_parquet(table, images)
