"""Every backend gives what torch gives, from any thread, for any size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.backends.onnx_runner import OnnxRunner
from spore_yolo.inference.backends.openvino_runner import SHAPES, OpenVinoRunner
from spore_yolo.inference.backends.packages import can_run
from spore_yolo.inference.backends.torch_runner import TorchRunner
from tests.inference.backends.conftest import Exported, some_pixels

# For each backend: largest difference to torch of a box's centre and size in pixels (None: not told), mean difference
# of a score or probability, and least correlation of the scores. Networks with random weights carry every rounding on,
# more than trained ones do; what fewer bits cost a real pair is for the verification to say.
TOLERANCES = {
    "onnxruntime": (0.02, 2e-5, 0.99999),
    "openvino": (0.02, 2e-5, 0.99999),
    "openvino-bf16": (None, 0.06, 0.95),
    "openvino-int8": (None, 0.25, 0.5),
}


def runner_of(backend: str, exported: Exported, task: Any) -> Any:
    part = "detector" if task == "detect" else "classifier"
    if backend == "onnxruntime":
        return OnnxRunner(exported.folder / f"{part}.onnx", task)
    precision: Any = {"openvino": "f32", "openvino-bf16": "bf16", "openvino-int8": "int8"}[backend]
    end = "-int8.xml" if precision == "int8" else ".onnx"
    return OpenVinoRunner(exported.folder / f"{part}{end}", task, precision)


@pytest.fixture(params=list(TOLERANCES))
def backend(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    reason = can_run(name)
    if name == "openvino-bf16" and reason is not None:
        pytest.skip(reason)
    return name


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 96, 96, 3), id="one tile"),
        pytest.param((3, 96, 96, 3), id="a batch that is no power of two"),
        pytest.param((2, 32, 160, 3), id="a flat one"),
        pytest.param((1, 224, 64, 3), id="a tall one"),
    ],
)
def test_a_detector_gives_what_torch_gives(backend: str, shape: tuple[int, ...], exported: Exported) -> None:
    runner, batch = runner_of(backend, exported, "detect"), some_pixels(*shape)
    expected, found = TorchRunner(exported.detector, "detect", "cpu")(batch), runner(batch)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    boxes, scores, correlation = TOLERANCES[backend]
    assert boxes is None or np.abs(found[:, :4] - expected[:, :4]).max() < boxes
    assert np.abs(found[:, 4:] - expected[:, 4:]).mean() < scores
    assert np.corrcoef(found[:, 4].ravel(), expected[:, 4].ravel())[0, 1] > correlation
    assert runner.backend == backend


@pytest.mark.parametrize("task", ["detect", "classify"])
def test_openvino_binds_no_threads_to_cores(exported: Exported, task: str) -> None:
    runner = runner_of("openvino", exported, task)
    runner(some_pixels(1, 32, 32, 3))
    [compiled] = runner._compiled.values()
    assert compiled.model.get_property("ENABLE_CPU_PINNING") is False


@pytest.mark.parametrize("count", [1, 5, 64])
def test_a_classifier_gives_what_torch_gives(backend: str, count: int, exported: Exported) -> None:
    runner, batch = runner_of(backend, exported, "classify"), some_pixels(count, 32, 32, 3)
    expected, found = TorchRunner(exported.classifier, "classify", "cpu")(batch), runner(batch)
    assert (found.shape, found.dtype) == ((count, 3), np.float32)
    difference = softmax(found, axis=1) - softmax(expected, axis=1)
    assert np.abs(difference).mean() < TOLERANCES[backend][1]


def test_different_images_give_different_outputs(backend: str, exported: Exported) -> None:
    runner = runner_of(backend, exported, "detect")
    one, other = runner(some_pixels(1, 96, 96, 3)), runner(some_pixels(1, 96, 96, 3, seed=1))
    assert np.abs(one - other)[:, 4:].max() > 0.1
    assert np.array_equal(one, runner(some_pixels(1, 96, 96, 3))), "an output is not written over by the next call"


def test_threads_that_call_at_the_same_time_get_what_one_alone_gets(backend: str, exported: Exported) -> None:
    runner = runner_of(backend, exported, "detect")
    batches = [some_pixels(1, 96, 64 + 32 * (seed % 2), 3, seed=seed) for seed in range(16)]
    alone = [runner(batch) for batch in batches]
    with ThreadPoolExecutor(4, initializer=runner.enter_thread) as pool:
        together = list(pool.map(runner, batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)


def test_views_and_pixels_that_must_not_be_written_are_taken(backend: str, exported: Exported) -> None:
    runner = runner_of(backend, exported, "detect")
    slide = some_pixels(1, 128, 192, 3)
    view = slide[:, 32:128, 64:160]
    view.flags.writeable = False
    np.testing.assert_allclose(runner(view), runner(np.array(view)), rtol=0, atol=1e-3)
    assert np.array_equal(slide, some_pixels(1, 128, 192, 3))


def test_more_sizes_than_are_kept(exported: Exported) -> None:
    runner = runner_of("openvino", exported, "classify")
    sizes = [32 * (1 + number) for number in range(SHAPES + 2)]
    first = [runner(some_pixels(1, 32, size, 3)) for size in sizes]
    again = [runner(some_pixels(1, 32, size, 3)) for size in sizes]
    np.testing.assert_allclose(first, again, rtol=0, atol=1e-5)


@pytest.mark.parametrize("made", [OnnxRunner, OpenVinoRunner])
@pytest.mark.parametrize("content", [b"", b"nothing of a network", None])
def test_a_file_that_is_no_network(made: Any, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "some.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SporeYoloError, match=r"some\.onnx: expected .*; export the model again"):
        made(path, "detect")


def test_a_detector_is_no_classifier(exported: Exported) -> None:
    with pytest.raises(SporeYoloError, match="ends in Softmax"):
        OpenVinoRunner(exported.folder / "detector.onnx", "classify")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "smaller --batch", id="GPU"
        ),
        pytest.param(RuntimeError("CUDA error: out of memory"), "smaller --batch", id="CUDA itself"),
        pytest.param(None, "^$", id="CPU"),
    ],
)
def test_where_memory_ends_torch_says_so_in_the_words_of_python(
    error: Exception | None, told: str, untrained_checkpoint: Path
) -> None:
    runner = TorchRunner(untrained_checkpoint, "detect", "cpu")

    def run(pixels: Any) -> Any:
        if error is None:
            return torch.empty(2**50)
        raise error

    runner._run = run
    with pytest.raises(MemoryError, match=told):
        runner(some_pixels(1, 64, 64, 3))


def test_other_errors_of_torch_stay_what_they_are(untrained_checkpoint: Path) -> None:
    runner = TorchRunner(untrained_checkpoint, "detect", "cpu")
    with pytest.raises(RuntimeError, match="size"):
        runner(some_pixels(1, 50, 50, 3))  # no multiple of 32
