"""Where runs are tracked."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field

StoreName = Literal["mlflow", "wandb"]

EXPERIMENT = "spore-yolo"
"""The experiment in MLflow and the project in W&B, unless another is named."""


class TrackingSettings(BaseModel):
    """Where runs are tracked, and under which name.

    Attributes:
        stores: ``mlflow``, ``wandb``, both, or neither: then the journal is kept in the run's folder and brought
            nowhere, until ``spore-yolo track`` does that, or another step on another machine.
        mlflow_uri: MLflow's tracking URI; ``None``: ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` in the folder of
            runs.
        experiment: MLflow's experiment.
        wandb_project: W&B's project.
        wandb_mode: ``offline`` writes W&B's own files into the run's folder; ``online`` sends them too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stores: tuple[StoreName, ...] = ("mlflow",)
    mlflow_uri: str | None = None
    experiment: str = Field(default=EXPERIMENT, min_length=1)
    wandb_project: str = Field(default=EXPERIMENT, min_length=1)
    wandb_mode: Literal["offline", "online"] = "offline"


def without_password(uri: str) -> str:
    """A tracking URI without user and password, as it may be printed and stored."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri
