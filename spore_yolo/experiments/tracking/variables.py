"""What environment variables say of tracking: for commands and flows alike, where nothing else says it."""

from __future__ import annotations

import os
from collections.abc import Container
from typing import Any

from spore_yolo.experiments.tracking.settings import StoreName
from spore_yolo.files.errors import UsageError

VARIABLE = "SPORE_YOLO_TRACKING"
"""The variable that names the stores."""

STORES_OF: dict[str, tuple[StoreName, ...]] = {
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "both": ("mlflow", "wandb"),
    "none": (),
}
"""What may be chosen, and the stores that it stands for."""

NAMES = {"experiment": "MLFLOW_EXPERIMENT_NAME", "wandb_project": "WANDB_PROJECT"}


def said_by_variables(given: Container[str] = ()) -> dict[str, Any]:
    """What the variables say, by the names of :class:`~spore_yolo.experiments.tracking.TrackingSettings`.

    MLflow itself looks at ``MLFLOW_TRACKING_URI``.

    Args:
        given: What is said otherwise; the variables for it have no say.

    Raises:
        UsageError: ``SPORE_YOLO_TRACKING`` is none of the choices.
    """
    said: dict[str, Any] = {}
    choice = os.environ.get(VARIABLE)
    if choice and "stores" not in given:
        if choice not in STORES_OF:
            raise UsageError(f"{VARIABLE}: expected one of {', '.join(STORES_OF)}, found {choice!r}")
        said["stores"] = STORES_OF[choice]
    for key, name in NAMES.items():
        if os.environ.get(name) and key not in given:
            said[key] = os.environ[name]
    if os.environ.get("WANDB_MODE") == "online" and "wandb_mode" not in given:
        said["wandb_mode"] = "online"
    return said
