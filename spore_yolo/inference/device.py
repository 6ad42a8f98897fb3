"""Where networks run."""

from __future__ import annotations

from typing import Any

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.ultralytics_setup import prepare_environment


def torch_device(name: str | None) -> Any:
    """The torch device that a user means.

    Args:
        name: ``cpu``, ``mps``, ``cuda``, or the number of a GPU; ``None`` takes a GPU where there is one.

    Raises:
        UsageError: There is no such device, or more than one is named.
    """
    prepare_environment()
    import torch

    if name is None:
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(f"cuda:{name}" if name.isdigit() else name)
        torch.zeros(1, device=device)
    except Exception as error:  # torch has many ways to say that a device is not there
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"--device: expected cpu, mps or the number of one GPU, found {name!r} ({reason})") from None
    return device
