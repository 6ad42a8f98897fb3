from __future__ import annotations

import gc
import sys
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.labels import workbook
from spore_yolo.labels.workbook import write_workbook
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS, MEASURE_COLUMNS

COUNTS = pd.DataFrame(
    {"slide": ["a/1.jpg", "a/2.jpg", "b.jpg"], "smut": [1, 0, 4], "rust": [2, 3, 0], "all": [3, 3, 4]}
)
NAN = float("nan")


def detections(slides: list[str]) -> pd.DataFrame:
    row = ("smut", 0.123456789, "spore", 0.5, NAN, 10.0, 20.0, 30.123, 60.0)
    return pd.DataFrame([(slide, *row) for slide in slides], columns=CANDIDATE_COLUMNS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counts.xlsx"


def test_counts_with_totals_that_the_filter_leaves_alone(path: Path) -> None:
    write_workbook(path, COUNTS, detections(["b.jpg"]), [], ["smut"])
    sheet = openpyxl.load_workbook(path)["counts"]
    rows = list(sheet.iter_rows(values_only=True))
    assert rows[0] == ("slide", "smut (target)", "rust", "all")
    assert rows[1:] == [("a/1.jpg", 1, 2, 3), ("a/2.jpg", 0, 3, 3), ("b.jpg", 4, 0, 4), ("all slides", 5, 5, 10)]
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("B2", "A1:D4")
    assert sheet["B1"].fill.fgColor.rgb != sheet["C1"].fill.fgColor.rgb
    assert sheet["A1"].font.bold and sheet["D5"].font.bold and not sheet["D4"].font.bold
    assert sheet.column_dimensions["B"].width > len("smut (target)")


def test_detections_as_pandas_reads_them(path: Path) -> None:
    table = detections(["b.jpg", "b.jpg"]).assign(length_um=[3.14159, 2], width_um=1.0, area_um2=NAN, measured_by="box")
    write_workbook(path, COUNTS, table, [])
    read = pd.read_excel(path, sheet_name="detections")
    assert read.columns.tolist() == CANDIDATE_COLUMNS + MEASURE_COLUMNS
    assert read["score"].tolist() == [0.12346, 0.12346]
    assert read["length_um"].tolist() == [3.14, 2]
    assert read["class_score"].isna().all() and read["area_um2"].isna().all()
    assert openpyxl.load_workbook(path)["detections"].freeze_panes == "B2"


def test_about_may_repeat_a_name(path: Path) -> None:
    write_workbook(
        path, COUNTS, detections([]), [("slides", 3), ("warning", "one"), ("warning", "two"), ("commit", None)]
    )
    rows = list(openpyxl.load_workbook(path)["about"].iter_rows(values_only=True))
    assert rows == [("what", "value"), ("slides", 3), ("warning", "one"), ("warning", "two"), ("commit", None)]


FORMULAS = ["=1+1", '=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "=", "#N/A", "1e5", "007", "TRUE"]


def test_text_that_looks_like_a_formula_is_text(path: Path) -> None:
    counts = pd.DataFrame({"slide": FORMULAS, "=class": 1, "all": 1})
    write_workbook(path, counts, detections(FORMULAS), [("pair", "=1+1")], ["=class"])
    book = openpyxl.load_workbook(path)
    for sheet in book:
        assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n"}
    for name in ("counts", "detections"):
        cells = [row[0] for row in book[name].iter_rows(min_row=2, max_row=len(FORMULAS) + 1)]
        assert [cell.value for cell in cells] == FORMULAS
        # So that Excel does not make a formula of it either when somebody edits the cell.
        assert [cell.quotePrefix for cell in cells] == [value[0] in "=+-@" for value in FORMULAS]
    with zipfile.ZipFile(path) as file:
        assert not [name for name in file.namelist() if name.endswith(".xml") and b"<f>" in file.read(name)]


def kept(text: str) -> list[str]:
    """What XML can hold of a text; it turns a carriage return into a line feed and has no other control characters."""
    return [letter for letter in text if ord(letter) >= 32 and letter not in "\ufffd\ufffe\uffff"]


@settings(max_examples=15)
@given(names=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=40))
def test_any_name_of_a_slide_can_be_written(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("any") / "counts.xlsx"
    write_workbook(path, pd.DataFrame({"slide": names, "all": 1}), detections(names), [("pair", names[0])])
    cells: list[Any] = [row[0] for row in openpyxl.load_workbook(path)["counts"].iter_rows(2, len(names) + 1)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [kept(cell.value) for cell in cells] == [kept(name) for name in names]


@pytest.mark.parametrize(("most", "left"), [(5, 0), (4, 1)])
def test_more_rows_than_excel_opens_are_told(path: Path, monkeypatch: pytest.MonkeyPatch, most: int, left: int) -> None:
    monkeypatch.setattr(workbook, "EXCEL_ROWS", most + 2)
    notes = write_workbook(path, COUNTS, detections(["b.jpg"] * 5), [])
    book = openpyxl.load_workbook(path)
    rows = list(book["detections"].iter_rows(values_only=True))
    assert len(rows) == 1 + 5
    assert len(notes) == left
    if left:
        assert notes == [rows[-1][0]] == [book["about"]["B2"].value]
        assert "first 4 of 5 detections" in notes[0] and "predictions.csv" in notes[0]


def test_more_slides_than_excel_opens_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "EXCEL_ROWS", 4)
    notes = write_workbook(path, COUNTS, detections([]), [])
    rows = list(openpyxl.load_workbook(path)["counts"].iter_rows(values_only=True))
    assert [row[0] for row in rows] == ["slide", "a/1.jpg", "a/2.jpg", "all slides"]
    assert rows[-1][-1] == 10
    assert "first 2 of 3 slides" in notes[0] and "counts.csv" in notes[0]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("place", ["save", "create_sheet"])
def test_it_is_written_whole_or_not_at_all(
    path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, place: str
) -> None:
    path.write_text("before")
    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    create = workbook.Workbook.create_sheet

    def fail(book: Any, title: Any) -> Any:
        if title in ("counts", "detections"):
            return create(book, title)
        raise fault

    monkeypatch.setattr(workbook.Workbook, place, fail)
    with pytest.raises(type(fault)):
        write_workbook(path, COUNTS, detections(["b.jpg"]), [])
    assert [file.name for file in path.parent.iterdir()] == ["counts.xlsx"]
    assert path.read_text() == "before"
    fault.with_traceback(None)  # it keeps the workbook alive
    gc.collect()
    assert not complaints
