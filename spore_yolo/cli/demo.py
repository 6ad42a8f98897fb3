"""``spore-yolo demo``: the whole way on drawn slides, from labels to a pair that has looked at new slides."""

from __future__ import annotations

import argparse
from pathlib import Path

from spore_yolo.cli import evaluate, import_dataset, predict, sample, train_classifier, train_detector
from spore_yolo.cli.lake_places import writable
from spore_yolo.cli.options import Commands, add_command, positive, whole_number

EXAMPLES = """\
  spore-yolo demo
  spore-yolo demo --output demo-longer --minutes 20
"""

LEAST = 0.7
"""Recall and precision on test below which the demo has failed."""

NAME = "sample"


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands, "demo", "Go the whole way on drawn slides, in under ten minutes on two cores.", EXAMPLES
    )
    parser.add_argument(
        "--output", type=writable, default=Path("demo"), help="folder for everything (default: %(default)s)"
    )
    parser.add_argument("--fields", type=whole_number, default=60, help="slides to draw (default: %(default)s)")
    parser.add_argument("--minutes", type=positive, default=4.0, help="training of the detector (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="replace an earlier demo in the folder")
    parser.set_defaults(run=run)


def steps(folder: Path, fields: int, minutes: float, seed: int) -> list[list[str]]:
    """The commands of the demo, in their order, as a user would type them.

    Args:
        folder: Where everything goes.
        fields: Slides to draw.
        minutes: Training of the detector.
        seed: Seed of the slides and of the trainings.
    """
    slides, register, runs = f"{folder}/slides", f"{folder}/datasets.yaml", f"{folder}/runs"
    trained = f"{runs}/{NAME}"
    number = str(seed)
    return [
        ["sample", "--output", slides, "--fields", str(fields), "--seed", number],
        [
            *("import", NAME, "--images", f"{slides}/images", "--labels", f"{slides}/labels.json", "--format", "coco"),
            *("--group-by", f"{slides}/groups.csv", "--targets", "Alternaria", "--um-per-px", "0.4"),
            *("--datasets", register),
        ],
        [
            *("train-detector", "--dataset", NAME, "--datasets", register, "--runs", runs, "--weights", "sample"),
            *("--minutes", f"{minutes:g}", "--tile-size", "320", "--scale", "0.5", "--one-class", "--seed", number),
        ],
        [
            *("train-classifier", "--run", trained, "--datasets", register, "--weights", "sample"),
            *("--minutes", "1", "--margin", "0.25", "--crop-size", "64", "--seed", number),
        ],
        ["evaluate", "--run", trained, "--dataset", NAME, "--datasets", register, "--split", "test"],
    ]


def run(arguments: argparse.Namespace) -> None:
    """Goes all steps and judges the result.

    Raises:
        SporeYoloError: Recall or precision on test at the stored operating point is below 0.7.
    """
    import json
    import shlex
    import time

    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.files.errors import SporeYoloError

    folder: Path = arguments.output
    _clear(folder, arguments.force)
    began = time.monotonic()
    program = argparse.ArgumentParser(prog="spore-yolo")
    commands = program.add_subparsers(required=True)
    for module in (sample, import_dataset, train_detector, train_classifier, evaluate, predict):
        module.add_parser(commands)

    def go(words: list[str]) -> None:
        clock = time.strftime("%M:%S", time.gmtime(time.monotonic() - began))
        print(f"\n[{clock}] $ spore-yolo {shlex.join(words)}", flush=True)
        parsed = program.parse_args(words)
        parsed.run(parsed)

    for words in steps(folder, arguments.fields, arguments.minutes, arguments.seed):
        go(words)
    dataset = load_dataset(NAME, folder / "datasets.yaml")
    test = [str(dataset.path_of(image)) for image in dataset.split("test")[0]["image"]]
    trained = folder / "runs" / NAME
    go(["predict", "--run", str(trained), "--source", *test, "--output", f"{folder}/found", "--um-per-px", "0.4"])
    figures = json.loads((trained / "evaluation" / f"{NAME}-test" / "metrics.json").read_text(encoding="utf-8"))
    recall, precision = (figures["overall"][key]["value"] or 0.0 for key in ("recall", "precision"))
    minutes = (time.monotonic() - began) / 60
    print(f"\nthe whole way took {minutes:.1f} minutes; test recall {recall:.3f}, precision {precision:.3f}")
    print(f"look at: {folder}/found/images/ and {folder}/found/contact_sheets/; counts in {folder}/found/counts.xlsx")
    print(f"browse:  spore-yolo browse --run {trained} --dataset {NAME} --datasets {folder}/datasets.yaml")
    if min(recall, precision) < LEAST:
        raise SporeYoloError(
            f"the demo should reach a recall and a precision of {LEAST} on test, found {recall:.3f} and"
            f" {precision:.3f}; on a slow or busy machine give it more time: --minutes 10"
        )


def _clear(folder: Path, force: bool) -> None:
    """Makes room for the demo; only an earlier demo is ever removed."""
    import shutil

    from spore_yolo.files.errors import UsageError

    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "slides" / "truth.csv").exists():
        raise UsageError(f"--output: {folder} exists and holds other things than a demo; choose another folder")
    if not force:
        raise UsageError(f"--output: {folder} holds a demo already; choose another folder or add --force")
    shutil.rmtree(folder)
