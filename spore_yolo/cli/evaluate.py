"""``spore-yolo evaluate``: how well a pair, or anyone's predictions, find and name the labelled spores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli import evaluate_predictions
from spore_yolo.cli.options import (
    Commands,
    add_command,
    add_operating_point,
    add_pair,
    add_register,
    candidate_score,
    chosen_pair,
    chosen_point,
    overlap,
    point_note,
)

if TYPE_CHECKING:
    import pandas as pd

    from spore_yolo.dataset.store import Dataset
    from spore_yolo.inference.manifest import OperatingPoint, PairManifest
    from spore_yolo.inference.pair import Pair

EXAMPLES = """\
  spore-yolo evaluate --run runs/magnaporthe --dataset magnaporthe --split test
  spore-yolo evaluate --pair pairs/rust --dataset rust --split test --at 0.5 --output reports/rust-at-half
  spore-yolo evaluate --truth labels.json --predictions results.json --output reports/theirs
  spore-yolo evaluate --dataset rust --predictions labels/ --predictions-format yolo --output reports/theirs
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(commands, "evaluate", "Measure a pair, or anyone's predictions, on labelled slides.", EXAMPLES)
    add_pair(parser, required=False)
    evaluate_predictions.add_options(parser)
    parser.add_argument("--dataset", help="the dataset's name; without it the registered ones are listed")
    parser.add_argument(
        "--split", default="test", choices=["train", "val", "test", "calibration"], help="default: %(default)s"
    )
    add_operating_point(parser)
    parser.add_argument(
        "--at",
        type=candidate_score,
        metavar="SCORE",
        help="lowest detector_score (of predictions: score) that counts; thresholds on class_score stay",
    )
    parser.add_argument("--iou", type=overlap, default=0.5, help="least IoU of a match (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, help="default: RUN/evaluation/DATASET-SPLIT, or PAIR/evaluation/DATASET-SPLIT"
    )
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Evaluates, writes the evaluation's folder, whole or not at all, and prints the tables."""
    from spore_yolo.files.errors import UsageError

    by_pair = arguments.pair is not None or arguments.training_run is not None
    if (arguments.predictions is not None) == by_pair:
        raise UsageError("expected one of --run, --pair and --predictions: what is to be measured")
    run_folder: Path | None = arguments.training_run
    if by_pair:
        foreign = [name for name in evaluate_predictions.OPTIONS if getattr(arguments, name)]
        if foreign:
            raise UsageError(f"--{foreign[0].replace('_', '-')}: goes with --predictions, not with a pair")
    if arguments.predictions is not None:
        evaluate_predictions.run(arguments)
    elif run_folder and (run_folder / "classifier.yaml").exists() and not (run_folder / "pair").exists():
        from spore_yolo.cli import evaluate_classifier

        evaluate_classifier.run(arguments)
    else:
        _evaluate_pair(arguments)


def _evaluate_pair(arguments: argparse.Namespace) -> None:
    from spore_yolo.cli.evaluation_output import check_output, print_tables, print_written
    from spore_yolo.cli.looking import look_at
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.evaluation.report import evaluate_pair, write_evaluation
    from spore_yolo.files.images import read_image
    from spore_yolo.inference.pair import load, pair_folder, read_trained_on

    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = dataset.split(arguments.split)
    folder = pair_folder(chosen_pair(arguments))
    output = arguments.output or _default_output(folder) / f"{dataset.name}-{arguments.split}"
    check_output(output)
    trained_on = read_trained_on(folder)
    seen = _seen(images, trained_on, dataset.name, arguments.split)
    pair = load(folder, arguments.device)
    manifest = pair.manifest
    boxes, merged = comparable(boxes, dataset, manifest)
    point = chosen_point(manifest, arguments)
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    candidates, caps = look_at(pair, slides, len(slides), point.detector)
    looks = _look_at_labels(pair, boxes, slides, point)
    boxes = boxes.assign(sharpness=looks["sharpness"].astype("float64"))
    evaluation = evaluate_pair(
        candidates, boxes, images, manifest, point, arguments.iou, looks if manifest.classifier else None
    )
    warnings = caps.warnings(manifest.detector.max_detections_per_tile, manifest.detector.largest_box)
    if seen:
        warnings.append(
            f"note: {seen} of these slides trained the pair or chose its operating point; state figures of test instead"
        )
    if not trained_on:
        warnings.append(
            "note: the pair does not say which slides it was trained on; make sure that these are none of them"
        )
    promised = manifest.operating_points.get(arguments.operating_point)
    if promised and point.detector > promised.point.detector:
        promised = None  # --at asks for more than it promises
    metrics = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "split": arguments.split,
        "operating_point": point.model_dump(by_alias=True),
        "operating_point_name": arguments.operating_point,
        "promise": promised and promised.promise.model_dump(mode="json"),
        "iou": arguments.iou,
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
    title = f"{dataset.name}, {arguments.split}"
    write_evaluation(output, evaluation, candidates, metrics, title, lambda slide: read_image(dataset.path_of(slide)))
    print_tables(metrics)
    note = point_note(manifest, arguments)
    for line in [*([note] if note else []), *warnings]:
        print(line)
    print_written(output)
    print(f"next: spore-yolo predict --pair {folder} --source SLIDES --output found/")


def _seen(images: pd.DataFrame, trained_on: set[str], dataset: str, split: str) -> int:
    """How many of the slides the pair was made with; none may be, where figures are to be stated."""
    from spore_yolo.files.errors import SporeYoloError

    seen = int(images["sha256"].isin(trained_on).sum())
    if seen and split in ("test", "calibration"):
        raise SporeYoloError(
            f"{seen} of the {len(images)} slides of {dataset}, {split}, were in the pair's own train or"
            " validation split: figures on them would lie. Was the dataset imported anew with --force? Train again."
        )
    return seen


def _default_output(pair: Path) -> Path:
    """Beside the pair of a run; inside a pair that lies somewhere else, where others may lie beside it."""
    return (pair.parent if pair.name == "pair" else pair) / "evaluation"


def comparable(boxes: pd.DataFrame, dataset: Dataset, manifest: PairManifest) -> tuple[pd.DataFrame, bool]:
    """Labels in the pair's own classes.

    Returns:
        The boxes, and whether all labels were merged to ``spore``, as a one-class detector without a classifier needs.

    Raises:
        SporeYoloError: The pair's classes are not the dataset's, or one of these is called debris.
    """
    from spore_yolo.evaluation.scoring import merged_to_spore
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.manifest import DEBRIS

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
    from tqdm import tqdm

    from spore_yolo.evaluation.classifier import look_at_labels

    bar = tqdm(slides, desc="looking at labels", unit="slide")
    return look_at_labels(boxes, bar, pair if pair.manifest.classifier else None, point)
