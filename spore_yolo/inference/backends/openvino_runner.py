"""Runs an exported network with OpenVINO."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.backends.onnx_runner import unreadable
from spore_yolo.inference.backends.packages import import_package
from spore_yolo.inference.backends.runner import Floats, Pixels, clear_memory_errors

Precision = Literal["f32", "bf16", "int8"]
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "int8": "int8"}
"""The same as :class:`~spore_yolo.inference.backends.runner.Runner` calls it."""

SHAPES = 8
"""So many compiled networks are kept; a slide has tiles of one size, and few slides are smaller than a tile."""


@dataclass
class _Compiled:
    """A network compiled for one shape, and the requests that no thread uses just now."""

    model: Any
    idle: list[Any] = field(default_factory=list)


class OpenVinoRunner:
    """A network with OpenVINO on the CPU; each thread that calls it takes one core.

    Whole slides have tiles of one size, so height and width are compiled in; a size that comes for the first time costs
    some tenths of a second. The conversion from 8 bit is part of the network.

    Args:
        model: The ``.onnx`` file as Ultralytics exports it, or the ``.xml`` file of a network of 8 bits.
        task: What it is.
        precision: How it is computed; ``int8`` for a network that was made so.
        cores: How many cores it may take; ``None`` takes all.

    Raises:
        SporeYoloError: OpenVINO is missing, or the file is no such network.
    """

    def __init__(
        self, model: Path, task: Literal["detect", "classify"], precision: Precision = "f32", cores: int | None = None
    ) -> None:
        self._openvino = import_package("openvino")
        self.backend = "openvino" if precision == "f32" else f"openvino-{precision}"
        self.precision = PRECISIONS[precision]
        self.workers = cores or core_count()
        self.batch = 64 if task == "classify" else 1 if precision == "f32" else 8
        # The plugin of OpenVINO for CPUs has crashed on networks of 8 bits whose shape is not fixed, on processors
        # with AMX (openvino issue 37577), so theirs is fixed with the batch.
        self._fixed_batch = model.suffix == ".xml"
        self._core = self._openvino.Core()
        self._settings = {
            # By itself it would compute in bfloat16 wherever the processor can.
            "INFERENCE_PRECISION_HINT": self._rest_of(precision),
            "NUM_STREAMS": self.workers,
            "INFERENCE_NUM_THREADS": self.workers,
            # Each network would bind its threads to the same cores: a detector and a classifier that run side by side
            # would share one of two, while the other has nothing to do.
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled: OrderedDict[tuple[int, ...], _Compiled] = OrderedDict()
        self._lock = threading.Lock()
        self._model, self._task = model, task
        try:
            self._read()
        except Exception as error:  # OpenVINO raises RuntimeError for everything
            raise unreadable(model, "a network for OpenVINO", error) from error

    def _rest_of(self, precision: Precision) -> str:
        """What computes all that is not 8 bits."""
        if precision == "int8" and "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return "bf16"
        return "bf16" if precision == "bf16" else "f32"

    def enter_thread(self) -> None:
        """Nothing to prepare; see :meth:`spore_yolo.inference.backends.runner.Runner.enter_thread`."""

    def __call__(self, batch: Pixels) -> Floats:
        """One forward pass; see :meth:`spore_yolo.inference.backends.runner.Runner.__call__`."""
        count = len(batch)
        if self._fixed_batch and count & (count - 1):
            # The last batch of a slide is filled up to a power of two, so that there are few sizes to compile.
            full = np.zeros((1 << count.bit_length(), *batch.shape[1:]), dtype=np.uint8)
            full[:count] = batch
            batch = full
        compiled = self._for_shape(batch.shape)
        try:
            request = compiled.idle.pop()
        except IndexError:
            request = compiled.model.create_infer_request()
        try:
            with clear_memory_errors():
                request.infer([np.ascontiguousarray(batch)], share_inputs=True)
            # The request's memory is used again by the next call.
            return np.array(request.get_output_tensor(0).data[:count], dtype=np.float32)
        finally:
            compiled.idle.append(request)

    def _for_shape(self, shape: tuple[int, ...]) -> _Compiled:
        key = shape if self._fixed_batch else (-1, *shape[1:])
        with self._lock:
            if key not in self._compiled:
                model = self._read()
                model.reshape(list(key))
                self._compiled[key] = _Compiled(self._core.compile_model(model, "CPU", self._settings))
                if len(self._compiled) > SHAPES:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(key)
            return self._compiled[key]

    def _read(self) -> Any:
        """The network as it comes from the file, from pixels to raw output or logits."""
        ov = self._openvino
        model = self._core.read_model(self._model)
        if self._task == "classify":
            # Logits keep what rounds to 0 and 1.
            softmax = model.output(0).get_node().input_value(0).get_node()
            if softmax.get_type_name() != "Softmax":
                raise SporeYoloError(f"expected a classifier that ends in Softmax, found {softmax.get_type_name()}")
            model = ov.Model([softmax.input_value(0)], model.get_parameters())
        steps = ov.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
        return steps.build()
