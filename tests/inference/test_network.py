from __future__ import annotations

from pathlib import Path

import pytest

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.network import load_network


def test_names_come_in_the_order_of_their_numbers(untrained_checkpoint: Path, untrained_classifier: Path) -> None:
    assert load_network(untrained_checkpoint, "detect", "cpu")[2] == ["spore"]
    network, device, names = load_network(untrained_classifier, "classify", "cpu")
    assert names == ["debris", "rust", "smut"]
    assert device.type == "cpu"
    assert not network.training


@pytest.mark.parametrize(
    ("content", "task", "message"),
    [
        pytest.param(None, "detect", "no such file; expected a YOLOv8 detector", id="missing"),
        pytest.param(b"nothing", "classify", "damaged, or no YOLOv8 classifier", id="no checkpoint"),
    ],
)
def test_what_cannot_be_loaded_is_named(tmp_path: Path, content: bytes | None, task: str, message: str) -> None:
    path = tmp_path / "some.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SporeYoloError, match=message):
        load_network(path, task, None)


def test_a_network_for_another_task_is_refused(untrained_checkpoint: Path, untrained_classifier: Path) -> None:
    with pytest.raises(SporeYoloError, match="expected a classifier, found a model for the task 'detect'"):
        load_network(untrained_checkpoint, "classify", None)
    with pytest.raises(SporeYoloError, match="expected a detector, found a model for the task 'classify'"):
        load_network(untrained_classifier, "detect", None)


def test_a_device_that_is_not_there(untrained_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="--device"):
        load_network(untrained_checkpoint, "detect", "99")
