"""What a step runs on: the part of a configuration that both flows share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_serializer, field_validator, model_validator

from spore_yolo.files.lake import is_remote
from spore_yolo.pipeline.form import Form
from spore_yolo.pipeline.schedule import Schedule

__all__ = ["Batch", "FlowConfiguration", "Form", "Kubernetes", "Machine", "Packages", "Place", "Schedule"]

Compute = Literal["local", "batch", "kubernetes"]

MOST_RETRIES = 4
"""Metaflow makes six attempts at most: the first, these, and the one that goes on without a step."""

SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY|TOKENS?(_|$)"
    r"|(^|_)(KEYS?|O?AUTH|PWD)$|(?<!BY)(?<!COM)PASS$",
    re.IGNORECASE,
)
"""Variables that hold secrets: WANDB_KEY and PGPASS are such names, TOKENIZERS_PARALLELISM and GIT_AUTHOR_NAME not."""

IN_PLAIN_TEXT = (
    "expected no secrets, which would lie in plain text in what is deployed; use batch.secrets, kubernetes.secrets or"
    " the role of the container"
)


def _is_no_secret(name: str) -> str:
    """Refuses variables that hold secrets by their name; their values stay out of the message."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected the name of a variable: letters, digits and underscores")
    if SECRET_NAME.search(name):
        raise ValueError(IN_PLAIN_TEXT)
    return name


def _holds_no_password(value: str) -> str:
    """Refuses addresses with a user and a password."""
    if re.search(r"://[^/\s]*:[^/\s]*@", value):
        raise ValueError(IN_PLAIN_TEXT)
    return value


VariableName = Annotated[str, AfterValidator(_is_no_secret)]
VariableValue = Annotated[str, AfterValidator(_holds_no_password)]


class Machine(Form):
    """What one step needs, and what happens when it fails.

    Attributes:
        cpu: Cores.
        gpu: GPUs.
        memory_gb: Memory, in GB of 1,024 MB.
        disk_gb: Room on disk, likewise; Kubernetes alone asks for it, and gives 10 where it is ``None``.
        shared_memory_gb: Size of ``/dev/shm``, through which torch hands on batches.
        image: The container's image; ``None``: the flow's.
        queue: AWS Batch: the job queue; ``None``: the flow's.
        retries: How often a step that failed is tried again.
        minutes_between_retries: Pause before that; AWS Step Functions make none.
        timeout_minutes: A step that takes longer has failed; ``None``: five days.
        catch: Whether the flow goes on without a step that failed for good; its branch then has no result.
        environment: Variables that are set for the step; they lie in plain text in what is deployed.
    """

    cpu: Annotated[int, Field(ge=1)] = 1
    gpu: Annotated[int, Field(ge=0)] = 0
    memory_gb: Annotated[float, Field(gt=0)] = 4
    disk_gb: Annotated[float, Field(gt=0)] | None = None
    shared_memory_gb: Annotated[float, Field(gt=0)] | None = None
    image: str | None = None
    queue: str | None = None
    retries: Annotated[int, Field(ge=0, le=MOST_RETRIES)] = 0
    minutes_between_retries: Annotated[int, Field(ge=0)] = 2
    timeout_minutes: Annotated[float, Field(gt=0)] | None = None
    catch: bool = False
    environment: dict[VariableName, VariableValue] = Field(default_factory=dict)


class Batch(Form):
    """AWS Batch.

    Attributes:
        queue: Job queue; ``None``: the one of the Metaflow configuration.
        iam_role: Role of the container, which must reach the bucket; likewise.
        execution_role: Role for Fargate; likewise.
        secrets: Names of secrets in AWS Secrets Manager, whose keys the steps get as environment variables.
    """

    queue: str | None = None
    iam_role: str | None = None
    execution_role: str | None = None
    secrets: list[str] = Field(default_factory=list)


class Kubernetes(Form):
    """A Kubernetes cluster; what is ``None`` is taken from the Metaflow configuration.

    Attributes:
        namespace: Where pods run.
        service_account: Who they are.
        secrets: Secrets that they get as environment variables.
        node_selector: Labels of the nodes that they may run on.
        tolerations: Taints of nodes that they put up with, as Kubernetes writes them.
        image_pull_secrets: Secrets to pull the image with.
    """

    namespace: str | None = None
    service_account: str | None = None
    secrets: list[str] = Field(default_factory=list)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: list[dict[str, Any]] = Field(default_factory=list)
    image_pull_secrets: list[str] = Field(default_factory=list)


