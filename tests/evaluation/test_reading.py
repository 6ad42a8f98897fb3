from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.evaluation.reading import evaluation_folder, read_evaluation, run_names
from spore_yolo.files.errors import SporeYoloError, UsageError
from tests.evaluation.written_runs import NINE, Change, edit, write_run


def _set(**values: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda f: (f / "slides.csv").unlink(), "slides.csv: no such file.*evaluate again", id="no slides"),
        pytest.param(
            lambda f: (f / "matches.csv").unlink(), "matches.csv: no such file.*evaluate again", id="no matches"
        ),
        pytest.param(edit("metrics.json", "{", ""), r"metrics.json: cannot be read \(.*evaluate again", id="not JSON"),
        pytest.param(lambda f: (f / "metrics.json").write_text("[]"), "metrics.json does not have", id="another JSON"),
        pytest.param(
            _set(iou="half", targets=None), "(?s)does not.*iou: .*targets: .*evaluate again", id="wrong fields"
        ),
        pytest.param(
            _set(per_class={"rust": {"tp": 90, "fp": 0, "fn": 91}}), "90 tp 0 fp 90 fn.*90 tp 0 fp 91 fn", id="sums"
        ),
        pytest.param(edit("slides.csv", "known", "sure"), "slides.csv:1: expected.*found no known", id="column"),
        pytest.param(edit("slides.csv", ",20,", ",many,"), "slides.csv: cannot be read", id="no number"),
        pytest.param(edit("slides.csv", "True", "perhaps"), "slides.csv: cannot be read", id="no truth"),
        pytest.param(edit("slides.csv", "0.jpg", "1.jpg"), "one row a slide and class", id="slide twice"),
        pytest.param(edit("slides.csv", "rust", "smut"), "one row a slide and class", id="class"),
        pytest.param(edit("matches.csv", ",fn,", ",ignored,"), "other labels than slides.csv", id="label gone"),
        pytest.param(edit("slides.csv", ",10,", ",11,"), "other detections than slides.csv", id="detection more"),
        pytest.param(
            lambda f: (f / "slides.csv").write_bytes(b"\xff\xfe\x00"), "slides.csv: cannot be read", id="bytes"
        ),
        pytest.param(lambda f: (f / "matches.csv").write_text(""), "matches.csv: cannot be read", id="empty"),
    ],
)
def test_damaged_evaluation(tmp_path: Path, change: Change, message: str) -> None:
    folder = write_run(tmp_path / "a", NINE)
    change(folder)
    with pytest.raises(SporeYoloError, match=message):
        read_evaluation(folder, "a")


def test_a_classifier_alone_is_no_pair(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"dataset": "leaves", "classifier_on_labels": {}}))
    with pytest.raises(SporeYoloError, match="a classifier alone.*expected the evaluation of a pair"):
        read_evaluation(tmp_path, "a")


def test_names_that_read_like_missing_values(tmp_path: Path) -> None:
    counts = [("NA", "null", "None", 2, 1, 0), ("nan.jpg", "1", "None", 2, 1, 0)]
    run = read_evaluation(write_run(tmp_path / "a", counts), "a")
    assert set(run.counts["slide"]) == {"NA", "nan.jpg"}
    assert set(run.counts["group"]) == {"null", "1"}
    assert run.headline == ["None"]


@pytest.fixture
def shelf(tmp_path: Path) -> Mapping[str, Path]:
    """A run with evaluations of two datasets, and its pair."""
    run = tmp_path / "runs" / "one"
    (run / "pair").mkdir(parents=True)
    (tmp_path / "runs" / "bare").mkdir()
    names = ["leaves-test", "leaves-val", "late-leaves-test"]
    return {"run": run} | {name: write_run(run / "evaluation" / name, NINE) for name in names}


def test_finds_the_evaluation_of_a_run(shelf: Mapping[str, Path]) -> None:
    run = shelf["run"]
    assert evaluation_folder(run, "leaves", "test") == shelf["leaves-test"]
    assert evaluation_folder(run, "late-leaves", "test") == shelf["late-leaves-test"]
    assert evaluation_folder(run, None, "val") == shelf["leaves-val"]
    assert evaluation_folder(run / "pair", None, "val").resolve() == shelf["leaves-val"]
    assert evaluation_folder(shelf["leaves-val"], None, "test") == shelf["leaves-val"]


def test_says_which_evaluations_there_are(shelf: Mapping[str, Path]) -> None:
    run = shelf["run"]
    with pytest.raises(UsageError, match="several.* late-leaves-test, leaves-test, leaves-val; choose with --dataset"):
        evaluation_folder(run, None, "test")
    with pytest.raises(SporeYoloError, match="no evaluation of the split train, only late-leaves-test"):
        evaluation_folder(run, None, "train")
    with pytest.raises(SporeYoloError, match="no evaluation of the split val of late-leaves, only"):
        evaluation_folder(run, "late-leaves", "val")
    with pytest.raises(
        SporeYoloError, match="bare holds no evaluation .*spore-yolo evaluate --run .*bare --dataset NAME"
    ):
        evaluation_folder(run.parent / "bare", None, "test")
    with pytest.raises(SporeYoloError, match="nowhere: no such folder"):
        evaluation_folder(run.parent / "nowhere", None, "test")


def test_names_of_runs() -> None:
    folders = [
        Path("/a/one/evaluation/leaves-test"),
        Path("/b/one/evaluation/leaves-test"),
        Path("/reports/at-half"),
        Path("/c/one/evaluation/leaves-test"),
    ]
    assert run_names(folders) == ["one", "one-2", "at-half", "one-3"]
