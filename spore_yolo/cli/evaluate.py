"""``spore-yolo evaluate``: how well a pair, or anyone's predictions, find and name the labelled spores."""

from __future__ import annotations

import argparse
from pathlib import Path

from spore_yolo.cli import evaluate_predictions
from spore_yolo.cli.lake_places import writable
from spore_yolo.cli.options import (
    Commands,
    add_command,
    add_operating_point,
    add_pair,
    add_register,
    candidate_score,
    chosen_pair,
    overlap,
)
from spore_yolo.cli.tracking_options import add_tracking, chosen_tracking

EXAMPLES = """\
  spore-yolo evaluate --run runs/magnaporthe --dataset magnaporthe --split test
  spore-yolo evaluate --pair pairs/rust --dataset rust --split test --at 0.5 --output reports/rust-at-half
  spore-yolo evaluate --truth labels.json --predictions results.json --output reports/theirs
  spore-yolo evaluate --dataset rust --predictions labels/ --predictions-format yolo --output reports/theirs
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(commands, "evaluate", "Measure a pair, or anyone's predictions, on labelled slides.", EXAMPLES)
    add_pair(parser, required=False, writes=True)
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
        "--output", type=writable, help="default: RUN/evaluation/DATASET-SPLIT, or PAIR/evaluation/DATASET-SPLIT"
    )
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    add_register(parser)
    add_tracking(parser)
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
    tracking = chosen_tracking(arguments, run_folder)
    if arguments.predictions is not None:
        evaluate_predictions.run(arguments)
    elif run_folder and (run_folder / "classifier.yaml").exists() and not (run_folder / "pair").exists():
        from spore_yolo.cli import evaluate_classifier

        evaluate_classifier.run(arguments, tracking)
    else:
        from spore_yolo.experiments.evaluation_run import EvaluationOptions, evaluate

        evaluate(
            EvaluationOptions(
                pair=chosen_pair(arguments),
                dataset=arguments.dataset,
                datasets=arguments.datasets,
                split=arguments.split,
                operating_point=arguments.operating_point,
                at=arguments.at,
                iou=arguments.iou,
                output=arguments.output,
                device=arguments.device,
            ),
            tracking,
        )
