"""``spore-yolo describe``: what a dataset holds."""

from __future__ import annotations

import argparse

from spore_yolo.cli.options import Commands, add_command, add_register


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "describe",
        "Print images, groups and boxes of a dataset per class and split.",
        "  spore-yolo describe magnaporthe\n",
    )
    parser.add_argument("name", nargs="?", help="the dataset's name; without it the registered ones are listed")
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the summary that the import printed."""
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.dataset.summary import summary_text

    print(summary_text(load_dataset(arguments.name, arguments.datasets)))
