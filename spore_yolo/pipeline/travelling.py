"""What goes on beside a training in a flow: tracking that knows the flow, and checkpoints that go to the data lake."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spore_yolo.experiments.tracking import NO_TRACKING, Part, Tracking, TrackingSettings
from spore_yolo.files.lake import is_remote
from spore_yolo.pipeline.beginning import Branch
from spore_yolo.pipeline.configuration import TrainingConfiguration
from spore_yolo.pipeline.workplace import kept_on_the_way

MINUTES_BETWEEN = 5.0
"""Training that is lost at most when a machine is taken away, apart from the epoch that was under way."""


class FlowTracking(Tracking):
    """Tracks a branch's run, and says of it which flow it belongs to.

    Args:
        run_folder: The run's folder on this machine.
        settings: The stores.
        branch: The branch.
        tags: Names to find the run by.
    """

    def __init__(self, run_folder: Path, settings: TrackingSettings, branch: Branch, tags: Mapping[str, str]) -> None:
        super().__init__(run_folder, settings, run_folder.name)
        self._branch, self._tags = branch, tags
        self._parameters = {"recipe": branch.recipe, "seed": branch.seed}

    @contextmanager
    def part(self, name: str, label: str = "", resume: bool = False) -> Iterator[Part]:
        """A part of the run; its journal goes to the data lake as it begins, for a machine that takes over here."""
        with super().part(name, label, resume) as part:
            kept_on_the_way(self._branch.run)
            yield part

    def describe(self, parameters: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> None:
        """Adds recipe, seed and flow to what is said of the run."""
        super().describe({**parameters, **self._parameters}, {**(tags or {}), **self._tags})


def now_and_then(address: str) -> Callable[[], None]:
    """What a training calls after each epoch, so that a machine that is taken away leaves its checkpoint to the next.

    Args:
        address: The run's folder; on disk nothing needs to be moved.
    """
    since = time.monotonic()

    def after_epoch() -> None:
        nonlocal since
        if time.monotonic() - since >= 60 * MINUTES_BETWEEN:
            kept_on_the_way(address)
            since = time.monotonic()

    return after_epoch


def tracking_of(
    configuration: TrainingConfiguration, branch: Branch, folder: Path, about: Mapping[str, str]
) -> Tracking:
    """What tells the stores of a branch's run.

    Where runs lie in the data lake, each machine has a mirror of its own; MLflow's embedded store then lies in
    ``runs/`` of the folder that the flow was started in, or, where steps run on machines that are gone afterwards,
    nowhere: the journal travels with the run, and ``spore-yolo track`` delivers it.

    Args:
        configuration: The configuration.
        branch: The branch.
        folder: Its run's folder on this machine.
        about: Names to find the run by.
    """
    if configuration.tracking is None:
        return NO_TRACKING
    settings = configuration.tracking
    embedded = settings.mlflow_uri is None and not os.environ.get("MLFLOW_TRACKING_URI")
    if is_remote(configuration.runs) and "mlflow" in settings.stores and embedded:
        if configuration.compute == "local":
            place = Path("runs").resolve()
            place.mkdir(exist_ok=True)
            settings = settings.model_copy(update={"mlflow_uri": f"sqlite:///{place / 'mlflow.db'}"})
        else:
            settings = settings.model_copy(update={"stores": tuple(s for s in settings.stores if s != "mlflow")})
    return FlowTracking(folder, settings, branch, about)
