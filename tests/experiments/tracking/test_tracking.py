"""A run in MLflow's embedded store, read back by MLflow's own client."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.experiments.tracking import NO_TRACKING, Tracking, TrackingSettings
from spore_yolo.experiments.tracking.mlflow_store import named
from spore_yolo.files.errors import SporeYoloError
from tests.experiments.tracking.conftest import tell, told_run

Read = Callable[[Any], dict[str, dict[str, Any]]]


def test_all_that_was_told_is_in_the_store(runs: Path, picture: Path, pair: Path, mlflow_content: Read) -> None:
    told_run(runs / "toy", picture, pair, ("mlflow",))
    content = mlflow_content(runs)
    assert set(content) == {"toy", "detector", "evaluation toy-test"}
    run, detector, evaluation = content["toy"], content["detector"], content["evaluation toy-test"]
    assert {one["status"] for one in content.values()} == {"FINISHED"}
    assert run["parameters"] == {"dataset": "toy", "classes": "['rust', 'smut']"}
    assert run["tags"]["pipeline"] == "nightly"
    assert detector["tags"]["mlflow.parentRunId"] == evaluation["tags"]["mlflow.parentRunId"] == "toy"
    assert detector["tags"]["spore_yolo.part"] == "detector"
    assert detector["parameters"] == {"epochs": "3", "ultralytics.mosaic": "0.5", "device": "None"}
    metrics = {name: [(step, value) for step, value, _ in values] for name, values in detector["metrics"].items()}
    assert metrics == {
        "train/box_loss": [(1, 1.0), (2, 0.5), (3, 1 / 3)],
        "metrics/mAP50": [(1, 0.1), (2, 0.2), (3, 0.3)],
        "validation/recall/value": [(0, 0.5)],
        "validation/recall/interval/low": [(0, 0.25)],
        "validation/recall/interval/high": [(0, 0.75)],
        "validation/recall/n": [(0, 8.0)],
    }
    assert detector["datasets"] == run["datasets"] == [("toy", "0a" * 18, "training")]
    assert detector["tags"]["dataset_fingerprint"] == "0a" * 32
    assert detector["tags"]["lake_version"] == "1b" * 32
    assert set(detector["artifacts"]) == {
        "environment/requirements.txt",
        "figures/results.png",
        "pair/more/detector.pt",
        "pair/pair.yaml",
    }
    assert {name: values[0][1] for name, values in evaluation["metrics"].items()} == {
        "per_class/Puccinia _rust_ 100_/tp": 3.0,
        "per_group/0": 1.0,
        "per_group/1": 2.5,
    }
    assert evaluation["tags"]["warnings"] == "few groups"


def test_commit_versions_and_environment_are_there(runs: Path, mlflow_content: Read) -> None:
    import torch

    from spore_yolo.files.provenance import code_commit

    with Tracking(runs / "toy", TrackingSettings()).part("detector"):
        pass
    tags = mlflow_content(runs)["detector"]["tags"]
    assert tags["version.torch"] == torch.__version__.partition("+")[0]
    commit = code_commit()
    if commit is not None:
        assert tags["mlflow.source.git.commit"] == commit.removesuffix("-dirty")
        assert tags["mlflow.source.git.dirty"] == str(commit.endswith("-dirty")).lower()
    (requirements,) = (runs / "toy").rglob("requirements.txt")
    lines = requirements.read_text().splitlines()
    assert f"mlflow=={__import__('mlflow').__version__}" in lines
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(SporeYoloError("the disk of /home/anna is full"), "FAILED", id="an error"),
        pytest.param(KeyboardInterrupt(), "KILLED", id="Ctrl-C"),
        pytest.param(None, "FINISHED", id="none"),
    ],
)
def test_the_status_says_how_a_part_ended(
    runs: Path, mlflow_content: Read, error: BaseException | None, status: str
) -> None:
    tracking = Tracking(runs / "toy", TrackingSettings())
    if error is None:
        with tracking.part("detector"):
            pass
    else:
        with pytest.raises(type(error)), tracking.part("detector"):
            raise error
    content = mlflow_content(runs)
    assert content["detector"]["status"] == content["toy"]["status"] == status
    assert content["detector"]["tags"].get("spore_yolo.ended_by") == (None if error is None else type(error).__name__)
    assert "anna" not in str(content)


def test_a_part_is_running_while_it_runs_and_killed_when_its_process_was(runs: Path, mlflow_content: Read) -> None:
    program = f"""
