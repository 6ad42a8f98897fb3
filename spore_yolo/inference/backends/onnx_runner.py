"""Runs an exported network with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.backends.packages import import_package
from spore_yolo.inference.backends.runner import Floats, Pixels, clear_memory_errors

SMALLEST = np.float32(1e-30)
"""A probability below counts as this; its logarithm is still a number."""


class OnnxRunner:
    """An ONNX network with ONNX Runtime on the CPU; each thread that calls it takes one core.

    Args:
        model: The ``.onnx`` file, as Ultralytics exports it with dynamic axes.
        task: What it is.
        cores: How many cores it may take; ``None`` takes all.

    Raises:
        SporeYoloError: ONNX Runtime is missing, or the file is no such network.
    """

    backend = "onnxruntime"
    precision = "float32"

    def __init__(self, model: Path, task: Literal["detect", "classify"], cores: int | None = None) -> None:
        onnxruntime = import_package("onnxruntime")
        self.workers = cores or core_count()
        self.batch = 64 if task == "classify" else 1  # crops are small
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base of their own
            raise unreadable(model, "an ONNX network", error) from error
        self._input = self._session.get_inputs()[0].name
        self._task = task

    def enter_thread(self) -> None:
        """Nothing to prepare; see :meth:`spore_yolo.inference.backends.runner.Runner.enter_thread`."""

    def __call__(self, batch: Pixels) -> Floats:
        """One forward pass; see :meth:`spore_yolo.inference.backends.runner.Runner.__call__`."""
        pixels = np.ascontiguousarray(batch.transpose(0, 3, 1, 2), dtype=np.float32)
        pixels /= 255
        with clear_memory_errors():
            output: Floats = self._session.run(None, {self._input: pixels})[0]
        return np.log(np.maximum(output, SMALLEST)) if self._task == "classify" else output


def unreadable(model: Path, expected: str, error: Exception) -> SporeYoloError:
    """What to say of a model file that cannot be loaded."""
    reason = " ".join(str(error).split())[:200]
    return SporeYoloError(f"{model}: expected {expected}, found something else ({reason}); export the model again")
