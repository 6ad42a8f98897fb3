"""``spore-yolo predict``: finds the spores on new slides."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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
    whole_number,
)

if TYPE_CHECKING:
    from spore_yolo.cli.prediction_parts import UnfinishedRun
    from spore_yolo.cli.prediction_slide import SlideLooker
    from spore_yolo.cli.prediction_summary import Failure
    from spore_yolo.inference.manifest import OperatingPoint
    from spore_yolo.inference.pair import Pair
    from spore_yolo.inference.slides import Focus

EXAMPLES = """\
  spore-yolo predict --run runs/magnaporthe --source slides/ --output found/
  spore-yolo predict --pair pairs/rust --source 'farm_*/day_3/*.jpg' one_more.png --output found/ --at 0.4
  spore-yolo predict --run runs/rust --source slides/ --output found/ --mpp 0.25
  spore-yolo predict --run runs/rust --source slides/ --output found/ --operating-point recall-0.95
  spore-yolo predict --run runs/rust --source scans/ --output found/ --backend openvino --z max-contrast
  spore-yolo predict --run runs/rust --source scans/ --output found/ --resume

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
    parser.add_argument("--source", nargs="+", required=True, help="slides: files, folders (at any depth), globs")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
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
    """Looks at the slides one by one, keeps what each gave, and writes the output folder, whole or not at all.

    Raises:
        SporeYoloError: A slide failed; the others have been written all the same.
    """
    from spore_yolo.cli.prediction_output import PredictionOutput
    from spore_yolo.cli.prediction_parts import UnfinishedRun
    from spore_yolo.cli.prediction_slide import SlideLooker
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.contact_sheet import BestScores
    from spore_yolo.inference.pair import load
    from spore_yolo.labels.writers.names import unique_names

    output: Path = arguments.output
    unfinished = UnfinishedRun(output)
    slides = {slide.as_posix(): slide for slide in find_slides(arguments.source, output, unfinished.folder)}
    if arguments.resume and _is_finished(output) and not unfinished.holds_parts():
        print(f"nothing to resume: {output} is finished")
        return
    _check_output(arguments, unfinished)
    pair = load(chosen_pair(arguments), arguments.device, backend=arguments.backend)
    if arguments.skip_empty:
        _ = pair.emptiness  # says what to do where the pair cannot tell it
    print(pair.backend_note, file=sys.stderr)
    point = chosen_point(pair.manifest, arguments)
    images = not arguments.no_images
    places = {name: place for place, name in enumerate(slides)}
    looker = SlideLooker(
        pair,
        point,
        um_per_px=arguments.um_per_px,
        resample=not arguments.no_resample,
        batch=arguments.batch,
        skip_empty=arguments.skip_empty,
        images=images,
        places=places,
        best=BestScores(),
    )
    options = deciding_options(arguments, pair, point)
    if arguments.resume and unfinished.holds_parts():
        added = unfinished.resume(options, slides)
        if added:
            print(f"note: {len(added):,} slides are new since the run began; they are looked at, too", file=sys.stderr)
    else:
        unfinished.begin(options, list(slides))
    with _kept(unfinished, slides):
        failures = look(looker, unfinished, slides, arguments.z)
        done = [name for name in slides if unfinished.is_done(name)]
        if not done:
            raise SporeYoloError(f"none of the {len(slides):,} slides could be looked at; nothing was written")
        with unfinished.results(keep=bool(failures)) as folder:
            results = PredictionOutput(folder, pair, point, unique_names(list(slides)), images)
            for name in done:
                results.add(unfinished.load(name), unfinished.marked(name) if images else None)
            summary = results.write(failures)
    print(summary.text(output))
    note = point_note(pair.manifest, arguments)
    if note:
        print(note)
    if failures:
        raise SporeYoloError(
            f"{len(failures):,} of {len(slides):,} slides failed, see {output / 'failed.csv'}; once they are mended,"
            f" --resume looks at these alone ({unfinished.folder.name} keeps what the others gave until then)"
        )


def look(looker: SlideLooker, unfinished: UnfinishedRun, slides: Mapping[str, Path], z: Focus) -> list[Failure]:
    """Looks at all slides that are not done, and keeps what was found on each.

    Args:
        looker: Looks at one slide.
        unfinished: Where it is kept.
        slides: Name and file of each slide.
        z: Which focal plane.

    Returns:
        The slides that cannot be read.
    """
    from spore_yolo.cli.prediction_parts import FileMark
    from spore_yolo.cli.prediction_progress import LookingBar
    from spore_yolo.cli.prediction_summary import Failure
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.slides import open_slide

    failures = []
    for name in slides:
        if unfinished.is_done(name):
            looker.best.add(looker.places[name], unfinished.load(name).crops)
    left = {name: path for name, path in slides.items() if not unfinished.is_done(name)}
    with LookingBar(list(left.values()), len(slides) - len(left), len(slides)) as bar:
        for name, path in left.items():
            try:
                file = FileMark.of(path)
                with open_slide(path, z=z) as slide:
                    bar.open(path, slide.width * slide.height)
                    part, marked = looker.look(name, slide, file, bar.advance)
            except (SporeYoloError, MemoryError, OSError) as error:
                failure = Failure(name, _reason(error, path))
                failures.append(failure)
                bar.close_slide(path, f"{name}: {failure.reason}")
                continue
            unfinished.save(part, marked)
            looker.best.add(looker.places[name], part.crops)
            bar.close_slide(path)
    return failures


