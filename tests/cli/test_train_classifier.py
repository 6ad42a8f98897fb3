from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]

AS_IS = ["--margin", "0.25", "--crop-size", "32"]
"""How the spots were cut when they got their names; so no try is needed."""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param([], 2, "expected a dataset's name; registered in datasets.yaml: toy", id="neither"),
        pytest.param(["--dataset", "soy"], 2, "unknown dataset 'soy'", id="unknown dataset"),
        pytest.param(["--run", "runs/toy", "--name", "new"], 2, "leave --name out", id="run and name"),
        pytest.param(["--run", "runs/none"], 2, "runs/none is no run of train-detector", id="no such run"),
        pytest.param(["--run", "runs/none", "--dataset", "toy"], 2, "no such folder", id="no such run of a dataset"),
        pytest.param(["--run", "data", "--dataset", "toy"], 1, "the training in data is not finished", id="no pair"),
        pytest.param(["--run", "runs/toy", "--dataset", "soy"], 2, "unknown dataset 'soy'", id="run, unknown dataset"),
        pytest.param(["--run", "runs/toy", "--model", "yolov8n"], 2, "expected one of yolov8n-cls", id="model"),
        pytest.param(["--run", "runs/toy", "--crop-size", "50"], 2, "multiple of 32", id="crop size"),
        pytest.param(["--run", "runs/toy", "--margin", "-0.1"], 2, "at least 0", id="margin"),
        pytest.param(["--run", "runs/toy", "--epochs", "0"], 2, "at least 1", id="epochs"),
        pytest.param(
            ["--run", "runs/toy", "--epochs", "1", "--minutes", "1"], 2, "not allowed with", id="both lengths"
        ),
        pytest.param(["--run", "runs/toy", "--weights", "none.pt"], 1, "none.pt: no such file", id="weights"),
        pytest.param(["--run", "runs/toy", "--device", "77"], 2, "--device", id="device"),
        pytest.param(["--run", "runs/toy", "imgsz=64"], 2, "say it with --tile-size or --crop-size", id="ours to say"),
    ],
)
def test_wrong_usage(
    toy: Run, detector_run: Path, trainings: Any, arguments: list[str], code: int, message: str
) -> None:
    before = sorted(path.name for path in detector_run.iterdir())
    got, _, err = toy("train-classifier", *arguments)
    assert got == code, err
    assert message in err
    assert "Traceback" not in err
    assert sorted(path.name for path in detector_run.iterdir()) == before
    assert not trainings.settings


def test_the_dataset_of_a_run_is_no_more(toy: Run, detector_run: Path, trainings: Any, tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").unlink()
    code, _, err = toy("train-classifier", "--run", "runs/toy")
    assert code == 2
    assert "unknown dataset 'toy'; none is registered in datasets.yaml" in err


def test_a_run_that_does_not_say_its_dataset(
    toy: Run, detector_run: Path, shape_classifier: None, trainings: Any
) -> None:
    (detector_run / "run.json").unlink()
    code, _, err = toy("train-classifier", "--run", "runs/toy", *AS_IS)
    assert code == 2
    assert "say with --dataset what its detector was trained on" in err
    code, _, err = toy("train-classifier", "--run", "runs/toy", "--dataset", "toy", *AS_IS)
    assert code == 0, err


def test_a_dataset_with_a_class_called_debris_is_refused(
    spore_yolo: Run, drawn: Any, trainings: Any, tmp_path: Path
) -> None:
    drawn.labels.write_text(drawn.labels.read_text().replace("smut", "debris"))
    assert spore_yolo("import", "dirt", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")[0] == 0
    code, _, err = spore_yolo("train-classifier", "--dataset", "dirt")
    assert code == 1
    assert "dataset dirt has a class 'debris'" in err
    assert "import it with a class map that drops or renames it" in err
    assert not (tmp_path / "runs").exists()


def test_a_dataset_that_the_detector_does_not_know_is_refused(
    toy: Run, detector_run: Path, trainings: Any, drawn: Any
) -> None:
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "50,30,20"]
    assert toy("import", "other", *options)[0] == 0
    code, _, err = toy("train-classifier", "--run", "runs/toy", "--dataset", "other")
    assert code == 1
    assert "was trained on dataset toy as it was then, not on other as it is now" in err
    assert not trainings.settings


def test_force_does_not_replace_what_is_no_classifier(toy: Run, detector_run: Path, trainings: Any) -> None:
    code, _, err = toy("train-classifier", "--dataset", "toy", "--force")
    assert code == 2
    assert "--run runs/toy if its detector's boxes are to be classified" in err
    assert (detector_run / "pair" / "pair.yaml").exists()
    assert not trainings.settings
