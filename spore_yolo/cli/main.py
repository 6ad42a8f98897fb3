"""Entry point of the program ``spore-yolo``."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import spore_yolo
from spore_yolo.cli import (
    browse,
    calibrate,
    check,
    compare,
    demo,
    describe,
    evaluate,
    export,
    export_model,
    import_dataset,
    lake,
    learn_empty,
    predict,
    pretrain,
    sample,
    track,
    train_classifier,
    train_detector,
)
from spore_yolo.cli.lake_paths import mirrored, told_as_addresses
from spore_yolo.files.errors import SporeYoloError, stop_behind

EPILOG = """\
the way through:
  spore-yolo check LABELS --images DIR
  spore-yolo import NAME --images DIR --labels LABELS
  spore-yolo describe NAME --output DIR
  spore-yolo train-detector --dataset NAME
  spore-yolo train-classifier --run runs/NAME
  spore-yolo evaluate --run runs/NAME --dataset NAME --split test
  spore-yolo browse --run runs/NAME --dataset NAME
  spore-yolo calibrate --run runs/NAME --dataset NAME --recall 0.95 --confidence 0.9
  spore-yolo compare runs/NAME runs/OTHER
  spore-yolo predict --run runs/NAME --source slides/ --output found/
  spore-yolo learn-empty --run runs/NAME --dataset NAME
  spore-yolo export-model --run runs/NAME --backend openvino --dataset NAME
  spore-yolo export found/ --format label-studio --output corrections/
  spore-yolo track runs/NAME

paths may be s3://bucket/prefix: what is read is brought to this machine first, what is made is written back
(spore-yolo lake --help)

exit codes: 0 done, 1 the work found a problem, 2 wrong usage
"""


_stops: list[KeyboardInterrupt] = []
"""The Ctrl-C that ended the program, if one did."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; importing a command's heavy parts waits until it runs."""
    parser = argparse.ArgumentParser(
        prog="spore-yolo",
        description="Finds the spores of plant diseases on microscope slides.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"spore-yolo {spore_yolo.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        demo,
        sample,
        import_dataset,
        check,
        describe,
        train_detector,
        train_classifier,
        evaluate,
        calibrate,
        learn_empty,
        compare,
        browse,
        predict,
        export,
        export_model,
        track,
        pretrain,
        lake,
    ):
        module.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
        arguments: Command line without the program's name; ``None`` takes the process's own.

    Returns:
        The exit code: 0 done, 1 the work found a problem, 2 wrong usage.
    """
    parsed = build_parser().parse_args(arguments)
    with told_as_addresses(parsed):
        return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    # A stop by the system ends like Ctrl-C, so that temporary files go in both cases.
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with mirrored(parsed):
            parsed.run(parsed)
    except SporeYoloError as error:
        # A stop that was taken for damage; one that merely came before says something of its own.
        if wrapped := stop_behind(error.__cause__):
            return _stopped(wrapped)
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt as stop:
        return _stopped(stop)
    except MemoryError:
        return _fail("memory ran out; close other programs, or work on fewer or smaller slides at a time", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(f"{where}the disk is full; make room and run the command again, nothing half done was left", 1)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return _fail(f"{where}no permission ({error.strerror}); choose another place or mend the permissions", 1)
        if isinstance(error, BrokenPipeError):
            return 1
        return _fail(f"{where}{error.strerror or error}", 1)
    except Exception as error:
        if wrapped := stop_behind(error):
            return _stopped(wrapped)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stopped(stop: KeyboardInterrupt) -> int:
    _stops.append(stop)
    return _fail(f"interrupted; {stop}" if str(stop) else "interrupted; nothing half done was left", 1)


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"spore-yolo: error: {message}", file=sys.stderr)
    return code


def entry(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the program and ends the process with its exit code."""
    code = main(arguments)
    if _stops:
        # `python -m` would end by the signal instead of with our code if Ctrl-C came while it ran code given as
        # text, as imports do. Everything is cleaned up by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    entry()
