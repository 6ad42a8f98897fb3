"""MLflow as a replay of a journal: a run with its parts nested in it."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spore_yolo import __version__
from spore_yolo.experiments.tracking.environment import variables_set
from spore_yolo.experiments.tracking.journal import Event, Journal
from spore_yolo.experiments.tracking.settings import TrackingSettings, without_password
from spore_yolo.experiments.tracking.state import State
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.locking import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
"""The default store and its files, in the folder of all runs."""

DEFAULT = "the folder of runs"
PARENT = "0"

# What MLflow's client waits for by itself is minutes; a training must not. What the user set stays.
SHORT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

MAX_PARAMETERS, MAX_METRICS = 100, 1000
"""Most of them in one request, by MLflow's rules."""

MAX_NAME, MAX_PARAMETER, MAX_TAG = 250, 6000, 5000
"""Longest name and values that MLflow takes; the last in every version."""


class MlflowStore:
    """MLflow, by its client alone, so that nothing global of MLflow's is touched.

    Args:
        journal: The journal.
        settings: Which MLflow.
        name: The run's name.
    """

    def __init__(self, journal: Journal, settings: TrackingSettings, name: str) -> None:
        self._journal, self._name, self._experiment = journal, name, settings.experiment
        self._runs = journal.folder.resolve().parent.parent
        given = settings.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._uri = given or f"sqlite:///{self._runs / DATABASE}"
        self._own = given is None
        self._opened: tuple[MlflowClient, str] | None = None

    @property
    def where(self) -> str:
        """MLflow and its place."""
        return f"MLflow at {without_password(self._uri)}"

    @property
    def key(self) -> str:
        """The tracking URI; the default store may move with its runs."""
        return f"{DEFAULT if self._own else without_password(self._uri)}, {self._experiment}"

    def bring(self, events: list[Event], state: State, save: Callable[[], None]) -> None:
        """See :class:`spore_yolo.experiments.tracking.state.Store`."""
        if not events or (self._opened is not None and state.position >= len(events)):
            return
        if importlib.util.find_spec("mlflow") is None:
            raise SporeYoloError("mlflow is not installed; pip install 'spore-yolo[tracking]'")
        with _quiet():
            client, experiment = self._open(state)
            replay = _Replay(client, experiment, self._journal, self._name, state, events[0].payload["id"])
            for event in events[state.position :]:
                replay.apply(event)
                state.position = event.number
                save()

    def _open(self, state: State) -> tuple[MlflowClient, str]:
        """The client and the experiment's id; makes the store and the experiment where they are missing."""
        if self._opened is None:
            from mlflow import MlflowClient

            logging.getLogger("mlflow").setLevel(logging.ERROR)  # its import sets another level
            if self._uri.startswith("sqlite:///"):
                database = Path(self._uri.removeprefix("sqlite:///"))
                # Two runs that begin at once must not both make it.
                with locked(database.with_name(f".{database.name}.lock")):
                    client = MlflowClient(tracking_uri=self._uri)
                    experiment = self._find_experiment(client, (database.parent / ARTIFACTS).resolve().as_uri())
            else:
                client = MlflowClient(tracking_uri=self._uri)
                served = self._uri.startswith(("http://", "https://", "databricks"))
                experiment = self._find_experiment(client, None if served else (self._runs / ARTIFACTS).as_uri())
            _check_run(client, state)
            self._opened = client, experiment
        return self._opened

    def _find_experiment(self, client: MlflowClient, artifacts: str | None) -> str:
        known = client.get_experiment_by_name(self._experiment)
        if known is None:
            # Said here, MLflow's pages need not guess whether these are trainings or language models.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return str(client.create_experiment(self._experiment, artifact_location=artifacts, tags=kind))
        if known.lifecycle_stage == "deleted":
            raise SporeYoloError(
                f"the experiment {self._experiment!r} was deleted there; restore it (mlflow experiments restore"
                f" --experiment-id {known.experiment_id}), or take another --experiment"
            )
        return str(known.experiment_id)


