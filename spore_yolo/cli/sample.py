"""``spore-yolo sample``: drawn microscope fields to try everything on."""

from __future__ import annotations

import argparse
import shlex

from spore_yolo.cli.lake_places import writable
from spore_yolo.cli.options import Commands, add_command, whole_number

EXAMPLES = """\
  spore-yolo sample --output sample
  spore-yolo import sample --images sample/images --labels sample/labels.json --format coco \\
      --group-by sample/groups.csv --targets Alternaria --um-per-px 0.4
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands, "sample", "Draw a labelled sample: microscope fields with five taxa of spores and debris.", EXAMPLES
    )
    parser.add_argument("--output", type=writable, required=True, metavar="DIR", help="folder to draw into")
    parser.add_argument(
        "--fields", type=whole_number, default=60, metavar="N", help="how many fields (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, help="the same seed draws the same files (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier sample in that folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Draws the sample and prints what it holds."""
    import pandas as pd

    from spore_yolo.dataset.sample import SAMPLE_TAXA, SAMPLE_UM_PER_PX, TARGET, write_sample

    output = arguments.output
    write_sample(output, fields=arguments.fields, seed=arguments.seed, force=arguments.force)
    truth = pd.read_csv(output / "truth.csv")
    groups = pd.read_csv(output / "groups.csv")["group"].nunique()
    spores = truth[truth["labelled"]]
    numbers = spores["kind"].value_counts()
    counted = ", ".join(f"{numbers.get(taxon.name, 0)} {taxon.name}" for taxon in SAMPLE_TAXA)
    print(f"{output}: {arguments.fields} fields in {groups} groups, {len(spores)} spores: {counted}")
    images, labels, table = (shlex.quote(str(output / part)) for part in ("images", "labels.json", "groups.csv"))
    print(
        f"\nnext: spore-yolo import sample --images {images} --labels {labels} --format coco --group-by {table}"
        f" --targets {TARGET} --um-per-px {SAMPLE_UM_PER_PX}"
    )


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found {text}")
    return value
