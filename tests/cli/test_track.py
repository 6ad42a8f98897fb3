"""``spore-yolo track``, and the options by which the other commands are tracked."""

from __future__ import annotations

import argparse
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.cli.tracking_options import VARIABLE, add_tracking, chosen_settings, chosen_tracking
from spore_yolo.experiments.tracking import NO_TRACKING, Tracking, TrackingSettings
from spore_yolo.files.errors import UsageError
from tests.experiments.tracking.conftest import empty_store  # noqa: F401  (a fixture)

Run = Callable[..., tuple[int, str, str]]

VARIABLES = (VARIABLE, "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Path:  # noqa: F811
    """MLflow's database in the folder of runs, so that no test waits until it is made."""
    (tmp_path / "runs").mkdir()
    return Path(shutil.copy(empty_store, tmp_path / "runs" / "mlflow.db"))


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_tracking(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        pytest.param([], {}, {"stores": ("mlflow",)}, id="MLflow by default"),
        pytest.param([], {VARIABLE: "both"}, {"stores": ("mlflow", "wandb")}, id="the variable"),
        pytest.param(["--tracking", "none"], {VARIABLE: "both"}, {"stores": ()}, id="the option wins"),
        pytest.param(
            ["--tracking", "wandb", "--experiment", "air"],
            {},
            {"stores": ("wandb",), "experiment": "air", "wandb_project": "air"},
            id="W&B, offline",
        ),
        pytest.param(
            ["--tracking", "wandb"],
            {"WANDB_MODE": "online", "WANDB_PROJECT": "air"},
            {"stores": ("wandb",), "wandb_project": "air", "wandb_mode": "online"},
            id="W&B as its own variables say",
        ),
        pytest.param(
            ["--tracking-uri", "http://host:5000"], {}, {"mlflow_uri": "http://host:5000"}, id="a tracking server"
        ),
        pytest.param([], {"MLFLOW_EXPERIMENT_NAME": "air"}, {"experiment": "air"}, id="MLflow's own variable"),
    ],
)
def test_the_settings_are_what_the_options_and_the_environment_say(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variables: dict[str, str], expected: dict[str, Any]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert chosen_settings(parsed(*arguments)) == TrackingSettings(**expected)


@pytest.mark.parametrize(
    ("arguments", "variable", "message"),
    [
        pytest.param([], "mlfow", "SPORE_YOLO_TRACKING: expected one of mlflow, wandb, both, none", id="misspelt"),
        pytest.param(["--tracking", "wandb", "--tracking-uri", "x"], "", "--tracking-uri is of MLflow", id="not W&B's"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variable: str, message: str
) -> None:
    monkeypatch.setenv(VARIABLE, variable)
    with pytest.raises(UsageError, match=message):
        chosen_settings(parsed(*arguments))


def test_what_is_asked_for_and_missing_is_an_error_and_what_is_only_the_default_is_a_note(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"mlflow and wandb is missing; pip install 'spore-yolo\[tracking\]'"):
        chosen_settings(parsed("--tracking", "both"))
    tracking = chosen_tracking(parsed(), tmp_path / "run")
    with tracking.part("detector") as part:
        part.epoch(1, {"loss": 1.0})
    out = capsys.readouterr().out
    assert "mlflow is not installed; pip install 'spore-yolo[tracking]'" in out
    assert "Traceback" not in out
    assert len(tracking.journal.read()) == 5  # kept, for when it is


def test_only_a_run_is_tracked(tmp_path: Path) -> None:
    assert chosen_tracking(parsed(), None) is NO_TRACKING
    assert chosen_tracking(parsed("--tracking", "none"), tmp_path) is NO_TRACKING
    with pytest.raises(UsageError, match="--tracking: only a run is tracked; name it with --run"):
        chosen_tracking(parsed("--tracking", "mlflow"), None)


def test_the_embedded_store_of_a_run_in_the_data_lake_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spore_yolo.files.lake import RemotePath, mirror_of

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "cache"))
    mirror = mirror_of(RemotePath.parse("s3://bucket/runs/rust"))
    here = f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"
    assert chosen_tracking(parsed(), mirror).settings.mlflow_uri == here
    assert chosen_tracking(parsed("--tracking-uri", "http://host"), mirror).settings.mlflow_uri == "http://host"
    assert chosen_tracking(parsed(), tmp_path / "runs" / "rust").settings.mlflow_uri is None


def test_what_the_journal_holds_is_delivered(spore_yolo: Run, store: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Tracking(tmp_path / "runs" / name, TrackingSettings(stores=())).part("detector") as part:
            part.epoch(1, {"loss": 1.0})
    code, out, err = spore_yolo("track", "runs/one", "runs/two")
    assert code == 0, err
    assert f"runs/one: all 5 entries are in MLflow at sqlite:///{store}" in out
    assert "runs/two: all 5 entries" in out
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("spore-yolo")
    assert len(client.search_runs([experiment.experiment_id])) == 4


def test_what_cannot_be_delivered_is_a_problem_and_stays(spore_yolo: Run, tmp_path: Path) -> None:
    with Tracking(tmp_path / "runs" / "one", TrackingSettings(stores=())).part("detector"):
        pass
    code, _, err = spore_yolo("track", "runs/one", "--tracking-uri", "http://127.0.0.1:1")
    assert code == 1
    assert "runs/one: 4 entries are not in MLflow at http://127.0.0.1:1 yet" in err
    assert "nothing is lost; run the command again later" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["runs/none"], "runs/none: expected a run with a tracking journal", id="no journal"),
        pytest.param(["runs/one", "--tracking", "none"], "expected mlflow, wandb or both", id="nowhere"),
    ],
)
def test_wrong_usage(spore_yolo: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    Tracking(tmp_path / "runs" / "one", TrackingSettings(stores=())).describe({})
    code, _, err = spore_yolo("track", *arguments)
    assert code == 2
    assert message in err
    assert not (tmp_path / "runs" / "none").exists()


def test_a_damaged_journal_is_named_with_its_line(spore_yolo: Run, tmp_path: Path) -> None:
    tracking = Tracking(tmp_path / "runs" / "one", TrackingSettings(stores=()))
    tracking.describe({})
    tracking.journal.path.write_text(tracking.journal.path.read_text() + "?\n")
    code, _, err = spore_yolo("track", "runs/one")
    assert code == 1
    assert "runs/one/tracking/journal.jsonl:3: expected an event of a tracking journal" in err


@pytest.mark.slow
def test_the_commands_track_what_they_do(
    store: Path, toy: Run, detector_run: Path, shape_classifier: None, trainings: Any, tmp_path: Path
) -> None:
    as_is = ["--margin", "0.25", "--crop-size", "32"]
    run = ["--run", "runs/toy"]
    assert toy("train-classifier", *run, *as_is, "--tracking", "mlflow")[0] == 0
    assert toy("evaluate", *run, "--dataset", "toy", "--split", "val", "--tracking", "mlflow")[0] == 0
    promise = ["--recall", "0.99", "--confidence", "0.99"]
    assert toy("calibrate", *run, "--dataset", "toy", *promise, "--tracking", "mlflow")[0] == 1
    import json

    from mlflow import MlflowClient

    from spore_yolo.experiments.tracking.flattening import numbers
    from spore_yolo.experiments.tracking.mlflow_store import named

    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("spore-yolo")
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in found.items()} == {
        "toy": "FAILED",  # as its last part did
        "classifier": "FINISHED",
        "evaluation toy-val": "FINISHED",
        "calibration recall-0.99": "FAILED",
    }
    metrics = json.loads((detector_run / "evaluation" / "toy-val" / "metrics.json").read_text())
    assert found["evaluation toy-val"].data.metrics == pytest.approx(named(numbers(metrics)), nan_ok=True)
    assert found["calibration recall-0.99"].data.tags["spore_yolo.ended_by"] == "CannotPromise"
    classifier = found["classifier"]
    assert classifier.data.params["crop_size"] == "32"
    assert classifier.data.metrics["validation/recall/value"] > 0
    assert {one.path for one in client.list_artifacts(classifier.info.run_id, "pair")} >= {
        "pair/pair.yaml",
        "pair/classifier.pt",
    }


def test_a_classifier_alone_that_failed_leaves_nothing_in_the_way(
    store: Path, toy: Run, trainings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from spore_yolo.experiments import classifier_run
    from spore_yolo.files.errors import SporeYoloError

    def refuse(*arguments: Any, **options: Any) -> None:
        raise SporeYoloError("broke off")

    monkeypatch.setattr(classifier_run, "train_classifier", refuse)
    as_is = ["--margin", "0.25", "--crop-size", "32"]
    code, _, err = toy("train-classifier", "--dataset", "toy", "--name", "alone", *as_is, "--tracking", "mlflow")
    assert code == 1 and "broke off" in err
    assert not (tmp_path / "runs" / "alone").exists()
