"""Trains a YOLOv8 detector on tiles and leaves it as a checkpoint that plain Ultralytics runs too."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spore_yolo.dataset.tiles import TileFolder
from spore_yolo.files.atomic import write_text
from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.device import torch_device
from spore_yolo.inference.ultralytics_setup import import_ultralytics
from spore_yolo.training.epochs import EpochFollower, OnEpoch, epochs_of, keep_epochs
from spore_yolo.training.starting import check_weights, load_model, plain, starting_model

MODELS = tuple(f"yolov8{size}{head}" for head in ("", "-p2") for size in "nsmlx")
"""The detectors that can be trained; ``-p2`` has a fourth head, at stride 4, for very small spores."""

STRIDE = 32

# What suits slides: no up and no down, little change of size (the magnification is known), stain and light that vary;
# mosaic is used sparingly, since its seams cut spores. All can be set as key=value.
MICROSCOPY: Mapping[str, Any] = {
    "fliplr": 0.5,
    "flipud": 0.5,
    "degrees": 0.0,
    "translate": 0.1,
    "scale": 0.25,
    "mosaic": 0.25,
    "hsv_h": 0.015,
    "hsv_s": 0.5,
    "hsv_v": 0.4,
    "erasing": 0.0,
    "optimizer": "AdamW",
    "lr0": 0.002,
    "lrf": 0.01,
    "momentum": 0.9,
    "cos_lr": True,
}


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes:
        model: One of :data:`MODELS`.
        weights: What to start from; see :func:`spore_yolo.training.starting.starting_model`.
        tile_size: Side of a tile in pixels of the model, a multiple of 32.
        epochs: Number of epochs; each takes one variant of every source.
        minutes: Train for so long instead.
        batch: Tiles a step.
        device: As torch takes it (``cpu``, ``0``, ``mps``); ``None`` chooses.
        seed: Seed of everything random.
        extra: Any other Ultralytics setting; wins over ours.
    """

    model: str = "yolov8n"
    weights: str | None = None
    tile_size: int = 640
    epochs: int = 100
    minutes: float | None = None
    batch: int = 8
    device: str | None = None
    seed: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedDetector:
    """What a training left.

    Attributes:
        checkpoint: The best epoch's weights, as Ultralytics writes them.
        start: What the training started from, in words.
        images_seen: Number of tiles that went through the network, repeats counted.
        seconds: Duration of the training itself.
        epochs: Number of epochs begun.
    """

    checkpoint: Path
    start: str
    images_seen: int
    seconds: float
    epochs: int


