"""Puts on each step of a flow what the configuration says of its machine."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from importlib import metadata
from typing import Any

from metaflow.metaflow_config import DEFAULT_DATASTORE, DEFAULT_ENVIRONMENT, KUBERNETES_NAMESPACE
from metaflow.user_decorators.mutable_flow import MutableFlow
from metaflow.user_decorators.user_flow_decorator import FlowMutator

from spore_yolo.files.errors import UsageError
from spore_yolo.files.provenance import COMMIT, code_commit
from spore_yolo.pipeline.configuration import PredictionConfiguration, TrainingConfiguration
from spore_yolo.pipeline.engines import engine_of, problems_of_command
from spore_yolo.pipeline.machines import FlowConfiguration, Machine, Packages

MB_PER_GB = 1024

CARD_SECONDS = 300
"""How long a card may take to be drawn; after Metaflow's own 45 s a slow machine would go without one, unsaid."""

EXTRAS = ("", "backends", "lake", "pipeline", "tracking")
"""Extras of spore-yolo that its steps use."""

CONFIGURATION_OF_PACKAGE = {"METAFLOW_FLOW_CONFIG_VALUE": '{"config": "kv.config"}'}
"""Tells a task to read the configuration that was packed with the code; Metaflow itself does so but for Airflow."""

FORMS: dict[str, type[FlowConfiguration]] = {
    "TrainingFlow": TrainingConfiguration,
    "PredictionFlow": PredictionConfiguration,
}


class configured(FlowMutator):  # noqa: N801  # a decorator, and Metaflow's are written so
    """Decorates a flow as its configuration says.

    Steps get ``@resources``, ``@batch`` or ``@kubernetes``, ``@retry``, ``@timeout``, ``@catch`` and ``@environment``;
    the flow gets ``@schedule``, and ``@pypi_base`` or ``@conda_base``.
    """

    def pre_mutate(self, flow: MutableFlow) -> None:
        """Decorates flow and steps; called when the configuration was read."""
        configuration = configuration_of(flow)
        if configuration is None:
            return
        problems = problems_of_command(
            configuration, sys.argv, DEFAULT_DATASTORE, KUBERNETES_NAMESPACE, DEFAULT_ENVIRONMENT
        )
        if problems:
            # Metaflow would show any exception from here as an internal error with its traceback.
            print("spore-yolo: error:", "\n  ".join(problems), file=sys.stderr)
            raise SystemExit(UsageError.exit_code)
        if configuration.schedule is not None:
            flow.add_decorator("schedule", deco_kwargs=schedule_arguments(configuration))
        if configuration.packages is not None:
            flow.add_decorator(f"{configuration.packages.manager}_base", deco_kwargs=_packages(configuration.packages))
        for name, step in flow.steps:
            for decorator, arguments in decorators(configuration, name, engine_of(sys.argv)):
                step.add_decorator(decorator, deco_kwargs=arguments)


def configuration_of(flow: MutableFlow) -> FlowConfiguration | None:
    """The flow's configuration; ``None`` where there is none yet, as for ``--help``."""
    content = dict(flow.configs).get("config")
    if content is None:
        return None
    form = next(FORMS[one.__name__] for one in flow._flow_cls.__mro__ if one.__name__ in FORMS)
    return form.model_validate(content.to_dict())


def decorators(
    configuration: FlowConfiguration, step: str, engine: str | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Names and arguments of the decorators that a step gets.

    Args:
        configuration: The flow's.
        step: The step's name.
        engine: What the flow is deployed to, if it is.
    """
    machine = configuration.machine(step)
    found: list[tuple[str, dict[str, Any]]] = [_engine(configuration, machine)]
    if machine.retries:
        pause = machine.minutes_between_retries
        found.append(("retry", {"times": machine.retries, "minutes_between_retries": pause}))
    if machine.timeout_minutes is not None:
        found.append(("timeout", {"seconds": round(60 * machine.timeout_minutes)}))
    if machine.catch:
        # What failed is told by failing.told_in_short, in one message.
        found.append(("catch", {"var": "failure", "print_exception": False}))
    variables = dict(machine.environment)
    if engine == "airflow":
        variables |= CONFIGURATION_OF_PACKAGE
    if configuration.compute != "local" and (commit := code_commit()) is not None:
        variables[COMMIT] = commit
    if variables:
        found.append(("environment", {"vars": variables}))
    if configuration.compute == "batch" and configuration.batch.secrets:
        sources = [{"type": "aws-secrets-manager", "id": name} for name in configuration.batch.secrets]
        found.append(("secrets", {"sources": sources}))
    return found


def schedule_arguments(configuration: FlowConfiguration) -> dict[str, Any]:
    """Arguments of ``@schedule``: Step Functions write cron in six fields, Argo and Airflow in five."""
    schedule = configuration.schedule
    assert schedule is not None
    if configuration.compute == "batch":
        return {"cron": schedule.eventbridge()}
    return {"cron": schedule.with_plain_weekdays(), "timezone": schedule.timezone}


def _engine(configuration: FlowConfiguration, machine: Machine) -> tuple[str, dict[str, Any]]:
    """What runs the step, and what it asks of it; what is not said is left to the Metaflow configuration."""
    needs: dict[str, Any] = {"cpu": machine.cpu, "memory": _mb(machine.memory_gb)}
    if machine.shared_memory_gb is not None:
        needs["shared_memory"] = _mb(machine.shared_memory_gb)
    if machine.gpu:
        needs["gpu"] = machine.gpu
    if configuration.compute == "local":
        return "resources", needs
    settings: dict[str, Any] = {"image": machine.image or configuration.image}
    if configuration.compute == "batch":
        settings |= configuration.batch.model_dump(exclude={"secrets"})
        settings["queue"] = machine.queue or configuration.batch.queue
    else:
        settings |= configuration.kubernetes.model_dump()
        settings["disk"] = None if machine.disk_gb is None else _mb(machine.disk_gb)
    return configuration.compute, needs | {key: value for key, value in settings.items() if value}


def _mb(gigabytes: float) -> int:
    return round(MB_PER_GB * gigabytes)


def _packages(packages: Packages) -> dict[str, Any]:
    return {"python": packages.python, "packages": packages.packages or needed_packages()}


def needed_packages() -> dict[str, str]:
    """What the steps need, in the versions that are installed here, as PyPI has them.

    Left out is what is for other systems or for extras of no step, and what of an extra is not installed here.
    """
    from packaging.requirements import Requirement
    from packaging.version import Version

    found = {}
    for text in metadata.requires("spore-yolo") or []:
        requirement = Requirement(re.sub(r"\s+", " ", text))
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            with suppress(metadata.PackageNotFoundError):
                found[requirement.name] = Version(metadata.version(requirement.name)).public
    return found
