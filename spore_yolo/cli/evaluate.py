"""``spore-yolo evaluate``: how well a pair finds and names the labelled spores of a split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spore_yolo.cli.options import Commands, add_command, add_pair, add_register, candidate_score, chosen_pair, overlap

if TYPE_CHECKING:
    import pandas as pd

    from spore_yolo.dataset.store import Dataset
    from spore_yolo.inference.manifest import OperatingPoint, PairManifest
    from spore_yolo.inference.pair import Pair

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
        "--at",
        type=candidate_score,
        metavar="SCORE",
        help="lowest detector_score instead of the stored one; thresholds on class_score stay",
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
    from spore_yolo.cli.looking import look_at
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.evaluation.report import FILES, PLOTS, evaluate_pair, write_evaluation
    from spore_yolo.files.errors import SporeYoloError, UsageError
    from spore_yolo.inference.pair import load, pair_folder, read_trained_on

    run_folder: Path | None = arguments.training_run
    if run_folder and (run_folder / "classifier.yaml").exists() and not (run_folder / "pair").exists():
        from spore_yolo.cli import evaluate_classifier

        evaluate_classifier.run(arguments)
        return
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
    manifest = pair.manifest
    boxes, merged = comparable(boxes, dataset, manifest)
    point = manifest.operating_point
    if arguments.at is not None:
        point = point.model_copy(update={"detector": arguments.at})
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    candidates, caps = look_at(pair, slides, len(slides), point.detector)
    calls = _label_calls(pair, boxes, slides, point) if manifest.classifier else None
    evaluation = evaluate_pair(candidates, boxes, images, manifest, point, arguments.iou, calls)
    warnings = caps.warnings(manifest.detector.max_detections_per_tile, manifest.detector.largest_box)
    classifier = manifest.classifier and manifest.classifier.sha256
    metrics = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "split": arguments.split,
        "operating_point": point.model_dump(by_alias=True),
        "iou": arguments.iou,
        "targets": [] if merged else (dataset.targets or manifest.targets),
        "classes_merged_to_spore": merged,
        "warnings": warnings,
        "pair": {
            "detector_sha256": manifest.detector.sha256,
            "classifier_sha256": classifier,
            "made": manifest.made,
        },
        "slides": len(images),
        "groups": int(images["group"].nunique()),
        "megapixels": round(evaluation.scored.megapixels, 3),
        **evaluation.metrics,
    }
    write_evaluation(output, evaluation, candidates, metrics, f"{dataset.name}, {arguments.split}")
    _print_tables(metrics)
    if seen:
        print(
            f"note: {seen} of these slides trained the pair or chose its operating point; state figures of test instead"
        )
    if not trained_on:
        print("note: the pair does not say which slides it was trained on; make sure that these are none of them")
    for warning in warnings:
        print(warning)
    print(f"\n{output}: {', '.join([*FILES, *PLOTS])}")
    print(f"next: spore-yolo predict --pair {folder} --source SLIDES --output found/")


def _print_tables(metrics: dict[str, Any]) -> None:
    from spore_yolo.evaluation.metrics import metrics_text
    from spore_yolo.evaluation.side_by_side import side_by_side_text, specificity_text

    point, targets = metrics["operating_point"], metrics["targets"]
    print(
        f"\n{metrics['dataset']}, {metrics['split']}: {metrics['slides']} slides in {metrics['groups']} groups,",
        end=" ",
    )
    print(f"detector_score >= {point['detector']:g}, IoU >= {metrics['iou']:g}")
    if point["class"]:
        print("class_score >=", ", ".join(f"{threshold:g} {name}" for name, threshold in point["class"].items()))
    alone = metrics.get("detector_alone")
    if alone:
        print(f"alone, the detector without the classifier: detector_score >= {alone['threshold']:g}\n")
        print(side_by_side_text(metrics, targets))
        if alone["classes_merged_to_spore"]:
            print("the detector does not name these classes; alone its precision is that of spores against all else")
    else:
        print()
        print(metrics_text(metrics, targets))
    crops = metrics["crops"]
    print(f"\n{crops['n']:,} crops ({crops['left_out_between'] + crops['left_out_ignored']:,} left out):\n")
    print(specificity_text(metrics, targets))
    if metrics["classes_merged_to_spore"]:
        print("note: the detector has the one class spore; all labels were merged to it")
    if metrics["groups"] < 8:
        print(f"note: {metrics['groups']} groups are too few to tell how far these figures carry to other slides")


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


def _label_calls(
    pair: Pair, boxes: pd.DataFrame, slides: list[tuple[str, Path]], point: OperatingPoint
) -> pd.DataFrame:
    """What the classifier calls the labelled boxes, with a progress bar."""
    from tqdm import tqdm

    from spore_yolo.evaluation.classifier import call_labels

    return call_labels(pair, boxes, tqdm(slides, desc="naming labels", unit="slide"), point)
