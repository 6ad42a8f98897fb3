"""``spore-yolo import``: from other people's labels to a checked, split dataset."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from spore_yolo.cli.options import Commands, add_command, add_register, positive

EXAMPLES = """\
  spore-yolo import rust --images slides/ --labels labels/ --format yolo --classes classes.yaml
  spore-yolo import farm --images slides/ --labels farm.json --format coco --group-by '(trap[0-9]+)' --targets A,B
  spore-yolo import cells --images JPEGImages/ --labels Annotations/ --format voc --skip-bad

classes.yaml has up to three parts:
  rename: {0: Magnaporthe, "Alternaria sp.": Alternaria}   # two names with one new name are merged
  drop: [dust]                                             # the object becomes background
  ignore: [unsure]                                         # neither spore nor background
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands, "import", "Import labelled slides: check, split by group, lay out for YOLO.", EXAMPLES
    )
    parser.add_argument("name", help="the dataset's name from now on")
    parser.add_argument("--images", type=Path, required=True, help="folder of the images, searched at any depth")
    parser.add_argument("--labels", type=Path, required=True, help="label file, or folder of label files")
    parser.add_argument(
        "--format", required=True, choices=["coco", "voc", "yolo", "csv", "darwin"], help="format of the labels"
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="searched in each image's path; its first bracket is the group that no split may tear apart; or a CSV file"
        " with image,group (default: the source image)",
    )
    parser.add_argument(
        "--split",
        default="60,20,20",
        help="percent for train,val,test[,calibration] (default: %(default)s), or a CSV file with group,split",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="decides between equally good splits (default: %(default)s)"
    )
    parser.add_argument("--classes", type=Path, metavar="MAP.yaml", help="renames, merges, drops or ignores classes")
    parser.add_argument("--targets", default="", metavar="A,B", help="the classes you are after")
    parser.add_argument("--um-per-px", type=positive, metavar="X", help="micrometres per pixel")
    parser.add_argument(
        "--columns", default="", metavar="image=file,...", help="csv: its own name of a column, where it is not guessed"
    )
    parser.add_argument("--licence", help="licence of the data, for the register")
    parser.add_argument("--source", help="where the data came from, for the register")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave bad boxes and images out, list them in skipped.csv"
    )
    parser.add_argument("--force", action="store_true", help="deal all groups anew instead of keeping their split")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of all imports (default: %(default)s)")
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Imports and prints what was imported."""
    from spore_yolo.dataset.importing import ImportOptions, import_dataset
    from spore_yolo.dataset.summary import summary_text
    from spore_yolo.files.errors import UsageError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", arguments.name):
        raise UsageError(f"NAME: expected letters, digits, dots, dashes and underscores, found {arguments.name!r}")
    options = ImportOptions(
        name=arguments.name,
        images=arguments.images,
        labels=arguments.labels,
        label_format=arguments.format,
        **_split(arguments.split),
        seed=arguments.seed,
        group_by=arguments.group_by,
        class_map=arguments.classes,
        columns=parse_columns(arguments.columns),
        targets=tuple(name.strip() for name in arguments.targets.split(",") if name.strip()),
        um_per_px=arguments.um_per_px,
        skip_bad=arguments.skip_bad,
        force=arguments.force,
        licence=arguments.licence,
        source=arguments.source,
    )
    result = import_dataset(options, arguments.data, arguments.datasets)
    print(summary_text(result.dataset))
    for note in result.notes:
        print(f"note: {note}")
    if result.skipped:
        print(f"note: {len(result.skipped)} bad boxes or images left out: {result.dataset.folder / 'skipped.csv'}")
    if not result.changed:
        print("nothing has changed since the last import")
    print(f"\nnext: spore-yolo train-detector --dataset {arguments.name}")


def _split(text: str) -> dict[str, Any]:
    from spore_yolo.dataset.split import parse_shares

    return {"split_file": Path(text)} if text.lower().endswith(".csv") else {"shares": parse_shares(text)}


def parse_columns(text: str) -> dict[str, str]:
    """Reads ``--columns``: the file's own name of each of our columns."""
    from spore_yolo.files.errors import UsageError

    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not sign or not name.strip() or not column.strip() for name, sign, column in pairs):
        raise UsageError(f"--columns: expected OURS=THEIRS,…, for example image=file,x_min=left, found {text!r}")
    return {name.strip(): column.strip() for name, _, column in pairs}
