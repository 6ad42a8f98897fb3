"""``spore-yolo check``: what is wrong with labels, images and splits, before it costs a training run."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli.lake_places import readable, readable_text, writable, writable_text
from spore_yolo.cli.options import Commands, add_command, add_register, positive
from spore_yolo.labels.formats import AUTO, LABEL_FORMATS

if TYPE_CHECKING:
    from spore_yolo.dataset.checks.base import Finding, Material
    from spore_yolo.dataset.fixing import Mended

EXAMPLES = """\
  spore-yolo check farm
  spore-yolo check Annotations/ --images JPEGImages/ --fast
  spore-yolo check labels.csv --images slides/ --group-by '(trap[0-9]+)' --json findings.json
  spore-yolo check Annotations/ --images JPEGImages/ --fix mended
  spore-yolo check --explain SPR013

exit codes: 0 no errors, 1 errors remain, 2 wrong usage; docs/checks.md lists the codes
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(commands, "check", "Find what is wrong with labels, images and splits.", EXAMPLES)
    parser.add_argument(
        "name",
        nargs="?",
        type=readable_text,
        metavar="NAME|PATH",
        help="a registered dataset; or a label file, or folder of label files",
    )
    parser.add_argument(
        "--images",
        type=readable,
        metavar="DIR",
        help="folder of the images of PATH (default: looked for beside the labels)",
    )
    parser.add_argument(
        "--format", choices=[AUTO, *LABEL_FORMATS], default=AUTO, help="format of the labels (default: %(default)s)"
    )
    parser.add_argument(
        "--columns", default="", metavar="image=file,...", help="tables: its own name of a column, where not guessed"
    )
    parser.add_argument(
        "--point-size", type=positive, metavar="PX", help="side of the box round each point, where labels are points"
    )
    parser.add_argument(
        "--group-by", type=readable_text, metavar="REGEX", help="what a split may not tear apart; as for import"
    )
    parser.add_argument(
        "--split",
        type=readable,
        metavar="FILE.csv",
        help="image,split (default: folders train, val, test, or data.yaml)",
    )
    parser.add_argument("--fast", action="store_true", help="leave out the checks that decode images")
    parser.add_argument("--select", default="", metavar="CODES", help="only these checks, as in SPR013,SPR018")
    parser.add_argument("--ignore", default="", metavar="CODES", help="all checks but these")
    parser.add_argument("--fix", type=writable, metavar="OUT", help="mend what needs no guess, into this new folder")
    parser.add_argument("--force", action="store_true", help="replace what an earlier --fix wrote there")
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        type=writable_text,
        metavar="FILE",
        help="findings as JSON, to a file or in place of the text",
    )
    parser.add_argument("--all", action="store_true", help="print all findings, not the first ten of a code")
    parser.add_argument("--explain", metavar="CODE", help="say what a code means, and check nothing")
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Checks, mends if asked to, and prints what was found."""
    from spore_yolo.cli.check_output import explanation, findings_json, findings_text
    from spore_yolo.dataset.checking import chosen_checks, run_checks, with_pixels
    from spore_yolo.dataset.checks.base import Severity
    from spore_yolo.files.atomic import write_text
    from spore_yolo.files.errors import SporeYoloError, UsageError

    if arguments.explain is not None:
        print(explanation(chosen_checks([arguments.explain.upper()])[0]))
        return
    if arguments.name is None:
        raise UsageError("expected NAME or PATH: a registered dataset, a label file or a folder of label files")
    checks = chosen_checks(_codes(arguments.select), _codes(arguments.ignore))
    material = _material(arguments)
    mended = None
    if arguments.fix is not None:
        mended, material = _mend(arguments, material, {check.code for check in checks})
    if not arguments.fast and any(check.needs_pixels for check in checks):
        material = with_pixels(material)
    findings = run_checks(material, checks)
    errors = [finding for finding in findings if finding.severity == Severity.ERROR]
    if arguments.json is not None:
        document = findings_json(material, findings, mended)
        if arguments.json == "-":
            print(document)
        else:
            write_text(Path(arguments.json), document + "\n")
    if arguments.json != "-":
        print(findings_text(material, findings, mended, None if arguments.all else 10))
        print(f"\nnext: {_next(arguments, material, errors, mended)}")
    if errors:
        raise SporeYoloError(f"{len(errors):,} {'errors remain' if len(errors) > 1 else 'error remains'}")


def _codes(text: str) -> list[str]:
    return [code.strip().upper() for code in text.split(",") if code.strip()]


def _material(arguments: argparse.Namespace) -> Material:
    """What is to be checked, without pixels."""
    from spore_yolo.cli.import_dataset import parse_columns
    from spore_yolo.dataset.checking import material_of_dataset, material_of_files
    from spore_yolo.dataset.register import read_register
    from spore_yolo.files.errors import UsageError
    from spore_yolo.labels.readers.options import ReadOptions
    from spore_yolo.labels.source import images_beside

    name, register = arguments.name, arguments.datasets
    registered = read_register(register)
    if name in registered:
        known = {"--images": arguments.images, "--columns": arguments.columns, "--point-size": arguments.point_size}
        known |= {"--split": arguments.split, "--format": None if arguments.format == AUTO else arguments.format}
        given = [option for option, value in known.items() if value]
        if given:
            raise UsageError(f"{given[0]}: the register says it of {name}; to say otherwise, give the labels' path")
        return material_of_dataset(name, register, arguments.group_by)
    path = Path(name)
    if not path.exists():
        listed = ", ".join(registered) or "none"
        raise UsageError(f"expected a registered dataset ({register} has {listed}) or a path, found {name!r}")
    options = ReadOptions(columns=parse_columns(arguments.columns), point_size=arguments.point_size)
    folder = arguments.images or images_beside(path)
    return material_of_files(path, arguments.format, folder, options, arguments.group_by, arguments.split)


def _mend(arguments: argparse.Namespace, material: Material, codes: set[str]) -> tuple[Mended, Material]:
    """Writes mended labels; what was done, and the material as it is with them."""
    from spore_yolo.dataset.checking import material_of_dataset
    from spore_yolo.dataset.fixing import check_target, mend, write_mended
    from spore_yolo.dataset.register import read_register

    check_target(arguments.fix, material, arguments.force)
    if arguments.name in read_register(arguments.datasets):
        # Label files know nothing of the class map of an import.
        material = material_of_dataset(arguments.name, arguments.datasets, arguments.group_by, mapped=False)
    fixed, changes = mend(material, codes)
    return write_mended(fixed, changes, arguments.fix), fixed


def _next(arguments: argparse.Namespace, material: Material, errors: list[Finding], mended: Mended | None) -> str:
    """What the user can do now."""
    from spore_yolo.dataset.checking import images_at_hand
    from spore_yolo.dataset.checks import CHECKS
    from spore_yolo.dataset.register import read_register

    reading = {"--columns": arguments.columns or None, "--point-size": arguments.point_size}
    given = {
        "--images": arguments.images,
        "--format": None if arguments.format == AUTO else arguments.format,
        **reading,
        "--group-by": arguments.group_by,
        "--split": arguments.split,
        "--datasets": None if arguments.datasets == Path("datasets.yaml") else arguments.datasets,
    }
    again = ["spore-yolo", "check", arguments.name, *_words(given)]
    fixable = {check.code for check in CHECKS if check.fixable}
    if mended is None and any(error.code in fixable for error in errors):
        return shlex.join([*again, "--fix", "mended"])
    if errors:
        return f"mend these places, then: {shlex.join(again)}"
    registered = arguments.name in read_register(arguments.datasets)
    if registered and (mended is None or mended.labels is None):
        return f"spore-yolo train-detector --dataset {arguments.name}"
    labels, label_format = material.path, material.label_format
    if mended is not None and mended.labels is not None:
        labels, label_format, reading = mended.labels, mended.label_format, {}
    images = material.known.root if images_at_hand(material) else Path("DIR")
    options = {"--images": images, "--labels": labels, "--format": label_format, **reading}
    options["--group-by"] = arguments.group_by
    return shlex.join(["spore-yolo", "import", arguments.name if registered else "NAME", *_words(options)])


def _words(options: Mapping[str, object]) -> list[str]:
    """Options as words of a command line; those without a value are left out."""
    return [word for option, value in options.items() if value is not None for word in (option, f"{value}")]
