"""``spore-yolo predict``: finds the spores on new slides."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spore_yolo.cli.lake_places import predictions_folder, readable_text
from spore_yolo.cli.options import (
    Commands,
    add_command,
    add_operating_point,
    add_pair,
    candidate_score,
    chosen_pair,
    positive,
    whole_number,
)

if TYPE_CHECKING:
    from spore_yolo.inference.slides import Focus

EXAMPLES = """\
  spore-yolo predict --run runs/magnaporthe --source slides/ --output found/
  spore-yolo predict --pair pairs/rust --source 'farm_*/day_3/*.jpg' one_more.png --output found/ --at 0.4
  spore-yolo predict --run runs/rust --source slides/ --output found/ --mpp 0.25
  spore-yolo predict --run runs/rust --source slides/ --output found/ --operating-point recall-0.95
  spore-yolo predict --run runs/rust --source scans/ --output found/ --backend openvino --z max-contrast
  spore-yolo predict --run runs/rust --source scans/ --output found/ --resume
  spore-yolo predict --run s3://farm/runs/rust --source 's3://farm/slides/day_3/*.jpg' --output s3://farm/found

A slide that cannot be read is told at once and listed in failed.csv; the others go on, and the exit code is 1. What was
found is kept in OUTPUT.unfinished/ until all slides are done, so that --resume goes on after a stop of any kind.
"""

# The same as spore_yolo.inference.backends.BACKENDS, which takes a moment to import; a test compares them.
BACKENDS = ("torch", "onnxruntime", "openvino", "openvino-bf16", "openvino-int8", "tensorrt")


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "predict",
        "Find the spores on slides of any size; writes counts, tables, contact sheets and marked slides.",
        EXAMPLES,
    )
    add_pair(parser)
    parser.add_argument(
        "--source", nargs="+", type=readable_text, required=True, help="slides: files, folders (at any depth), globs"
    )
    parser.add_argument("--output", type=predictions_folder, required=True, help="folder for the results")
    add_operating_point(parser)
    parser.add_argument(
        "--at", type=candidate_score, metavar="SCORE", help="lowest detector_score instead of the stored one"
    )
    parser.add_argument(
        "--mpp",
        "--um-per-px",
        dest="um_per_px",
        type=positive,
        metavar="X",
        help="micrometres per pixel of all these slides (default: what each file says, else the pair's is assumed)",
    )
    parser.add_argument(
        "--no-resample",
        action="store_true",
        help="look at slides of another scale than the pair's pixel by pixel, as they are",
    )
    parser.add_argument(
        "--z",
        type=focal_plane,
        default="best",
        metavar="best|max-contrast|N",
        help="of slides with several focal planes: the sharpest one, the sharpest at each place, or a number from 1 on"
        " (default: %(default)s)",
    )
    parser.add_argument("--no-images", action="store_true", help="write no marked slides and no contact sheets")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped; slides that failed are tried again"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace results, finished or not, that lie at the output folder"
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="auto",
        help="what runs the networks; auto takes the fastest that was verified for this pair (default: %(default)s)",
    )
    parser.add_argument("--batch", type=whole_number, metavar="N", help="tiles a forward pass (default: the fastest)")
    parser.add_argument(
        "--skip-empty", action="store_true", help="do not look at empty tiles, where the pair knows how to tell them"
    )
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    parser.set_defaults(run=run)


def focal_plane(text: str) -> Focus:
    """``best``, ``max-contrast`` or the number of a focal plane, for argparse."""
    if text in ("best", "max-contrast"):
        return cast("Focus", text)
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"expected best, max-contrast or a number from 1 on, found {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> None:
    """Finds the slides and looks at them.

    Raises:
        SporeYoloError: A slide failed; the others have been written all the same.
    """
    from spore_yolo.files.lake.paths import as_address
    from spore_yolo.prediction.finding import find_slides
    from spore_yolo.prediction.parts import UnfinishedRun
    from spore_yolo.prediction.running import PredictionOptions, predict

    output: Path = arguments.output
    slides = find_slides(arguments.source, output, UnfinishedRun(output).folder)
    options = PredictionOptions(
        pair=chosen_pair(arguments),
        output=output,
        operating_point=arguments.operating_point,
        at=arguments.at,
        um_per_px=arguments.um_per_px,
        resample=not arguments.no_resample,
        z=arguments.z,
        images=not arguments.no_images,
        backend=arguments.backend,
        batch=arguments.batch,
        skip_empty=arguments.skip_empty,
        device=arguments.device,
    )
    predict(options, {as_address(slide): slide for slide in slides}, arguments.resume, arguments.force)
