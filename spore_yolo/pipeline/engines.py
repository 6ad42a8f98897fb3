"""Which engine a command is for, and what it cannot do of what the configuration asks."""

from __future__ import annotations

import os
from collections.abc import Sequence

from spore_yolo.pipeline.machines import FlowConfiguration

COMPUTE_OF = {"step-functions": "batch", "argo-workflows": "kubernetes", "airflow": "kubernetes"}
"""Engines that flows are deployed to, and where their steps run."""

MAKE_ENVIRONMENTS = ("pypi", "conda", "fast-bakery")
"""Metaflow's environments that install what ``packages`` names."""


def engine_of(words: Sequence[str]) -> str | None:
    """The engine that a command line deploys to; ``None``: it deploys nothing."""
    return next((name for name in COMPUTE_OF if name in words and "create" in words), None)


def resumes(words: Sequence[str]) -> bool:
    """Whether a command line goes on with an earlier run, with the configuration that this began with."""
    return next((word for word in words if word in ("run", "resume")), None) == "resume"


def problems_of_command(
    configuration: FlowConfiguration,
    words: Sequence[str],
    datastore: str,
    namespace: str = "default",
    environment: str = "local",
) -> list[str]:
    """What does not fit between a configuration and the command that it is used with.

    Args:
        configuration: The flow's.
        words: The command line, such as ``pipeline.py argo-workflows create``.
        datastore: Kind of store that Metaflow is configured with; an option of the command line wins.
        namespace: Kubernetes' namespace that Metaflow is configured with.
        environment: Kind of environment that Metaflow is configured with; an option of the command line wins.
    """
    engine = engine_of(words)
    problems = []
    if engine is not None and configuration.compute != COMPUTE_OF[engine]:
        problems.append(
            f"{engine} create: expected compute: {COMPUTE_OF[engine]}, where its steps run, found compute:"
            f" {configuration.compute}"
        )
    if engine == "argo-workflows" and configuration.kubernetes.namespace not in (None, namespace):
        problems.append(
            f"argo-workflows create: kubernetes.namespace: {configuration.kubernetes.namespace}: Argo Workflows run a"
            f" whole flow in Metaflow's namespace, which is {namespace}. Leave it out, and set"
            f" METAFLOW_KUBERNETES_NAMESPACE={configuration.kubernetes.namespace}"
        )
    if engine == "airflow":
        problems += [
            f"airflow create: {what}: Metaflow does not hand it on to Airflow; leave it out or use Argo Workflows"
            for what in _lost_on_airflow(configuration)
        ]
    begins = engine is not None or "run" in words or "resume" in words
    datastore = _option(words, "--datastore") or os.environ.get("METAFLOW_DATASTORE") or datastore
    if begins and configuration.compute != "local" and datastore != "s3":
        problems.append(
            f"compute: {configuration.compute}: expected Metaflow's datastore on S3, through which steps on other"
            f" machines get the code and hand on results; found {datastore}. Set METAFLOW_DEFAULT_DATASTORE=s3 and"
            " METAFLOW_DATASTORE_SYSROOT_S3=s3://BUCKET/metaflow, or put both into ~/.metaflowconfig/config.json"
        )
    environment = _option(words, "--environment") or os.environ.get("METAFLOW_ENVIRONMENT") or environment
    if configuration.packages is not None and environment not in MAKE_ENVIRONMENTS:
        manager = configuration.packages.manager
        problems.append(
            f"packages: manager: {manager}: expected --environment={manager} before the command (and before --config),"
            f" by which Metaflow makes the steps' environments; found --environment={environment}"
        )
    return problems


def _lost_on_airflow(configuration: FlowConfiguration) -> list[str]:
    """What would be missing from Airflow's pods without a word; seen in what Metaflow 2.19 compiles."""
    machines = [configuration.machine(step) for step in configuration.steps()]
    lost = {
        f"schedule.timezone: {configuration.schedule and configuration.schedule.timezone}": (
            configuration.schedule is not None and configuration.schedule.timezone is not None
        ),
        # Airflow makes the last attempt that others make for the fallback of @catch no more.
        "machines: catch": any(machine.catch for machine in machines),
        "machines: shared_memory_gb": any(machine.shared_memory_gb for machine in machines),
        "kubernetes: secrets": bool(configuration.kubernetes.secrets),
        "kubernetes: tolerations": bool(configuration.kubernetes.tolerations),
        "kubernetes: image_pull_secrets": bool(configuration.kubernetes.image_pull_secrets),
    }
    return [what for what, is_asked in lost.items() if is_asked]


def _option(words: Sequence[str], name: str) -> str | None:
    for place, word in enumerate(words):
        if word == name and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None
