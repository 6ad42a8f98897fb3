"""``spore-yolo import``: from other people's labels to a checked, split dataset."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spore_yolo.cli.lake_places import data_folder, readable, readable_text
from spore_yolo.cli.options import Commands, add_command, add_register, positive
from spore_yolo.labels.formats import AUTO, FIFTYONE, LABEL_FORMATS

if TYPE_CHECKING:
    from spore_yolo.labels.image_index import KnownImages
    from spore_yolo.labels.table import RawLabels

EXAMPLES = """\
  spore-yolo import rust --images slides/ --labels labels/ --classes classes.yaml
  spore-yolo import farm --images slides/ --labels farm.json --format coco --group-by '(trap[0-9]+)' --targets A,B
  spore-yolo import cells --images JPEGImages/ --labels Annotations/ --format voc --skip-bad
  spore-yolo import dots --images slides/ --labels points/ --format points --point-size 40

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
    parser.add_argument(
        "--images",
        type=readable,
        help="folder of the images, searched at any depth (default: that of the labels, or images/ there or beside it)",
    )
    parser.add_argument(
        "--labels",
        type=readable,
        required=True,
        help="label file, or folder of label files; a dataset's name for fiftyone",
    )
    parser.add_argument(
        "--format",
        default=AUTO,
        choices=[AUTO, *LABEL_FORMATS, FIFTYONE],
        metavar="F",
        help=f"format of the labels: {AUTO} (see what it is; default), {', '.join(LABEL_FORMATS)}, or {FIFTYONE}",
    )
    parser.add_argument("--field", help="fiftyone: the field with the labels, where there are several")
    add_point_size(parser)
    parser.add_argument(
        "--group-by",
        type=readable_text,
        metavar="REGEX",
        help="searched in each image's path; its first bracket is the group that no split may tear apart; or a CSV file"
        " with image,group (default: the source image)",
    )
    parser.add_argument(
        "--split",
        type=readable_text,
        default="60,20,20",
        help="percent for train,val,test[,calibration] (default: %(default)s), or a CSV file with group,split",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="decides between equally good splits (default: %(default)s)"
    )
    parser.add_argument(
        "--classes", type=readable, metavar="MAP.yaml", help="renames, merges, drops or ignores classes"
    )
    parser.add_argument("--targets", default="", metavar="A,B", help="the classes you are after")
    parser.add_argument("--um-per-px", type=positive, metavar="X", help="micrometres per pixel")
    parser.add_argument(
        "--columns",
        default="",
        metavar="image=file,...",
        help="csv, parquet: the file's own name of a column, where it is not guessed",
    )
    parser.add_argument("--licence", help="licence of the data, for the register")
    parser.add_argument("--source", help="where the data came from, for the register")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave bad boxes and images out, list them in skipped.csv"
    )
    parser.add_argument(
        "--allow", default="", metavar="CODES", help="import in spite of these errors of the dataset, as in SPR006"
    )
    parser.add_argument("--force", action="store_true", help="deal all groups anew instead of keeping their split")
    parser.add_argument(
        "--data", type=data_folder, default=Path("data"), help="folder of all imports (default: %(default)s)"
    )
    add_register(parser, writes=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Imports and prints what was imported."""
    from spore_yolo.dataset.importing import ImportOptions, import_dataset
    from spore_yolo.dataset.lake import check_registrable
    from spore_yolo.dataset.summary import summary_text
    from spore_yolo.files.errors import UsageError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", arguments.name):
        raise UsageError(f"NAME: expected letters, digits, dots, dashes and underscores, found {arguments.name!r}")
    label_format, labels = _recognised(arguments)
    images = _images(arguments)
    check_registrable(
        arguments.datasets,
        images=images,
        labels=labels if label_format != FIFTYONE else None,
        classes=arguments.classes,
        data=arguments.data,
    )
    options = ImportOptions(
        name=arguments.name,
        images=images,
        labels=labels,
        label_format=label_format,
        **_split(arguments.split),
        seed=arguments.seed,
        group_by=arguments.group_by,
        class_map=arguments.classes,
        columns=parse_columns(arguments.columns),
        point_size=arguments.point_size,
        targets=tuple(name.strip() for name in arguments.targets.split(",") if name.strip()),
        um_per_px=arguments.um_per_px,
        skip_bad=arguments.skip_bad,
        allow=tuple(code.strip().upper() for code in arguments.allow.split(",") if code.strip()),
        force=arguments.force,
        licence=arguments.licence,
        source=arguments.source,
    )
    read = None if label_format != FIFTYONE else _fiftyone_reader(arguments)
    result = import_dataset(options, arguments.data, arguments.datasets, read=read)
    print(summary_text(result.dataset))
    for note in result.notes:
        print(f"note: {note}")
    if result.skipped:
        print(f"note: {len(result.skipped)} bad boxes or images left out: {result.dataset.folder / 'skipped.csv'}")
    if not result.changed:
        print("nothing has changed since the last import")
    print(f"\nnext: spore-yolo train-detector --dataset {arguments.name}")


def add_point_size(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Adds ``--point-size``."""
    parser.add_argument(
        "--point-size",
        type=positive,
        metavar="PIXELS",
        help="points, and tables with centre points: side of the square to draw round each",
    )


def _recognised(arguments: argparse.Namespace) -> tuple[str, Path]:
    """The format of the labels, and where they lie; says what they were taken for."""
    from spore_yolo.files.errors import UsageError
    from spore_yolo.labels.readers.recognise import recognise

    if arguments.field is not None and arguments.format != FIFTYONE:
        raise UsageError(f"--field: goes with --format {FIFTYONE}")
    if arguments.format != AUTO:
        return arguments.format, arguments.labels
    recognised = recognise(arguments.labels)
    print(f"format: {recognised}")
    return recognised.label_format, recognised.path


def _images(arguments: argparse.Namespace) -> Path:
    """The folder of the images; says which was taken where the user did not."""
    from spore_yolo.files.errors import UsageError
    from spore_yolo.labels.source import images_beside

    if arguments.images is not None:
        return Path(arguments.images)
    found = None if arguments.format == FIFTYONE else images_beside(arguments.labels)
    if found is None:
        raise UsageError(
            f"--images: expected the folder of the images; none lie beside {arguments.labels} or in images/ there"
        )
    print(f"images: took those in {found}")
    return found


def _fiftyone_reader(arguments: argparse.Namespace) -> Callable[[KnownImages], RawLabels]:
    """Reads the labels of a dataset of FiftyOne, once the images are known."""
    from spore_yolo.evaluation.fiftyone_labels import fiftyone_labels
    from spore_yolo.files.errors import UsageError

    for option in ("columns", "point_size"):
        if getattr(arguments, option):
            raise UsageError(f"--{option.replace('_', '-')}: does not go with --format {FIFTYONE}")
    return lambda images: fiftyone_labels(str(arguments.labels), images, field=arguments.field)


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
