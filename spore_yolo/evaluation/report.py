"""Puts an evaluation together: the pair, the detector alone and the classifier alone; writes it as a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.average_precision import average_precision
from spore_yolo.evaluation.calibration import reliability
from spore_yolo.evaluation.classifier import classifier_figures
from spore_yolo.evaluation.confusion import confusion_matrix, found_at_all
from spore_yolo.evaluation.counts import count_figures
from spore_yolo.evaluation.crops import LEAST_SCORE, crop_figures, crops_table
from spore_yolo.evaluation.gallery import cut_pictures, pick_failures
from spore_yolo.evaluation.html_report import ReportInput, write_report
from spore_yolo.evaluation.intervals import Figures
from spore_yolo.evaluation.metrics import compute_metrics
from spore_yolo.evaluation.operating_point import Curve, curve_of
from spore_yolo.evaluation.plots import plot_confusion, plot_precision_recall
from spore_yolo.evaluation.presence import presence_figures, slide_figures, slides_table
from spore_yolo.evaluation.scoring import (
    SPORE,
    Scored,
    as_detector_alone,
    detections_of,
    matches_table,
    merged_to_spore,
    score_candidates,
)
from spore_yolo.evaluation.strata import recall_by
from spore_yolo.evaluation.traits import box_traits
from spore_yolo.files.atomic import atomic_folder
from spore_yolo.inference.manifest import OperatingPoint, PairManifest
from spore_yolo.labels.writers.candidates import DECIMALS, write_csv

FILES = ["report.html", "metrics.json", "matches.csv", "slides.csv", "crops.csv", "confusion.csv", "candidates.csv"]
PLOTS = ["precision_recall.png", "confusion.png"]


@dataclass(frozen=True)
class Evaluation:
    """A pair, or a detector alone, at one operating point on one split.

    Attributes:
        scored: The detections, matched class by class.
        crops: The crops; see :func:`spore_yolo.evaluation.crops.crops_table`.
        slides: A row a slide and class; see :func:`spore_yolo.evaluation.presence.slides_table`.
        confusion: The confusion matrix with ``background``.
        curves: The precision-recall curve of each class over all candidates, ranked by score.
        metrics: The figures; docs/evaluation.md says what each is.
    """

    scored: Scored
    crops: pd.DataFrame
    slides: pd.DataFrame
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
        candidates: Columns of ``candidates.csv``; scores may all be NaN, for predictions that have none.
        boxes: The boxes table of the split, in the pair's classes; where it has a column ``sharpness``, recall is told
            by it too.
        images: The images table of the split.
        classes: What the pair names.
        point: The operating point.
        iou: Least IoU of a match; crops have their own, which is fixed.
    """
    boxes = boxes.join(box_traits(boxes, images))
    detections = detections_of(candidates, point)
    scored = score_candidates(detections, boxes, images, classes, iou)
    crops = crops_table(candidates, boxes, images, point)
    slides = slides_table(candidates, scored, boxes, images, classes)
    metrics = compute_metrics(scored, average_precision(candidates, boxes, images, classes))
    found = found_at_all(candidates, boxes, images, classes, point.detector, iou)
    by_crop, by_slide = crop_figures(crops, classes), slide_figures(slides)
    truth = scored.truth.assign(found=scored.truth["found_by"] >= 0)
    for name in classes:
        metrics["per_class"][name]["found_at_all"] = found["per_class"][name]
        for over, figures in {"crops": by_crop[name], "slides": by_slide[name]}.items():
            metrics["per_class"][name] |= {
                f"recall_{over}": figures.pop("recall"),
                f"specificity_{over}": figures.pop("specificity"),
                over: figures,
            }
        metrics["per_class"][name] |= {
            "presence": presence_figures(slides, name),
            "counts": count_figures(slides, name),
            "recall_by": recall_by(truth[truth["class"] == name]),
        }
    metrics["overall"] |= {"found_at_all": found["overall"], "recall_by": recall_by(truth)}
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
        slides=slides,
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
            (:func:`spore_yolo.evaluation.classifier.look_at_labels`); ``None`` without a classifier.

    Returns:
        The evaluation of the pair. With a classifier its figures hold ``detector_alone`` and
        ``classifier_on_labels``; without one the pair is the detector alone.
    """
    evaluation = evaluate_candidates(candidates, boxes, images, manifest.classes, point, iou)
    if label_calls is None:
        return evaluation
    alone = detector_alone(candidates, boxes, images, manifest, iou)
    by_label = classifier_figures(label_calls, manifest.classes, images)
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
    folder: Path,
    evaluation: Evaluation,
    candidates: pd.DataFrame,
    metrics: dict[str, Any],
    title: str,
    open_slide: Callable[[str], npt.NDArray[np.uint8]] | None = None,
) -> None:
    """Writes an evaluation's folder, whole or not at all: :data:`FILES` and, with scores, :data:`PLOTS`.

    Args:
        folder: The folder, replaced as a whole.
        evaluation: The evaluation.
        candidates: Columns of ``candidates.csv``.
        metrics: The content of ``metrics.json``: what was evaluated, and the evaluation's figures.
        title: What was evaluated on what, for the plots and the report.
        open_slide: Gives the pixels of a slide, RGB ``(height, width, 3)``; without it the report has no pictures.
    """
    names = list(evaluation.curves)
    matches = matches_table(evaluation.scored)
    with atomic_folder(folder) as temporary:
        (temporary / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        matches.round(DECIMALS | {"iou": 4}).to_csv(temporary / "matches.csv", index=False)
        evaluation.slides.round(DECIMALS).to_csv(temporary / "slides.csv", index=False)
        evaluation.crops.round(DECIMALS | {"iou": 4}).to_csv(temporary / "crops.csv", index=False)
        evaluation.confusion.to_csv(temporary / "confusion.csv")
        write_csv(temporary / "candidates.csv", candidates)
        at = {name: evaluation.metrics["per_class"][name] for name in names}
        points = {name: (figures["recall"]["value"], figures["precision"]["value"]) for name, figures in at.items()}
        if not candidates["score"].isna().any():
            plot_precision_recall(temporary / "precision_recall.png", evaluation.curves, points, title)
        plot_confusion(temporary / "confusion.png", evaluation.confusion, title)
        failures = pick_failures(matches, metrics["targets"], iou=metrics["iou"]) if open_slide else []
        gallery = cut_pictures(failures, open_slide) if open_slide else []
        known = evaluation.crops[evaluation.crops["left_out"] == ""]
        report = ReportInput(
            metrics=metrics,
            matches=matches,
            slides=evaluation.slides,
            confusion=evaluation.confusion,
            curves=evaluation.curves,
            reliability=reliability(known["class_score"], known["truth"] == known["class"], known["group"]),
            gallery=gallery,
        )
        write_report(temporary / "report.html", report, title)
