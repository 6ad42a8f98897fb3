"""What the steps of the prediction flow hand on to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spore_yolo.pipeline.estimate import Estimate
from spore_yolo.pipeline.slides import Shard
from spore_yolo.prediction.summary import Failure


@dataclass(frozen=True)
class Plan:
    """What the flow is going to do.

    Attributes:
        output: Folder or address for the results.
        shards: Who looks at which slides.
        estimate: What it will take.
    """

    output: str
    shards: list[Shard]
    estimate: Estimate

    @property
    def numbers(self) -> list[int]:
        """The numbers of the shards, which the flow's branches are told."""
        return [shard.number for shard in self.shards]


@dataclass(frozen=True)
class ShardReport:
    """What a task did.

    Attributes:
        number: Of its shard.
        seconds: What it took.
        looked: Seconds of each slide that it looked at.
        failures: Slides that cannot be read.
        machine: Where it ran.
    """

    number: int
    seconds: float
    looked: dict[str, float]
    failures: list[Failure]
    machine: str


@dataclass(frozen=True)
class Results:
    """What the flow found.

    Attributes:
        text: What ``spore-yolo predict`` prints at the end.
        counts: Detections of each class over all slides, and ``all``.
        targets: The classes that the user is after.
        slides: How many slides were looked at.
        failures: The others.
        notes: Notes and warnings, a line each.
        took: What it took, beside the estimate.
        slowest: Seconds of the slides that took longest.
        machines: Where each shard ran, and what it took.
        sheets: First page of each class's contact sheets, as JPEG.
    """

    text: str
    counts: dict[str, int]
    targets: list[str]
    slides: int
    failures: list[Failure]
    notes: list[str]
    took: str
    slowest: dict[str, float]
    machines: list[tuple[int, str, float, int]]
    sheets: dict[str, bytes]


def of_branches(plan: Plan, branches: Sequence[Any]) -> tuple[list[ShardReport], dict[int, str]]:
    """What the shards' branches of the flow brought: the reports, and why there is none, by the shard's number.

    Args:
        plan: The flow's.
        branches: What Metaflow hands to a join, in the order of the shards.
    """
    found = [getattr(branch, "report", None) for branch in branches]
    lost = {}
    for number, branch, report in zip(plan.numbers, branches, found, strict=True):
        if report is None:
            reason = str(getattr(getattr(branch, "failure", None), "exception", "") or "no reason is known")
            lost[number] = " ".join(reason.split())
    return [report for report in found if report is not None], lost
