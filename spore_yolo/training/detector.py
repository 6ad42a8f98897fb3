"""Trains a YOLOv8 detector on tiles and leaves it as a checkpoint that plain Ultralytics runs too."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spore_yolo.dataset.tiles import TileFolder
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.ultralytics_setup import import_ultralytics

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
        weights: A checkpoint to start from, or ``None`` for the pretrained YOLOv8 weights of that model.
        tile_size: Side of a tile in pixels of the model, a multiple of 32.
        epochs: Number of epochs; each takes one variant of every source.
        minutes: Train for so long instead.
        batch: Tiles a step.
        device: As Ultralytics takes it (``cpu``, ``0``, ``0,1``, ``mps``); ``None`` chooses.
        seed: Seed of everything random.
        extra: Any other Ultralytics setting; wins over ours.
    """

    model: str = "yolov8n"
    weights: Path | None = None
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
    settings: TrainingSettings, tiles: TileFolder, folder: Path, resume: bool = False
) -> TrainedDetector:
    """Trains on tiles; Ultralytics' own run (curves, plots, checkpoints) goes to ``folder / "detector"``.

    Args:
        settings: How to train.
        tiles: What to train on.
        folder: The run's folder.
        resume: Go on from ``folder / "detector/weights/last.pt"``, with the settings that it was begun with.

    Raises:
        SporeYoloError: There is nothing to resume, the weights do not load, or an Ultralytics setting is unknown.
    """
    ultralytics = import_ultralytics()
    from spore_yolo.training.tile_trainer import TileTrainer

    run = folder / "detector"
    last = run / "weights" / "last.pt"
    record = folder / "training.json"
    arguments = _arguments(settings, tiles, folder)
    previous = _read_record(record) if resume else {"seconds": 0.0, "images_seen": 0}
    if resume:
        if not last.exists():
            raise SporeYoloError(f"{last}: no such file; there is nothing to resume, train without --resume")
        model, start = ultralytics.YOLO(str(last)), str(previous["start"])
        arguments["resume"] = True
        if settings.minutes is not None:
            left = settings.minutes * 60 - float(previous["seconds"])
            arguments["time"] = max(left, 1.0) / 3600
    else:
        model, start = _starting_model(ultralytics, settings)
    print(f"starting from {start}")

    trainers: list[Any] = []
    began = time.monotonic()

    def note_progress(trainer: Any) -> None:
        """Written after each epoch, so that a resumed training knows what was done before it."""
        trainers[:] = [trainer]
        done = {
            "start": start,
            "seconds": float(previous["seconds"]) + time.monotonic() - began,
            "images_seen": int(previous["images_seen"]) + trainer.images_seen,
            "settings": json.loads(json.dumps(asdict(settings), default=str)),
        }
        temporary = record.with_suffix(".tmp")
        temporary.write_text(json.dumps(done, indent=1), encoding="utf-8")
        os.replace(temporary, record)

    model.add_callback("on_train_start", lambda trainer: trainers.append(trainer))
    model.add_callback("on_model_save", note_progress)
    try:
        model.train(trainer=TileTrainer, **arguments)
    except (SyntaxError, TypeError, ValueError, AssertionError) as error:
        # Ultralytics reports unknown or unfit settings so, and a finished run that is to be resumed.
        raise UsageError(f"Ultralytics refuses to train: {_plain(error)}") from error
    best = run / "weights" / "best.pt"
    if not best.exists():
        raise SporeYoloError(f"the training ended without {best}; see its messages above")
    done = _read_record(record)
    return TrainedDetector(best, start, int(done["images_seen"]), float(done["seconds"]), _epochs_of(run))


def _arguments(settings: TrainingSettings, tiles: TileFolder, folder: Path) -> dict[str, Any]:
    if settings.tile_size % STRIDE:
        raise UsageError(f"--tile-size: expected a multiple of {STRIDE}, found {settings.tile_size}")
    return {
        **MICROSCOPY,
        "data": str(tiles.data_yaml.resolve()),
        "imgsz": settings.tile_size,
        "batch": settings.batch,
        # Ultralytics collects gradients up to 64 images before a step; a short training needs its steps.
        "nbs": settings.batch,
        "epochs": settings.epochs,
        "time": None if settings.minutes is None else settings.minutes / 60,
        "warmup_epochs": min(3.0, max(0.5, 0.05 * settings.epochs)),
        "close_mosaic": math.ceil(0.1 * settings.epochs),
        "max_det": max(300, 3 * tiles.max_boxes),
        "device": settings.device,
        "seed": settings.seed,
        "workers": min(8, os.cpu_count() or 1),
        "project": str(folder.resolve()),
        "name": "detector",
        "exist_ok": True,
        **settings.extra,
    }


def _starting_model(ultralytics: Any, settings: TrainingSettings) -> tuple[Any, str]:
    if settings.model not in MODELS:
        raise UsageError(f"--model: expected one of {', '.join(MODELS)}, found {settings.model!r}")
    if settings.weights is not None:
        if not settings.weights.is_file():
            raise SporeYoloError(f"--weights: {settings.weights}: no such file; expected a YOLOv8 checkpoint (.pt)")
        print(f"note: {settings.weights} is a model file, and loading it runs code in it; use only files you trust")
        try:
            model = ultralytics.YOLO(f"{settings.model}.yaml").load(str(settings.weights))
        except Exception as error:  # torch and pickle raise almost anything for a file that is no checkpoint
            raise SporeYoloError(
                f"--weights: {settings.weights}: expected a YOLOv8 checkpoint, found something else ({_plain(error)})"
            ) from error
        return model, f"the weights in {settings.weights.name}"
    pretrained = f"{settings.model.removesuffix('-p2')}.pt"
    try:
        model = ultralytics.YOLO(f"{settings.model}.yaml").load(pretrained)
    except Exception as error:  # ConnectionError, FileNotFoundError or HTTPError, depending on what is unreachable
        print(
            f"warning: the pretrained weights {pretrained} cannot be reached ({_plain(error)}); training from scratch,"
            " which needs many times as long. Give a checkpoint with --weights."
        )
        return ultralytics.YOLO(f"{settings.model}.yaml"), "scratch"
    return model, f"the pretrained weights {pretrained}"


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


def _plain(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
