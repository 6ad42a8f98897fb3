"""Chains what makes a detector: tiles, training, NMS threshold and operating point on validation, the pair."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.dataset.tiles import TileFolder, TileSettings, cut_tiles
from spore_yolo.evaluation.metrics import metrics_text
from spore_yolo.evaluation.operating_point import MIN_PRECISION, ChosenPoint, choose_point, curve_of
from spore_yolo.evaluation.report import evaluate_candidates
from spore_yolo.evaluation.scoring import SPORE, merged_to_spore, score_candidates
from spore_yolo.experiments.options import DetectorOptions
from spore_yolo.experiments.runs import (
    check_same_dataset,
    in_place_of,
    made,
    seen_images,
    um_per_px,
    validation_figures,
)
from spore_yolo.experiments.telling import tell_begin, tell_detector, tell_run
from spore_yolo.experiments.tracking import NO_TRACKING, Tracking
from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.images import read_image
from spore_yolo.files.lake.paths import as_address, from_address
from spore_yolo.inference.detector import Detector
from spore_yolo.inference.manifest import PAIR_VERSION, DetectorPart, OperatingPoint, PairManifest
from spore_yolo.inference.pair import write_pair
from spore_yolo.inference.tiling import TilingSettings, overlap_for
from spore_yolo.labels.table import COORDINATES
from spore_yolo.prediction.looking import joined, proposals_table
from spore_yolo.training.checkpoint import finish_checkpoint
from spore_yolo.training.detector import (
    STRIDE,
    TrainedDetector,
    check_settings,
    train_detector,
)

NMS_CHOICES = (0.7, 0.6, 0.5, 0.4)

EQUAL_RECALL = 0.002
"""Recalls on validation that differ by no more are the same: one or two spores of a thousand."""
"""The overlaps that are tried on validation: low ones melt touching spores, high ones count one spore twice.

Of equally good ones the first is taken, which is Ultralytics' own default.
"""

MIN_CAP = 300
CAP_FACTOR = 5
"""A tile may give so many times the candidates that the fullest training tile has boxes; weak doubles are many."""


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
        content["datasets"] = from_address(content["datasets"])
        return DetectorOptions(**content)
    except FileNotFoundError:
        raise SporeYoloError(f"{path}: no such file; {folder} is no run that could be resumed") from None
    except (ValueError, TypeError, KeyError) as error:
        raise SporeYoloError(f"{path}: damaged ({error}); train again without --resume") from None


def train(
    options: DetectorOptions,
    folder: Path,
    resume: bool = False,
    force: bool = False,
    tracking: Tracking = NO_TRACKING,
    after_epoch: Callable[[], None] | None = None,
) -> None:
    """Trains a detector and writes ``folder / "pair"``.

    Args:
        options: What to train and how.
        folder: The run's folder.
        resume: Go on with the run in ``folder``; without a checkpoint it begins once more, as what it was.
        force: Replace a run in ``folder``.
        tracking: Is told of the part ``detector``.
        after_epoch: Is called after each epoch, when the run could be resumed from it.
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
        check_same_dataset(dataset, folder)
        _train(dataset, options, folder, largest, True, tracking, after_epoch)
        return
    with in_place_of(folder, force, _begun):
        _begin(dataset, options, folder)
        _train(dataset, options, folder, largest, False, tracking, after_epoch)


def _begin(dataset: Dataset, options: DetectorOptions, folder: Path) -> None:
    settings = {**asdict(options), "datasets": as_address(options.datasets)}
    content = {"options": settings, "dataset_fingerprint": dataset.fingerprint}
    write_text(folder / "run.json", json.dumps(content, indent=1) + "\n")


def _train(
    dataset: Dataset,
    options: DetectorOptions,
    folder: Path,
    largest: float,
    resume: bool,
    tracking: Tracking,
    after_epoch: Callable[[], None] | None,
) -> None:
    tell_run(tracking, dataset)
    begun = resume and _begun(folder)
    if resume and not begun:
        print("no epoch was finished; the training begins from the start")
        shutil.rmtree(folder / "detector", ignore_errors=True)
    try:
        with tracking.part("detector", resume=resume) as part:
            tell_begin(part, options, dataset, "training")
            tiles = _tiles(dataset, folder, options, largest)
            trained = train_detector(options.training(), tiles, folder, begun, part.epoch, after_epoch)
            manifest = _finish(dataset, folder, options, trained, largest, tiles.max_boxes)
            tell_detector(part, folder, trained, manifest)
    except KeyboardInterrupt:
        if not _begun(folder):
            raise
        again = f"spore-yolo train-detector --resume --name {folder.name} --runs {folder.parent}"
        raise KeyboardInterrupt(f"go on with: {again}") from None
    shutil.rmtree(folder / "tiles")


