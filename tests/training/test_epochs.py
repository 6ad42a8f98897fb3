"""What Ultralytics' ``results.csv`` holds, and what stays of it when a training goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from spore_yolo.training.epochs import epochs_of, keep_epochs

HEADER = "epoch,time,train/box_loss,metrics/recall(B),val/box_loss\n"
ROWS = ["1,0.5,3.0,0,0\n", "2,1.0,2.0,0.25,1.5\n", "3,1.5,1.0,0.5,1.25\n"]


def test_epochs_with_their_figures(tmp_path: Path) -> None:
    results = tmp_path / "results.csv"
    assert list(epochs_of(results)) == []
    results.write_text(HEADER + "".join(ROWS[:2]))
    assert list(epochs_of(results)) == [
        (1, {"train/box_loss": 3.0}),  # not validated: zeros are no figures
        (2, {"train/box_loss": 2.0, "metrics/recall": 0.25, "val/box_loss": 1.5}),
    ]


@pytest.mark.parametrize(
    ("found", "last", "kept"),
    [
        pytest.param(HEADER + "".join(ROWS), 3, HEADER + "".join(ROWS), id="all were saved"),
        pytest.param(HEADER + "".join(ROWS), 2, HEADER + "".join(ROWS[:2]), id="killed before the checkpoint"),
        pytest.param(HEADER + "".join(ROWS[:2]) + "3,1.", 2, HEADER + "".join(ROWS[:2]), id="killed in the line"),
        pytest.param(HEADER + ROWS[0] + "2,1.0,2.0,0.25,1.5", 2, HEADER + ROWS[0], id="killed before the line's end"),
        pytest.param(HEADER + ROWS[0] + "\0" * 20 + "\n", 2, HEADER + ROWS[0], id="the power failed"),
        pytest.param(HEADER, 0, HEADER, id="no epoch yet"),
        pytest.param("", 0, "", id="empty"),
    ],
)
def test_what_stays_when_a_training_goes_on(tmp_path: Path, found: str, last: int, kept: str) -> None:
    results = tmp_path / "results.csv"
    results.write_text(found)
    keep_epochs(results, last)
    assert results.read_text() == kept


def test_without_results_there_is_nothing_to_keep(tmp_path: Path) -> None:
    keep_epochs(tmp_path / "results.csv", 1)
    assert list(tmp_path.iterdir()) == []