def train_detector(
    settings: TrainingSettings,
    tiles: TileFolder,
    folder: Path,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
    after_epoch: Callable[[], None] | None = None,
) -> TrainedDetector:
    """Trains on tiles; Ultralytics' own run (curves, plots, checkpoints) goes to ``folder / "detector"``.

    Args:
        settings: How to train.
        tiles: What to train on.
        folder: The run's folder.
        resume: Go on from ``folder / "detector/weights/last.pt"``, with the settings that it was begun with.
        on_epoch: Is told of each epoch; after an interruption of those before it once more.
        after_epoch: Is called after each epoch, when a training could go on from it.

    Raises:
        SporeYoloError: There is nothing to resume, the weights do not load, or the training breaks off.
        UsageError: An Ultralytics setting is unknown.
    """
    ultralytics = import_ultralytics()
    import torch

    from spore_yolo.training.tile_trainer import TileTrainer

    run = folder / "detector"
    last, best = run / "weights" / "last.pt", run / "weights" / "best.pt"
    record = folder / "training.json"
    arguments = _arguments(settings, tiles, folder)
    previous = {"seconds": 0.0, "images_seen": 0}
    if resume:
        previous = _read_record(record)
        model, start = load_model(ultralytics, last), str(previous["start"])
        epoch, epochs = model.ckpt["epoch"], model.ckpt["train_args"]["epochs"]
        if epoch >= 0:
            keep_epochs(run / "results.csv", epoch + 1)
        if on_epoch is not None:
            for number, figures in epochs_of(run / "results.csv"):
                on_epoch(number, figures)
        if best.exists() and (epoch < 0 or epoch + 1 >= epochs):
            # Ultralytics strips the last checkpoint when it is done; asked to resume it would begin anew.
            print("the training itself was done already")
            return _trained(best, record, run)
        arguments["resume"] = True
        # The checkpoint remembers where the run lay when it was written; it may have been moved since.
        arguments["save_dir"] = str(run.resolve())
    else:
        # What the weights do not fill is drawn, before Ultralytics sets the seed.
        torch.manual_seed(settings.seed)
        model, start = starting_model(ultralytics, settings.model, settings.weights, len(tiles.classes))
    print(f"starting from {start}")
    began = time.monotonic()

    def note_progress(trainer: Any) -> None:
        """Written after each epoch, so that a resumed training knows what was done before it."""
        done = {
            "start": start,
            "seconds": float(previous["seconds"]) + time.monotonic() - began,
            "images_seen": int(previous["images_seen"]) + trainer.images_seen,
        }
        write_text(record, json.dumps(done, indent=1) + "\n")

    def follow_clock(trainer: Any) -> None:
        """Ends mosaic in time though the clock sets the epochs; time that passed before an interruption counts."""
        if "close_mosaic" not in settings.extra:
            trainer.args.close_mosaic = math.ceil(0.1 * trainer.epochs)
        if trainer.epoch == trainer.start_epoch and previous["seconds"]:
            trainer.train_time_start -= float(previous["seconds"])
            trainer.start_epoch = 0

    if settings.minutes is not None:
        model.add_callback("on_train_epoch_start", follow_clock)
    model.add_callback("on_model_save", note_progress)
    if on_epoch is not None:
        EpochFollower(on_epoch).follow(model)
    if after_epoch is not None:
        model.add_callback("on_model_save", lambda trainer: after_epoch())
    try:
        model.train(trainer=TileTrainer, **arguments)
    except (SyntaxError, TypeError, ValueError, NotImplementedError) as error:
        # Ultralytics reports unknown or unfit settings so.
        raise UsageError(f"Ultralytics refuses to train: {plain(error)}") from error
    except RuntimeError as error:
        raise SporeYoloError(
            f"the training broke off: {plain(error)}. If memory ran out, use a smaller --batch or --tile-size."
        ) from error
    if not best.exists():
        raise SporeYoloError(f"the training ended without {best}; see its messages above")
    return _trained(best, record, run)


def check_settings(settings: TrainingSettings) -> None:
    """Finds out what cannot be trained, before anything is written.

    Raises:
        SporeYoloError: The weights are missing.
        UsageError: The model, the tile size or the device is none.
    """
    if settings.model not in MODELS:
        raise UsageError(f"--model: expected one of {', '.join(MODELS)}, found {settings.model!r}")
    if settings.tile_size % STRIDE:
        raise UsageError(f"--tile-size: expected a multiple of {STRIDE}, found {settings.tile_size}")
    check_weights(settings.weights)
    torch_device(settings.device)


def _trained(best: Path, record: Path, run: Path) -> TrainedDetector:
    done = _read_record(record)
    return TrainedDetector(best, str(done["start"]), int(done["images_seen"]), float(done["seconds"]), _epochs_of(run))


def _arguments(settings: TrainingSettings, tiles: TileFolder, folder: Path) -> dict[str, Any]:
    return {
        **MICROSCOPY,
        "data": str(tiles.data_yaml.resolve()),
        "imgsz": settings.tile_size,
        "batch": settings.batch,
        # Ultralytics collects gradients up to 64 images before a step; a short training needs its steps.
        "nbs": settings.batch,
        "epochs": settings.epochs,
        "time": None if settings.minutes is None else settings.minutes / 60,
        # With a clock nobody knows yet how many epochs there will be.
        "warmup_epochs": 1.0 if settings.minutes is not None else min(3.0, max(0.5, 0.05 * settings.epochs)),
        "close_mosaic": math.ceil(0.1 * settings.epochs),
        # Said each time, since a checkpoint that is resumed may have been written before validation began.
        "val": True,
        # Validation looks from score 0.001 on, where doubles are many.
        "max_det": max(300, 10 * tiles.max_boxes),
        "device": settings.device,
        "seed": settings.seed,
        "workers": min(8, core_count()),
        "project": str(folder.resolve()),
        "name": "detector",
        "exist_ok": True,
        **settings.extra,
    }


def _read_record(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["start"], content["seconds"], content["images_seen"]
    except (OSError, ValueError, KeyError) as error:
        raise SporeYoloError(f"{path}: missing or damaged ({error}); train without --resume") from None
    return content


def _epochs_of(run: Path) -> int:
    with (run / "results.csv").open(encoding="utf-8", newline="") as stream:
        return sum(1 for _ in csv.DictReader(stream))