def deciding_options(arguments: argparse.Namespace, pair: Pair, point: OperatingPoint) -> dict[str, Any]:
    """All that decides on the results besides the slides, by the name that messages call it."""
    from spore_yolo.files.hashes import fingerprint
    from spore_yolo.files.provenance import package_versions
    from spore_yolo.inference.device import torch_device

    manifest = pair.manifest
    looks = {"classes", "targets", "detector", "classifier", "um_per_px", "empty"}
    return {
        "detector (SHA-256)": manifest.detector.sha256,
        "classifier (SHA-256)": None if manifest.classifier is None else manifest.classifier.sha256,
        "settings in pair.yaml (fingerprint)": fingerprint(manifest.model_dump(mode="json", include=looks)),
        "operating point": point.model_dump(by_alias=True),
        "--mpp": arguments.um_per_px,
        "--no-resample": arguments.no_resample,
        "--z": arguments.z,
        "--no-images": arguments.no_images,
        "backend": pair.detector.runner.backend,
        "--batch": arguments.batch or pair.detector.runner.batch,
        "--skip-empty": arguments.skip_empty,
        "device": str(torch_device(arguments.device)),
        **{f"version of {name}": version for name, version in package_versions().items()},
    }


@contextmanager
def _kept(unfinished: UnfinishedRun, slides: Mapping[str, Path]) -> Iterator[None]:
    """Says what a stop of any kind left, and removes it if that is nothing."""
    try:
        yield
    except BaseException as stop:
        done = sum(unfinished.is_done(name) for name in slides)
        if not done:
            unfinished.remove()
            raise
        kept = f"{done:,} of {len(slides):,} slides are done and kept; go on with the same command and --resume"
        if isinstance(stop, KeyboardInterrupt):
            raise KeyboardInterrupt(kept) from None
        print(f"note: {kept}", file=sys.stderr)
        raise


def _reason(error: Exception, path: Path) -> str:
    """Why a slide failed, in one line without its name."""
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.removeprefix(f"{path}: ").split()) or type(error).__name__


def find_slides(sources: list[str], *ours: Path) -> list[Path]:
    """The slides that files, folders and globs name, each once, sorted.

    Args:
        sources: The files, folders and globs.
        ours: Folders of results, whose images are none.

    Raises:
        UsageError: One of them names nothing.
    """
    from spore_yolo.files.errors import UsageError
    from spore_yolo.inference.slides import SLIDE_SUFFIXES
    from spore_yolo.inference.slides import find_slides as slides_in

    slides: dict[Path, Path] = {}
    for source in sources:
        path = Path(source)
        if "://" in source and not path.exists():
            raise UsageError(
                f"--source: {source}: slides are read from the disks of this machine; copy them here first"
            )
        if path.is_dir():
            found = slides_in(path)
        elif path.exists():
            found = [path]
        else:
            matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
            found = [image for match in matches if match.is_dir() for image in slides_in(match)]
            found += [match for match in matches if match.is_file() and match.suffix.lower() in SLIDE_SUFFIXES]
        if not found:
            kinds = "JPEG, PNG, TIFF, SVS, NDPI, CZI and others"
            what = f"expected slides ({kinds}), found none" if path.is_dir() else "no such file, folder or glob match"
            raise UsageError(f"--source: {source}: {what}")
        for slide in found:
            slides.setdefault(slide.resolve(), slide)
    results = [folder.resolve() for folder in ours]
    left = sorted(
        slide for place, slide in slides.items() if not any(place.is_relative_to(folder) for folder in results)
    )
    if not left:
        raise UsageError(f"--source: everything there lies in --output {ours[0]} and counts as results, not as slides")
    for slide in left:
        try:
            str(slide).encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(
                f"--source: {str(slide)!a}: expected a file name in UTF-8, which tables can hold; rename the file"
            ) from None
    return left


def _check_output(arguments: argparse.Namespace, unfinished: UnfinishedRun) -> None:
    """Nothing of others is replaced, and results only where that was asked for.

    Raises:
        UsageError: Something lies there.
    """
    from spore_yolo.files.errors import UsageError

    output: Path = arguments.output
    if output.exists() and not (output.is_dir() and (_is_finished(output) or not any(output.iterdir()))):
        raise UsageError(f"--output: {output} exists and holds other things than predictions; choose another folder")
    if arguments.force:
        return
    if unfinished.holds_parts():
        if not arguments.resume:
            raise UsageError(
                f"--output: {unfinished.folder} holds a run that is not finished; add --resume to go on with it, or"
                " --force to start over"
            )
    elif _is_finished(output):
        raise UsageError(f"--output: {output} holds predictions already; choose another folder or add --force")


def _is_finished(output: Path) -> bool:
    return (output / "candidates.csv").exists()