def _begun(folder: Path) -> bool:
    """Whether there is anything that a training could go on from."""
    return (folder / "detector" / "weights" / "last.pt").exists() and (folder / "training.json").exists()


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
) -> PairManifest:
    checkpoint = folder / "detector.pt"
    finish_checkpoint(trained.checkpoint, checkpoint, usual_imgsz(dataset, options.scale))
    detector = Detector.load(checkpoint, options.device)
    tiling = TilingSettings(
        options.tile_size,
        options.scale,
        largest,
        options.nms_iou or NMS_CHOICES[0],
        max(MIN_CAP, CAP_FACTOR * fullest),
    )
    choices = [options.nms_iou] if options.nms_iou else list(NMS_CHOICES)
    images, boxes = dataset.split("val")
    boxes = merged_to_spore(boxes) if options.one_class else boxes
    classes = [SPORE] if options.one_class else dataset.classes
    wanted = classes if options.one_class or not dataset.targets else dataset.targets
    tables, capped = _look_at(detector, dataset, images, tiling, choices)
    points = [choose_point(curve_of(score_candidates(table, boxes, images, classes), wanted)) for table in tables]
    best = lowest_of_the_best(points)
    point = points[best]
    operating_point = OperatingPoint(detector=point.threshold)
    evaluation = evaluate_candidates(tables[best], boxes, images, classes, operating_point)
    manifest = PairManifest(
        pair_version=PAIR_VERSION,
        classes=classes,
        targets=[] if options.one_class else dataset.targets,
        detector=DetectorPart(
            file=checkpoint.name,
            sha256="",
            model=options.model,
            classes=classes,
            one_class=options.one_class,
            tile_size=options.tile_size,
            scale=options.scale,
            largest_box=largest,
            nms_iou=choices[best],
            max_detections_per_tile=tiling.max_detections_per_tile,
        ),
        um_per_px=um_per_px(dataset),
        operating_point=operating_point,
        figures={
            "rule": f"highest recall with precision >= {MIN_PRECISION}"
            + ("" if point.reached else "; not reached, the most precise point was taken"),
            **validation_figures(evaluation.metrics, images),
            "recall_by_nms_iou": {iou: round(tried.recall, 4) for iou, tried in zip(choices, points, strict=True)},
            "detector_alone": {"threshold": point.threshold},
        },
        made={
            "detector": made(
                dataset,
                trained.start,
                trained.seconds,
                asdict(options),
                images_seen=trained.images_seen,
                epochs=trained.epochs,
                seed=options.seed,
            )
        },
    )
    write_pair(folder / "pair", manifest, checkpoint, trained_on=seen_images(dataset))
    checkpoint.unlink()
    _report(folder, dataset, trained, manifest, point, evaluation.metrics)
    if capped:
        print(
            f"warning: on {capped} validation slides a tile reached the cap of {tiling.max_detections_per_tile}"
            " candidates; the operating point may be off"
        )
    return manifest


def lowest_of_the_best(points: Sequence[ChosenPoint]) -> int:
    """Which NMS threshold to take: the lowest of those whose recall is as good as the best.

    A higher one finds hardly more, and counts more spores twice.

    Args:
        points: The operating point that each gives; the thresholds fall.
    """
    reached = any(point.reached for point in points)
    most = max(point.recall for point in points if point.reached == reached)
    return max(
        place for place, point in enumerate(points) if point.reached == reached and point.recall >= most - EQUAL_RECALL
    )


def _look_at(
    detector: Detector, dataset: Dataset, images: pd.DataFrame, tiling: TilingSettings, choices: list[float]
) -> tuple[list[pd.DataFrame], int]:
    """The candidates on slides for each NMS threshold, looked at once; and on how many slides a cap was reached."""
    tables: list[list[pd.DataFrame]] = [[] for _ in choices]
    capped = 0
    for image in tqdm(images["image"], desc="looking at validation", unit="slide"):
        looks = detector.slide_at(read_image(dataset.path_of(image)), tiling, choices)
        capped += any(found.capped_tiles for found in looks)
        for found, collected in zip(looks, tables, strict=True):
            collected.append(proposals_table(image, found, detector.names))
    return [joined(collected) for collected in tables], capped


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
        f"next: spore-yolo train-classifier --run {folder}    (names the spores and throws out debris)\n"
        f"      spore-yolo evaluate --run {folder} --dataset {dataset.name} --split test"
    )
