"""Runs networks by torch: the reference that other backends are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from spore_yolo.files.cores import core_count
from spore_yolo.inference.backends.memory import keep_freed_memory
from spore_yolo.inference.backends.runner import clear_memory_errors
from spore_yolo.inference.network import load_network

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class TorchRunner:
    """A YOLOv8 checkpoint, loaded once.

    On a CPU each core works on images of its own, which keeps all cores busier than if they shared one. Loading a
    checkpoint runs code in it: point it only at files that you trust.

    Args:
        checkpoint: The ``.pt`` file.
        task: ``detect`` or ``classify``.
        device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.
        compiled: Whether torch compiles the network first: minutes once, then faster passes. It needs a C++ compiler.

    Attributes:
        names: Class names in the order of their numbers.
        network, device: torch's own.

    Raises:
        SporeYoloError: The file is missing, damaged, or a network for another task.
    """

    backend = "torch"

    def __init__(
        self,
        checkpoint: Path,
        task: Literal["detect", "classify"],
        device: str | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        import torch

        self.network, self.device, self.names = load_network(checkpoint, task, device)
        self.network = self.network.to(memory_format=torch.channels_last)
        on_cpu = self.device.type == "cpu"
        self._half = self.device.type == "cuda"
        if on_cpu:
            keep_freed_memory()
        if self._half:
            self.network = self.network.half()
        # A GPU is fed by a few threads, so that it works while others prepare tiles and suppress doubles.
        self.workers = core_count() if on_cpu else min(4, core_count())
        # On CPUs two tiles a pass are a little faster than one; four are hardly faster, and take twice the memory.
        self.batch = 128 if task == "classify" else 2 if on_cpu else 16
        self._run: Any = torch.compile(self.network) if compiled else self.network

    @property
    def precision(self) -> str:
        """See :class:`spore_yolo.inference.backends.runner.Runner`."""
        return "float16" if self._half else "float32"

    def enter_thread(self) -> None:
        """See :meth:`spore_yolo.inference.backends.runner.Runner.enter_thread`."""
        if self.device.type == "cpu":
            import torch

            torch.set_num_threads(max(1, core_count() // self.workers))

    def __call__(self, batch: Pixels) -> Floats:
        """See :meth:`spore_yolo.inference.backends.runner.Runner.__call__`."""
        import torch

        if not batch.flags.writeable:  # torch warns of what it never does here
            batch = batch.copy()
        with clear_memory_errors(), torch.inference_mode():
            # The bytes lie channels last already; only their type changes.
            pixels = torch.from_numpy(batch).to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            pixels = (pixels.half() if self._half else pixels.float()).div_(255)
            output = self._run(pixels)
            if isinstance(output, list | tuple):
                # A detector gives (boxes and classes, maps); a classifier (probabilities, logits), and the logits keep
                # what rounds to 0 and 1.
                output = output[1] if output[0].ndim == 2 else output[0]
            elif output.ndim == 2:
                output = output.clamp_min(1e-30).log()
            return np.asarray(output.float().cpu().numpy(), dtype=np.float32)
