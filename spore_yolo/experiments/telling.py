"""What each part of a run tells whoever tracks it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spore_yolo.dataset.store import Dataset
from spore_yolo.experiments.tracking import Part, Tracking
from spore_yolo.experiments.tracking.flattening import options_of
from spore_yolo.files.structured import read_yaml
from spore_yolo.inference.manifest import PairManifest, PromisedPoint, read_manifest
from spore_yolo.training.classifier import TrainedClassifier
from spore_yolo.training.detector import TrainedDetector


def tell_run(tracking: Tracking, dataset: Dataset) -> None:
    """What is true of the run as a whole."""
    tracking.describe({"dataset": dataset.name, "classes": dataset.classes, "targets": dataset.targets})


def tell_begin(part: Part, options: Any, dataset: Dataset, context: str) -> None:
    """What a part was asked for.

    Args:
        part: The part.
        options: A dataclass of options.
        dataset: What it works on.
        context: What for: ``training``, or the split.
    """
    part.parameters(options_of(options))
    slides = dataset.images["split"].value_counts()
    part.parameters({"slides": {str(split): int(count) for split, count in slides.items()}})
    part.dataset(dataset.name, dataset.fingerprint, context)


def tell_detector(part: Part, folder: Path, trained: TrainedDetector, manifest: PairManifest) -> None:
    """What came of a detector's training.

    Args:
        part: The part.
        folder: The run's folder.
        trained: What the training left.
        manifest: What the pair says of itself.
    """
    part.parameters({"start": trained.start, "rule": manifest.figures["rule"]})
    part.metrics(
        {
            "validation": manifest.figures,
            "operating_point": manifest.operating_point.model_dump(by_alias=True),
            "nms_iou": manifest.detector.nms_iou,
            "images_seen": trained.images_seen,
            "minutes": trained.seconds / 60,
            "epochs": trained.epochs,
        }
    )
    part.figures(folder / "detector")
    part.artifact(folder / "pair", "pair")


def tell_classifier(part: Part, folder: Path, trained: TrainedClassifier, with_detector: bool) -> None:
    """What came of a classifier's training.

    Args:
        part: The part.
        folder: The run's folder.
        trained: What the training left.
        with_detector: Whether it completed a pair.
    """
    part.parameters({"start": trained.start})
    part.metrics({"crops_seen": trained.crops_seen, "minutes": trained.seconds / 60})
    part.figures(folder / "classifier" / "training")
    if not with_detector:
        content = read_yaml(folder / "classifier.yaml")
        part.metrics({"validation": content["figures"], **_chosen(content["classifier"])})
        for file in ("classifier.pt", "classifier.yaml"):
            part.artifact(folder / file, "classifier")
        return
    manifest = read_manifest(folder / "pair")
    assert manifest.classifier is not None
    point = manifest.operating_point.model_dump(by_alias=True)
    part.metrics(
        {"validation": manifest.figures, "operating_point": point, **_chosen(manifest.classifier.model_dump())}
    )
    part.artifact(folder / "pair", "pair")


def tell_promise(part: Part, pair: Path, promised: PromisedPoint) -> None:
    """What a calibration chose, and what it promises.

    Args:
        part: The part.
        pair: The pair's folder.
        promised: The operating point with its promise.
    """
    promise = promised.promise
    part.parameters({"promised_targets": promise.targets, "bound": promise.bound, "notes": promise.notes})
    part.metrics(
        {"operating_point": promised.point.model_dump(by_alias=True), "promise": promise.model_dump(mode="json")}
    )
    part.artifact(pair, "pair")


def tell_evaluation(part: Part, folder: Path, metrics: Mapping[str, Any]) -> None:
    """What an evaluation measured: every number of its ``metrics.json``, its plots, and its folder as it is.

    Args:
        part: The part.
        folder: The evaluation's folder.
        metrics: The content of ``metrics.json``.
    """
    part.metrics(metrics)
    if metrics.get("warnings"):
        part.tags({"warnings": "\n".join(metrics["warnings"])})
    part.figures(folder)
    part.artifact(folder, "evaluation")


def _chosen(classifier: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen on validation of how a classifier looks."""
    return {key: classifier[key] for key in ("crop_size", "margin", "temperature", "debris_from")}
