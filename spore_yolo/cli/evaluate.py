"""``spore-yolo evaluate``: how well a pair finds the labelled spores of a split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spore_yolo.cli.options import Commands, add_command, add_pair, add_register, candidate_score, chosen_pair, overlap

if TYPE_CHECKING:
    import pandas as pd

    from spore_yolo.dataset.store import Dataset
    from spore_yolo.evaluation.scoring import Scored

EXAMPLES = """\
  spore-yolo evaluate --run runs/magnaporthe --dataset magnaporthe --split test
  spore-yolo evaluate --pair pairs/rust --dataset rust --split test --at 0.5 --output reports/rust-at-half
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(commands, "evaluate", "Measure a pair on a split of a dataset, over whole slides.", EXAMPLES)
    add_pair(parser)
    parser.add_argument("--dataset", help="the dataset's name; without it the registered ones are listed")
    parser.add_argument(
        "--split", default="test", choices=["train", "val", "test", "calibration"], help="default: %(default)s"
    )
    parser.add_argument(
        "--at", type=candidate_score, metavar="SCORE", help="lowest detector_score instead of the stored one"
    )
    parser.add_argument("--iou", type=overlap, default=0.5, help="least IoU of a match (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, help="default: RUN/evaluation/DATASET-SPLIT, or PAIR/evaluation/DATASET-SPLIT"
    )
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Evaluates, writes the evaluation's folder, whole or not at all, and prints the table."""
    from spore_yolo.cli.looking import look_at
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.evaluation.metrics import metrics_text
    from spore_yolo.files.errors import SporeYoloError, UsageError
    from spore_yolo.inference.pair import load, pair_folder, read_trained_on

    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = dataset.split(arguments.split)
    folder = pair_folder(chosen_pair(arguments))
    output = arguments.output or _default_output(folder) / f"{dataset.name}-{arguments.split}"
    if output.exists() and any(output.iterdir()) and not (output / "metrics.json").exists():
        raise UsageError(f"--output: {output} exists and holds other things than an evaluation; choose another folder")
    trained_on = read_trained_on(folder)
    seen = int(images["sha256"].isin(trained_on).sum())
    if seen and arguments.split in ("test", "calibration"):
        raise SporeYoloError(
            f"{seen} of the {len(images)} slides of {dataset.name}, {arguments.split}, were in the pair's own train or"
            " validation split: figures on them would lie. Was the dataset imported anew with --force? Train again."
        )
    pair = load(folder, arguments.device)
    boxes, classes, merged = comparable(boxes, dataset, pair.manifest.classes, pair.manifest.detector.one_class)
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    threshold = pair.manifest.operating_point.detector if arguments.at is None else arguments.at
    candidates, caps = look_at(pair, slides, len(slides), threshold)
    part = pair.manifest.detector
    warnings = caps.warnings(part.max_detections_per_tile, part.largest_box)
    targets = [] if merged else (dataset.targets or pair.manifest.targets)
    about = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "split": arguments.split,
        "operating_point": {"detector": threshold, "class": {}},
        "iou": arguments.iou,
        "targets": targets,
        "classes_merged_to_spore": merged,
        "warnings": warnings,
        "pair": {"detector_sha256": pair.manifest.detector.sha256, "made": pair.manifest.made},
    }
    metrics = write_evaluation(output, candidates, boxes, images, classes, about)
    print(f"\n{dataset.name}, {arguments.split}: {metrics['slides']} slides in {metrics['groups']} groups,", end=" ")
    print(f"detector_score >= {threshold:g}, IoU >= {arguments.iou:g}\n")
    print(metrics_text(metrics, targets))
    if merged:
        print("note: the detector has the one class spore; all labels were merged to it")
    if metrics["groups"] < 8:
        print(f"note: {metrics['groups']} groups are too few to tell how far these figures carry to other slides")
    if seen:
        print(
            f"note: {seen} of these slides trained the pair or chose its operating point; state figures of test instead"
        )
    if not trained_on:
        print("note: the pair does not say which slides it was trained on; make sure that these are none of them")
    for warning in warnings:
        print(warning)
    print(f"\n{output / 'metrics.json'}, matches.csv, candidates.csv, precision_recall.png")
    print(f"next: spore-yolo predict --pair {folder} --source SLIDES --output found/")


def _default_output(pair: Path) -> Path:
    """Beside the pair of a run; inside a pair that lies somewhere else, where others may lie beside it."""
    return (pair.parent if pair.name == "pair" else pair) / "evaluation"


def comparable(
    boxes: pd.DataFrame, dataset: Dataset, classes: list[str], one_class: bool
) -> tuple[pd.DataFrame, list[str], bool]:
    """Labels in the detector's own classes.

    Returns:
        The boxes, the classes, and whether all labels were merged to ``spore``.

    Raises:
        SporeYoloError: The detector's classes are not the dataset's.
    """
    from spore_yolo.evaluation.scoring import SPORE, merged_to_spore
    from spore_yolo.files.errors import SporeYoloError

    if one_class:
        return merged_to_spore(boxes), [SPORE], True
    if set(classes) != set(dataset.classes):
        raise SporeYoloError(
            f"the pair finds {', '.join(classes)}, dataset {dataset.name} has {', '.join(dataset.classes)}:"
            " they cannot be compared; import the dataset with a class map that gives the pair's names"
        )
    return boxes, classes, False


def write_evaluation(
    output: Path,
    candidates: pd.DataFrame,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    classes: list[str],
    about: dict[str, Any],
) -> dict[str, Any]:
    """Scores candidates and writes ``metrics.json``, ``matches.csv``, ``candidates.csv`` and the curve.

    Args:
        output: The folder, replaced as a whole.
        candidates: Columns of ``candidates.csv``.
        boxes: The boxes table of the split.
        images: The images table of the split.
        classes: Class names.
        about: What was evaluated; goes in front of the figures.

    Returns:
        The content of ``metrics.json``.
    """
    import json

    from spore_yolo.evaluation.average_precision import average_precision
    from spore_yolo.evaluation.metrics import compute_metrics
    from spore_yolo.evaluation.operating_point import curve_of
    from spore_yolo.evaluation.plots import plot_precision_recall
    from spore_yolo.evaluation.scoring import matches_table, score_candidates
    from spore_yolo.files.atomic import atomic_folder
    from spore_yolo.labels.writers import write_csv

    threshold = float(about["operating_point"]["detector"])
    scored: Scored = score_candidates(candidates, boxes, images, classes, float(about["iou"]))
    metrics = {
        **about,
        "slides": len(images),
        "groups": int(images["group"].nunique()),
        "megapixels": round(scored.megapixels, 3),
        **compute_metrics(scored, threshold, average_precision(candidates, boxes, images, classes)),
    }
    with atomic_folder(output) as temporary:
        (temporary / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        matches_table(scored, threshold).to_csv(temporary / "matches.csv", index=False)
        write_csv(temporary / "candidates.csv", candidates)
        curves = {name: curve_of(scored, [name]) for name in classes}
        title = f"{about['dataset']}, {about['split']}"
        plot_precision_recall(temporary / "precision_recall.png", curves, threshold, title)
    return metrics
