"""What the classifier adds: false alarms of the detector alone and of the pair, both at the same recall.

    python benchmarks/classifier_gain.py --pair runs/magnaporthe/pair --dataset magnaporthe

Thresholds are chosen on validation: the detector's by the rule of its operating point, the pair's such that its recall
is at least the detector's there, with the fewest false alarms. Both are then measured on test.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.evaluation.operating_point import choose_point, curve_of
from spore_yolo.evaluation.scoring import as_detector_alone, detections_of, score_candidates
from spore_yolo.inference.manifest import OperatingPoint
from spore_yolo.inference.pair import Pair, load
from spore_yolo.prediction.looking import look_at

STEPS = 25
"""Thresholds of each kind that are tried."""


def candidates_of(pair: Pair, dataset: Dataset, split: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    images, boxes = dataset.split(split)
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    return look_at(pair, slides, len(slides), 0.01)[0], boxes, images


def counts(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, classes: list[str], point: OperatingPoint
) -> tuple[int, int, int]:
    """True positives, false alarms and labelled boxes."""
    scored = score_candidates(detections_of(candidates, point), boxes, images, classes)
    rows = scored.candidates[~scored.candidates["on_ignored"]]
    return int((rows["truth"] >= 0).sum()), int((rows["truth"] < 0).sum()), len(scored.truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--datasets", type=Path, default=Path("datasets.yaml"))
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset, arguments.datasets)
    pair = load(arguments.pair)
    classes = dataset.classes
    seen, boxes, images = candidates_of(pair, dataset, "val")
    alone = as_detector_alone(seen)
    threshold = choose_point(curve_of(score_candidates(alone, boxes, images, classes), classes)).threshold
    wanted, _, _ = counts(alone, boxes, images, classes, OperatingPoint(detector=threshold))
    best: tuple[int, OperatingPoint] | None = None
    scores = seen.loc[seen["detector_score"] <= threshold, "detector_score"]
    for detector in np.append(np.quantile(scores, np.linspace(0, 1, STEPS)), threshold):
        for least in np.linspace(0, 0.98, STEPS):
            point = OperatingPoint(detector=float(detector), class_=dict.fromkeys(classes, float(least)))
            right, wrong, _ = counts(seen, boxes, images, classes, point)
            if right < wanted:
                break
            if best is None or wrong < best[0]:
                best = wrong, point
    if best is None:
        raise SystemExit("the pair reaches the detector's recall at no thresholds; the classifier only takes away")
    rows = []
    for split in ("val", "test"):
        found, boxes, images = (seen, boxes, images) if split == "val" else candidates_of(pair, dataset, split)
        for name, table, point in (
            ("detector alone", as_detector_alone(found), OperatingPoint(detector=threshold)),
            ("pair", found, best[1]),
        ):
            right, wrong, labelled = counts(table, boxes, images, classes, point)
            share = right / (right + wrong) if right + wrong else float("nan")
            figures = [f"{right / labelled:.4f}", f"{share:.4f}", wrong, f"{wrong / len(images):.2f}"]
            rows.append([split, name, labelled, *figures])
    headers = ["split", "", "boxes", "recall", "precision", "false alarms", "a slide"]
    print(f"\ndetector alone: detector_score >= {threshold:g}; pair: {best[1].model_dump(by_alias=True)}\n")
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
