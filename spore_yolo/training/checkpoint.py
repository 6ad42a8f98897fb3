"""The checkpoint that goes into a pair: weights and what is needed to run them, nothing of the machine they grew on."""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spore_yolo.files.atomic import atomic_file
from spore_yolo.inference.ultralytics_setup import import_ultralytics


def finish_checkpoint(
    source: Path, target: Path, imgsz: int, task: str = "detect", names: Sequence[str] | None = None
) -> None:
    """Writes the checkpoint of a finished training for use elsewhere.

    Plain Ultralytics restores ``imgsz`` from a checkpoint at predict. The one it stores is that of the training tiles,
    to which it would shrink a whole slide; so the slide's own size at training scale takes its place.

    Args:
        source: ``best.pt`` of the training.
        target: Where the finished checkpoint goes.
        imgsz: For a detector the longer side of a usual slide at training scale, for a classifier the side of a crop;
            in pixels of the model, a multiple of 32.
        task: ``detect`` or ``classify``.
        names: What the classes are called, where the training only knew names of folders.
    """
    ultralytics = import_ultralytics()
    import torch

    checkpoint: dict[str, Any] = torch.load(source, map_location="cpu", weights_only=False)
    model = checkpoint.get("ema") or checkpoint["model"]
    arguments = {"task": task, "mode": "train", "imgsz": imgsz, "single_cls": False, "data": None}
    model.half()
    if names is not None:
        model.names = dict(enumerate(names))
    model.args = dict(arguments)
    for name in ("pt_path", "criterion"):
        if hasattr(model, name):
            setattr(model, name, None)
    for parameter in model.parameters():
        parameter.requires_grad = False
    content = {
        "epoch": -1,
        "best_fitness": None,
        "model": model,
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": arguments,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": ultralytics.__version__,
        "license": "AGPL-3.0 (https://ultralytics.com/license)",
        "docs": "https://docs.ultralytics.com",
    }
    # torch reports a full disk as an error of its own kind; written by hand it is an OSError like any other.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_file(target) as temporary:
        temporary.write_bytes(buffer.getvalue())
