"""What flows on Airflow are: every step must have the pod that its configuration says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.deploying import DEPLOY, PREDICTION, SECRET, TRAINING, Account, airflow, flow

IMAGE = "registry.example.org/spore-yolo:0.1.0"


def predict_on_airflow(folder: Path) -> Path:
    """The example for Kubernetes without what Airflow would not get."""
    content = yaml.safe_load((DEPLOY / "predict-kubernetes.yaml").read_text())
    del content["kubernetes"]["secrets"], content["machines"]["predict_shard"]["catch"]
    path = folder / "predict-airflow.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("name", "script", "expected", "cron", "pause"),
    [
        ("TrainingLine", "pipeline_line.py", TRAINING, "0 0 * * *", 300),
        ("PredictionFlow", "predict_pipeline.py", PREDICTION, "0 2 * * 1,2,3,4,5", 120),
    ],
)
def test_every_step_is_as_configured(
    name: str,
    script: str,
    expected: dict[str, dict[str, Any]],
    cron: str,
    pause: int,
    account: Account,
    tmp_path: Path,
) -> None:
    training = name == "TrainingLine"
    configuration = DEPLOY / "pipeline-airflow.yaml" if training else predict_on_airflow(tmp_path)
    dag = airflow(account, tmp_path, script, configuration)
    assert set(dag["states"]) == set(expected)
    disks = dict.fromkeys(("train_detector", "mine_crops") if training else ("start", "predict_shard", "join"), 100)
    for step, want in expected.items():
        pod = dag["states"][step]["operator_args"]
        assert pod["image"] == IMAGE
        assert pod["resources"]["requests"] == {
            "cpu": str(want["cpu"]),
            "memory": f"{1024 * want['gb']}M",
            "ephemeral-storage": f"{1024 * disks.get(step, 50 if training else 20)}M",
        }
        assert pod["resources"]["limits"] == ({"nvidia.com/gpu": "1"} if want.get("gpu") else {})
        assert (pod["retries"], pod["retry_delay"]["seconds"]) == (want["retries"], pause)
        assert pod["execution_timeout"]["seconds"] == 60 * want["minutes"]
        assert (pod["namespace"], pod["service_account_name"]) == ("spore-yolo", "spore-yolo")
        assert pod["node_selector"] == ({"spore-yolo": "true"} if training else None)
        variables = {one["name"]: one["value"] for one in pod["env_vars"]}
        assert variables.get("OMP_NUM_THREADS") == want.get("variables", {}).get("OMP_NUM_THREADS")
        # Without it a task looks for the file of the machine that deployed, and fails.
        assert json.loads(variables["METAFLOW_FLOW_CONFIG_VALUE"]) == {"config": "kv.config"}
    assert dag["dag_instantiation_params"]["schedule_interval"] == cron
    assert dag["dag_instantiation_params"]["dag_id"] == name
    assert SECRET not in (tmp_path / "dag.py").read_text()


def test_what_airflow_would_not_get_is_refused_at_once(account: Account, tmp_path: Path) -> None:
    path = DEPLOY / "pipeline-kubernetes.yaml"
    done = flow(account, tmp_path, "pipeline_line.py", path, "airflow", "create", "dag.py")
    assert done.returncode == 2
    for what in (
        "schedule.timezone: Europe/Zurich",
        "machines: shared_memory_gb",
        "kubernetes: secrets",
        "kubernetes: tolerations",
    ):
        assert f"airflow create: {what}: Metaflow does not hand it on to Airflow" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "dag.py").exists()


def test_the_flow_of_one_pair_takes_one_recipe_and_one_seed(account: Account, tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text((DEPLOY / "pipeline-airflow.yaml").read_text() + "seeds: [0, 1]\n")
    done = flow(account, tmp_path, "pipeline_line.py", path, "airflow", "create", "dag.py")
    assert done.returncode == 2
    assert f"{path}: expected one recipe and one seed" in done.stderr
    assert "found 1 recipes and 2 seeds" in done.stderr
    assert not (tmp_path / "dag.py").exists()
