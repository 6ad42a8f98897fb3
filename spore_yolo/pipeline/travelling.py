"""Tracking of a run that a flow makes: it knows the flow, and brings what a training could go on from to the lake."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spore_yolo.experiments.tracking import Tracking, TrackingSettings
from spore_yolo.files.lake import is_remote
from spore_yolo.pipeline.beginning import Branch
from spore_yolo.pipeline.configuration import TrainingConfiguration
from spore_yolo.pipeline.workplace import kept_on_the_way

MINUTES_BETWEEN = 5.0
"""Training that is lost at most when a machine is taken away, apart from the epoch that was under way."""


class FlowTracking(Tracking):
    """Tracks a run, and says of it which flow it belongs to.

    Args:
        run_folder: The run's folder.
        settings: The stores.
        parameters, tags: What is true of the run as a whole.
        on_the_way: Is called every few minutes, right after a checkpoint was saved.
    """

    def __init__(
        self,
        run_folder: Path,
        settings: TrackingSettings,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        on_the_way: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(run_folder, settings, run_folder.name)
        self._parameters, self._tags, self._on_the_way = parameters, tags, on_the_way
        self._since = time.monotonic()

    def describe(self, parameters: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> None:
        """Adds recipe, seed and flow to what is said of the run."""
        super().describe({**parameters, **self._parameters}, {**(tags or {}), **self._tags})

    def deliver(self, final: bool = False) -> list[str]:
        """Delivers, and now and then brings the checkpoint that was just saved to the data lake."""
        late = super().deliver(final)
        if self._on_the_way is not None and time.monotonic() - self._since >= 60 * MINUTES_BETWEEN:
            self._on_the_way()
            self._since = time.monotonic()
        return late


def tracking_of(
    configuration: TrainingConfiguration, branch: Branch, folder: Path, about: Mapping[str, str]
) -> Tracking:
    """What tells the stores of a branch's run.

    Where runs lie in the data lake, each machine has a mirror of its own; MLflow's embedded store then lies in ``runs/``
    of the folder that the flow was started in, or, where steps run on machines that are gone afterwards, nowhere: the
    journal travels with the run, and ``spore-yolo track`` delivers it.

    Args:
        configuration: The configuration.
        branch: The branch.
        folder: Its run's folder on this machine.
        about: Names to find the run by.
    """
    settings = configuration.tracking or TrackingSettings(stores=())
    remote = is_remote(configuration.runs)
    embedded = settings.mlflow_uri is None and not os.environ.get("MLFLOW_TRACKING_URI")
    if remote and "mlflow" in settings.stores and embedded:
        if configuration.compute == "local":
            place = Path("runs").resolve()
            place.mkdir(exist_ok=True)
            settings = settings.model_copy(update={"mlflow_uri": f"sqlite:///{place / 'mlflow.db'}"})
        else:
            settings = settings.model_copy(update={"stores": tuple(s for s in settings.stores if s != "mlflow")})
    return FlowTracking(
        folder,
        settings,
        {"recipe": branch.recipe, "seed": branch.seed},
        about,
        on_the_way=(lambda: kept_on_the_way(branch.run)) if remote else None,
    )