import os
from pathlib import Path
from spore_yolo.experiments.tracking import Tracking, TrackingSettings
with Tracking(Path({str(runs / "toy")!r}), TrackingSettings()).part("detector") as part:
    part.epoch(1, {{"loss": 1.0}})
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    assert mlflow_content(runs)["detector"]["status"] == "RUNNING"
    tracking = Tracking(runs / "toy", TrackingSettings())
    tracking.end_killed()
    assert tracking.deliver(final=True) == []
    content = mlflow_content(runs)
    assert content["detector"]["status"] == content["toy"]["status"] == "KILLED"


def test_a_part_that_runs_is_not_taken_for_killed(runs: Path) -> None:
    tracking = Tracking(runs / "toy", TrackingSettings(stores=()))
    with tracking.part("detector"):
        Tracking(runs / "toy", TrackingSettings(stores=())).end_killed()
        assert "end" not in [event.kind for event in tracking.journal.read()]


def test_a_resumed_part_goes_on_in_the_same_run_and_no_epoch_is_twice(runs: Path, mlflow_content: Read) -> None:
    tracking = Tracking(runs / "toy", TrackingSettings())
    with pytest.raises(KeyboardInterrupt), tracking.part("detector") as part:
        part.parameters({"epochs": 4})
        part.epoch(1, {"loss": 1.0})
        part.epoch(2, {"loss": 0.5})
        raise KeyboardInterrupt
    with Tracking(runs / "toy", TrackingSettings()).part("detector", resume=True) as part:
        part.parameters({"epochs": 4})
        for epoch in (1, 2, 3, 4):  # a training that is resumed tells again what was before
            part.epoch(epoch, {"loss": 1 / epoch})
    content = mlflow_content(runs)
    assert set(content) == {"toy", "detector"}
    assert content["detector"]["status"] == "FINISHED"
    assert [(step, value) for step, value, _ in content["detector"]["metrics"]["loss"]] == [
        (1, 1.0),
        (2, 0.5),
        (3, 1 / 3),
        (4, 0.25),
    ]


def test_a_part_that_is_done_again_is_another_run(runs: Path) -> None:
    from mlflow import MlflowClient

    for epochs in (3, 5):
        with Tracking(runs / "toy", TrackingSettings()).part("classifier") as part:
            part.parameters({"epochs": epochs})
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("spore-yolo")
    found = client.search_runs([experiment.experiment_id], "tags.`spore_yolo.part` = 'classifier'")
    assert sorted(run.data.params["epochs"] for run in found) == ["3", "5"]


def test_a_parameter_that_changes_becomes_a_tag(runs: Path, mlflow_content: Read) -> None:
    tracking = Tracking(runs / "toy", TrackingSettings())
    tracking.describe({"seed": 1, "recipe": "small"})
    tracking.describe({"seed": 2, "recipe": "small"})
    assert tracking.deliver(final=True) == []
    run = mlflow_content(runs)["toy"]
    assert run["parameters"] == {"seed": "1", "recipe": "small"}
    assert {key: value for key, value in run["tags"].items() if key.startswith("changed.")} == {"changed.seed": "2"}


def test_many_figures_and_parameters_fit(runs: Path, mlflow_content: Read) -> None:
    with Tracking(runs / "toy", TrackingSettings()).part("evaluation") as part:
        part.parameters({f"option {number}": "x" * 7000 for number in range(250)})
        part.metrics({"per_group": {f"group {number}": {"tp": number} for number in range(2500)}})
    content = mlflow_content(runs)["evaluation"]
    assert len(content["parameters"]) == 250
    assert sum(values[0][1] for values in content["metrics"].values()) == sum(range(2500))


def test_names_become_such_as_mlflow_takes_and_stay_apart() -> None:
    from mlflow.utils.validation import _validate_metric_name

    hostile = ["a/b", "a?b", "a*b", "../../x", "/x", "x/", "a//b", ".", "", "é ü", "x" * 400, "x" * 401, "a:b", "\n"]
    given = named({name: number for number, name in enumerate(hostile)})
    assert sorted(given.values()) == list(range(len(hostile)))
    for name in given:
        _validate_metric_name(name)
    assert list(given)[:3] == ["a/b", "a_b", "a_b_2"]


