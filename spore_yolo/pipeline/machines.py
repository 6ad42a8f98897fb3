"""What a step runs on: the part of a configuration that both flows share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Form(BaseModel):
    """A part of a configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(Form):
    """What one step needs, and what happens when it fails.

    Attributes:
        cpu: Cores.
        gpu: GPUs.
        memory_gb: Memory, in GB of 1,024 MB.
        disk_gb: Room on disk, likewise; Kubernetes alone asks for it.
        shared_memory_gb: Size of ``/dev/shm``, through which torch hands on batches.
        image: The container's image; ``None``: the flow's.
        queue: AWS Batch: the job queue; ``None``: the flow's.
        retries: How often a step that failed is tried again.
        minutes_between_retries: Pause before that.
        timeout_minutes: A step that takes longer has failed; ``None``: no limit.
        catch: Whether the flow goes on without a step that failed for good; its branch then has no result.
        environment: Variables that are set for the step.
    """

    cpu: Annotated[int, Field(ge=1)] = 1
    gpu: Annotated[int, Field(ge=0)] = 0
    memory_gb: Annotated[float, Field(gt=0)] = 4
    disk_gb: Annotated[float, Field(gt=0)] | None = None
    shared_memory_gb: Annotated[float, Field(gt=0)] | None = None
    image: str | None = None
    queue: str | None = None
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    minutes_between_retries: Annotated[float, Field(ge=0)] = 2
    timeout_minutes: Annotated[float, Field(gt=0)] | None = None
    catch: bool = False
    environment: dict[str, str] = {}


class Batch(Form):
    """AWS Batch.

    Attributes:
        queue: Job queue; ``None``: the one of the Metaflow configuration.
        iam_role: Role of the container, which must reach the bucket; likewise.
        execution_role: Role for Fargate; likewise.
    """

    queue: str | None = None
    iam_role: str | None = None
    execution_role: str | None = None


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
    secrets: list[str] = []
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    image_pull_secrets: list[str] = []


class Packages(Form):
    """Packages that Metaflow installs for each step, where the image does not have them.

    Attributes:
        manager: ``pypi`` or ``conda``.
        python: Version of Python.
        packages: Versions by name; empty: what spore-yolo needs, in the versions that are installed here.
    """

    manager: Literal["pypi", "conda"]
    python: str = "3.11"
    packages: dict[str, str] = {}


class Schedule(Form):
    """When a deployed flow starts by itself.

    Attributes:
        cron: Minute, hour, day of the month, month, day of the week; ``0 0 * * *`` is midnight.
        timezone: Such as ``Europe/Zurich``; ``None``: UTC. AWS Step Functions know UTC alone.
    """

    cron: str
    timezone: str | None = None

    @field_validator("cron")
    @classmethod
    def _has_five_fields(cls, text: str) -> str:
        parts = text.split()
        if len(parts) != 5 or not all(re.fullmatch(r"[\w*/,\-?]+", part) for part in parts):
            raise ValueError("expected five fields: minute hour day-of-month month day-of-week, as in '0 0 * * *'")
        return " ".join(parts)

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        from zoneinfo import available_timezones

        if name is not None and name not in available_timezones():
            raise ValueError("expected a time zone such as Europe/Zurich or UTC")
        return name

    def eventbridge(self) -> str:
        """The same in the six fields of AWS EventBridge, where one of the two kinds of day must be ``?``.

        Days of the week count from 1 (Sunday) there and from 0 here.

        Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
        """
        minute, hour, day, month, weekday = self.cron.replace("?", "*").split()
        if weekday == "*":
            return f"{minute} {hour} {day} {month} ? *"
        weekday = re.sub(r"(?<!/)\b[0-7]\b", lambda number: str(int(number[0]) % 7 + 1), weekday)
        return f"{minute} {hour} ? {month} {weekday} *"


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
    compute: Literal["local", "batch", "kubernetes"] = "local"
    image: str | None = None
    machines: dict[str, Machine] = {}
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

    @model_validator(mode="after")
    def _fits_the_engine(self) -> FlowConfiguration:
        if self.schedule and self.schedule.timezone not in (None, "UTC") and self.compute == "batch":
            raise ValueError(
                "schedule.timezone: AWS Step Functions, which schedule compute: batch, know UTC alone; leave it out"
            )
        named = set(self.machines) - {"default", *self.steps()}
        if named:
            raise ValueError(
                f"machines: expected steps of the flow ({', '.join(self.steps())}) or default, found"
                f" {', '.join(sorted(named))}"
            )
        return self

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
