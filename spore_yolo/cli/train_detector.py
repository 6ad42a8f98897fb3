"""``spore-yolo train-detector``: from a dataset to a detector with an operating point."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli.lake_places import runs_folder
from spore_yolo.cli.options import (
    Commands,
    add_command,
    add_register,
    add_weights,
    overlap,
    parse_settings,
    positive,
    share,
    whole_number,
)
from spore_yolo.cli.tracking_options import OPTIONS as TRACKING_OPTIONS
from spore_yolo.cli.tracking_options import add_tracking, chosen_tracking

if TYPE_CHECKING:
    from spore_yolo.experiments.options import DetectorOptions

EXAMPLES = """\
  spore-yolo train-detector --dataset magnaporthe
  spore-yolo train-detector --dataset rust --minutes 30 --weights spores.pt --name rust-quick
  spore-yolo train-detector --dataset rust --model yolov8s --device 0 --epochs 200 --batch 32 mosaic=0.5
  spore-yolo train-detector --resume --name rust-quick
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "train-detector",
        "Train a YOLOv8 detector on tiles of a dataset's slides and choose its operating point.",
        EXAMPLES,
    )
    parser.add_argument("--dataset", help="the dataset's name; without it the registered ones are listed")
    parser.add_argument("--name", help="name of the run's folder (default: the dataset's name)")
    parser.add_argument(
        "--model", default="yolov8n", help="yolov8n, s, m, l or x, also with -p2 (default: %(default)s)"
    )
    add_weights(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole_number, help="default: 100; an epoch takes one variant of each source")
    length.add_argument("--minutes", type=positive, help="train for so long instead")
    parser.add_argument("--tile-size", type=whole_number, default=640, help="side of a tile (default: %(default)s)")
    parser.add_argument(
        "--scale",
        type=positive,
        default=1.0,
        help="2 shows spores to the model at twice their size (default: %(default)g)",
    )
    parser.add_argument("--one-class", action="store_true", help="tell only spores from everything else")
    parser.add_argument(
        "--empty-share", type=share, default=0.1, help="largest share of empty training tiles (default: %(default)s)"
    )
    parser.add_argument(
        "--nms-iou", type=overlap, help="overlap above which two boxes are one (default: chosen on validation)"
    )
    parser.add_argument("--batch", type=whole_number, default=8, help="tiles a step (default: %(default)s)")
    parser.add_argument("--device", help="cpu, mps, or the number of a GPU (default: a GPU where there is one)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted, as it was begun")
    parser.add_argument("--force", action="store_true", help="replace a run of the same name")
    parser.add_argument(
        "--runs", type=runs_folder, default=Path("runs"), help="folder of all runs (default: %(default)s)"
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="any other Ultralytics training setting")
    add_register(parser)
    add_tracking(parser)
    parser.set_defaults(run=run, default_of=parser.get_default)


def run(arguments: argparse.Namespace) -> None:
    """Trains, chooses the operating point, writes the pair and says what to do next."""
    from spore_yolo.dataset.lake import pull_dataset
    from spore_yolo.experiments import detector_run
    from spore_yolo.files.errors import UsageError

    if arguments.resume:
        if arguments.name is None and arguments.dataset is None:
            raise UsageError("--resume: expected --name with the name of the run to go on with")
        _refuse_options(arguments)
        folder = arguments.runs / (arguments.name or arguments.dataset)
        options = detector_run.read_options(folder)
        pull_dataset(options.dataset, options.datasets)
    else:
        options = _options(arguments)
        folder = arguments.runs / (arguments.name or options.dataset)
    tracking = chosen_tracking(arguments, folder)
    detector_run.train(options, folder, resume=arguments.resume, force=arguments.force, tracking=tracking)


def _refuse_options(arguments: argparse.Namespace) -> None:
    """A resumed run is trained as it was begun; another option would be ignored without a word."""
    from spore_yolo.files.errors import UsageError

    free = {"resume", "name", "dataset", "runs", "run", "default_of", "settings", *TRACKING_OPTIONS}
    changed = [key for key, value in vars(arguments).items() if key not in free and value != arguments.default_of(key)]
    if changed or arguments.settings:
        named = [f"--{key.replace('_', '-')}" for key in changed] + list(arguments.settings)
        raise UsageError(f"--resume goes on with the run as it was begun; leave out {', '.join(named)}")


def _options(arguments: argparse.Namespace) -> DetectorOptions:
    from spore_yolo.dataset.register import find_entry
    from spore_yolo.experiments.options import DetectorOptions

    find_entry(arguments.datasets, arguments.dataset)
    return DetectorOptions(
        dataset=arguments.dataset,
        datasets=arguments.datasets,
        model=arguments.model,
        weights=arguments.weights,
        epochs=arguments.epochs or 100,
        minutes=arguments.minutes,
        tile_size=arguments.tile_size,
        scale=arguments.scale,
        one_class=arguments.one_class,
        empty_share=arguments.empty_share,
        nms_iou=arguments.nms_iou,
        batch=arguments.batch,
        device=arguments.device,
        seed=arguments.seed,
        ultralytics=parse_settings(arguments.settings),
    )
