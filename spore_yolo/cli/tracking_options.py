"""The options that say where a run is tracked."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spore_yolo.experiments.tracking import Tracking, TrackingSettings

VARIABLE = "SPORE_YOLO_TRACKING"
"""The environment variable that holds the default of ``--tracking``."""

CHOICES = ("mlflow", "wandb", "both", "none")
OPTIONS = ("tracking", "tracking_uri", "experiment")


def add_tracking(parser: argparse.ArgumentParser) -> None:
    """Adds ``--tracking``, ``--tracking-uri`` and ``--experiment``."""
    group = parser.add_argument_group("tracking")
    group.add_argument(
        "--tracking",
        choices=CHOICES,
        help=f"where the run is tracked (default: ${VARIABLE}, or else mlflow)",
    )
    group.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow's store, such as http://host:5000 (default: $MLFLOW_TRACKING_URI, or else mlflow.db in the folder"
        " of runs)",
    )
    group.add_argument(
        "--experiment",
        metavar="NAME",
        help="MLflow's experiment and W&B's project (default: $MLFLOW_EXPERIMENT_NAME and $WANDB_PROJECT, or else"
        " spore-yolo)",
    )


def chosen_tracking(arguments: argparse.Namespace, run_folder: Path | None) -> Tracking:
    """The tracking of a run as the options say.

    Args:
        arguments: The command line.
        run_folder: The run's folder; ``None`` where the command works on something else, which is not tracked.

    Raises:
        UsageError: The options contradict each other, or what they ask for is not installed.
    """
    from spore_yolo.experiments.tracking import NO_TRACKING, Tracking
    from spore_yolo.files.errors import UsageError

    if run_folder is None:
        given = [name for name in OPTIONS if getattr(arguments, name) not in (None, "none")]
        if given:
            raise UsageError(f"--{given[0].replace('_', '-')}: only a run is tracked; name it with --run")
        return NO_TRACKING
    settings = chosen_settings(arguments)
    return Tracking(run_folder, at_hand(settings, run_folder)) if settings.stores else NO_TRACKING


def at_hand(settings: TrackingSettings, run_folder: Path) -> TrackingSettings:
    """The settings with the embedded store in ``runs`` here where the run's own folder is in the data lake.

    Beside the mirror of such a run nobody would look for it.
    """
    from spore_yolo.files.lake import remote_of

    if remote_of(run_folder) is None or settings.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return settings
    database = Path("runs", "mlflow.db").resolve()
    database.parent.mkdir(exist_ok=True)
    return settings.model_copy(update={"mlflow_uri": f"sqlite:///{database}"})


def chosen_settings(arguments: argparse.Namespace) -> TrackingSettings:
    """The settings as the options say; without stores where nothing is to be tracked.

    Raises:
        UsageError: The options contradict each other, or what they ask for is not installed.
    """
    import importlib.util

    from spore_yolo.experiments.tracking import TrackingSettings
    from spore_yolo.experiments.tracking.variables import STORES_OF, said_by_variables
    from spore_yolo.files.errors import UsageError

    given = {"stores"} if arguments.tracking else set()
    said = {"stores": STORES_OF[arguments.tracking or "mlflow"], **said_by_variables(given)}
    stores = said["stores"]
    choice = arguments.tracking or os.environ.get(VARIABLE) or "mlflow"
    if arguments.tracking_uri and "mlflow" not in stores:
        raise UsageError(f"--tracking-uri is of MLflow, and --tracking is {choice}; leave one of them out")
    missing = [name for name in stores if importlib.util.find_spec(name) is None]
    if missing and (arguments.tracking or os.environ.get(VARIABLE)):
        raise UsageError(f"--tracking {choice}: {' and '.join(missing)} is missing; pip install 'spore-yolo[tracking]'")
    if arguments.experiment:
        said |= {"experiment": arguments.experiment, "wandb_project": arguments.experiment}
    return TrackingSettings.model_validate({**said, "mlflow_uri": arguments.tracking_uri})