def test_what_is_no_number_is_no_figure(runs: Path, mlflow_content: Read) -> None:
    import numpy as np

    with Tracking(runs / "toy", TrackingSettings()).part("detector") as part:
        part.epoch(1, {"loss": float("nan"), "lr": float("inf"), "map": np.float32(0.5)})
    metrics = mlflow_content(runs)["detector"]["metrics"]
    assert str(metrics["loss"][0][1]) == "nan"
    assert metrics["lr"][0][1] > 1e300
    assert metrics["map"][0][1] == 0.5


def test_a_store_is_made_where_there_is_none(tmp_path: Path, mlflow_content: Read) -> None:
    runs = tmp_path / "my runs, ü"
    with Tracking(runs / "toy", TrackingSettings(), name="named").part("detector"):
        pass
    assert set(mlflow_content(runs)) == {"named", "detector"}
    assert sorted(path.name for path in runs.iterdir()) == [".mlflow.db.lock", "mlartifacts", "mlflow.db", "toy"]


def test_a_database_that_is_named_keeps_its_artifacts_beside_it(
    tmp_path: Path, runs: Path, picture: Path, pair: Path, monkeypatch: pytest.MonkeyPatch, mlflow_content: Read
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (runs / "mlflow.db").rename(elsewhere / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    told_run(runs / "toy", picture, pair, ("mlflow",))
    assert len(mlflow_content(elsewhere)) == 3
    assert not (runs / "mlflow.db").exists()
    assert (elsewhere / "mlartifacts").is_dir()
    assert not (tmp_path / "mlruns").exists()


def test_a_store_that_lost_the_run_gets_it_whole_again(
    runs: Path, picture: Path, pair: Path, empty_store: Path, mlflow_content: Read
) -> None:
    import shutil

    told_run(runs / "toy", picture, pair, ("mlflow",))
    before = mlflow_content(runs)
    shutil.copy(empty_store, runs / "mlflow.db")
    assert Tracking(runs / "toy", TrackingSettings()).deliver(final=True) == []
    assert mlflow_content(runs) == before


def test_a_run_that_was_deleted_there_is_not_touched(runs: Path, picture: Path, pair: Path) -> None:
    from mlflow import MlflowClient

    tracking = told_run(runs / "toy", picture, pair, ("mlflow",))
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("spore-yolo")
    for run in client.search_runs([experiment.experiment_id]):
        client.delete_run(run.info.run_id)
    tracking.journal.append("", "describe", {"parameters": {}, "tags": {}})
    (remains,) = Tracking(runs / "toy", TrackingSettings()).deliver(final=True)
    assert "1 entries are not in MLflow at sqlite:///" in remains
    assert "mlflow runs restore --run-id" in remains


def test_no_tracking_does_nothing(tmp_path: Path, picture: Path, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    tell(NO_TRACKING, picture, pair)
    assert NO_TRACKING.deliver(final=True) == []
    assert sorted(tmp_path.rglob("*")) == before
    program = (
        "import sys; from pathlib import Path; from spore_yolo.experiments.tracking import *\n"
        "with NO_TRACKING.part('detector') as part: part.epoch(1, {'loss': 1.0})\n"
        "print({'mlflow', 'wandb', 'torch', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_without_stores_the_journal_is_kept_and_delivered_later(
    runs: Path, picture: Path, pair: Path, mlflow_content: Read
) -> None:
    told_run(runs / "toy", picture, pair)
    assert mlflow_content(runs) == {}
    assert Tracking(runs / "toy", TrackingSettings()).deliver(final=True) == []
    assert len(mlflow_content(runs)) == 3


def test_a_run_that_cannot_be_written_is_worked_on_all_the_same(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking = Tracking(runs / "toy", TrackingSettings())

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(type(tracking.journal.folder), "mkdir", refuse)
    with tracking.part("evaluation") as part:
        part.metrics({"recall": 1.0})
    out = capsys.readouterr().out
    assert out.count("warning") == 1
    assert "journal.jsonl: Read-only file system; this is not tracked" in out


def test_nothing_of_mlflow_is_printed_or_changed_for_the_rest_of_the_program(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
before = dict(os.environ)
from spore_yolo.experiments.tracking import Tracking, TrackingSettings
with Tracking(Path({str(tmp_path / "runs" / "toy")!r}), TrackingSettings()).part("detector") as part:
    part.epoch(1, {{"loss": 1.0}})
import mlflow
assert mlflow.active_run() is None
changed = {{key for key in before.keys() | os.environ.keys() if before.get(key) != os.environ.get(key)}}
print(sorted(key for key in changed if key.startswith("MLFLOW_HTTP")))
"""
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    assert done.stdout == "[]\n"
    assert done.stderr == ""
