from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.backends import BACKENDS, choosing, packages
from spore_yolo.inference.backends.choosing import fastest, runners
from spore_yolo.inference.manifest import Verification, read_manifest
from tests.inference.backends.conftest import other_machine, record, some_pixels

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen depends on the GPU; these tests speak of machines without one."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def chosen(folder: Path, device: str | None = None) -> str:
    return fastest(folder, read_manifest(folder), device)[0]


def test_torch_where_the_pair_has_nothing_else(exported_pair: Make) -> None:
    folder = exported_pair()
    backend, note = fastest(folder, read_manifest(folder))
    assert backend == "torch"
    assert note.endswith(f"spore-yolo export-model --pair {folder} --backend openvino --dataset toy")


def test_the_fastest_of_those_that_hold(exported_pair: Make) -> None:
    folder = exported_pair(
        onnxruntime=[record(speedup=1.2, backend="onnxruntime")],
        openvino=[record(speedup=2.5)],
        openvino_int8=[record(speedup=4.0, ap50=0.89)],
    )
    backend, note = fastest(folder, read_manifest(folder))
    assert backend == "openvino", "8 bits are faster, and were put there although they find less"
    assert "2.5 times as fast as torch" in note
    assert "AP50 0.900 in place of 0.900 on toy, val" in note


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(lambda: [], id="never verified"),
        pytest.param(lambda: [record(machine=other_machine(cpu="Some other CPU"))], id="on another processor"),
        pytest.param(lambda: [record(machine=other_machine(features=["none"]))], id="on one that can do less"),
        pytest.param(lambda: [record(versions={"openvino": "2023.1.0"})], id="with another version"),
        pytest.param(lambda: [record(versions={})], id="nobody knows with which version"),
        pytest.param(lambda: [record(speedup=0.9)], id="slower"),
        pytest.param(lambda: [record(ap50=0.89)], id="finds less"),
        pytest.param(lambda: [record(), record(ap50=0.89)], id="finds less by the newer record"),
    ],
)
def test_torch_where_no_record_speaks_for_the_other(
    records: Callable[[], list[Verification]], exported_pair: Make
) -> None:
    assert chosen(exported_pair(openvino=records())) == "torch"


def test_a_record_of_more_cores_speaks_for_this_machine_too(exported_pair: Make) -> None:
    assert chosen(exported_pair(openvino=[record(machine=other_machine(cores=99))])) == "openvino"


def test_a_backend_of_another_detector_does_not_count(exported_pair: Make) -> None:
    folder = exported_pair(openvino=[record()])
    text = (folder / "pair.yaml").read_text()
    manifest = read_manifest(folder)
    (folder / "pair.yaml").write_text(text.replace(manifest.detector.sha256, "f" * 64, 1))
    assert chosen(folder) == "torch"
    with pytest.raises(SporeYoloError, match="another detector or classifier .* export-model"):
        runners(folder, read_manifest(folder), "openvino")


def test_what_does_not_run_here_is_not_chosen(exported_pair: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported_pair(openvino=[record()], onnxruntime=[record(speedup=1.5, backend="onnxruntime")])
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert chosen(folder) == "onnxruntime"
    with pytest.raises(SporeYoloError, match=r"openvino does not run here: .*pip install openvino.*--backend torch"):
        runners(folder, read_manifest(folder), "openvino")


def test_on_a_gpu_the_backends_for_the_cpu_do_not_compete(exported_pair: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported_pair(openvino=[record()])
    monkeypatch.setattr(choosing, "_on_gpu", lambda device: device != "cpu")
    assert chosen(folder) == "torch"
    assert chosen(folder, "cpu") == "openvino"


def test_a_backend_by_name_runs_without_a_record(exported_pair: Make) -> None:
    folder = exported_pair(openvino=[])
    found = runners(folder, read_manifest(folder), "openvino", measure=False)
    assert found.detector.backend == "openvino"
    assert found.classifier is not None
    assert found.names == (["spore"], ["debris", "rust", "smut"])
    assert found.classifier(some_pixels(2, 32, 32, 3)).shape == (2, 3)


def test_the_batch_size_is_that_of_the_record(exported_pair: Make) -> None:
    folder = exported_pair(openvino=[record(batch=16)])
    found = runners(folder, read_manifest(folder), "auto")
    assert (found.detector.backend, found.detector.batch) == ("openvino", 16)
    assert "runs with openvino" in found.note


def test_without_a_record_the_batch_size_is_measured(
    exported_pair: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = exported_pair(openvino=[])
    runners(folder, read_manifest(folder), "openvino")
    assert (tmp_path / "cache" / "spore-yolo" / "speeds.json").is_file()


def test_torch_gives_what_the_checkpoints_give(exported_pair: Make) -> None:
    folder = exported_pair()
    found = runners(folder, read_manifest(folder), "torch", "cpu")
    assert found.names == (["spore"], ["debris", "rust", "smut"])
    other = runners(folder, read_manifest(folder), "auto", "cpu")
    batch = some_pixels(1, 96, 96, 3)
    assert np.array_equal(found.detector(batch), other.detector(batch))


@pytest.mark.parametrize(
    ("backend", "device", "message"),
    [
        pytest.param("onnxruntime", None, "has no onnxruntime, it has torch, openvino; export it", id="not exported"),
        pytest.param("tensorflow", None, f"expected auto, {', '.join(BACKENDS)}, found 'tensorflow'", id="no backend"),
        pytest.param("openvino", "0", "openvino runs on the CPU, found '0'", id="a GPU for a CPU's backend"),
    ],
)
def test_wrong_usage(backend: str, device: str | None, message: str, exported_pair: Make) -> None:
    folder = exported_pair(openvino=[])
    with pytest.raises(UsageError, match=message):
        runners(folder, read_manifest(folder), backend, device)


def test_bfloat16_needs_a_processor_that_has_it(exported_pair: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported_pair(openvino_bf16=[record(backend="openvino-bf16")])

    class Plain:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(packages.import_package("openvino"), "Core", Plain)
    assert chosen(folder) == "torch"
    with pytest.raises(SporeYoloError, match="this processor has no bfloat16; take openvino"):
        runners(folder, read_manifest(folder), "openvino-bf16")


def test_tensorrt_needs_its_package_and_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert "pip install tensorrt" in str(packages.can_run("tensorrt"))
    monkeypatch.setitem(sys.modules, "tensorrt", sys)
    assert packages.can_run("tensorrt") == "torch sees no NVIDIA GPU on this machine; take openvino"
