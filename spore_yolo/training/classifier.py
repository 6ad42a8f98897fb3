"""Trains a YOLOv8 classifier on crops and leaves it as a checkpoint that plain Ultralytics runs too."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spore_yolo.dataset.crops import CropFolder
from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.device import torch_device
from spore_yolo.inference.ultralytics_setup import import_ultralytics
from spore_yolo.training.epochs import EpochFollower, OnEpoch
from spore_yolo.training.starting import check_weights, load_model, plain, starting_model

MODELS = tuple(f"yolov8{size}-cls" for size in "nsmlx")
"""The classifiers that can be trained."""

STRIDE = 32

# A crop may lie any way round; size and place in it vary a little, as the detector's boxes do; stain and light vary.
MICROSCOPY: Mapping[str, Any] = {
    "fliplr": 0.5,
    "flipud": 0.5,
    "scale": 0.3,
    "hsv_h": 0.015,
    "hsv_s": 0.4,
    "hsv_v": 0.3,
    "erasing": 0.0,
    "auto_augment": None,
    "optimizer": "AdamW",
    "lr0": 0.002,
    "lrf": 0.01,
    "momentum": 0.9,
    "cos_lr": True,
}


@dataclass(frozen=True)
class ClassifierSettings:
    """How to train.

    Attributes:
        model: One of :data:`MODELS`.
        weights: What to start from; see :func:`spore_yolo.training.starting.starting_model`.
        crop_size: Side of a crop in pixels, a multiple of 32.
        epochs: Number of epochs.
        most_drawn: Most crops that an epoch draws.
        minutes: Train for so long instead.
        batch: Crops a step.
        device: As torch takes it (``cpu``, ``0``, ``mps``); ``None`` chooses.
        seed: Seed of everything random.
        extra: Any other Ultralytics setting; wins over ours.
    """

    model: str = "yolov8n-cls"
    weights: str | None = None
    crop_size: int = 64
    epochs: int = 30
    minutes: float | None = None
    most_drawn: int = 20_000
    batch: int = 64
    device: str | None = None
    seed: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedClassifier:
    """What a training left.

    Attributes:
        checkpoint: The weights, averaged over the last steps, as Ultralytics writes them.
        start: What the training started from, in words.
        crops_seen: Number of crops that went through the network, repeats counted.
        seconds: Duration of the training itself.
    """

    checkpoint: Path
    start: str
    crops_seen: int
    seconds: float


def train_classifier(
    settings: ClassifierSettings,
    crops: CropFolder,
    folder: Path,
    quiet: bool = False,
    on_epoch: OnEpoch | None = None,
) -> TrainedClassifier:
    """Trains on crops; Ultralytics' own run (curves, plots, checkpoints) goes to ``folder``.

    The last epoch's averaged weights are taken. With a learning rate that ends near 0 they hardly change any more, and
    validation, which the temperature and the thresholds are taken from, need not choose the epoch as well.

    Args:
        settings: How to train.
        crops: What to train on.
        folder: Where Ultralytics' run goes.
        quiet: Say little and draw no plots.
        on_epoch: Is told of each epoch.

    Raises:
        SporeYoloError: The weights do not load, or the training breaks off.
        UsageError: An Ultralytics setting is unknown.
    """
    ultralytics = import_ultralytics()
    import torch

    from spore_yolo.training.crop_trainer import CropTrainer

    # What the weights do not fill is drawn, before Ultralytics sets the seed.
    torch.manual_seed(settings.seed)
    model, start = starting_model(ultralytics, settings.model, settings.weights, len(crops.classes))
    if not quiet:
        print(f"starting from {start}")
    seen = {"crops": 0}

    def note_progress(trainer: Any) -> None:
        seen["crops"] = trainer.crops_seen

    def limit_epoch(trainer: Any) -> None:
        trainer.most_drawn = settings.most_drawn

    model.add_callback("on_pretrain_routine_start", limit_epoch)
    model.add_callback("on_train_epoch_end", note_progress)
    if on_epoch is not None:
        EpochFollower(on_epoch).follow(model)
    began = time.monotonic()
    arguments = {
        **MICROSCOPY,
        "data": str(crops.path.resolve()),
        "imgsz": settings.crop_size,
        "batch": settings.batch,
        "nbs": settings.batch,
        "epochs": settings.epochs,
        "time": None if settings.minutes is None else settings.minutes / 60,
        "warmup_epochs": 1.0,
        "val": False,
        "plots": not quiet,
        "verbose": not quiet,
        "device": settings.device,
        "seed": settings.seed,
        "workers": min(8, core_count()),
        "project": str(folder.parent.resolve()),
        "name": folder.name,
        "exist_ok": True,
        **settings.extra,
    }
    try:
        model.train(trainer=CropTrainer, **arguments)
    except (SyntaxError, TypeError, ValueError, NotImplementedError) as error:
        # Ultralytics reports unknown or unfit settings so.
        raise UsageError(f"Ultralytics refuses to train: {plain(error)}") from error
    except RuntimeError as error:
        raise SporeYoloError(
            f"the training broke off: {plain(error)}. If memory ran out, use a smaller --batch or --crop-size."
        ) from error
    last = folder / "weights" / "last.pt"
    load_model(ultralytics, last)
    return TrainedClassifier(last, start, seen["crops"], time.monotonic() - began)


def check_settings(settings: ClassifierSettings) -> None:
    """Finds out what cannot be trained, before anything is written.

    Raises:
        SporeYoloError: The weights are missing.
        UsageError: The model, the crop size or the device is none.
    """
    if settings.model not in MODELS:
        raise UsageError(f"--model: expected one of {', '.join(MODELS)}, found {settings.model!r}")
    if settings.crop_size % STRIDE:
        raise UsageError(f"--crop-size: expected a multiple of {STRIDE}, found {settings.crop_size}")
    check_weights(settings.weights)
    torch_device(settings.device)
