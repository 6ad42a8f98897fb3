from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest

from spore_yolo.pipeline import decorating
from spore_yolo.pipeline.configuration import PredictionConfiguration
from spore_yolo.pipeline.decorating import decorators, needed_packages, schedule_arguments

PLACES = {"pair": "s3://lake/pair", "slides": "s3://lake/slides", "output": "s3://lake/out"}
MACHINE = {
    "cpu": 6,
    "gpu": 1,
    "memory_gb": 16.5,
    "disk_gb": 50,
    "shared_memory_gb": 2,
    "queue": "gpu",
    "retries": 2,
    "minutes_between_retries": 5,
    "timeout_minutes": 90,
    "catch": True,
    "environment": {"OMP_NUM_THREADS": "6"},
}
OTHERS = {
    "retry": {"times": 2, "minutes_between_retries": 5},
    "timeout": {"seconds": 5400},
    "catch": {"var": "failure", "print_exception": False},
    "environment": {"vars": {"OMP_NUM_THREADS": "6"}},
}
COMMIT = {"SPORE_YOLO_COMMIT": "4b1d"}
AWAY = {**OTHERS, "environment": {"vars": {"OMP_NUM_THREADS": "6", **COMMIT}}}
"""What steps get on other machines, where the code has no repository to tell its commit."""

NEEDS = {"cpu": 6, "gpu": 1, "memory": 16896, "shared_memory": 2048}


@pytest.fixture(autouse=True)
def _commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decorating, "code_commit", lambda: COMMIT["SPORE_YOLO_COMMIT"])


def decorated(compute: str, step: str = "predict_shard", engine: str | None = None, **content: Any) -> dict[str, Any]:
    configuration = PredictionConfiguration.model_validate(
        {"name": "n", "compute": compute, "machines": {"predict_shard": MACHINE}, **PLACES, **content}
    )
    return dict(decorators(configuration, step, engine))


def test_on_this_machine_a_step_states_what_it_needs() -> None:
    assert decorated("local", image="i") == {"resources": NEEDS, **OTHERS}


def test_on_aws_batch() -> None:
    found = decorated("batch", image="i", batch={"queue": "cpu", "iam_role": "r", "secrets": ["wandb"]})
    secrets = {"sources": [{"type": "aws-secrets-manager", "id": "wandb"}]}
    assert found == {
        "batch": {**NEEDS, "image": "i", "queue": "gpu", "iam_role": "r"},
        **AWAY,
        "secrets": secrets,
    }


def test_on_kubernetes() -> None:
    settings = {"service_account": "s", "tolerations": [{"key": "gpu"}], "node_selector": {"pool": "a"}}
    found = decorated("kubernetes", image="i", kubernetes=settings)
    assert found == {"kubernetes": {**NEEDS, "image": "i", "disk": 51200, **settings}, **AWAY}


def test_what_is_not_said_is_left_to_the_metaflow_configuration() -> None:
    commit = {"environment": {"vars": COMMIT}}
    assert decorated("kubernetes", step="join") == {"kubernetes": {"cpu": 1, "memory": 4096}, **commit}
    assert decorated("batch", step="join") == {"batch": {"cpu": 1, "memory": 4096}, **commit}
    assert decorated("local", step="join") == {"resources": {"cpu": 1, "memory": 4096}}


def test_a_step_may_have_an_image_of_its_own() -> None:
    machines = {"default": {"image": "light"}, "predict_shard": {"image": "heavy"}}
    assert decorated("batch", image="flow", machines=machines)["batch"]["image"] == "heavy"
    assert decorated("batch", image="flow", machines=machines, step="join")["batch"]["image"] == "light"
    assert decorated("batch", image="flow", machines={}, step="join")["batch"]["image"] == "flow"


def test_airflow_s_tasks_are_told_where_the_configuration_lies() -> None:
    found = decorated("kubernetes", engine="airflow")["environment"]["vars"]
    place = {"METAFLOW_FLOW_CONFIG_VALUE": '{"config": "kv.config"}'}
    assert found == {"OMP_NUM_THREADS": "6", **place, **COMMIT}
    for engine, variables in (("airflow", {**place, **COMMIT}), ("argo-workflows", COMMIT)):
        assert decorated("kubernetes", step="join", engine=engine)["environment"]["vars"] == variables


def test_an_unknown_commit_is_not_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decorating, "code_commit", lambda: None)
    assert "environment" not in decorated("batch", step="join")


def test_a_schedule_is_written_as_its_engine_reads_it() -> None:
    def arguments(compute: str, **schedule: str) -> dict[str, Any]:
        content = {"name": "n", "compute": compute, "schedule": {"cron": "0 0 * * 0", **schedule}, **PLACES}
        return schedule_arguments(PredictionConfiguration.model_validate(content))

    assert arguments("batch") == {"cron": "0 0 ? * SUN *"}
    assert arguments("batch", timezone="UTC") == {"cron": "0 0 ? * SUN *"}
    assert arguments("kubernetes", cron="0 0 * * 7")["cron"] == "0 0 * * 0"
    assert arguments("kubernetes", timezone="Europe/Zurich") == {"cron": "0 0 * * 0", "timezone": "Europe/Zurich"}
    assert arguments("kubernetes") == {"cron": "0 0 * * 0", "timezone": None}


def test_the_packages_of_a_step_are_those_that_are_here() -> None:
    import pandas
    import torch

    found = needed_packages()
    assert found["pandas"] == pandas.__version__
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert not {"pytest", "ruff", "mypy"} & set(found)


def test_packages_that_are_not_here_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    here = metadata.version

    def version(name: str) -> str:
        if name == "nncf":
            raise metadata.PackageNotFoundError(name)
        return f"{here(name)}+cpu" if name == "torch" and "+" not in here(name) else here(name)

    monkeypatch.setattr(metadata, "version", version)
    found = needed_packages()
    assert "nncf" not in found and "openvino" in found
    assert "+" not in found["torch"]  # PyPI has no local versions
