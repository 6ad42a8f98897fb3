from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from spore_yolo.cli.options import parse_settings
from spore_yolo.files.errors import UsageError

Run = Callable[..., tuple[int, str, str]]


def test_settings_are_what_they_look_like() -> None:
    assert parse_settings(["mosaic=0.5", "plots=False", "optimizer=SGD", "freeze=[0, 1]", "cache=true"]) == {
        "mosaic": 0.5,
        "plots": False,
        "optimizer": "SGD",
        "freeze": [0, 1],
        "cache": True,
    }


@pytest.mark.parametrize(
    ("item", "message"),
    [
        pytest.param("mosaic", "expected key=value", id="no value"),
        pytest.param("--x=1", "expected key=value", id="an option"),
        pytest.param("imgsz=320", "say it with --tile-size", id="ours to say"),
        pytest.param("nbs=64", "not free", id="not free"),
        pytest.param("freeze=[", "the value cannot be read", id="not YAML"),
    ],
)
def test_settings_that_cannot_be(item: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_settings([item])


@pytest.fixture
def imported(spore_yolo: Run, drawn: Any, tmp_path: Path, untrained_checkpoint: Path) -> Run:
    shutil.copy(untrained_checkpoint, tmp_path / "untrained.pt")
    spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")
    return spore_yolo


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["--model", "yolov5"], 2, "--model: expected one of yolov8n", id="model"),
        pytest.param(["--weights", "none.pt"], 1, "none.pt: no such file", id="weights"),
        pytest.param(["--weights", "labels.csv"], 1, "expected a YOLOv8 checkpoint", id="weights of another kind"),
        pytest.param(["--tile-size", "100"], 2, "expected a multiple of 32", id="tile size"),
        pytest.param(["--tile-size", "32"], 2, "does not fit into tiles of 32 px", id="tiles smaller than a spore"),
        pytest.param(["--epochs", "0"], 2, "at least 1", id="epochs"),
        pytest.param(["--epochs", "1", "--minutes", "1"], 2, "not allowed with", id="both lengths"),
        pytest.param(["--resume"], 1, "is no run that could be resumed", id="nothing to resume"),
        pytest.param(
            ["--weights", "untrained.pt", "colour=blue"], 2, "Ultralytics refuses to train", id="unknown setting"
        ),
    ],
)
def test_wrong_options(imported: Run, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    got, _, err = imported("train-detector", "--dataset", "toy", *arguments)
    assert got == code, err
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs" / "toy" / "pair").exists()


def test_a_run_is_not_overwritten_unasked(imported: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / "toy").mkdir(parents=True)
    (tmp_path / "runs" / "toy" / "notes.txt").write_text("mine")
    code, _, err = imported("train-detector", "--dataset", "toy")
    assert code == 2
    assert "take another --name" in err
    code, _, err = imported("train-detector", "--dataset", "toy", "--force")
    assert code == 2
    assert "is not a run of ours" in err
    assert (tmp_path / "runs" / "toy" / "notes.txt").exists()


def test_the_old_run_comes_back_when_the_new_one_cannot_begin(imported: Run, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "toy"
    (run / "pair").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "pair" / "pair.yaml").write_text("precious")
    for wrong in (["--weights", "none.pt"], ["--weights", "untrained.pt", "colour=blue"], ["--tile-size", "32"]):
        assert imported("train-detector", "--dataset", "toy", "--force", *wrong)[0] in (1, 2)
        assert (run / "pair" / "pair.yaml").read_text() == "precious"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["toy"]


def test_resume_takes_no_other_options(imported: Run) -> None:
    code, _, err = imported("train-detector", "--resume", "--name", "toy", "--minutes", "5", "mosaic=0")
    assert code == 2
    assert "leave out --minutes, mosaic=0" in err


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, untrained_checkpoint: Path, spot_detector: None) -> list[Any]:
    """In place of the training a detector that finds dark spots; notes the settings that it was given."""
    from spore_yolo.experiments import detector_run
    from spore_yolo.training.detector import TrainedDetector

    seen: list[Any] = []

    def train(settings: Any, tiles: Any, folder: Path, resume: bool, *_: Any) -> TrainedDetector:
        seen.append(settings)
        return TrainedDetector(untrained_checkpoint, "a stand-in", 1234, 90.0, 3)

    monkeypatch.setattr(detector_run, "train_detector", train)
    return seen


