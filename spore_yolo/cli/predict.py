"""``spore-yolo predict``: finds the spores on new slides."""

from __future__ import annotations

import argparse
import glob
from pathlib import Path

from spore_yolo.cli.options import (
    Commands,
    add_command,
    add_operating_point,
    add_pair,
    candidate_score,
    chosen_pair,
    chosen_point,
    point_note,
    positive,
)

EXAMPLES = """\
  spore-yolo predict --run runs/magnaporthe --source slides/ --output found/
  spore-yolo predict --pair pairs/rust --source 'farm_*/day_3/*.jpg' one_more.png --output found/ --at 0.4
  spore-yolo predict --run runs/rust --source slides/ --output found/ --um-per-px 0.25
  spore-yolo predict --run runs/rust --source slides/ --output found/ --operating-point recall-0.95
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "predict",
        "Find the spores on slides; writes counts, tables, contact sheets and marked slides.",
        EXAMPLES,
    )
    add_pair(parser)
    parser.add_argument("--source", nargs="+", required=True, help="slides: files, folders (at any depth), globs")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    add_operating_point(parser)
    parser.add_argument(
        "--at", type=candidate_score, metavar="SCORE", help="lowest detector_score instead of the stored one"
    )
    parser.add_argument(
        "--um-per-px",
        type=positive,
        metavar="X",
        help="micrometres per pixel of these slides, to measure what is found (default: the pair's, if it has one)",
    )
    parser.add_argument("--no-images", action="store_true", help="write no marked slides and no contact sheets")
    parser.add_argument("--force", action="store_true", help="replace results that lie in the output folder")
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Predicts and writes the output folder, whole or not at all."""
    from tqdm import tqdm

    from spore_yolo.cli.prediction_output import PredictionOutput, scale_of
    from spore_yolo.files.atomic import atomic_folder
    from spore_yolo.files.errors import UsageError
    from spore_yolo.files.images import read_image
    from spore_yolo.inference.pair import load

    output: Path = arguments.output
    slides = find_slides(arguments.source, output)
    if output.exists() and not (output.is_dir() and _is_ours(output)):
        raise UsageError(f"--output: {output} exists and holds other things than predictions; choose another folder")
    if output.exists() and any(output.iterdir()) and not arguments.force:
        raise UsageError(f"--output: {output} holds predictions already; choose another folder or add --force")
    pair = load(chosen_pair(arguments), arguments.device)
    point = chosen_point(pair.manifest, arguments)
    scale = scale_of(arguments.um_per_px, pair.manifest)
    names = [slide.as_posix() for slide in slides]
    with atomic_folder(output) as temporary:
        results = PredictionOutput(temporary, pair, point, scale, names, images=not arguments.no_images)
        for name, slide in tqdm(zip(names, slides, strict=True), total=len(names), desc="looking", unit="slide"):
            pixels = read_image(slide)
            results.add(name, pixels, pair.candidates(pixels))
        summary = results.write()
    print(summary.text(output))
    note = point_note(pair.manifest, arguments)
    if note:
        print(note)


def find_slides(sources: list[str], output: Path) -> list[Path]:
    """The slides that files, folders and globs name, each once, sorted; earlier results in ``output`` are none.

    Raises:
        UsageError: One of them names nothing.
    """
    from spore_yolo.files.errors import UsageError
    from spore_yolo.files.images import IMAGE_SUFFIXES, find_images

    slides: dict[Path, Path] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            found = find_images(path)
        elif path.exists():
            found = [path]
        else:
            matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
            found = [image for match in matches if match.is_dir() for image in find_images(match)]
            found += [match for match in matches if match.is_file() and match.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            kinds = "JPEG, PNG, TIFF, BMP, WebP"
            what = f"expected slides ({kinds}), found none" if path.is_dir() else "no such file, folder or glob match"
            raise UsageError(f"--source: {source}: {what}")
        for slide in found:
            slides.setdefault(slide.resolve(), slide)
    ours = output.resolve()
    left = sorted(slide for place, slide in slides.items() if not place.is_relative_to(ours))
    if not left:
        raise UsageError(f"--source: everything there lies in --output {output} and counts as results, not as slides")
    for slide in left:
        try:
            str(slide).encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(
                f"--source: {str(slide)!a}: expected a file name in UTF-8, which tables can hold; rename the file"
            ) from None
    return left


def _is_ours(folder: Path) -> bool:
    return not any(folder.iterdir()) or (folder / "candidates.csv").exists()
