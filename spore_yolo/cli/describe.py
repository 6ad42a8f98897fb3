"""``spore-yolo describe``: what a dataset holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli.lake_places import writable
from spore_yolo.cli.options import Commands, add_command, add_register

if TYPE_CHECKING:
    from spore_yolo.dataset.store import Dataset

EXAMPLES = """\
  spore-yolo describe magnaporthe
  spore-yolo describe magnaporthe --output runs/magnaporthe-described
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands, "describe", "Say what a dataset holds, and whether it is enough to learn and to measure.", EXAMPLES
    )
    parser.add_argument("name", nargs="?", help="the dataset's name; without it the registered ones are listed")
    parser.add_argument(
        "--output",
        type=writable,
        metavar="DIR",
        help="also write a page with plots and pictures, describe.html, into DIR",
    )
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the summary that the import printed and sizes, and writes the page."""
    from spore_yolo.dataset.statistics import statistics_of
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.dataset.summary import sizes_text, summarise, summary_text

    dataset = load_dataset(arguments.name, arguments.datasets)
    if arguments.output is not None:
        _check_output(arguments.output, dataset)
    statistics = statistics_of(dataset)
    print(f"{summary_text(dataset)}\n\n{sizes_text(statistics)}")
    if arguments.output is not None:
        from spore_yolo.evaluation.dataset_page import FIGURES, PAGE, write_dataset_page

        write_dataset_page(arguments.output, dataset, statistics, summarise(dataset).warnings)
        print(f"\n{arguments.output}: {PAGE}, {FIGURES}\nlook at: {arguments.output / PAGE}")
    print(f"\nlook at the labels: spore-yolo browse --dataset {dataset.name}")


def _check_output(output: Path, dataset: Dataset) -> None:
    """Makes sure that the output is a folder, or can be one, and not the import, which the next import replaces.

    Raises:
        UsageError: It is not.
    """
    from spore_yolo.files.errors import UsageError

    if output.exists() and not output.is_dir():
        raise UsageError(f"--output: expected a folder, found a file: {output}")
    if output.resolve().is_relative_to(dataset.folder.resolve()):
        raise UsageError(
            f"--output: {output} lies in the import's own folder, which the next import replaces; choose another one,"
            f" such as runs/{dataset.name}-described"
        )
