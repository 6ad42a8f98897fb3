"""Where a flow's runs are tracked: by the file, or else by variables where the flow is started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from spore_yolo.experiments.tracking.variables import VARIABLE
from spore_yolo.files.errors import InputProblems
from spore_yolo.pipeline.configuration import TrainingConfiguration
from spore_yolo.pipeline.reading import parse_training, read_configuration

SERVER, PASSWORD = "https://mlflow.example.org", "hidden-4711"
WITH_PASSWORD = f"https://me:{PASSWORD}@mlflow.example.org"
ELSEWHERE = {
    "compute": "batch",
    "data": {"images": "s3://lake/slides", "labels": "s3://lake/labels"},
    **{key: f"s3://lake/{key}" for key in ("datasets", "imports", "runs")},
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["pipeline.py", "run"])


def written(**content: Any) -> str:
    return yaml.safe_dump({"name": "n", "data": {"sample": {}}, **content})


@pytest.mark.parametrize(
    ("tracking", "variables", "expected"),
    [
        pytest.param({}, {}, {"stores": ["mlflow"], "wandb_mode": "offline", "experiment": "spore-yolo"}, id="neither"),
        pytest.param(
            {},
            {VARIABLE: "both", "WANDB_MODE": "online", "WANDB_PROJECT": "air", "MLFLOW_EXPERIMENT_NAME": "wind"},
            {"stores": ["mlflow", "wandb"], "wandb_mode": "online", "wandb_project": "air", "experiment": "wind"},
            id="variables",
        ),
        pytest.param(
            {"stores": ["wandb"], "wandb_mode": "offline", "experiment": "mine"},
            {VARIABLE: "none", "WANDB_MODE": "online", "WANDB_PROJECT": "air", "MLFLOW_EXPERIMENT_NAME": "wind"},
            {"stores": ["wandb"], "wandb_mode": "offline", "wandb_project": "air", "experiment": "mine"},
            id="the file wins, key by key",
        ),
        pytest.param({"stores": []}, {VARIABLE: "both"}, {"stores": []}, id="the journal alone"),
        pytest.param({"experiment": "mine"}, {VARIABLE: "none"}, None, id="nowhere by the variable"),
        pytest.param(None, {VARIABLE: "both"}, None, id="nowhere by the file"),
    ],
)
def test_what_the_file_leaves_open_variables_say(
    monkeypatch: pytest.MonkeyPatch,
    tracking: dict[str, Any] | None,
    variables: dict[str, str],
    expected: dict[str, Any] | None,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    handed_on = parse_training(written(tracking=tracking))["tracking"]
    assert handed_on == expected if expected is None else expected.items() <= json.loads(json.dumps(handed_on)).items()


@pytest.mark.parametrize(
    ("uri", "content", "handed_on"),
    [
        pytest.param(SERVER, ELSEWHERE, SERVER, id="other machines have no such variable"),
        pytest.param(SERVER, {}, None, id="this one's steps inherit it"),
        pytest.param(WITH_PASSWORD, {}, None, id="with its password, which is stored nowhere"),
        pytest.param("sqlite:///runs/mlflow.db", ELSEWHERE, None, id="a store that others do not see"),
        pytest.param(SERVER, {**ELSEWHERE, "tracking": {"mlflow_uri": "https://b"}}, "https://b", id="the file wins"),
    ],
)
def test_the_address_of_a_server_goes_with_steps_that_run_elsewhere(
    monkeypatch: pytest.MonkeyPatch, uri: str, content: dict[str, Any], handed_on: str | None
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert parse_training(written(**content))["tracking"]["mlflow_uri"] == handed_on


def test_a_password_is_neither_stored_nor_told(capsys: pytest.CaptureFixture[str]) -> None:
    for tracking in ({"mlflow_uri": WITH_PASSWORD}, {"mlflow_url": WITH_PASSWORD}, {"stores": WITH_PASSWORD}):
        with pytest.raises(SystemExit):
            parse_training(written(tracking=tracking))
    err = capsys.readouterr().err
    assert "tracking.mlflow_uri: expected a URI without user and password" in err
    assert "MLFLOW_TRACKING_USERNAME" in err and "found 'https://...@mlflow.example.org'" in err
    assert PASSWORD not in err


def test_a_password_in_the_variable_does_not_go_with_the_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WITH_PASSWORD)
    with pytest.raises(SystemExit):
        parse_training(written(**ELSEWHERE))
    err = capsys.readouterr().err
    assert "MLFLOW_TRACKING_URI: expected a URI without user and password" in err and PASSWORD not in err


def test_a_misspelt_store_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, "mlfow")
    with pytest.raises(SystemExit):
        parse_training(written())
    assert f"{VARIABLE}: expected one of mlflow, wandb, both, none, found 'mlfow'" in capsys.readouterr().err


@pytest.mark.parametrize("uri", ["sqlite:////data/mlflow.db", "file:///data", "mlruns"])
def test_other_machines_must_see_the_store(uri: str) -> None:
    text = written(**ELSEWHERE, tracking={"mlflow_uri": uri})
    with pytest.raises(InputProblems, match="tracking: mlflow_uri: expected the address of a server"):
        read_configuration(text, TrainingConfiguration, Path("pipeline.yaml"))
    assert read_configuration(written(tracking={"mlflow_uri": uri}), TrainingConfiguration, Path("pipeline.yaml"))
