"""``tracking`` of ``pipeline.yaml``: where a flow's runs are tracked, and what variables say of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import ValidationInfo, field_validator

from spore_yolo.experiments.tracking import TrackingSettings
from spore_yolo.experiments.tracking.settings import without_password
from spore_yolo.experiments.tracking.variables import said_by_variables
from spore_yolo.files.errors import UsageError

if TYPE_CHECKING:
    from spore_yolo.pipeline.configuration import TrainingConfiguration

MLFLOW_VARIABLE = "MLFLOW_TRACKING_URI"

NO_PASSWORD = (
    "expected a URI without user and password, which would lie in plain text in what is stored and deployed; give them"
    " to the steps as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD: on this machine as variables, on others by"
    " batch.secrets or kubernetes.secrets"
)


class FlowTrackingSettings(TrackingSettings):
    """Where a flow's runs are tracked; see :class:`TrackingSettings`."""

    @field_validator("mlflow_uri")
    @classmethod
    def _holds_no_password(cls, uri: str | None) -> str | None:
        if uri is not None and without_password(uri) != uri:
            raise ValueError(NO_PASSWORD)
        return uri


def check_store(uri: str | None, info: ValidationInfo) -> None:
    """Refuses an MLflow store on this machine's disk where steps run on others.

    Args:
        uri: MLflow's tracking URI.
        info: What is known of the configuration already, its ``compute`` among it.

    Raises:
        ValueError: Other machines do not see it.
    """
    compute = info.data.get("compute", "local")
    if uri is not None and compute != "local" and _is_on_disk(uri):
        raise ValueError(
            f"mlflow_uri: expected the address of a server, found {uri}: compute: {compute} runs steps on machines that"
            " do not see this one's disk"
        )


def of_variables(configuration: TrainingConfiguration) -> TrainingConfiguration:
    """The configuration with what variables say of tracking where the file says nothing, as the commands have it.

    It is decided where a flow is started, and handed on to the steps, which may run where there are no such variables.

    Args:
        configuration: What the file says.

    Raises:
        UsageError: A variable holds what cannot be, or a password that would be handed on.
    """
    tracking = configuration.tracking
    if tracking is None:
        return configuration
    given = tracking.model_fields_set
    said = said_by_variables(given)
    if said.get("stores") == ():
        return configuration.model_copy(update={"tracking": None})
    uri = os.environ.get(MLFLOW_VARIABLE)
    # On this machine the steps inherit the variable, which MLflow looks at itself.
    if uri and "mlflow_uri" not in given and configuration.compute != "local" and not _is_on_disk(uri):
        if without_password(uri) != uri:
            raise UsageError(f"{MLFLOW_VARIABLE}: {NO_PASSWORD}")
        said["mlflow_uri"] = uri
    return configuration.model_copy(update={"tracking": tracking.model_copy(update=said)})


def _is_on_disk(uri: str) -> bool:
    return uri.startswith(("sqlite:", "file:")) or ("://" not in uri and not uri.startswith("databricks"))
