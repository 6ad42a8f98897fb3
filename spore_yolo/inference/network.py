"""Loads YOLOv8 checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.device import torch_device
from spore_yolo.inference.ultralytics_setup import import_ultralytics

KINDS = {"detect": "detector", "classify": "classifier"}
"""What Ultralytics calls a task, and what we call the network for it."""


def load_network(checkpoint: Path, task: str, device: str | None) -> tuple[Any, Any, list[str]]:
    """Loads a checkpoint, which runs code in it: point it only at files that you trust.

    Args:
        checkpoint: The ``.pt`` file.
        task: ``detect`` or ``classify``.
        device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.

    Returns:
        The network, ready to run, the torch device it lies on, and its class names in the order of their numbers.

    Raises:
        SporeYoloError: The file is missing, damaged, or a network for another task.
    """
    kind = KINDS[task]
    if not checkpoint.is_file():
        raise SporeYoloError(f"{checkpoint}: no such file; expected a YOLOv8 {kind}")
    place = torch_device(device)
    ultralytics = import_ultralytics()
    import torch

    try:
        model: Any = ultralytics.YOLO(str(checkpoint))
        if model.task != task:
            raise SporeYoloError(f"{checkpoint}: expected a {kind}, found a model for the task {model.task!r}")
        network = model.model.float().fuse(verbose=False).eval().to(place)
    except SporeYoloError:
        raise
    except Exception as error:  # torch and pickle raise almost anything for a file that is no checkpoint
        reason = " ".join(str(error).split())[:200]
        raise SporeYoloError(f"{checkpoint}: damaged, or no YOLOv8 {kind} ({reason})") from error
    if place.type == "cpu":
        # Ultralytics leaves torch with one thread.
        torch.set_num_threads(core_count())
    return network, place, [str(name) for _, name in sorted(model.names.items())]
