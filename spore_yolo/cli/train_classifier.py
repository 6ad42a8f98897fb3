"""``spore-yolo train-classifier``: from a run with a detector to a complete pair, or from labels to a classifier."""

from __future__ import annotations

import argparse
from pathlib import Path

from spore_yolo.cli.lake_places import both, runs_folder
from spore_yolo.cli.options import (
    Commands,
    add_command,
    add_register,
    add_weights,
    positive,
    whole_number,
    zero_or_more,
)
from spore_yolo.cli.tracking_options import add_tracking, chosen_tracking

EXAMPLES = """\
  spore-yolo train-classifier --run runs/magnaporthe
  spore-yolo train-classifier --run runs/rust --minutes 10 --margin 0.25 --crop-size 96
  spore-yolo train-classifier --dataset cells --name cells-by-label
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "train-classifier",
        "Train the crop classifier that names the spores and throws out debris; completes a run's pair.",
        EXAMPLES,
    )
    parser.add_argument(
        "--run",
        dest="training_run",
        type=both,
        metavar="RUN",
        help="the run whose detector's boxes it classifies",
    )
    parser.add_argument(
        "--dataset", help="the dataset's name; alone, without --run: labelled boxes only, no detector and no debris"
    )
    parser.add_argument("--name", help="without --run: name of the run's folder (default: the dataset's name)")
    parser.add_argument("--model", default="yolov8n-cls", help="yolov8n-cls, s, m, l or x (default: %(default)s)")
    add_weights(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole_number, default=30, help="default: %(default)s")
    length.add_argument("--minutes", type=positive, help="train for so long instead; each try takes a tenth of it more")
    parser.add_argument(
        "--margin",
        type=zero_or_more,
        help="context on each side of a box, as a share of its longer side (default: chosen on validation)",
    )
    parser.add_argument(
        "--crop-size",
        type=whole_number,
        help="side of a crop, a multiple of 32 (default: chosen on validation)",
    )
    parser.add_argument("--batch", type=whole_number, default=64, help="crops a step (default: %(default)s)")
    parser.add_argument("--device", help="cpu, mps, or the number of a GPU (default: a GPU where there is one)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="without --run: replace a classifier of the same name")
    parser.add_argument(
        "--runs", type=runs_folder, default=Path("runs"), help="folder of all runs (default: %(default)s)"
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="any other Ultralytics training setting")
    add_register(parser)
    add_tracking(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Trains, calibrates, chooses thresholds, completes the pair and says what to do next."""
    from spore_yolo.cli.options import parse_settings
    from spore_yolo.dataset.lake import pull_dataset
    from spore_yolo.dataset.register import find_entry
    from spore_yolo.experiments.classifier_run import train
    from spore_yolo.experiments.options import ClassifierOptions
    from spore_yolo.files.errors import UsageError

    dataset, register = arguments.dataset, arguments.datasets
    if arguments.training_run is not None:
        if arguments.name is not None:
            raise UsageError("--name: the classifier goes into the run given with --run; leave --name out")
        folder = arguments.training_run
        if dataset is None:
            from spore_yolo.experiments.detector_run import read_options

            if not (folder / "run.json").is_file():
                raise UsageError(
                    f"--run: {folder} is no run of train-detector (no run.json); if it holds a pair all the same, say"
                    " with --dataset what its detector was trained on"
                )
            options = read_options(folder)
            dataset = options.dataset
            register = options.datasets if register == Path("datasets.yaml") else register
            pull_dataset(dataset, register)
    else:
        find_entry(register, dataset)
        folder = arguments.runs / (arguments.name or dataset)
        occupied = folder.exists() and any(folder.iterdir())
        if occupied and not (folder / "classifier.yaml").exists():
            raise UsageError(
                f"{folder} exists; take another --name, or --run {folder} if its detector's boxes are to be classified"
            )
        if occupied and not arguments.force:
            raise UsageError(f"{folder} exists; take another --name, or replace it with --force")
    find_entry(register, dataset)
    train(
        ClassifierOptions(
            dataset=dataset,
            datasets=register,
            model=arguments.model,
            weights=arguments.weights,
            epochs=arguments.epochs,
            minutes=arguments.minutes,
            margin=arguments.margin,
            crop_size=arguments.crop_size,
            batch=arguments.batch,
            device=arguments.device,
            seed=arguments.seed,
            ultralytics=parse_settings(arguments.settings),
        ),
        folder,
        with_detector=arguments.training_run is not None,
        tracking=chosen_tracking(arguments, folder),
    )