class Packages(Form):
    """Packages that Metaflow installs for each step, where the image does not have them.

    Attributes:
        manager: ``pypi`` or ``conda``.
        python: Version of Python.
        packages: Versions by name; empty: what spore-yolo needs, in the versions that are installed here, by their
            names on PyPI.
    """

    manager: Literal["pypi", "conda"]
    python: str = "3.11"
    packages: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _are_named_for_conda(self) -> Packages:
        if self.manager == "conda" and not self.packages:
            raise ValueError(
                "packages: expected names and versions for manager: conda; what is installed here has its names on"
                " PyPI, and conda-forge calls some of it otherwise or does not have it"
            )
        return self


def check_place(place: str | None, info: ValidationInfo) -> str | None:
    """Refuses a path on this machine's disk where steps run on others; a validator of fields.

    Args:
        place: A path or an address.
        info: What is known of the configuration already, its ``compute`` among it.

    Raises:
        ValueError: Other machines do not see it.
    """
    compute = info.data.get("compute", "local")
    if place is not None and compute != "local" and not is_remote(place):
        raise ValueError(
            f"expected an s3:// address: compute: {compute} runs steps on machines that do not see this one's disk"
        )
    return place


Place = Annotated[str, AfterValidator(check_place)]
"""A path or an address that steps read or write."""


class FlowConfiguration(Form):
    """What both flows are configured by.

    Attributes:
        name: What runs are called.
        compute: Where steps run: processes on this machine, AWS Batch, or Kubernetes.
        image: Image of all steps that name none of their own.
        machines: What each step needs, by its name; ``default`` holds for those that are not named, and for what those
            that are named leave out.
        batch, kubernetes: Settings of these engines.
        packages: What is installed for each step; ``None``: what the image or this machine has.
        schedule: When the deployed flow starts by itself; ``None``: when somebody starts it.
    """

    name: str
    compute: Compute = "local"
    image: str | None = None
    machines: dict[str, Machine] = Field(default_factory=dict)
    batch: Batch = Batch()
    kubernetes: Kubernetes = Kubernetes()
    packages: Packages | None = None
    schedule: Schedule | None = None

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError("expected letters, digits, dots, dashes and underscores")
        return name

    @field_validator("machines")
    @classmethod
    def _are_steps(cls, machines: dict[str, Machine], info: ValidationInfo) -> dict[str, Machine]:
        problems = []
        unknown = sorted(set(machines) - {"default", *cls.steps()})
        if unknown:
            problems.append(
                f"expected steps of the flow ({', '.join(cls.steps())}) or default, found {', '.join(unknown)}"
            )
        needed = sorted({name for name, one in machines.items() if one.catch} & {*cls.steps()} - {*cls.catchable()})
        if needed:
            problems.append(f"catch: expected steps that the flow can go on without, found {', '.join(needed)}")
        if info.data.get("compute") == "batch":
            problems += [
                f"{name}.timeout_minutes: AWS Batch takes 1 at least, found {one.timeout_minutes:g}"
                for name, one in machines.items()
                if one.timeout_minutes is not None and one.timeout_minutes < 1
            ]
        if problems:
            raise ValueError("; ".join(problems))
        return machines

    @field_serializer("machines")
    def _keeps_what_is_said(self, machines: dict[str, Machine]) -> dict[str, Any]:
        """Leaves out what a machine does not say: written out, its defaults would win over those of ``default``."""
        return {name: machine.model_dump(mode="json", exclude_unset=True) for name, machine in machines.items()}

    @field_validator("schedule")
    @classmethod
    def _fits_the_engine(cls, schedule: Schedule | None, info: ValidationInfo) -> Schedule | None:
        if schedule is None or info.data.get("compute") != "batch":
            return schedule
        if not schedule.is_utc:
            raise ValueError(
                "timezone: AWS Step Functions, which start what runs on AWS Batch, know UTC alone; leave it out"
            )
        schedule.eventbridge()
        return schedule

    @classmethod
    def steps(cls) -> tuple[str, ...]:
        """The names of the flow's steps."""
        return ()

    @classmethod
    def catchable(cls) -> tuple[str, ...]:
        """The steps that the flow can go on without."""
        return ()

    def machine(self, step: str) -> Machine:
        """What a step needs: what is said of it, then what ``default`` says, then what :class:`Machine` says."""
        said: dict[str, Any] = {}
        for name in ("default", step):
            if name in self.machines:
                said |= self.machines[name].model_dump(exclude_unset=True)
        if step not in self.catchable():
            said.pop("catch", None)
        return Machine(**said)