def test_a_detector_becomes_a_pair(imported: Run, stand_in: list[Any], tmp_path: Path) -> None:
    options = ["--one-class", "--tile-size", "96", "--weights", "sample", "--seed", "5"]
    code, out, err = imported("train-detector", "--dataset", "toy", *options)
    assert code == 0, err
    assert (stand_in[0].weights, stand_in[0].seed) == ("sample", 5)
    run = tmp_path / "runs" / "toy"
    content = yaml.safe_load((run / "pair" / "pair.yaml").read_text())
    assert content["pair_version"] == 4
    assert content["classes"] == content["detector"]["classes"] == ["spore"]
    assert content["classifier"] is None
    assert set(content["made"]) == {"detector"}, "the classifier's part comes later"
    made = content["made"]["detector"]
    fingerprint = json.loads((tmp_path / "data" / "toy" / "manifest.json").read_text())["fingerprint"]
    assert (made["dataset"], made["dataset_fingerprint"], made["seed"]) == ("toy", fingerprint, 5)
    assert (made["start"], made["images_seen"], made["epochs"], made["minutes"]) == ("a stand-in", 1234, 3, 1.5)
    assert str(tmp_path) not in (run / "pair" / "pair.yaml").read_text()
    point, figures = content["operating_point"], content["figures"]
    assert point == {"class": {}, "detector": pytest.approx(0.9, abs=1e-4)}
    assert (figures["split"], figures["slides"]) == ("val", 2)
    assert (figures["recall"]["value"], figures["precision"]["value"]) == (1.0, 1.0)
    assert figures["detector_alone"] == {"threshold": point["detector"]}
    assert set(figures["recall_by_nms_iou"].values()) == {1.0}
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    seen = images.loc[images["split"].isin(["train", "val"]), "sha256"]
    assert (run / "pair" / "trained_on.txt").read_text().split() == sorted(seen)
    assert "next: spore-yolo train-classifier --run runs/toy" in out
    assert sorted(path.name for path in run.iterdir()) == ["pair", "run.json"]


def test_what_a_run_was_begun_with_comes_back(imported: Run, stand_in: list[Any], tmp_path: Path) -> None:
    from spore_yolo.experiments.detector_run import read_options
    from spore_yolo.experiments.options import DetectorOptions

    options = ["--one-class", "--tile-size", "96", "--weights", "scratch", "--minutes", "2", "mosaic=0.5"]
    assert imported("train-detector", "--dataset", "toy", *options)[0] == 0
    assert read_options(tmp_path / "runs" / "toy") == DetectorOptions(
        dataset="toy", one_class=True, tile_size=96, weights="scratch", minutes=2.0, ultralytics={"mosaic": 0.5}
    )


@pytest.mark.parametrize(
    ("recalls", "reached", "place"),
    [
        pytest.param([0.90, 0.95, 0.93, 0.92], [True] * 4, 1, id="clearly the best"),
        pytest.param([0.949, 0.950, 0.9485, 0.947], [True] * 4, 2, id="the lowest that is as good"),
        pytest.param([0.99, 0.95, 0.949, 0.94], [False, True, True, True], 2, id="only what reaches the precision"),
        pytest.param([0.5, 0.7, 0.3, 0.2], [False] * 4, 1, id="none reaches it"),
        pytest.param([0.0, 0.0], [False] * 2, 1, id="nothing was found"),
    ],
)
def test_which_nms_threshold_is_taken(recalls: list[float], reached: list[bool], place: int) -> None:
    from spore_yolo.evaluation.operating_point import ChosenPoint
    from spore_yolo.experiments.detector_run import lowest_of_the_best

    points = [ChosenPoint(0.3, recall, 0.8, ok) for recall, ok in zip(recalls, reached, strict=True)]
    assert lowest_of_the_best(points) == place
