"""An account on a server of our own, and what flows are deployed to it as: read back, never by Metaflow's own code."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

SECRET = "recognisable-secret-4711"
"""The machine that deploys holds it in its environment; nothing that is deployed may."""

ROLES = ("spore-yolo-task", "spore-yolo-machines", "spore-yolo-states", "spore-yolo-events")


DEPLOY = ROOT / "deploy"

DEFAULT = {"cpu": 2, "gb": 8, "minutes": 120, "retries": 2}
TRAINING: dict[str, dict[str, Any]] = {
    "start": DEFAULT,
    "load": DEFAULT,
    "check": DEFAULT,
    "split": DEFAULT,
    "train_detector": {"cpu": 8, "gb": 32, "gpu": 1, "minutes": 1440, "retries": 2, "shm": 8},
    "mine_crops": {
        "cpu": 6,
        "gb": 16,
        "minutes": 480,
        "retries": 2,
        "variables": {"OMP_NUM_THREADS": "6"},
    },
    "train_classifier": {"cpu": 4, "gb": 16, "gpu": 1, "minutes": 480, "retries": 2, "shm": 8},
    "calibrate": {"cpu": 4, "gb": 8, "minutes": 120, "retries": 2},
    "evaluate": {"cpu": 4, "gb": 8, "minutes": 120, "retries": 2},
    "join": DEFAULT,
    "end": DEFAULT,
}
"""What deploy/pipeline-*.yaml say; `catch` has no say where there is one branch."""

PREDICTION: dict[str, dict[str, Any]] = {
    "start": {"cpu": 8, "gb": 16, "minutes": 60, "retries": 1},
    "predict_shard": {"cpu": 8, "gb": 16, "minutes": 720, "retries": 3, "catch": True},
    "join": {"cpu": 2, "gb": 8, "minutes": 240, "retries": 1},
    "end": {"cpu": 2, "gb": 8, "minutes": 60, "retries": 1},
}
"""What deploy/predict-*.yaml say."""

FLOWS = [("pipeline", "pipeline.py", TRAINING), ("predict", "predict_pipeline.py", PREDICTION)]


def retries(want: dict[str, Any]) -> int:
    """How often a step is tried again; Metaflow tries three times to go on without one that may be left out."""
    return int(want["retries"]) + (3 if want.get("catch") else 0)


@dataclass
class Account:
    """A bucket, queues, roles and a table, as docs/pipeline-remote.md wants them.

    Attributes:
        environment: What a process needs to reach them.
        bucket: The bucket's name.
    """

    environment: dict[str, str]
    bucket: str

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


def open_account(endpoint: str, home: Path) -> Account:
    """Makes what must exist; ``home`` becomes the home folder of whoever deploys."""
    bucket = f"spore-{uuid.uuid4().hex[:12]}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "METAFLOW_"))}
    environment |= {
        "HOME": str(home),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": SECRET,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "WANDB_API_KEY": SECRET,
        "NO_PROXY": "127.0.0.1,localhost",
        "METAFLOW_USER": "tester",
        "METAFLOW_DEFAULT_DATASTORE": "s3",
        "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{bucket}/metaflow",
        "METAFLOW_S3_ENDPOINT_URL": endpoint,
        "METAFLOW_KUBERNETES_NAMESPACE": "spore-yolo",
        "METAFLOW_BATCH_JOB_QUEUE": "spore-yolo-cpu",
        "METAFLOW_SFN_DYNAMO_DB_TABLE": "spore-yolo-foreach",
    }
    account = Account(environment, bucket)
    account.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    roles = _roles(account)
    environment["METAFLOW_ECS_S3_ACCESS_IAM_ROLE"] = roles["spore-yolo-task"]
    environment["METAFLOW_SFN_IAM_ROLE"] = roles["spore-yolo-states"]
    environment["METAFLOW_EVENTS_SFN_ACCESS_IAM_ROLE"] = roles["spore-yolo-events"]
    _queues(account, roles["spore-yolo-machines"])
    _table(account)
    return account


def _roles(account: Account) -> dict[str, str]:
    iam, found = account.client("iam"), {}
    for name in ROLES:
        try:
            found[name] = iam.get_role(RoleName=name)["Role"]["Arn"]
        except iam.exceptions.NoSuchEntityException:
            trust = json.dumps({"Version": "2012-10-17", "Statement": []})
            found[name] = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
            iam.create_instance_profile(InstanceProfileName=name)
    return found


def _queues(account: Account, role: str) -> None:
    batch, ec2, iam = (account.client(service) for service in ("batch", "ec2", "iam"))
    if batch.describe_job_queues()["jobQueues"]:
        return
    profile = iam.get_instance_profile(InstanceProfileName="spore-yolo-machines")["InstanceProfile"]["Arn"]
    for name, kind in (("spore-yolo-cpu", "c6i.4xlarge"), ("spore-yolo-gpu", "g5.2xlarge")):
        machines = batch.create_compute_environment(
            computeEnvironmentName=name,
            type="MANAGED",
            computeResources={
                "type": "EC2",
                "minvCpus": 0,
                "maxvCpus": 64,
                "instanceTypes": [kind],
                "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
                "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
                "instanceRole": profile,
            },
            serviceRole=role,
        )["computeEnvironmentArn"]
        order = [{"order": 1, "computeEnvironment": machines}]
        batch.create_job_queue(jobQueueName=name, state="ENABLED", priority=1, computeEnvironmentOrder=order)


def _table(account: Account) -> None:
    dynamo = account.client("dynamodb")
    if not dynamo.list_tables()["TableNames"]:
        dynamo.create_table(
            TableName="spore-yolo-foreach",
            AttributeDefinitions=[{"AttributeName": "pathspec", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pathspec", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )


def flow(
    account: Account, folder: Path, script: str, configuration: Path, *command: str, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Runs a flow's script as a user does, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--config", "config", str(configuration), *command],
        cwd=folder,
        env=account.environment | changes,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def argo(account: Account, folder: Path, script: str, configuration: Path) -> dict[str, Any]:
    """The workflow template that Argo Workflows would get."""
    done = flow(account, folder, script, configuration, "argo-workflows", "create", "--only-json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def step_functions(account: Account, folder: Path, script: str, configuration: Path, name: str) -> dict[str, Any]:
    """The state machine that was deployed, as AWS gives it back."""
    done = flow(account, folder, script, configuration, "step-functions", "--name", name, "create")
    assert done.returncode == 0, done.stdout + done.stderr
    client = account.client("stepfunctions")
    machines = client.get_paginator("list_state_machines").paginate().build_full_result()["stateMachines"]
    [arn] = [one["stateMachineArn"] for one in machines if one["name"] == name]
    found: dict[str, Any] = json.loads(client.describe_state_machine(stateMachineArn=arn)["definition"])
    return found


def tasks_of(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The states of a state machine that run something on AWS Batch, those in a Map among them."""
    found = {}
    for name, state in definition["States"].items():
        if state["Type"] == "Map":
            found |= tasks_of(state["Iterator"] if "Iterator" in state else state["ItemProcessor"])
        elif "batch" in state.get("Resource", ""):
            found[name] = state
    return found


def airflow(account: Account, folder: Path, script: str, configuration: Path) -> dict[str, Any]:
    """What Airflow's file says of its flow; the file is read and never run."""
    done = flow(account, folder, script, configuration, "airflow", "create", str(folder / "dag.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ast.parse((folder / "dag.py").read_text()).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "CONFIG":
            found: dict[str, Any] = ast.literal_eval(line.value)
            return found
    raise AssertionError("the file has no CONFIG")
