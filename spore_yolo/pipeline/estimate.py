"""What a prediction flow will take, told before it begins: slides x measured seconds x the price of a machine hour."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.wording import many

HOUR = 3600

SAMPLE = 3
"""Slides that are looked at to measure."""

TRIES = 6
"""Slides that are tried for that: some may be broken."""

ENOUGH_SECONDS = 60
"""No further slide is measured after this time."""


@dataclass(frozen=True)
class Price:
    """What machines cost.

    Attributes:
        per_hour: One machine, an hour; ``None``: not known.
        currency: Stated in this.
        most: The most that a run may cost; ``None``: no limit.
    """

    per_hour: float | None = None
    currency: str = "USD"
    most: float | None = None

    def of(self, seconds: float) -> float | None:
        """What so many machine seconds cost."""
        return None if self.per_hour is None else seconds / HOUR * self.per_hour

    def text(self, seconds: float) -> str:
        """The same for people; empty where no price is known."""
        cost = self.of(seconds)
        return "" if cost is None else f"{cost:,.2f} {self.currency}"


@dataclass(frozen=True)
class Estimate:
    """What is left to do, and what it will take.

    Attributes:
        slides: How many there are.
        done: How many of them are done, those that were measured included.
        measured: Seconds that each measured slide took, by its name, in the order in which they were looked at.
        loading: Seconds until the pair was loaded.
        shards: How many tasks share what is left.
        share_machine: Whether all tasks run on one machine.
        machine: Where it was measured.
        price: What machines cost.
    """

    slides: int
    done: int
    measured: Mapping[str, float]
    loading: float
    shards: int
    share_machine: bool
    machine: str
    price: Price

    @property
    def left(self) -> int:
        """Slides that are still to be looked at."""
        return self.slides - self.done

    @property
    def seconds_per_slide(self) -> float | None:
        """Median of what was measured; ``None`` without any."""
        return statistics.median(self.measured.values()) if self.measured else None

    @property
    def seconds_per_shard(self) -> float:
        """What each shard takes before it is at speed: the pair is loaded, and the first slide takes longer."""
        first = next(iter(self.measured.values()), 0.0)
        return self.loading + max(0.0, first - (self.seconds_per_slide or 0.0))

    @property
    def machine_seconds(self) -> float | None:
        """Over all machines; ``None`` where it cannot be told."""
        if self.left and self.seconds_per_slide is None:
            return None
        return self.left * (self.seconds_per_slide or 0.0) + self.shards * self.seconds_per_shard

    @property
    def wall_seconds(self) -> float | None:
        """Until the last shard is done, with all at the same time; each has its own machine unless they share one."""
        if self.machine_seconds is None or self.share_machine:
            return self.machine_seconds
        return self.machine_seconds / self.shards

    def check(self) -> None:
        """Stops what would cost too much.

        Raises:
            SporeYoloError: It would, or that cannot be told.
        """
        if self.price.most is None:
            return
        limit = f"most_cost: {self.price.most:,.2f} {self.price.currency}"
        if self.machine_seconds is None:
            raise SporeYoloError(
                f"no slide of those that were tried could be looked at, so nothing says whether the run stays within"
                f" {limit}; mend the slides, or leave out most_cost"
            )
        cost = self.price.of(self.machine_seconds)
        if cost is not None and cost > self.price.most:
            raise SporeYoloError(
                f"the run is estimated to cost {cost:,.2f} {self.price.currency}, above {limit}; raise it, or name"
                " fewer slides. No shard was started; what was measured is kept"
            )

    def lines(self) -> list[str]:
        """The estimate, and what it is made of."""
        lines = [f"{many(self.slides, 'slide')}, of which {self.done:,} are done, in {many(self.shards, 'shard')}"]
        if self.measured:
            each = ", ".join(f"{name} {duration(seconds)}" for name, seconds in self.measured.items())
            lines.append(f"measured on {self.machine}: {each}")
        if self.machine_seconds is None or self.wall_seconds is None:
            return [*lines, "nothing could be measured: no slide of those that were tried could be looked at"]
        slides = f"{many(self.left, 'slide')} x {duration(self.seconds_per_slide or 0.0)} + " if self.left else ""
        shards = f"{many(self.shards, 'shard')} x {duration(self.seconds_per_shard)} to load the pair"
        at_once = (
            "since all shards share the cores of this machine"
            if self.share_machine
            else f"with all {self.shards:,} shards at the same time, and the start of their machines"
        )
        hours, per_hour = self.machine_seconds / HOUR, self.price.per_hour
        lines += [
            f"machine time: {slides}{shards} = {duration(self.machine_seconds)}",
            f"time until done: about {duration(self.wall_seconds)}, {at_once}",
            "costs are not estimated, since no price is configured (price_per_hour)"
            if per_hour is None
            else f"cost: {hours:,.3f} h x {per_hour:g} {self.price.currency} an hour ="
            f" {self.price.text(self.machine_seconds)}",
        ]
        return lines

    def text(self) -> str:
        """The same in one."""
        return "\n  ".join(["estimate:", *self.lines()])

    def against(self, seconds: Sequence[float]) -> str:
        """What it took, beside the estimate.

        Args:
            seconds: Of each task that looked at slides, and succeeded.
        """
        total = sum(seconds)
        parts = [f"took {self._with_cost(total)} in {many(len(seconds), 'shard')}"]
        if self.machine_seconds is not None:
            parts.append(f"estimated: {self._with_cost(self.machine_seconds)}")
        if self.share_machine and len(seconds) > 1:
            parts.append("shards that ran at the same time shared this machine, and each of them took longer for it")
        return "; ".join(parts)

    def _with_cost(self, seconds: float) -> str:
        cost = self.price.text(seconds)
        return f"{duration(seconds)} of machine time" + (f" ({cost})" if cost else "")


def sample_order(sizes: Mapping[str, int]) -> list[str]:
    """The slides in the order in which they are tried for a measurement: those of about the median size first.

    Args:
        sizes: Bytes of each slide.
    """
    middle = statistics.median(sizes.values()) if sizes else 0
    return sorted(sizes, key=lambda name: abs(sizes[name] - middle))[:TRIES]


def this_machine(backend: str, device: str) -> str:
    """The machine that this runs on, for messages.

    Args:
        backend: What runs the networks.
        device: Where they run, as torch calls it.
    """
    name = platform.node() or "this machine"
    return f"{name} ({core_count()} cores, {platform.machine()}, {backend} on {device})"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    if seconds < HOUR:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / HOUR:,.1f} h"
