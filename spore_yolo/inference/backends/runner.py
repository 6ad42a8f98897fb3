"""What a network is to the rest of the program, whatever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Runner(Protocol):
    """A network that is ready to run.

    Attributes:
        backend: Its name, one of :data:`spore_yolo.inference.backends.BACKENDS`.
        workers: How many threads should call it at the same time to keep the machine busy; 1 where one call does.
        batch: How many images a call is fastest, as far as that is known.
    """

    backend: str
    workers: int
    batch: int

    @property
    def precision(self) -> str:
        """What it computes in: ``float32``, ``float16``, ``bfloat16`` or ``int8``.

        In the same precision, backends find the same but for rounding.
        """
        ...

    def enter_thread(self) -> None:
        """Prepares a thread that is one of ``workers`` which call side by side, each with its share of the cores.

        A thread that does not call this first is taken to be the only one.
        """
        ...

    def __call__(self, batch: Pixels) -> Floats:
        """One forward pass.

        Args:
            batch: ``(N, height, width, 3)``, RGB, 8 bit; height and width are multiples of 32, N is any number.

        Returns:
            A detector's raw output ``(N, 4 + C, anchors)``: ``x, y, width, height`` of the box in pixels of the model,
            centre first, and a probability a class. A classifier's logits or log probabilities ``(N, C)``.

        Raises:
            MemoryError: It does not fit into memory, the machine's or the GPU's.
        """
        ...


OUT_OF_MEMORY = ("DefaultCPUAllocator", "Failed to allocate memory", "bad_alloc")
"""What torch, ONNX Runtime and OpenVINO say where memory ends."""


@contextmanager
def clear_memory_errors() -> Iterator[None]:
    """Turns what backends raise where memory ends, each an error of its own, into what Python calls it.

    Raises:
        MemoryError: Something does not fit into memory.
    """
    try:
        yield
    except Exception as error:
        # That of a GPU: so says torch.OutOfMemoryError, and so do the errors of CUDA itself.
        if "out of memory" in str(error):
            raise MemoryError("that of the GPU; a smaller --batch takes less") from error
        if any(text in str(error) for text in OUT_OF_MEMORY):
            raise MemoryError from error
        raise


def pool_for(*runners: Runner | None) -> ThreadPoolExecutor:
    """Threads that call these runners side by side; there are as many as the first of them wants."""
    there = [runner for runner in runners if runner is not None]

    def enter() -> None:
        for runner in there:
            runner.enter_thread()

    return ThreadPoolExecutor(there[0].workers, "look", initializer=enter)
