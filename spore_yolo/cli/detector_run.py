"""Chains what makes a detector: tiles, training, NMS threshold and operating point on validation, the pair."""

from __future__ import annotations

import datetime
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from spore_yolo.cli.looking import joined
from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.dataset.tiles import TileFolder, TileSettings, cut_tiles
from spore_yolo.evaluation.average_precision import average_precision
from spore_yolo.evaluation.metrics import compute_metrics, metrics_text
from spore_yolo.evaluation.operating_point import MIN_PRECISION, ChosenPoint, choose_point, curve_of
from spore_yolo.evaluation.scoring import SPORE, Scored, merged_to_spore, score_candidates
from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.images import read_image
from spore_yolo.files.provenance import code_commit, package_versions
from spore_yolo.inference.detector import Detector, TilingSettings
from spore_yolo.inference.pair import DetectorPart, OperatingPoint, PairManifest, write_pair
from spore_yolo.inference.tiling import overlap_for
from spore_yolo.labels.table import COORDINATES
from spore_yolo.training.checkpoint import finish_checkpoint
from spore_yolo.training.detector import (
    STRIDE,
    TrainedDetector,
    TrainingSettings,
    check_settings,
    train_detector,
)

NMS_CHOICES = (0.7, 0.6, 0.5, 0.4)
"""The overlaps that are tried on validation: low ones melt touching spores, high ones count one spore twice.

Of equally good ones the first is taken, which is Ultralytics' own default.
"""

MIN_CAP = 300
CAP_FACTOR = 5
"""A tile may give so many times the candidates that the fullest training tile has boxes; weak doubles are many."""


@dataclass(frozen=True)
class DetectorOptions:
    """What the user asked for; see ``spore-yolo train-detector --help``."""

    dataset: str
    datasets: Path = Path("datasets.yaml")
    model: str = "yolov8n"
    weights: Path | None = None
    epochs: int = 100
    minutes: float | None = None
    tile_size: int = 640
    scale: float = 1.0
    one_class: bool = False
    empty_share: float = 0.1
    nms_iou: float | None = None
    batch: int = 8
    device: str | None = None
    seed: int = 0
    ultralytics: dict[str, Any] = field(default_factory=dict)

    def training(self) -> TrainingSettings:
        """The part that the training needs."""
        return TrainingSettings(
            self.model,
            self.weights,
            self.tile_size,
            self.epochs,
            self.minutes,
            self.batch,
            self.device,
            self.seed,
            self.ultralytics,
        )


def read_options(folder: Path) -> DetectorOptions:
    """The options that a run was begun with.

    Raises:
        SporeYoloError: The folder is no run, or its ``run.json`` is damaged.
    """
    path = folder / "run.json"
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        whole["dataset_fingerprint"]
        content = whole["options"]
        content["datasets"] = Path(content["datasets"])
        content["weights"] = content["weights"] and Path(content["weights"])
        return DetectorOptions(**content)
    except FileNotFoundError:
        raise SporeYoloError(f"{path}: no such file; {folder} is no run that could be resumed") from None
    except (ValueError, TypeError, KeyError) as error:
        raise SporeYoloError(f"{path}: damaged ({error}); train again without --resume") from None


def train(options: DetectorOptions, folder: Path, resume: bool = False, force: bool = False) -> None:
    """Trains a detector and writes ``folder / "pair"``.

    Args:
        options: What to train and how.
        folder: The run's folder.
        resume: Go on with the run in ``folder``.
        force: Replace a run in ``folder``.
    """
    dataset = load_dataset(options.dataset, options.datasets)
    largest = largest_box(dataset)
    check_settings(options.training())
    side = options.tile_size / options.scale
    if overlap_for(largest, options.scale) >= side:
        raise UsageError(
            f"the largest labelled box has {largest:.0f} px, which does not fit into tiles of {side:.0f} px"
            " of the slide; use a larger --tile-size or a smaller --scale"
        )
    if resume:
        _check_same_dataset(dataset, folder)
        _train(dataset, options, folder, largest, resume=True)
        return
    with _in_place_of(folder, force):
        _begin(dataset, options, folder)
        _train(dataset, options, folder, largest, resume=False)


def _begin(dataset: Dataset, options: DetectorOptions, folder: Path) -> None:
    weights = options.weights and str(options.weights)
    settings = {**asdict(options), "datasets": str(options.datasets), "weights": weights}
    content = {"options": settings, "dataset_fingerprint": dataset.fingerprint}
    write_text(folder / "run.json", json.dumps(content, indent=1) + "\n")


def _train(dataset: Dataset, options: DetectorOptions, folder: Path, largest: float, resume: bool) -> None:
    try:
        tiles = _tiles(dataset, folder, options, largest)
        trained = train_detector(options.training(), tiles, folder, resume)
        _finish(dataset, folder, options, trained, largest, tiles.max_boxes)
    except KeyboardInterrupt:
        if not _begun(folder):
            raise
        again = f"spore-yolo train-detector --resume --name {folder.name} --runs {folder.parent}"
        raise KeyboardInterrupt(f"go on with: {again}") from None
    shutil.rmtree(folder / "tiles")


