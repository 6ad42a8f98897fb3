"""How fast a network runs on this machine, by batch size; measured once and then remembered."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spore_yolo.files.atomic import write_text
from spore_yolo.files.hashes import fingerprint
from spore_yolo.inference.backends.machine import this_machine
from spore_yolo.inference.backends.packages import backend_versions
from spore_yolo.inference.backends.runner import Pixels, Runner, pool_for

BATCHES = (1, 2, 4, 8)
GPU_BATCHES = (*BATCHES, 16, 32)

SECONDS = 4.0
"""So long a measurement may take, roughly, on a machine that does nothing else; the batch sizes that it did not come
to are left out."""

WORTH = 0.97
"""A larger batch is taken only if it is this much faster; it takes more memory."""

FORM = 1
"""Counts up when what is remembered changes its form or its meaning."""


@dataclass(frozen=True)
class Speed:
    """How fast a network is.

    Attributes:
        ms_per_image: Milliseconds an image by batch size.
    """

    ms_per_image: dict[int, float]

    @property
    def batch(self) -> int:
        """The batch size to take: the fastest, or a smaller one that is hardly slower."""
        best = 1
        for batch, milliseconds in sorted(self.ms_per_image.items()):
            if best not in self.ms_per_image or milliseconds < WORTH * self.ms_per_image[best]:
                best = batch
        return best


def measure(
    runner: Runner, size: int, batches: Sequence[int] = BATCHES, seconds: float = SECONDS, *, on_gpu: bool = False
) -> Speed:
    """Measures a network as real work uses it: by as many threads at once as it wants.

    On a CPU it is the processor's time that counts, divided by the number of threads. That is the time that passes on a
    machine that does nothing else; the clock would measure other programs as well.

    Args:
        runner: The network.
        size: Side of an image in pixels, a multiple of 32.
        batches: The batch sizes to try, rising.
        seconds: When to stop, on a machine that does nothing else.
        on_gpu: Whether it runs on a GPU; there the clock counts.
    """
    clock = time.perf_counter if on_gpu else time.process_time
    share = 1 if on_gpu else runner.workers
    begun = clock()
    images = np.random.default_rng(0).integers(0, 256, (max(batches), size, size, 3), dtype=np.uint8)
    found: dict[int, float] = {}
    with pool_for(runner) as pool:

        def round_of(batch: Pixels, calls: int) -> float:
            """Seconds an image."""
            start = clock()
            for job in [pool.submit(runner, batch) for _ in range(calls * runner.workers)]:
                job.result()
            return (clock() - start) / share / (calls * runner.workers * len(batch))

        took = 0.0
        for batch in batches:
            start = clock()
            if found and (start - begun + 2 * took) / share > seconds:
                break
            some = images[:batch]
            runner(some)  # compiles what must be compiled
            found[batch] = round(1000 * min(round_of(some, max(1, 4 // batch)) for _ in range(2)), 3)
            took = clock() - start
    return Speed(found)


def remembered_speed(runner: Runner, sha256: str, size: int, on_gpu: bool = False) -> Speed:
    """As :func:`measure`, but a network that was measured on this machine before is not measured again.

    Args:
        runner: The network.
        sha256: The hash of its file.
        size: Side of an image in pixels, a multiple of 32.
        on_gpu: Whether it runs on a GPU, where larger batches are worth trying.
    """
    key = fingerprint(
        {
            "form": FORM,
            "sha256": sha256,
            "backend": runner.backend,
            "versions": backend_versions(runner.backend),
            "machine": this_machine().model_dump(),
            "on_gpu": on_gpu,
            "workers": runner.workers,
            "size": size,
        }
    )
    path = cache_file()
    known = _read(path)
    if key in known:
        return Speed(known[key])
    speed = measure(runner, size, GPU_BATCHES if on_gpu else BATCHES, on_gpu=on_gpu)
    try:
        text = json.dumps({**_read(path), key: speed.ms_per_image}, indent=1, sort_keys=True)
        write_text(path, text + "\n")
    except OSError:
        pass  # no room or no permission: it is measured again next time
    return speed


def cache_file() -> Path:
    """Where speeds are remembered."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spore-yolo" / "speeds.json"


def _read(path: Path) -> dict[str, dict[int, float]]:
    """What is remembered; what cannot be read, or is not what it should be, is forgotten."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content.items()
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
    known = {}
    for key, speeds in entries:
        try:
            speeds = {int(batch): float(milliseconds) for batch, milliseconds in speeds.items()}
        except (AttributeError, TypeError, ValueError):
            continue
        if speeds and all(batch > 0 and 0 < one < float("inf") for batch, one in speeds.items()):
            known[key] = speeds
    return known
