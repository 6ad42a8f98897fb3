"""Evaluates a pair on a split of a dataset: looks, measures, writes, and says what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.evaluation.classifier import look_at_labels
from spore_yolo.evaluation.report import evaluate_pair, write_evaluation
from spore_yolo.evaluation.scoring import merged_to_spore
from spore_yolo.experiments.evaluation_output import check_output, print_tables, print_written
from spore_yolo.experiments.telling import tell_begin, tell_evaluation
from spore_yolo.experiments.tracking import NO_TRACKING, Tracking
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import read_image
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint, PairManifest
from spore_yolo.inference.pair import Pair, load, pair_folder, read_trained_on
from spore_yolo.prediction.looking import look_at
from spore_yolo.prediction.point import chosen_point, point_note, what_breaks


@dataclass(frozen=True)
class EvaluationOptions:
    """What the user asked for; see ``spore-yolo evaluate --help``.

    Attributes:
        pair: The pair's folder.
        dataset, datasets: Name and register.
        split: The split to measure on.
        operating_point, at: See :func:`spore_yolo.prediction.point.chosen_point`.
        iou: Least IoU of a match.
        output: Where the evaluation goes; ``None``: beside the pair of a run, else inside the pair.
        device: As torch takes it; ``None`` chooses.
    """

    pair: Path
    dataset: str | None
    datasets: Path = Path("datasets.yaml")
    split: str = "test"
    operating_point: str | None = None
    at: float | None = None
    iou: float = 0.5
    output: Path | None = None
    device: str | None = None


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation gave.

    Attributes:
        folder: Where it lies.
        metrics: The content of ``metrics.json``.
    """

    folder: Path
    metrics: dict[str, Any]


def evaluate(options: EvaluationOptions, tracking: Tracking = NO_TRACKING) -> Evaluated:
    """Evaluates, writes the evaluation's folder, whole or not at all, and prints the tables.

    Args:
        options: What to evaluate and how.
        tracking: Is told of the part ``evaluation``.
    """
    dataset = load_dataset(options.dataset, options.datasets)
    images, _ = dataset.split(options.split)
    folder = pair_folder(options.pair)
    output = options.output or default_output(folder) / f"{dataset.name}-{options.split}"
    check_output(output)
    trained_on = read_trained_on(folder)
    seen = _seen(images, trained_on, dataset.name, options.split)
    pair = load(folder, options.device)
    with tracking.part("evaluation", f"{dataset.name}-{options.split}") as part:
        tell_begin(part, options, dataset, options.split)
        metrics = _measure(options, dataset, pair, output, seen, bool(trained_on))
        tell_evaluation(part, output, metrics)
    return Evaluated(output, metrics)


def _measure(
    options: EvaluationOptions, dataset: Dataset, pair: Pair, output: Path, seen: int, knows_trained_on: bool
) -> dict[str, Any]:
    """Looks at the slides, writes the evaluation's folder and prints the tables; gives the content of metrics.json.

    Args:
        options: What to evaluate and how.
        dataset: The dataset.
        pair: The pair.
        output: Where the evaluation goes.
        seen: How many of the slides the pair was made with.
        knows_trained_on: Whether the pair says with which slides it was made.
    """
    images, boxes = dataset.split(options.split)
    manifest = pair.manifest
    boxes, merged = comparable(boxes, dataset, manifest)
    point = chosen_point(manifest, options.operating_point, options.at)
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    candidates, caps = look_at(pair, slides, len(slides), point.detector)
    looks = _look_at_labels(pair, boxes, slides, point)
    boxes = boxes.assign(sharpness=looks["sharpness"].astype("float64"))
    evaluation = evaluate_pair(
        candidates, boxes, images, manifest, point, options.iou, looks if manifest.classifier else None
    )
    warnings = caps.warnings(manifest.detector.max_detections_per_tile, manifest.detector.largest_box)
    if seen:
        warnings.append(
            f"note: {seen} of these slides trained the pair or chose its operating point; state figures of test instead"
        )
    if not knows_trained_on:
        warnings.append(
            "note: the pair does not say which slides it was trained on; make sure that these are none of them"
        )
    precision = pair.detector.runner.precision
    promised = manifest.operating_points.get(options.operating_point or "")
    if promised and what_breaks(promised, point.detector, [precision]):
        promised = None
    metrics = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "split": options.split,
        "operating_point": point.model_dump(by_alias=True),
        "operating_point_name": options.operating_point,
        "promise": promised and promised.promise.model_dump(mode="json"),
        "iou": options.iou,
        "targets": [] if merged else (dataset.targets or manifest.targets),
        "classes_merged_to_spore": merged,
        "warnings": warnings,
        "pair": {
            "detector_sha256": manifest.detector.sha256,
            "classifier_sha256": manifest.classifier and manifest.classifier.sha256,
            "made": manifest.made,
        },
        "slides": len(images),
        "groups": int(images["group"].nunique()),
        "megapixels": round(evaluation.scored.megapixels, 3),
        **evaluation.metrics,
    }
    title = f"{dataset.name}, {options.split}"
    write_evaluation(output, evaluation, candidates, metrics, title, lambda slide: read_image(dataset.path_of(slide)))
    print_tables(metrics)
    note = point_note(manifest, options.operating_point, options.at, [precision])
    for line in [*([note] if note else []), *warnings]:
        print(line)
    print_written(output)
    print(f"next: spore-yolo predict --pair {pair.folder} --source SLIDES --output found/")
    return metrics


def _seen(images: pd.DataFrame, trained_on: set[str], dataset: str, split: str) -> int:
    """How many of the slides the pair was made with; none may be, where figures are to be stated."""
    seen = int(images["sha256"].isin(trained_on).sum())
    if seen and split in ("test", "calibration"):
        raise SporeYoloError(
            f"{seen} of the {len(images)} slides of {dataset}, {split}, were in the pair's own train or"
            " validation split: figures on them would lie. Was the dataset imported anew with --force? Train again."
        )
    return seen


def default_output(pair: Path) -> Path:
    """Beside the pair of a run; inside a pair that lies somewhere else, where others may lie beside it."""
    return (pair.parent if pair.name == "pair" else pair) / "evaluation"


def comparable(boxes: pd.DataFrame, dataset: Dataset, manifest: PairManifest) -> tuple[pd.DataFrame, bool]:
    """Labels in the pair's own classes.

    Returns:
        The boxes, and whether all labels were merged to ``spore``, as a one-class detector without a classifier needs.

    Raises:
        SporeYoloError: The pair's classes are not the dataset's, or one of these is called debris.
    """
    if manifest.classifier is None and manifest.detector.one_class:
        return merged_to_spore(boxes), True
    if DEBRIS in dataset.classes:
        raise SporeYoloError(
            f"dataset {dataset.name} has a class {DEBRIS!r}, which is a pair's word for what is no spore; expected"
            " another name: import the dataset with a class map that renames it, or drops it"
        )
    if set(manifest.classes) != set(dataset.classes):
        raise SporeYoloError(
            f"the pair finds {', '.join(manifest.classes)}, dataset {dataset.name} has {', '.join(dataset.classes)}:"
            " they cannot be compared; import the dataset with a class map that gives the pair's names"
        )
    return boxes, False


def _look_at_labels(
    pair: Pair, boxes: pd.DataFrame, slides: list[tuple[str, Path]], point: OperatingPoint
) -> pd.DataFrame:
    """How sharp the labelled boxes are and what the classifier calls them, with a progress bar."""
    bar = tqdm(slides, desc="looking at labels", unit="slide")
    return look_at_labels(boxes, bar, pair if pair.manifest.classifier else None, point)
