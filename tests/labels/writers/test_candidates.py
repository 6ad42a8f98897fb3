from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS, write_csv


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
