from __future__ import annotations

import pytest

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.training.detector import TrainingSettings, check_settings


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        pytest.param(TrainingSettings(model="yolo11n"), UsageError, "--model", id="model"),
        pytest.param(TrainingSettings(tile_size=650), UsageError, "--tile-size", id="tile size"),
        pytest.param(TrainingSettings(weights="none.pt"), SporeYoloError, "--weights", id="weights"),
        pytest.param(TrainingSettings(device="7"), UsageError, "--device", id="device"),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_is_written(
    settings: TrainingSettings, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_settings(settings)
