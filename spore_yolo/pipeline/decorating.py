"""Puts on each step of a flow what the configuration says of its machine."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from metaflow import FlowMutator
from metaflow.user_decorators.mutable_flow import MutableFlow

import spore_yolo.pipeline  # noqa: F401  # prepares Metaflow's environment before it is imported
from spore_yolo.pipeline.configuration import PredictionConfiguration, TrainingConfiguration
from spore_yolo.pipeline.machines import FlowConfiguration, Machine, Packages

MB_PER_GB = 1024

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
        if configuration.schedule is not None:
            flow.add_decorator("schedule", deco_kwargs=schedule_arguments(configuration))
        if configuration.packages is not None:
            flow.add_decorator(f"{configuration.packages.manager}_base", deco_kwargs=_packages(configuration.packages))
        for name, step in flow.steps:
            for decorator, arguments in decorators(configuration, name):
                step.add_decorator(decorator, deco_kwargs=arguments)


def configuration_of(flow: MutableFlow) -> FlowConfiguration | None:
    """The flow's configuration; ``None`` where there is none yet, as for ``--help``."""
    content = dict(flow.configs).get("config")
    if content is None:
        return None
    return FORMS[flow._flow_cls.__name__].model_validate(content.to_dict())


def decorators(configuration: FlowConfiguration, step: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and arguments of the decorators that a step gets.

    Args:
        configuration: The flow's.
        step: The step's name.
    """
    machine = configuration.machine(step)
    found: list[tuple[str, dict[str, Any]]] = [_engine(configuration, machine)]
    if machine.retries:
        pause = machine.minutes_between_retries
        found.append(("retry", {"times": machine.retries, "minutes_between_retries": pause}))
    if machine.timeout_minutes is not None:
        found.append(("timeout", {"seconds": round(60 * machine.timeout_minutes)}))
    if machine.catch:
        found.append(("catch", {"var": "failure"}))
    if machine.environment:
        found.append(("environment", {"vars": dict(machine.environment)}))
    return found


def schedule_arguments(configuration: FlowConfiguration) -> dict[str, Any]:
    """Arguments of ``@schedule``: Step Functions write cron in six fields, Argo and Airflow in five."""
    schedule = configuration.schedule
    assert schedule is not None
    if configuration.compute == "batch":
        return {"cron": schedule.eventbridge()}
    return {"cron": schedule.cron, "timezone": schedule.timezone}


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
        settings |= configuration.batch.model_dump()
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
    """What spore-yolo needs, in the versions that are installed here; other systems' and extras' parts are left out."""
    from packaging.requirements import Requirement

    found = {}
    for text in metadata.requires("spore-yolo") or []:
        requirement = Requirement(re.sub(r"\s+", " ", text))
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found[requirement.name] = metadata.version(requirement.name)
    return found
