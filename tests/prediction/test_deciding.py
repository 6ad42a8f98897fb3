from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from spore_yolo.inference.manifest import BackendPart
from spore_yolo.prediction.deciding import OF_THE_MACHINE, computed_by, differing
from tests.conftest import spot_manifest

ONNX, ENGINE = {"detector.onnx": "5e" * 32}, {"detector.engine": "9a" * 32}


def pair(backend: str) -> Any:
    parts = {
        "onnxruntime": BackendPart(detector="detector.onnx", files=ONNX, made_from={}),
        "tensorrt": BackendPart(detector="detector.engine", files=ENGINE, made_from={}),
    }
    runner = SimpleNamespace(backend=backend, precision="float32", batch=4)
    return SimpleNamespace(manifest=spot_manifest(backends=parts), detector=SimpleNamespace(runner=runner))


def test_what_computes_is_said_with_the_files_and_the_packages_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    from spore_yolo.prediction import deciding

    monkeypatch.setattr(deciding, "torch_device", lambda device: "cuda:0")
    by = computed_by(pair("onnxruntime"), None, None)
    assert by["exported detector.onnx (SHA-256)"] == ONNX["detector.onnx"]
    assert "version of onnxruntime" in by and "version of torch" in by
    assert "exported detector.engine (SHA-256)" not in by
    assert (by["backend"], by["--batch"], by["device"]) == ("onnxruntime", 4, "cpu")  # it runs nowhere else
    by = computed_by(pair("torch"), 2, None)
    assert (by["backend"], by["--batch"], by["device"]) == ("torch", 2, "cuda:0")
    assert not [name for name in by if name.startswith("exported")]
    assert all(name.startswith(OF_THE_MACHINE) for name in by)


THEN = {"--z": "best", "backend": "openvino", "--batch": 1, "device": "cpu", "exported d.onnx (SHA-256)": "1"}


@pytest.mark.parametrize(
    ("now", "other"),
    [
        pytest.param({}, [], id="the same"),
        pytest.param({"--batch": 8, "version of torch": "9"}, [], id="another machine"),
        pytest.param({"--z": 3}, ["--z"], id="another option"),
        pytest.param({"--skip-empty": True}, ["--skip-empty"], id="one more"),
        pytest.param(
            {"backend": "torch", "exported d.onnx (SHA-256)": None}, [], id="another backend has files of its own"
        ),
        pytest.param(
            {"exported d.onnx (SHA-256)": "2"}, ["exported d.onnx (SHA-256)"], id="other files of the same backend"
        ),
    ],
)
def test_in_what_machines_of_one_run_may_differ(now: dict[str, Any], other: list[str]) -> None:
    assert differing(THEN, {**THEN, **now}) == other
