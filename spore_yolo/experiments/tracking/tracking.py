"""What a run tells of itself while it works; it goes to the journal at once and from there to the stores."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spore_yolo.experiments.tracking import flattening
from spore_yolo.experiments.tracking.environment import installed_packages
from spore_yolo.experiments.tracking.journal import RUN, Event, Journal
from spore_yolo.experiments.tracking.settings import EXPERIMENT, TrackingSettings, without_password
from spore_yolo.files.locking import locked
from spore_yolo.files.provenance import code_commit, package_versions

if TYPE_CHECKING:
    from spore_yolo.experiments.tracking.delivery import Delivery

Status = Literal["FINISHED", "FAILED", "KILLED"]

RUNNING_LOCK = "running.lock"


class Part:
    """A part of a run, such as the training of its detector. This one tells nobody anything; see :class:`Tracking`."""

    def parameters(self, values: Mapping[str, Any]) -> None:
        """What the part was asked for; nested mappings become names with dots."""

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Every number in ``values``; nested mappings and lists become names with slashes.

        Args:
            values: The figures; what is no number is left out.
            step: The epoch, from 1 on. An epoch that was told before is not told again, so that a training that is
                resumed may tell all of them. ``None``: the figures are of the part as a whole.
        """

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """The figures of an epoch; see :meth:`metrics`."""
        self.metrics(figures, step=number)

    def tags(self, values: Mapping[str, str]) -> None:
        """Words to find the part by."""

    def dataset(self, name: str, version: str, context: str, lake_version: str | None = None) -> None:
        """What the part worked on.

        Args:
            name: The dataset's name.
            version: Its fingerprint.
            context: ``training``, ``calibration`` or ``evaluation``, with the split where it is one.
            lake_version: The version of the data lake that it was imported from.
        """

    def figure(self, path: Path) -> None:
        """A picture; it is kept as it is now."""

    def figures(self, folder: Path) -> None:
        """All pictures that lie in a folder, in the order of their names; none if it does not exist."""
        for path in sorted(folder.glob("*")):
            if path.suffix.lower() in (".png", ".jpg", ".jpeg") and path.is_file():
                self.figure(path)

    def artifact(self, path: Path, name: str) -> None:
        """A file, or a folder with all it holds; it is kept as it is now.

        Args:
            path: The file or folder.
            name: What to call it in the store, such as ``pair``.
        """


class _JournalPart(Part):
    """A part that goes to the journal.

    Attributes:
        start: Number of its first ``start`` event, which tells it from others of the same name.
    """

    def __init__(self, tracking: Tracking, name: str, start: int, steps: Iterable[int]) -> None:
        self._tracking, self._name, self.start = tracking, name, start
        self._steps = set(steps)

    def _append(self, kind: Any, payload: Mapping[str, Any]) -> None:
        self._tracking.journal.append(self._name, kind, {"of": self.start, **payload})

    def parameters(self, values: Mapping[str, Any]) -> None:
        self._append("parameters", {"values": flattening.parameters(values)})

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        if step is not None and step in self._steps:
            return
        self._append("metrics", {"values": flattening.numbers(values), "step": step})
        if step is not None:
            self._steps.add(step)
            self._tracking.deliver()

    def tags(self, values: Mapping[str, str]) -> None:
        self._append("tags", {"values": dict(values)})

    def dataset(self, name: str, version: str, context: str, lake_version: str | None = None) -> None:
        about = {"name": name, "version": version, "context": context, "lake_version": lake_version}
        self._append("dataset", about)

    def figure(self, path: Path) -> None:
        self._tracking.journal.keep(self._name, "figure", path, path.name, of=self.start)

    def artifact(self, path: Path, name: str) -> None:
        self._tracking.journal.keep(self._name, "artifact", path, name, of=self.start)

    def environment(self) -> None:
        """Keeps the versions of all packages that are installed."""
        text = installed_packages()
        self._tracking.journal.keep_text(self._name, "environment", "requirements.txt", text, of=self.start)

    def end(self, status: Status, reason: str | None = None) -> None:
        self._append("end", {"status": status, "reason": reason})


