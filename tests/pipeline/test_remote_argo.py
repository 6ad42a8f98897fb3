"""What flows on Argo Workflows are: every step must have the pod that its configuration says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.provenance import COMMIT, code_commit
from tests.pipeline.deploying import DEPLOY, FLOWS, SECRET, TRAINING, Account, argo, flow, retries
from tests.pipeline.kubernetes_server import open_cluster

IMAGE = "registry.example.org/spore-yolo:0.1.0"
DISKS = {
    "pipeline": {"train_detector": 100, "mine_crops": 100},
    "predict": {"start": 100, "predict_shard": 100, "join": 100},
}
OTHER_DISKS = {"pipeline": 50, "predict": 20}
PAUSES = {"pipeline": "5m", "predict": "2m"}
SCHEDULES = {
    "pipeline": {"schedule": "0 0 * * *", "tz": "Europe/Zurich"},
    "predict": {"schedule": "0 2 * * 1,2,3,4,5", "tz": ""},
}


@pytest.mark.parametrize(("name", "script", "expected"), FLOWS)
def test_every_step_is_as_configured(
    name: str, script: str, expected: dict[str, dict[str, Any]], account: Account, tmp_path: Path
) -> None:
    template = argo(account, tmp_path, script, DEPLOY / f"{name}-kubernetes.yaml")
    pods = {
        one["name"].replace("-", "_"): one
        for one in template["spec"]["templates"]
        if "container" in one and not one["name"].endswith("-hook")
    }
    assert set(pods) == set(expected)
    for step, want in expected.items():
        pod, container = pods[step], pods[step]["container"]
        assert container["image"] == IMAGE
        assert container["resources"]["requests"] == {
            "cpu": str(want["cpu"]),
            "memory": f"{1024 * want['gb']}M",
            "ephemeral-storage": f"{1024 * DISKS[name].get(step, OTHER_DISKS[name])}M",
        }
        assert container["resources"]["limits"] == ({"nvidia.com/gpu": "1"} if want.get("gpu") else {})
        assert pod["activeDeadlineSeconds"] == 60 * want["minutes"]
        assert pod["retryStrategy"] == {
            "retryPolicy": "Always",
            "limit": retries(want),
            "backoff": {"duration": PAUSES[name]},
        }
        assert pod["serviceAccountName"] == "spore-yolo"
        assert [source["secretRef"]["name"] for source in container["envFrom"]] == ["spore-yolo"]
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        assert variables.get("OMP_NUM_THREADS") == want.get("variables", {}).get("OMP_NUM_THREADS")
        assert variables.get(COMMIT) == code_commit()
        [shared] = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "dhsm"]
        assert shared.get("sizeLimit") == (f"{1024 * want['shm']}Mi" if "shm" in want else None)
        taints = [taint["key"] for taint in pod["tolerations"] or []]
        assert taints == (["nvidia.com/gpu"] if name == "pipeline" else [])
    assert template["metadata"]["namespace"] == "spore-yolo"
    assert json.loads(template["metadata"]["annotations"]["metaflow/cron"]) == SCHEDULES[name]
    assert SECRET not in json.dumps(template)


def test_the_schedule_becomes_a_workflow_of_its_own(account: Account, tmp_path: Path) -> None:
    path = DEPLOY / "pipeline-kubernetes.yaml"
    with open_cluster(tmp_path) as cluster:
        kubeconfig = {"KUBECONFIG": str(cluster.kubeconfig)}
        done = flow(
            account, tmp_path, "pipeline.py", path, "argo-workflows", "--name", "nightly", "create", **kubeconfig
        )
    assert done.returncode == 0, done.stdout + done.stderr
    [template], [cron] = cluster.made["WorkflowTemplate"], cluster.made["CronWorkflow"]
    assert {one["name"] for one in template["spec"]["templates"]} >= {step.replace("_", "-") for step in TRAINING}
    assert (template["namespace"], cron["namespace"]) == ("spore-yolo", "spore-yolo")
    assert (cron["spec"]["schedule"], cron["spec"]["timezone"]) == ("0 0 * * *", "Europe/Zurich")
    assert cron["spec"]["suspend"] is False
    assert cron["spec"]["workflowSpec"] == {"workflowTemplateRef": {"name": "nightly"}}
    assert SECRET not in json.dumps(cluster.made)


def test_what_does_not_fit_the_command_is_said_before_anything_is_deployed(account: Account, tmp_path: Path) -> None:
    """Metaflow itself would deploy steps without image, queue and role, or fail with words of its own."""
    create = ("argo-workflows", "create", "--only-json")
    done = flow(account, tmp_path, "pipeline.py", DEPLOY / "pipeline-batch.yaml", *create)
    assert done.returncode == 2
    assert "argo-workflows create: expected compute: kubernetes, where its steps run, found" in done.stderr
    other = flow(
        account,
        tmp_path,
        "pipeline.py",
        DEPLOY / "pipeline-kubernetes.yaml",
        *create,
        METAFLOW_DEFAULT_DATASTORE="local",
    )
    assert other.returncode == 2
    assert "expected Metaflow's datastore on S3" in other.stderr
    assert "METAFLOW_DATASTORE_SYSROOT_S3=s3://BUCKET/metaflow" in other.stderr
    assert "Traceback" not in done.stderr + other.stderr
