"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from spore_yolo.cli.lake_places import (
    both,
    readable,
    readable_text,
    register,
    register_to_write,
    run_to_look_with,
    run_to_write,
)

# The same as the detector's CANDIDATE_SCORE, which cannot be asked without torch; a test compares them.
LEAST_SCORE = 0.01

Commands = Any  # argparse keeps the type of add_subparsers' result private


def add_command(commands: Commands, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    """Adds a command with its examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_register(parser: argparse.ArgumentParser, writes: bool = False) -> None:
    """Adds ``--datasets``; ``writes``: whether the command may add to the register."""
    parser.add_argument(
        "--datasets",
        type=register_to_write if writes else register,
        default=Path("datasets.yaml"),
        help="the register of datasets (default: %(default)s)",
    )


def add_pair(parser: argparse.ArgumentParser, required: bool = True, writes: bool = False) -> None:
    """Adds ``--pair`` and ``--run``, one of which is needed, unless there is another way.

    Args:
        parser: The command's.
        required: Whether there is no other way.
        writes: Whether the command may write into the folder.
    """
    choice = parser.add_mutually_exclusive_group(required=required)
    choice.add_argument(
        "--pair",
        type=both if writes else readable,
        help="the pair's folder; loading a model runs code in it, so trust it",
    )
    choice.add_argument(
        "--run",
        dest="training_run",
        type=run_to_write if writes else run_to_look_with,
        metavar="RUN",
        help="a run's folder: means --pair RUN/pair",
    )


def chosen_pair(arguments: argparse.Namespace) -> Path:
    """The pair's folder from ``--pair`` or ``--run``."""
    if arguments.pair is not None:
        return Path(arguments.pair)
    return Path(arguments.training_run) / "pair"


def add_operating_point(parser: argparse.ArgumentParser) -> None:
    """Adds ``--operating-point``."""
    parser.add_argument(
        "--operating-point",
        metavar="NAME",
        help="thresholds that spore-yolo calibrate stored with the pair, such as recall-0.95 (default: the pair's own)",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Adds ``--weights``."""
    parser.add_argument(
        "--weights",
        type=readable_text,
        help="what to start from: a checkpoint (.pt), 'sample' for the weights that the program brings along, 'scratch'"
        " for none (default: the pretrained YOLOv8 weights, and where they cannot be reached sample)",
    )


def whole_number(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text}")
    return value


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


def overlap(text: str) -> float:
    """A number above 0 and at most 1, for argparse."""
    value = share(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most 1, found {text}")
    return value


def inner_share(text: str) -> float:
    """A number above 0 and below 1, for argparse."""
    value = share(text)
    if value in (0, 1):
        raise argparse.ArgumentTypeError(f"expected a number above 0 and below 1, found {text}")
    return value


def candidate_score(text: str) -> float:
    """A threshold on detector_score, for argparse; below 0.01 there are no candidates that it could let in."""
    value = share(text)
    if value < LEAST_SCORE:
        raise argparse.ArgumentTypeError(
            f"expected a score of at least {LEAST_SCORE}, where candidates begin, found {text}"
        )
    return value


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {text}")
    return value


def zero_or_more(text: str) -> float:
    """A number of at least 0, for argparse."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, found {text}")
    return value


def parse_settings(items: list[str]) -> dict[str, Any]:
    """Reads ``key=value`` arguments; values are YAML, so that numbers and true or false are what they look like."""
    import yaml

    from spore_yolo.files.errors import UsageError

    # What other options decide; a second way to say it would let the two contradict each other.
    ours = {
        "data": "--dataset",
        "model": "--model",
        "imgsz": "--tile-size or --crop-size",
        "epochs": "--epochs",
        "time": "--minutes",
        "device": "--device",
        "seed": "--seed",
        "resume": "--resume",
        "name": "--name",
        "project": "--runs",
        "exist_ok": "--force",
        "single_cls": "--one-class",
        "pretrained": "--weights",
        "batch": "--batch",
    }
    settings: dict[str, Any] = {}
    for item in items:
        key, sign, text = item.partition("=")
        if not sign or not key.isidentifier():
            raise UsageError(f"expected key=value for Ultralytics, found {item!r}")
        if key in ours:
            raise UsageError(f"{item}: say it with {ours[key]}")
        if key in ("save", "split", "cfg", "mode", "task", "save_dir", "nbs"):
            raise UsageError(f"{item}: this setting is not free; the run depends on it")
        try:
            settings[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UsageError(f"{item}: the value cannot be read") from None
    return settings
