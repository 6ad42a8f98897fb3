from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from spore_yolo.files.hashes import sha256_file

Run = Callable[..., tuple[int, str, str]]

TINY = ["--tiles", "4", "--tile-size", "128", "--fields", "1", "--taxa", "2", "--crop-size", "32", "--seed", "4"]


def write_results(run: Path, rows: list[dict[str, float]]) -> None:
    run.mkdir(parents=True)
    with (run / "results.csv").open("w", newline="") as stream:
        # Ultralytics fills its columns with blanks.
        writer = csv.DictWriter(stream, [f"   {name}" for name in rows[0]])
        writer.writeheader()
        writer.writerows({f"   {name}": value for name, value in row.items()} for row in rows)


@pytest.fixture
def trainings(
    monkeypatch: pytest.MonkeyPatch, untrained_checkpoint: Path, untrained_classifier: Path
) -> dict[str, dict[str, Any]]:
    """Draws a few fields only, and stands in for both trainings; notes what they were given."""
    from spore_yolo.dataset import pretraining
    from spore_yolo.training import classifier, detector

    seen: dict[str, dict[str, Any]] = {}

    def detector_training(settings: Any, tiles: Any, folder: Path) -> Any:
        seen["detector"] = {"settings": settings, "tiles": tiles, "files": len(list(folder.rglob("*.jpg")))}
        write_results(
            folder / "detector",
            [
                {"metrics/mAP50(B)": 0.1, "metrics/recall(B)": 0.2},
                {"metrics/mAP50(B)": 0.51239, "metrics/recall(B)": 0.5},
            ],
        )
        return detector.TrainedDetector(untrained_checkpoint, "scratch", 123, 90.0, 2)

    def classifier_training(settings: Any, crops: Any, folder: Path) -> Any:
        seen["classifier"] = {"settings": settings, "crops": crops, "files": len(list(crops.path.rglob("*.png")))}
        write_results(folder, [{"metrics/accuracy_top1": 0.75}])
        return classifier.TrainedClassifier(untrained_classifier, "scratch", 456, 30.0)

    def few(function: Callable[..., Any], place: int, counts: tuple[int, int]) -> Callable[..., Any]:
        return lambda *arguments: function(*arguments[:place], counts, *arguments[place + 1 :])

    monkeypatch.setattr(pretraining, "draw_tiles", few(pretraining.draw_tiles, 1, (4, 2)))
    monkeypatch.setattr(pretraining, "draw_crops", few(pretraining.draw_crops, 2, (1, 1)))
    monkeypatch.setattr(detector, "train_detector", detector_training)
    monkeypatch.setattr(classifier, "train_classifier", classifier_training)
    return seen


def test_both_weights_and_how_they_were_made(
    spore_yolo: Run, trainings: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    code, out, err = spore_yolo("pretrain", "--output", "made", *TINY, "--minutes", "2", "--classifier-minutes", "1")
    assert code == 0, err
    folder = tmp_path / "made"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("classifier", "detector", "yolov8n-cls-sample.pt", "yolov8n-cls-sample.yaml"),
        *("yolov8n-sample.pt", "yolov8n-sample.yaml"),
    ], "the drawn pictures are removed"
    for name in ("yolov8n-sample", "yolov8n-cls-sample"):
        assert f"{name}.pt   the weights; {name}.yaml says how they were made" in out
        record = yaml.safe_load((folder / f"{name}.yaml").read_text())
        assert record["sha256"] == sha256_file(folder / f"{name}.pt")
        assert record["start"] == "scratch"
        assert record["options"]["seed"] == 4
        assert not {"output", "device", "run", "weights"} & set(record["options"])
        assert str(tmp_path) not in (folder / f"{name}.yaml").read_text()
        assert str(tmp_path).encode() not in (folder / f"{name}.pt").read_bytes()

    detector = trainings["detector"]
    assert detector["settings"].weights == "scratch"
    assert (detector["settings"].minutes, detector["settings"].tile_size, detector["settings"].seed) == (2, 128, 4)
    assert detector["files"] == 6
    record = yaml.safe_load((folder / "yolov8n-sample.yaml").read_text())
    assert (record["images_seen"], record["minutes"]) == (123, 1.5)
    assert (record["ap50 on them"], record["recall on them"]) == (0.5124, 0.5), "the last epoch's"

    classifier = trainings["classifier"]
    assert classifier["settings"].extra == {"val": True}
    assert (classifier["settings"].minutes, classifier["settings"].crop_size) == (1, 32)
    assert classifier["crops"].classes == ["debris", "taxon_00", "taxon_01"]
    record = yaml.safe_load((folder / "yolov8n-cls-sample.yaml").read_text())
    assert record["crops"] + record["drawn validation crops"] == classifier["files"] > 4
    assert (record["crops_seen"], record["share named rightly"]) == (456, 0.75)


def test_the_weights_may_be_shipped(
    spore_yolo: Run, trainings: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.inference.classifier import Classifier
    from spore_yolo.inference.ultralytics_setup import import_ultralytics
    from spore_yolo.training import starting

    assert spore_yolo("pretrain", "--output", "made", *TINY, "--part", "classifier")[0] == 0
    assert not (tmp_path / "made" / "yolov8n-sample.pt").exists()
    assert Classifier.load(tmp_path / "made" / "yolov8n-cls-sample.pt").names == ["debris", "taxon_00", "taxon_01"]
    monkeypatch.setattr(starting, "SHIPPED", tmp_path / "made")
    _, start = starting.starting_model(import_ultralytics(), "yolov8n-cls", "sample", 5)
    assert start.startswith("the shipped weights yolov8n-cls-sample.pt")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param([], 2, "--output", id="no folder"),
        pytest.param(["--output", "taken"], 2, "exists and is not empty; choose another folder", id="a folder in use"),
        pytest.param(["--output", "new", "--tiles", "0"], 2, "at least 1", id="no tiles"),
        pytest.param(["--output", "new", "--part", "both"], 2, "invalid choice: 'both'", id="part"),
        pytest.param(["--output", "new", "--minutes", "0"], 2, "above 0", id="minutes"),
        pytest.param(["--output", "new", "--tile-size", "100"], 2, "multiple of 32", id="tile size"),
        pytest.param(["--output", "new", "--crop-size", "50"], 2, "multiple of 32", id="crop size"),
        pytest.param(["--output", "new", "--device", "77"], 2, "--device", id="device"),
        pytest.param(["--output", "new", "--weights", "none.pt"], 1, "none.pt: no such file", id="weights"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_drawn(
    spore_yolo: Run,
    trainings: dict[str, dict[str, Any]],
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    got, _, err = spore_yolo("pretrain", *arguments)
    assert got == code, err
    assert message in err
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["notes.txt"]
    assert not (tmp_path / "new").exists()
    assert not trainings


def test_an_empty_folder_will_do(spore_yolo: Run, trainings: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert spore_yolo("pretrain", "--output", "empty", *TINY, "--part", "detector")[0] == 0
    assert (tmp_path / "empty" / "yolov8n-sample.pt").exists()
    assert "classifier" not in trainings
