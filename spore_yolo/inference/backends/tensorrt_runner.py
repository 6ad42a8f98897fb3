"""Runs an engine of TensorRT, as Ultralytics exports it, on an NVIDIA GPU."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spore_yolo.inference.backends.onnx_runner import SMALLEST, unreadable
from spore_yolo.inference.backends.packages import import_package
from spore_yolo.inference.backends.runner import Floats, Pixels, clear_memory_errors
from spore_yolo.inference.device import torch_device

LARGEST_BATCH = 16
"""The engine is built for batches of up to so many images."""


class TensorRtRunner:
    """An engine of TensorRT; it runs only on the kind of GPU, and with the version of TensorRT, that built it.

    Args:
        model: The ``.engine`` file.
        task: What it is.
        device: The GPU, as torch takes it; ``None`` takes the first.

    Raises:
        SporeYoloError: TensorRT is missing, or the file is no engine for this machine.
    """

    backend = "tensorrt"
    precision = "float16"
    workers = 1

    def __init__(self, model: Path, task: Literal["detect", "classify"], device: str | None = None) -> None:
        tensorrt = import_package("tensorrt")
        self._device = torch_device(device)
        self._task = task
        self.batch = LARGEST_BATCH
        self._lock = threading.Lock()
        try:
            logger = tensorrt.Logger(tensorrt.Logger.WARNING)
            self._engine = tensorrt.Runtime(logger).deserialize_cuda_engine(_engine_bytes(model))
            self._context = self._engine.create_execution_context()
        except Exception as error:  # an engine of another version comes back as None, or raises
            raise unreadable(model, "an engine of TensorRT that was built on this kind of GPU", error) from error
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        self._input, self._output = names[0], names[-1]

    def enter_thread(self) -> None:
        """Nothing to prepare; see :meth:`spore_yolo.inference.backends.runner.Runner.enter_thread`."""

    def __call__(self, batch: Pixels) -> Floats:
        """One forward pass; see :meth:`spore_yolo.inference.backends.runner.Runner.__call__`."""
        parts = [self._run(batch[begin : begin + LARGEST_BATCH]) for begin in range(0, len(batch), LARGEST_BATCH)]
        output = np.concatenate(parts)
        return np.log(np.maximum(output, SMALLEST)) if self._task == "classify" else output

    def _run(self, batch: Pixels) -> Floats:
        import torch

        with clear_memory_errors(), torch.inference_mode(), self._lock, torch.cuda.device(self._device):
            pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
            pixels = pixels.permute(0, 3, 1, 2).to(self._dtype(self._input)).div_(255).contiguous()
            if not self._context.set_input_shape(self._input, tuple(pixels.shape)):
                raise ValueError(f"the engine was not built for images of {batch.shape[1]} x {batch.shape[2]} px")
            shape = tuple(self._context.get_tensor_shape(self._output))
            output = torch.empty(shape, dtype=self._dtype(self._output), device=self._device)
            self._context.set_tensor_address(self._input, pixels.data_ptr())
            self._context.set_tensor_address(self._output, output.data_ptr())
            stream = torch.cuda.current_stream()
            self._context.execute_async_v3(stream.cuda_stream)
            stream.synchronize()
            return np.asarray(output.float().cpu().numpy(), dtype=np.float32)

    def _dtype(self, name: str) -> Any:
        import torch

        half = "HALF" in str(self._engine.get_tensor_dtype(name))
        return torch.float16 if half else torch.float32


def _engine_bytes(path: Path) -> bytes:
    """The engine without the description that Ultralytics puts in front of it: its length in 4 bytes, then JSON."""
    content = path.read_bytes()
    length = int.from_bytes(content[:4], "little")
    try:
        json.loads(content[4 : 4 + length])
    except ValueError:
        return content
    return content[4 + length :]