def _begun(folder: Path) -> bool:
    """Whether there is anything that a training could go on from."""
    return (folder / "detector" / "weights" / "last.pt").exists()


@contextmanager
def _in_place_of(folder: Path, force: bool) -> Iterator[None]:
    """Makes the run's folder; one that stood there comes back if the new training never gets going."""
    aside = folder.with_name(f".{folder.name}.replaced")
    occupied = folder.exists() and any(folder.iterdir())
    if occupied and not force:
        raise UsageError(f"{folder} exists; take another --name, go on with --resume, or replace it with --force")
    if occupied and not (folder / "run.json").exists():
        raise UsageError(f"{folder} is not a run of ours and is not replaced; take another --name")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        if occupied:
            os.replace(folder, aside)
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        if aside.exists() and not _begun(folder):
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(aside, folder)
        elif not occupied and not _begun(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_same_dataset(dataset: Dataset, folder: Path) -> None:
    """A training that goes on with other slides or another split would mix them without a word."""
    before = json.loads((folder / "run.json").read_text(encoding="utf-8"))["dataset_fingerprint"]
    if before != dataset.fingerprint:
        raise SporeYoloError(
            f"dataset {dataset.name} was imported anew since {folder} was begun; train again without --resume"
        )


def largest_box(dataset: Dataset) -> float:
    """Longest side of the largest labelled box that training may see, in pixels of the slide."""
    images = dataset.images[dataset.images["split"].isin(["train", "val"])]
    boxes = dataset.boxes[dataset.boxes["image"].isin(images["image"]) & ~dataset.boxes["ignored"]]
    corners = boxes[COORDINATES].to_numpy(dtype=np.float64)
    return round(float((corners[:, 2:] - corners[:, :2]).max()), 1)


def usual_imgsz(dataset: Dataset, scale: float) -> int:
    """Longer side of the commonest slide size at training scale, as a multiple of the stride."""
    images = dataset.images[dataset.images["split"].isin(["train", "val"])]
    longest = images[["width", "height"]].max(axis=1).mode().max()
    return STRIDE * math.ceil(float(longest) * scale / STRIDE)


def _tiles(dataset: Dataset, folder: Path, options: DetectorOptions, largest: float) -> TileFolder:
    """Cuts the tiles; they are cut anew for a resumed run too, since that takes seconds and cannot be stale."""
    place = folder / "tiles"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    settings = TileSettings(
        options.tile_size,
        options.scale,
        overlap_for(largest, options.scale),
        options.empty_share,
        options.one_class,
    )
    tiles = cut_tiles(dataset, place, settings, options.seed)
    print(
        f"tiles of {options.tile_size} px at scale {options.scale:g}: {tiles.counts['train']:,} in train"
        f" ({tiles.empty['train']:,} empty), {tiles.counts['val']:,} in val"
    )
    return tiles


def _finish(
    dataset: Dataset, folder: Path, options: DetectorOptions, trained: TrainedDetector, largest: float, fullest: int
) -> None:
    checkpoint = folder / "detector.pt"
    finish_checkpoint(trained.checkpoint, checkpoint, usual_imgsz(dataset, options.scale))
    detector = Detector(checkpoint, options.device)
    tiling = TilingSettings(
        options.tile_size,
        options.scale,
        largest,
        options.nms_iou or NMS_CHOICES[0],
        max(MIN_CAP, CAP_FACTOR * fullest),
    )
    choices = [options.nms_iou] if options.nms_iou else list(NMS_CHOICES)
    looks, capped = _look_at_validation(detector, dataset, tiling, choices, options.one_class)
    classes = [SPORE] if options.one_class else dataset.classes
    wanted = classes if options.one_class or not dataset.targets else dataset.targets
    points = [choose_point(curve_of(look, wanted)) for look in looks]
    best = max(range(len(points)), key=lambda i: (points[i].reached, points[i].recall, points[i].precision))
    scored, point = looks[best], points[best]
    ap = average_precision(scored.candidates, _truth(dataset, options.one_class)[1], scored.images, classes)
    metrics = compute_metrics(scored, point.threshold, ap)
    part = DetectorPart(
        file=checkpoint.name,
        sha256="",
        model=options.model,
        one_class=options.one_class,
        tile_size=options.tile_size,
        scale=options.scale,
        largest_box=largest,
        nms_iou=choices[best],
        max_detections_per_tile=tiling.max_detections_per_tile,
    )
    manifest = PairManifest(
        pair_version=1,
        classes=classes,
        targets=[] if options.one_class else dataset.targets,
        detector=part,
        um_per_px=_um_per_px(dataset),
        operating_point=OperatingPoint(detector=point.threshold),
        figures=_figures(dataset, point, metrics, scored, dict(zip(choices, points, strict=True))),
        made=_made(dataset, options, trained),
    )
    write_pair(folder / "pair", checkpoint, manifest, _seen_images(dataset))
    checkpoint.unlink()
    _report(folder, dataset, trained, manifest, point, metrics)
    if capped:
        print(
            f"warning: on {capped} validation slides a tile reached the cap of {tiling.max_detections_per_tile}"
            " candidates; the operating point may be off"
        )


def _seen_images(dataset: Dataset) -> list[str]:
    """The hashes of all images of the groups in train and validation, spare variants included."""
    images = dataset.images
    groups = images.loc[images["split"].isin(["train", "val"]), "group"]
    return list(images.loc[images["group"].isin(groups), "sha256"])


def _truth(dataset: Dataset, one_class: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    images, boxes = dataset.split("val")
    return images, merged_to_spore(boxes) if one_class else boxes


def _look_at_validation(
    detector: Detector, dataset: Dataset, tiling: TilingSettings, choices: list[float], one_class: bool
) -> tuple[list[Scored], int]:
    """The validation slides through the detector once, scored for each NMS threshold; and how many reached a cap."""
    images, boxes = _truth(dataset, one_class)
    classes = [SPORE] if one_class else dataset.classes
    tables: list[list[pd.DataFrame]] = [[] for _ in choices]
    capped = 0
    for image in tqdm(images["image"], desc="looking at validation", unit="slide"):
        pixels = read_image(dataset.path_of(image))
        looks = detector.slide_at(pixels, tiling, choices)
        capped += any(found.capped_tiles for found in looks)
        for found, collected in zip(looks, tables, strict=True):
            table = pd.DataFrame(found.boxes, columns=COORDINATES)
            names = np.array(classes, dtype=object)[found.classes]
            collected.append(table.assign(**{"slide": image, "class": names, "score": found.scores}))
    return [score_candidates(_candidates(collected), boxes, images, classes) for collected in tables], capped


def _candidates(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return joined(tables)[["slide", "class", "score", *COORDINATES]]


def _um_per_px(dataset: Dataset) -> float | None:
    values = dataset.images["um_per_px"].dropna().unique()
    return float(values[0]) if len(values) == 1 else None


def _figures(
    dataset: Dataset, point: ChosenPoint, metrics: dict[str, Any], scored: Scored, tried: dict[float, ChosenPoint]
) -> dict[str, Any]:
    return {
        "rule": f"highest recall with precision >= {MIN_PRECISION}"
        + ("" if point.reached else "; not reached, the most precise point was taken"),
        "split": "val",
        "slides": len(scored.images),
        "groups": int(scored.images["group"].nunique()),
        "iou": scored.iou,
        **{key: _rounded(value) for key, value in metrics["overall"].items()},
        "recall_by_nms_iou": {iou: round(tried_point.recall, 4) for iou, tried_point in tried.items()},
    }


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _made(dataset: Dataset, options: DetectorOptions, trained: TrainedDetector) -> dict[str, Any]:
    settings = replace(options, weights=None, datasets=Path("datasets.yaml"))
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "start": trained.start,
        "images_seen": trained.images_seen,
        "minutes": round(trained.seconds / 60, 1),
        "epochs": trained.epochs,
        "seed": options.seed,
        "settings": {
            key: value for key, value in asdict(settings).items() if key not in ("dataset", "datasets", "weights")
        },
        "versions": package_versions(),
        "commit": code_commit(),
    }


def _report(
    folder: Path,
    dataset: Dataset,
    trained: TrainedDetector,
    manifest: PairManifest,
    point: ChosenPoint,
    metrics: dict[str, Any],
) -> None:
    print(
        f"\ntrained from {trained.start}: {trained.images_seen:,} tiles seen in {trained.seconds / 60:.1f} minutes,"
        f" {trained.epochs} epochs\n"
    )
    print(f"validation, {manifest.figures['slides']} slides in {manifest.figures['groups']} groups,", end=" ")
    print(f"at the operating point detector_score >= {point.threshold:g} (NMS {manifest.detector.nms_iou:g}):\n")
    print(metrics_text(metrics, manifest.targets))
    if not point.reached:
        print(
            f"warning: no threshold gives a precision of {MIN_PRECISION} on validation; the most precise one was taken"
            f" ({point.precision:.3f}). Train longer or add labels."
        )
    print(
        f"\n{folder / 'pair'}       the pair: detector.pt and pair.yaml\n"
        f"{folder / 'detector'}   Ultralytics' own run: curves, plots, checkpoints\n"
        f"next: spore-yolo evaluate --run {folder} --dataset {dataset.name} --split test\n"
        f"      spore-yolo predict --run {folder} --source SLIDES --output found/"
    )
