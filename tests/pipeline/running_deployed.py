"""Runs what was deployed: each task's own command line in an empty folder, in the order that the engine would take."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.pipeline.deploying import Account


@dataclass
class Container:
    """Stands in for a container: an empty folder and the environment that the engine sets, with nothing of ours.

    The packages of this Python stand in for the image.

    Attributes:
        account: Where it may reach.
        folder: Folder for the working folders of all tasks.
    """

    account: Account
    folder: Path
    done: list[str] = field(default_factory=list)

    def run(self, name: str, command: list[str], variables: Mapping[str, str]) -> str:
        """Runs a task; gives what it printed."""
        workplace = self.folder / f"{len(self.done)}-{name}"
        workplace.mkdir(parents=True)
        given = {key: value for key, value in self.account.environment.items() if key.startswith("AWS_")}
        environment = {
            # What an image has, and the credentials that a role gives.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(workplace),
            "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            **given,
            **variables,
        }
        done = subprocess.run(
            command, cwd=workplace, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{name}:\n{done.stdout}\n{done.stderr}"
        self.done.append(name)
        return done.stdout


class StateMachine:
    """As much of AWS Step Functions as Metaflow's state machines use.

    Args:
        definition: The state machine.
        container: What runs its jobs.
    """

    def __init__(self, definition: dict[str, Any], container: Container) -> None:
        self.definition, self.container = definition, container
        self.run_id = uuid.uuid4().hex

    def run(self) -> None:
        """Runs it from its start to its end."""
        self._visit(self.definition, {"Parameters": "{}"})

    def _visit(self, machine: dict[str, Any], given: Any) -> Any:
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            if state["Type"] == "Map":
                given = self._map(state, given)
            elif "dynamodb" in state["Resource"]:
                given = {**given, "Result": self._look_up(state, given)}
            else:
                given = self._job(name, state, given)
            if state.get("End"):
                return given
            name = state["Next"]

    def _map(self, state: dict[str, Any], given: Any) -> Any:
        results = []
        for value in self._at(state["ItemsPath"], given):
            part = {
                key.removesuffix(".$"): value if path == "$$.Map.Item.Value" else self._at(path, given)
                for key, path in state["Parameters"].items()
            }
            results.append(self._visit(state["Iterator"], part))
        return self._at(state["OutputPath"], results) if "OutputPath" in state else results

    def _look_up(self, state: dict[str, Any], given: Any) -> Any:
        asked = state["Parameters"]
        key = self._at(asked["Key"]["pathspec"]["S.$"], given)
        return self.container.account.client("dynamodb").get_item(
            TableName=asked["TableName"], Key={"pathspec": {"S": key}}, ConsistentRead=True
        )

    def _job(self, name: str, state: dict[str, Any], given: Any) -> dict[str, Any]:
        job = state["Parameters"]
        variables = {
            one["Name"]: one["Value"] if "Value" in one else str(self._at(one["Value.$"], given))
            for one in job["ContainerOverrides"]["Environment"]
        }
        task = str(uuid.uuid4())
        variables |= {"AWS_BATCH_JOB_ID": task, "AWS_BATCH_JOB_ATTEMPT": "1"}
        variables |= {"AWS_BATCH_CE_NAME": "here", "AWS_BATCH_JQ_NAME": "here", "AWS_EXECUTION_ENV": "here"}
        self.container.run(name, job["ContainerOverrides"]["Command"], variables)
        parameters = {
            key.removesuffix(".$"): self._at(value, given) if key.endswith(".$") else value
            for key, value in job["Parameters"].items()
        }
        return {"JobId": task, "Parameters": parameters}

    def _at(self, path: str, given: Any) -> Any:
        """What a path such as ``$.Parameters.['metaflow.run_id']`` leads to."""
        if path == "$$.Execution.Name":
            return self.run_id
        for key in re.findall(r"\['([^']+)'\]|\[(\d+)\]|\.(\w+)", path.removeprefix("$")):
            name = next(part for part in key if part)
            given = given[int(name)] if key[1] else given[name]
        return given
