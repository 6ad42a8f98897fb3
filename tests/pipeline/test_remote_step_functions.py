"""What flows on AWS Step Functions are: every step must be the job on AWS Batch that its configuration says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.provenance import COMMIT, code_commit
from tests.pipeline.deploying import DEPLOY, FLOWS, SECRET, Account, flow, retries, step_functions, tasks_of

IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/spore-yolo:0.1.0"
SCHEDULES = {"pipeline": "cron(0 0 * * ? *)", "predict": "cron(0 2 ? * MON,TUE,WED,THU,FRI *)"}


@pytest.mark.parametrize(("name", "script", "expected"), FLOWS)
def test_every_step_is_as_configured(
    name: str, script: str, expected: dict[str, dict[str, Any]], account: Account, tmp_path: Path
) -> None:
    deployed = f"nightly-{name}"
    tasks = tasks_of(step_functions(account, tmp_path, script, DEPLOY / f"{name}-batch.yaml", deployed))
    assert set(tasks) == set(expected)
    batch = account.client("batch")
    for step, want in expected.items():
        job = tasks[step]["Parameters"]
        asked = {one["Type"]: one["Value"] for one in job["ContainerOverrides"]["ResourceRequirements"]}
        gpus = {"GPU": "1"} if want.get("gpu") else {}
        assert asked == {"VCPU": str(want["cpu"]), "MEMORY": str(1024 * want["gb"]), **gpus}
        assert job["JobQueue"] == ("spore-yolo-gpu" if want.get("gpu") else "spore-yolo-cpu")
        assert job["Timeout"] == {"AttemptDurationSeconds": 60 * want["minutes"]}
        assert job["RetryStrategy"] == {"Attempts": 1 + retries(want)}
        [kind] = batch.describe_job_definitions(jobDefinitions=[job["JobDefinition"]])["jobDefinitions"]
        container = kind["containerProperties"]
        assert container["image"] == IMAGE
        assert container["jobRoleArn"] == "arn:aws:iam::123456789012:role/spore-yolo-task"
        assert container["linuxParameters"].get("sharedMemorySize") == (1024 * want["shm"] if "shm" in want else None)
        variables = {one["Name"]: one.get("Value") for one in job["ContainerOverrides"]["Environment"]}
        assert variables.get("OMP_NUM_THREADS") == want.get("variables", {}).get("OMP_NUM_THREADS")
        assert variables.get(COMMIT) == code_commit()
        assert SECRET not in json.dumps([tasks[step], kind], default=str)
    events = account.client("events")
    rule = events.describe_rule(Name=deployed)
    assert (rule["ScheduleExpression"], rule["State"]) == (SCHEDULES[name], "ENABLED")
    [target] = events.list_targets_by_rule(Rule=deployed)["Targets"]
    assert target["Arn"].endswith(f"stateMachine:{deployed}")
    assert target["RoleArn"].endswith("role/spore-yolo-events")


def test_a_configuration_for_kubernetes_is_not_deployed_without_its_settings(account: Account, tmp_path: Path) -> None:
    done = flow(account, tmp_path, "pipeline.py", DEPLOY / "pipeline-kubernetes.yaml", "step-functions", "create")
    assert done.returncode == 2
    assert "step-functions create: expected compute: batch" in done.stderr
    assert "Traceback" not in done.stderr
