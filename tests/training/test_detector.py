from __future__ import annotations

from pathlib import Path

import pytest

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.ultralytics_setup import import_ultralytics
from spore_yolo.training.detector import TrainingSettings, _starting_model, check_settings


def test_weights_of_the_same_model_are_taken(untrained_checkpoint: Path) -> None:
    _, start = _starting_model(import_ultralytics(), TrainingSettings(weights=untrained_checkpoint), 1)
    assert start == "the weights in untrained.pt (355 of 355 tensors)"


def test_weights_of_another_model_are_refused(untrained_checkpoint: Path) -> None:
    settings = TrainingSettings(model="yolov8s", weights=untrained_checkpoint)
    with pytest.raises(SporeYoloError, match="tensors of yolov8s fit"):
        _starting_model(import_ultralytics(), settings, 1)


def test_without_a_network_training_starts_from_scratch_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ultralytics.utils import downloads

    def unreachable(*arguments: object, **options: object) -> None:
        raise ConnectionError("no network")

    for name in ("safe_download", "get_github_assets"):
        monkeypatch.setattr(downloads, name, unreachable)
    _, start = _starting_model(import_ultralytics(), TrainingSettings(), 1)
    printed = capsys.readouterr().out
    if start == "scratch":
        assert "warning: the pretrained weights yolov8n.pt cannot be reached" in printed
        assert "--weights" in printed
    else:  # they lie in this user's cache already
        assert start.startswith("the pretrained weights yolov8n.pt")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        pytest.param(TrainingSettings(model="yolo11n"), UsageError, "--model", id="model"),
        pytest.param(TrainingSettings(tile_size=650), UsageError, "--tile-size", id="tile size"),
        pytest.param(TrainingSettings(weights=Path("none.pt")), SporeYoloError, "--weights", id="weights"),
        pytest.param(TrainingSettings(device="7"), UsageError, "--device", id="device"),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_is_written(
    settings: TrainingSettings, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_settings(settings)
