"""Puts an evaluation together: the pair, the detector alone and the classifier alone; writes it as a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from spore_yolo.evaluation.average_precision import average_precision
from spore_yolo.evaluation.classifier import classifier_figures
from spore_yolo.evaluation.confusion import confusion_matrix, found_at_all
from spore_yolo.evaluation.crops import LEAST_SCORE, crop_figures, crops_table
from spore_yolo.evaluation.metrics import Figures, compute_metrics
from spore_yolo.evaluation.operating_point import Curve, curve_of
from spore_yolo.evaluation.plots import plot_confusion, plot_precision_recall
from spore_yolo.evaluation.scoring import (
    SPORE,
    Scored,
    as_detector_alone,
    detections_of,
    matches_table,
    merged_to_spore,
    score_candidates,
)
from spore_yolo.evaluation.slides import slide_figures
from spore_yolo.files.atomic import atomic_folder
from spore_yolo.inference.manifest import OperatingPoint, PairManifest
from spore_yolo.labels.writers import DECIMALS, write_csv

FILES = ["metrics.json", "matches.csv", "crops.csv", "confusion.csv", "candidates.csv"]
PLOTS = ["precision_recall.png", "confusion.png"]


@dataclass(frozen=True)
class Evaluation:
    """A pair, or a detector alone, at one operating point on one split.

    Attributes:
        scored: The detections, matched class by class.
        crops: The crops; see :func:`spore_yolo.evaluation.crops.crops_table`.
        confusion: The confusion matrix with ``background``.
        curves: The precision-recall curve of each class over all candidates, ranked by score.
        metrics: The figures; docs/evaluation.md says what each is.
    """

    scored: Scored
    crops: pd.DataFrame
    confusion: pd.DataFrame
    curves: dict[str, Curve]
    metrics: Figures


def evaluate_candidates(
    candidates: pd.DataFrame,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    classes: Sequence[str],
    point: OperatingPoint,
    iou: float = 0.5,
) -> Evaluation:
    """Everything that candidates show of one pair, or of one detector, at an operating point.

    Args:
        candidates: Columns of ``candidates.csv``.
        boxes: The boxes table of the split, in the pair's classes.
        images: The images table of the split.
        classes: What the pair names.
        point: The operating point.
        iou: Least IoU of a match; crops have their own, which is fixed.
    """
    detections = detections_of(candidates, point)
    scored = score_candidates(detections, boxes, images, classes, iou)
    crops = crops_table(candidates, boxes, images, point)
    metrics = compute_metrics(scored, average_precision(candidates, boxes, images, classes))
    found = found_at_all(candidates, boxes, images, classes, point.detector, iou)
    by_crop, by_slide = crop_figures(crops, classes), slide_figures(scored, boxes)
    for name in classes:
        metrics["per_class"][name]["found_at_all"] = found["per_class"][name]
        for over, figures in {"crops": by_crop[name], "slides": by_slide[name]}.items():
            metrics["per_class"][name] |= {
                f"recall_{over}": figures.pop("recall"),
                f"specificity_{over}": figures.pop("specificity"),
                over: figures,
            }
    metrics["overall"]["found_at_all"] = found["overall"]
    metrics["crops"] = {
        "least_detector_score": LEAST_SCORE,
        "n": int((crops["left_out"] == "").sum()),
        "left_out_between": int((crops["left_out"] == "between").sum()),
        "left_out_ignored": int((crops["left_out"] == "ignored").sum()),
    }
    everything = score_candidates(candidates, boxes, images, classes, iou)
    return Evaluation(
        scored=scored,
        crops=crops,
        confusion=confusion_matrix(detections, boxes, images, classes, iou),
        curves={name: curve_of(everything, [name]) for name in classes},
        metrics=metrics,
    )


def evaluate_pair(
    candidates: pd.DataFrame,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    manifest: PairManifest,
    point: OperatingPoint,
    iou: float = 0.5,
    label_calls: pd.DataFrame | None = None,
) -> Evaluation:
    """The figures of a pair, and beside them those of its parts.

    Args:
        candidates: Columns of ``candidates.csv``.
        boxes: The boxes table of the split, in the pair's classes.
        images: The images table of the split.
        manifest: What the pair says of itself.
        point: The operating point.
        iou: Least IoU of a match.
        label_calls: What the classifier calls the labelled boxes
            (:func:`spore_yolo.evaluation.classifier.call_labels`); ``None`` without a classifier.

    Returns:
        The evaluation of the pair. With a classifier its figures hold ``detector_alone`` and
        ``classifier_on_labels``; without one the pair is the detector alone.
    """
    evaluation = evaluate_candidates(candidates, boxes, images, manifest.classes, point, iou)
    if label_calls is None:
        return evaluation
    alone = detector_alone(candidates, boxes, images, manifest, iou)
    by_label = classifier_figures(label_calls, manifest.classes)
    metrics = evaluation.metrics | {"detector_alone": alone, "classifier_on_labels": by_label}
    return replace(evaluation, metrics=metrics)


def detector_alone(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, manifest: PairManifest, iou: float = 0.5
) -> Figures:
    """The figures that the detector would have without the classifier, at its own threshold.

    A detector that names other classes than the pair, as a one-class detector does, is scored with all labels merged
    to ``spore``.

    Returns:
        ``threshold``, ``classes_merged_to_spore``, ``found_at_all`` by the pair's classes, and the figures of
        :func:`evaluate_candidates` in the detector's classes.
    """
    stored = manifest.figures.get("detector_alone", {}).get("threshold")
    threshold = manifest.operating_point.detector if stored is None else float(stored)
    merged = set(manifest.detector.classes) != set(manifest.classes)
    classes, own, rows = manifest.classes, boxes, as_detector_alone(candidates)
    if merged:
        classes, own, rows = [SPORE], merged_to_spore(boxes), rows.assign(**{"class": SPORE})
    metrics = evaluate_candidates(rows, own, images, classes, OperatingPoint(detector=threshold), iou).metrics
    return {
        "threshold": threshold,
        "classes_merged_to_spore": merged,
        "found_at_all": found_at_all(candidates, boxes, images, manifest.classes, threshold, iou)["per_class"],
        **metrics,
    }


def write_evaluation(
    folder: Path, evaluation: Evaluation, candidates: pd.DataFrame, metrics: dict[str, Any], title: str
) -> None:
    """Writes an evaluation's folder, whole or not at all: :data:`FILES` and :data:`PLOTS`.

    Args:
        folder: The folder, replaced as a whole.
        evaluation: The evaluation.
        candidates: Columns of ``candidates.csv``.
        metrics: The content of ``metrics.json``: what was evaluated, and the evaluation's figures.
        title: What was evaluated on what, for the plots.
    """
    names = list(evaluation.curves)
    with atomic_folder(folder) as temporary:
        (temporary / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        matches_table(evaluation.scored).to_csv(temporary / "matches.csv", index=False)
        evaluation.crops.round(DECIMALS | {"iou": 4}).to_csv(temporary / "crops.csv", index=False)
        evaluation.confusion.to_csv(temporary / "confusion.csv")
        write_csv(temporary / "candidates.csv", candidates)
        at = {name: evaluation.metrics["per_class"][name] for name in names}
        points = {name: (figures["recall"], figures["precision"]) for name, figures in at.items()}
        plot_precision_recall(temporary / "precision_recall.png", evaluation.curves, points, title)
        plot_confusion(temporary / "confusion.png", evaluation.confusion, title)