class _Replay:
    """Applies events to MLflow, each so that applying it twice does no harm."""

    def __init__(
        self, client: MlflowClient, experiment: str, journal: Journal, name: str, state: State, journal_id: str
    ) -> None:
        self._client, self._experiment, self._journal = client, experiment, journal
        self._name, self._state, self._id = name, state, journal_id

    def apply(self, event: Event) -> None:
        """Applies one event."""
        payload = event.payload
        if event.kind == "begin":
            self._run(PARENT, event, self._name, {})
        elif event.kind == "describe":
            self._parameters(self._state.runs[PARENT], payload["parameters"])
            self._tags(self._state.runs[PARENT], payload["tags"])
        elif event.kind == "start":
            self._start(event)
        else:
            run = self._state.runs[str(payload["of"])]
            if event.kind == "parameters":
                self._parameters(run, payload["values"])
            elif event.kind == "metrics":
                self._metrics(run, event)
            elif event.kind == "tags":
                self._tags(run, payload["values"])
            elif event.kind == "dataset":
                self._dataset(run, payload)
            elif event.kind == "figure":
                self._client.log_artifact(run, str(self._journal.file_of(event)), "figures")
            elif event.kind == "artifact":
                self._artifact(run, event)
            elif event.kind == "end":
                self._end(run, event)

    def _run(self, start: str, event: Event, name: str, tags: Mapping[str, str]) -> str:
        """The run that began with an event; made if it is not there."""
        if start not in self._state.runs:
            own = {"spore_yolo.journal": self._id, "spore_yolo.start": start}
            wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in own.items())
            found = self._client.search_runs([self._experiment], wanted, max_results=1)
            source = {"mlflow.source.name": f"spore-yolo {__version__}", "mlflow.source.type": "LOCAL"}
            run = (
                found[0]
                if found
                else self._client.create_run(self._experiment, event.milliseconds, {**own, **source, **tags}, name)
            )
            self._state.runs[start] = run.info.run_id
        return str(self._state.runs[start])

    def _start(self, event: Event) -> None:
        label, commit = event.payload["label"], event.payload["commit"]
        tags = {"mlflow.parentRunId": self._state.runs[PARENT], "spore_yolo.part": event.part}
        run = self._run(str(event.payload["again"] or event.number), event, f"{event.part} {label}".strip(), tags)
        about = {f"version.{name}": version for name, version in event.payload["versions"].items()}
        if commit:
            about["mlflow.source.git.commit"] = commit.removesuffix("-dirty")
            about["mlflow.source.git.dirty"] = str(commit.endswith("-dirty")).lower()
        self._tags(run, about)
        for one in (run, self._state.runs[PARENT]):
            self._client.update_run(one, status="RUNNING")

    def _end(self, run: str, event: Event) -> None:
        status, reason = event.payload["status"], event.payload["reason"]
        if reason:
            self._tags(run, {"spore_yolo.ended_by": reason})
        for one in (run, self._state.runs[PARENT]):
            self._client.set_terminated(one, status, event.milliseconds)

    def _parameters(self, run: str, values: Mapping[str, Any]) -> None:
        """What MLflow has once stays for ever there; another value of the same name becomes a tag."""
        from mlflow.entities import Param

        known = self._client.get_run(run).data.params
        given = {name: str(value)[:MAX_PARAMETER] for name, value in named(values).items()}
        new = [Param(name, value) for name, value in given.items() if name not in known]
        for part in _portions(new, MAX_PARAMETERS):
            self._client.log_batch(run, params=part, synchronous=True)
        self._tags(run, {f"changed.{name}": value for name, value in given.items() if known.get(name, value) != value})

    def _metrics(self, run: str, event: Event) -> None:
        from mlflow.entities import Metric

        step = event.payload["step"] or 0
        values = named(event.payload["values"])
        metrics = [Metric(name, float(value), event.milliseconds, step) for name, value in values.items()]
        for part in _portions(metrics, MAX_METRICS):
            self._client.log_batch(run, metrics=part, synchronous=True)

    def _tags(self, run: str, values: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(name, str(value)[:MAX_TAG]) for name, value in named(values).items()]
        for part in _portions(tags, MAX_PARAMETERS):
            self._client.log_batch(run, tags=part, synchronous=True)

    def _dataset(self, run: str, about: Mapping[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"fingerprint": about["version"], "lake_version": about["lake_version"]})
        dataset = Dataset(about["name"], about["version"][:36], "spore-yolo", source)
        tags = {"dataset": about["name"], "dataset_fingerprint": about["version"]}
        if about["lake_version"]:
            tags["lake_version"] = about["lake_version"]
        # Of the run as a whole too, which MLflow's list of runs shows.
        for one in (run, self._state.runs[PARENT]):
            self._client.log_inputs(one, [DatasetInput(dataset, [InputTag("mlflow.data.context", about["context"])])])
            self._tags(one, tags)

    def _artifact(self, run: str, event: Event) -> None:
        path = self._journal.file_of(event)
        if path.is_dir():
            self._client.log_artifacts(run, str(path), event.payload["name"])
        else:
            self._client.log_artifact(run, str(path), event.payload["name"])


def _check_run(client: MlflowClient, state: State) -> None:
    """Begins anew where the store no longer knows the run.

    Raises:
        SporeYoloError: The run lies in the store's waste basket.
    """
    from mlflow.exceptions import MlflowException

    if PARENT not in state.runs:
        return
    try:
        run = client.get_run(state.runs[PARENT])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        state.position, state.runs = 0, {}
        return
    if run.info.lifecycle_stage == "deleted":
        raise SporeYoloError(
            f"the run was deleted there; bring it back with mlflow runs restore --run-id {run.info.run_id}"
        )


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by names that MLflow takes, one each: other characters become underscores, long names end in a number."""
    given: dict[str, Any] = {}
    for name, value in values.items():
        parts = [re.sub(r"[^\w.\- ]", "_", part).strip() for part in name.split("/")]
        clean = "/".join(part if part.strip(".") else "_" * max(1, len(part)) for part in parts)[:MAX_NAME]
        clean = clean.rstrip("/") or "_"
        number = 2
        unique = clean
        while unique in given:
            unique = f"{clean[: MAX_NAME - 8]}_{number}"
            number += 1
        given[unique] = value
    return given


def _portions(values: list[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(values)
    while portion := list(islice(iterator, size)):
        yield portion


@contextmanager
def _quiet() -> Iterator[None]:
    """Short waits, no usage statistics, no log lines; what the user set in the environment stays."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    with variables_set(SHORT):
        yield