class Tracking:
    """Tracks a run: its journal in ``run_folder / "tracking"``, and the stores that the journal is brought to.

    Nothing is written before the first call, and no call fails because a store cannot be reached: what is not delivered
    stays in the journal, and goes with the next delivery or with ``spore-yolo track``.

    Args:
        run_folder: The run's folder.
        settings: The stores.
        name: The run's name in the stores; ``None``: the folder's.
    """

    def __init__(self, run_folder: Path, settings: TrackingSettings, name: str | None = None) -> None:
        self.run_folder, self.settings = run_folder, settings
        self.name = name or run_folder.resolve().name
        self.journal = Journal(run_folder)
        self._delivery: Delivery | None = None
        self._read_only: bool | None = None

    def describe(self, parameters: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> None:
        """What is true of the run as a whole.

        Args:
            parameters: Nested mappings become names with dots.
            tags: Words to find the run by.
        """
        if self._can_write():
            values = flattening.parameters(parameters)
            self.journal.append(RUN, "describe", {"parameters": values, "tags": dict(tags or {})})

    @contextmanager
    def part(self, name: str, label: str = "", resume: bool = False) -> Iterator[Part]:
        """A part of the run, which stores show as a run nested in it.

        It ends as ``FINISHED``; as ``KILLED`` when the user stops it, as ``FAILED`` with any other exception; both are
        raised on. A part whose process was killed ends as ``KILLED`` when the next one begins.

        Args:
            name: ``detector``, ``classifier``, ``calibration``, ``evaluation``.
            label: What tells it from others of this name, such as the split.
            resume: Go on with the last part of this name and label, if there is one.
        """
        if not self._can_write():
            yield Part()
            return
        with locked(self.journal.folder / RUNNING_LOCK, wait=False) as alone:
            events = self.journal.read()
            before = _last_start(events, name, label) if resume else None
            if alone:
                self._end_killed(events, but=before)
            about = {"label": label, "commit": code_commit(), "versions": package_versions(), "again": before}
            started = self.journal.append(name, "start", about)
            steps = [
                event.payload["step"] for event in events if event.kind == "metrics" and event.payload["of"] == before
            ]
            part = _JournalPart(self, name, before or started.number, steps)
            part.environment()
            try:
                self.deliver()
                yield part
            except BaseException as error:
                part.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", type(error).__name__)
                self._say_what_remains()
                raise
            part.end("FINISHED")
            self._say_what_remains()

    def deliver(self, final: bool = False) -> list[str]:
        """Tries to bring to the stores what they do not have yet; raises nothing.

        Args:
            final: Try also a store that could not be reached a moment ago, and say what to do about what remains.

        Returns:
            What could not be delivered and why, a line a store; empty if all is there.
        """
        if self._read_only or not self.settings.stores:
            return []
        return self._deliverer().deliver(final)

    @property
    def places(self) -> list[str]:
        """The stores, for messages."""
        return [store.where for store in self._deliverer().stores]

    def _deliverer(self) -> Delivery:
        if self._delivery is None:
            from spore_yolo.experiments.tracking.delivery import Delivery

            self._delivery = Delivery(self.journal, self.settings, self.name)
        return self._delivery

    def _say_what_remains(self) -> None:
        remains = self.deliver(final=True)
        for line in remains:
            print(f"warning: tracking: {line}")
        if remains:
            print(f"nothing is lost; bring it there later with: {self.again}")

    @property
    def again(self) -> str:
        """The command that brings to the stores what they do not have yet."""
        words = ["spore-yolo", "track", str(self.run_folder)]
        stores = self.settings.stores
        if stores != ("mlflow",):
            words += ["--tracking", "both" if len(stores) > 1 else stores[0]]
        if self.settings.mlflow_uri:
            words += ["--tracking-uri", without_password(self.settings.mlflow_uri)]
        if self.settings.experiment != EXPERIMENT:
            words += ["--experiment", self.settings.experiment]
        return shlex.join(words)

    def end_killed(self) -> None:
        """Notes parts as ``KILLED`` whose process is no more."""
        with locked(self.journal.folder / RUNNING_LOCK, wait=False) as alone:
            if alone:
                self._end_killed(self.journal.read(), but=None)

    def _end_killed(self, events: list[Event], but: int | None) -> None:
        for start, name in open_parts(events).items():
            if start != but:
                _JournalPart(self, name, start, ()).end("KILLED", "the process ended without a word")

    def _can_write(self) -> bool:
        """Whether the run's folder takes a journal; a run that is only read, such as a colleague's, may not."""
        if self._read_only is None:
            try:
                self.journal.folder.mkdir(parents=True, exist_ok=True)
                with self.journal.path.open("ab"):
                    pass
                self._read_only = False
            except OSError as error:
                if not isinstance(error, PermissionError) and error.errno != errno.EROFS:
                    raise
                self._read_only = True
                print(f"warning: {self.journal.path}: {error.strerror}; this is not tracked")
        return not self._read_only


class _NoTracking(Tracking):
    """Tracks nothing."""

    def __init__(self) -> None:
        super().__init__(Path(), TrackingSettings(stores=()), "none")

    def _can_write(self) -> bool:
        return False

    def deliver(self, final: bool = False) -> list[str]:
        return []

    def end_killed(self) -> None:
        pass


NO_TRACKING: Tracking = _NoTracking()
"""Tracks nothing, writes nothing and imports nothing."""


def open_parts(events: Iterable[Event]) -> dict[int, str]:
    """The names of the parts that began and did not end, by the number of their first ``start`` event."""
    parts: dict[int, str] = {}
    for event in events:
        if event.kind == "start":
            parts[event.payload["again"] or event.number] = event.part
        elif event.kind == "end":
            parts.pop(event.payload["of"], None)
    return parts


def _last_start(events: Iterable[Event], name: str, label: str) -> int | None:
    numbers = [
        event.payload["again"] or event.number
        for event in events
        if event.kind == "start" and event.part == name and event.payload["label"] == label
    ]
    return numbers[-1] if numbers else None
