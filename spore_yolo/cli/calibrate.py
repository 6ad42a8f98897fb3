"""``spore-yolo calibrate``: thresholds that promise a recall, or how many groups are missing for that."""

from __future__ import annotations

import argparse

from spore_yolo.cli.options import Commands, add_command, add_pair, add_register, chosen_pair, inner_share
from spore_yolo.cli.tracking_options import add_tracking, chosen_tracking

EXAMPLES = """\
  spore-yolo calibrate --run runs/rust --dataset rust
  spore-yolo calibrate --pair pairs/rust --dataset rust --recall 0.9 --confidence 0.95 --targets rust,smut
  spore-yolo predict --pair pairs/rust --source slides/ --output found/ --operating-point recall-0.9
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "calibrate",
        "Choose thresholds that promise a recall with a stated confidence, on groups that nothing else was chosen on.",
        EXAMPLES,
    )
    add_pair(parser, writes=True)
    parser.add_argument("--dataset", help="the dataset's name; without it the registered ones are listed")
    parser.add_argument(
        "--recall", type=inner_share, default=0.95, help="the recall to promise, averaged over groups (%(default)s)"
    )
    parser.add_argument(
        "--confidence", type=inner_share, default=0.9, help="how often such a promise is kept (default: %(default)s)"
    )
    parser.add_argument("--targets", metavar="A,B", help="classes to promise for (default: the dataset's targets)")
    parser.add_argument("--name", help="what to call the operating point (default: recall-RECALL)")
    parser.add_argument("--force", action="store_true", help="replace a stored operating point of that name")
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    add_register(parser)
    add_tracking(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Chooses the thresholds and stores them with the pair, or says why nothing can be promised."""
    from spore_yolo.experiments.calibration_run import CalibrationOptions, calibrate

    calibrate(
        CalibrationOptions(
            pair=chosen_pair(arguments),
            dataset=arguments.dataset,
            datasets=arguments.datasets,
            recall=arguments.recall,
            confidence=arguments.confidence,
            targets=arguments.targets,
            name=arguments.name,
            force=arguments.force,
            device=arguments.device,
        ),
        chosen_tracking(arguments, arguments.training_run),
    )
