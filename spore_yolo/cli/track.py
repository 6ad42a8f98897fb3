"""``spore-yolo track``: brings to MLflow and W&B what a run's journal still holds."""

from __future__ import annotations

import argparse

from spore_yolo.cli.lake_places import both
from spore_yolo.cli.options import Commands, add_command
from spore_yolo.cli.tracking_options import add_tracking, at_hand, chosen_settings

EXAMPLES = """\
  spore-yolo track runs/rust
  spore-yolo track runs/rust runs/smut --tracking-uri http://tracking:5000
  spore-yolo track runs/rust --tracking wandb
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "track",
        "Bring to the tracking stores what they do not have yet of a run, or all of it to a further store.",
        EXAMPLES,
    )
    parser.add_argument("runs", nargs="+", type=both, metavar="RUN", help="a run's folder")
    add_tracking(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Delivers, and says what there is now; raises if something could not be delivered."""
    from spore_yolo.experiments.tracking import Tracking
    from spore_yolo.experiments.tracking.journal import Journal
    from spore_yolo.files.errors import SporeYoloError, UsageError

    settings = chosen_settings(arguments)
    if not settings.stores:
        raise UsageError("--tracking: expected mlflow, wandb or both: where the runs are to be brought")
    missing = [folder for folder in arguments.runs if not Journal(folder).path.is_file()]
    if missing:
        raise UsageError(
            f"{missing[0]}: expected a run with a tracking journal, found none at {Journal(missing[0]).path}; it was"
            " made with --tracking none, or before there was tracking"
        )
    left = []
    for folder in arguments.runs:
        tracking = Tracking(folder, at_hand(settings, folder))
        tracking.end_killed()
        events = tracking.journal.read()
        remains = tracking.deliver(final=True)
        left += [f"{folder}: {line}" for line in remains]
        if not remains:
            print(f"{folder}: all {len(events)} entries are in {' and in '.join(tracking.places)}")
    if left:
        raise SporeYoloError("\n".join([*left, "nothing is lost; run the command again later"]))
