"""Runs a pair over many slides: what each gives is kept, and the results are written whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.locking import locked
from spore_yolo.files.wording import listed
from spore_yolo.inference.contact_sheet import BestScores
from spore_yolo.inference.pair import load
from spore_yolo.inference.slides import Focus, open_slide
from spore_yolo.labels.writers.names import unique_names
from spore_yolo.prediction.deciding import computed_by, deciding_options
from spore_yolo.prediction.output import PredictionOutput
from spore_yolo.prediction.parts import FileMark, UnfinishedRun
from spore_yolo.prediction.point import chosen_point
from spore_yolo.prediction.progress import LookingBar
from spore_yolo.prediction.slide import SlideLooker
from spore_yolo.prediction.summary import Failure, Summary


@dataclass(frozen=True)
class PredictionOptions:
    """What the user asked for; see ``spore-yolo predict --help``.

    Attributes:
        pair: The pair's folder.
        output: Folder for the results.
        operating_point, at: See :func:`spore_yolo.prediction.point.chosen_point`.
        um_per_px: Micrometres per pixel of all slides; ``None``: what each file says, else the pair's is assumed.
        resample: Whether slides of another scale than the pair's are brought to that.
        z: Which focal plane.
        images: Whether marked slides and contact sheets are written.
        backend: What runs the networks.
        batch: Tiles a forward pass; ``None`` leaves it to the backend.
        skip_empty: Whether tiles on which nothing lies are left out.
        device: As torch takes it; ``None`` chooses.
    """

    pair: Path
    output: Path
    operating_point: str | None = None
    at: float | None = None
    um_per_px: float | None = None
    resample: bool = True
    z: Focus = "best"
    images: bool = True
    backend: str = "auto"
    batch: int | None = None
    skip_empty: bool = False
    device: str | None = None


def predict(options: PredictionOptions, slides: Mapping[str, Path], resume: bool = False, force: bool = False) -> None:
    """Looks at the slides one by one, keeps what each gave, and writes the output folder, whole or not at all.

    Args:
        options: What to do and how.
        slides: Name and file of each slide.
        resume: Go on with a run that was stopped.
        force: Replace results, finished or not, that lie at the output folder.

    Raises:
        SporeYoloError: A slide failed; the others have been written all the same.
        UsageError: Something else lies at the output folder, another process writes to it, or the run to resume was
            another one.
    """
    with _alone(UnfinishedRun(options.output)) as unfinished:
        _predict(options, slides, unfinished, resume, force)


def _predict(
    options: PredictionOptions, slides: Mapping[str, Path], unfinished: UnfinishedRun, resume: bool, force: bool
) -> None:
    output = options.output
    if resume and unfinished.finds() == "results" and not unfinished.holds_parts():
        print(f"nothing to resume: {output} is finished")
        return
    check_output(unfinished, resume, force)
    looker = looker_for(options, list(slides))
    begin(unfinished, deciding_options(options, looker), marks_of(slides), resume)
    with _kept(unfinished, slides):
        failures = look(looker, unfinished, slides, options.z)
        summary = assemble(looker, unfinished, list(slides), failures)
    print(summary.text(output))
    if failures:
        raise SporeYoloError(
            f"{len(failures):,} of {len(slides):,} slides failed, see {output / 'failed.csv'}; once they are mended,"
            f" --resume looks at these alone ({unfinished.folder.name} keeps what the others gave until then)"
        )


def looker_for(options: PredictionOptions, slides: Sequence[str]) -> SlideLooker:
    """Loads the pair and says what runs it.

    Args:
        options: What to do and how.
        slides: The names of all slides of the run, in their order, also of those that others look at.
    """
    pair = load(options.pair, options.device, backend=options.backend)
    if options.skip_empty:
        _ = pair.emptiness  # says what to do where the pair cannot tell it
    print(pair.backend_note, file=sys.stderr)
    return SlideLooker(
        pair,
        chosen_point(pair.manifest, options.operating_point, options.at),
        um_per_px=options.um_per_px,
        resample=options.resample,
        batch=options.batch,
        skip_empty=options.skip_empty,
        images=options.images,
        places={name: place for place, name in enumerate(slides)},
        best=BestScores(),
        computed_by=computed_by(pair, options.batch, options.device),
    )


def marks_of(slides: Mapping[str, Path]) -> dict[str, FileMark]:
    """The files of slides as they are now, by the slides' names; one that has just gone has a mark of its own."""
    marks = {}
    for name, path in slides.items():
        try:
            marks[name] = FileMark.of(path)
        except OSError:  # is told when the slide is opened
            marks[name] = FileMark(-1, -1)
    return marks


def begin(unfinished: UnfinishedRun, deciding: Mapping[str, Any], slides: Mapping[str, FileMark], resume: bool) -> None:
    """Starts a run, or goes on with it if that is wished and possible.

    Args:
        unfinished: Where it is kept.
        deciding: See :func:`spore_yolo.prediction.deciding.deciding_options`.
        slides: Name of each slide, and its file as it is now.
        resume: Whether to go on with what is kept.
    """
    if resume and unfinished.holds_parts():
        added = unfinished.resume(deciding, slides)
        if added:
            print(f"note: {len(added):,} slides are new since the run began; they are looked at, too", file=sys.stderr)
    else:
        unfinished.begin(deciding, list(slides))


def assemble(
    looker: SlideLooker,
    unfinished: UnfinishedRun,
    slides: Sequence[str],
    failures: list[Failure],
    keep: bool = False,
) -> Summary:
    """Writes the output folder from what is kept of each slide.

    Args:
        looker: What looked.
        unfinished: Where it is kept; stays as it is where slides failed, to try these again.
        slides: The names of all slides, in their order.
        failures: Those that could not be looked at.
        keep: Whether what is kept stays as it is in any case.

    Raises:
        SporeYoloError: None could be looked at, or what is kept is not what was found.
    """
    done = [name for name in slides if unfinished.is_done(name)]
    failed = {failure.slide for failure in failures}
    wrong = [name for name in slides if (name in failed) == unfinished.is_done(name)]
    if wrong:
        raise SporeYoloError(
            f"{unfinished.folder}: expected each of {len(slides):,} slides to be kept or to have failed, found"
            f" {len(wrong):,} that are both or neither: {listed(wrong, 'slides')}; another process writes there, too,"
            f" or removed what was kept. Nothing was written; see whether {unfinished.output} is whole, else add"
            " --force"
        )
    if not done:
        raise SporeYoloError(f"none of the {len(slides):,} slides could be looked at; nothing was written")
    with unfinished.results(keep=keep or bool(failures)) as folder:
        names, options = unique_names(list(slides)), unfinished.options()
        results = PredictionOutput(folder, looker.pair, looker.point, names, looker.images, options)
        for name in done:
            results.add(unfinished.load(name), unfinished.marked(name) if looker.images else None)
        return results.write(failures)


def look(
    looker: SlideLooker,
    unfinished: UnfinishedRun,
    slides: Mapping[str, Path],
    z: Focus,
    during: Callable[[str], AbstractContextManager[object]] = nullcontext,
    quiet: bool = False,
) -> list[Failure]:
    """Looks at all slides that are not done, and keeps what was found on each.

    Args:
        looker: Looks at one slide.
        unfinished: Where it is kept.
        slides: Name and file of each slide.
        z: Which focal plane.
        during: What surrounds the work on a slide, by its name, such as to bring its file here.
        quiet: Whether no progress is shown, but for slides that fail.

    Returns:
        The slides that cannot be read.
    """
    failures = []
    for name in slides:
        if unfinished.is_done(name):
            looker.best.add(looker.places[name], unfinished.load(name).crops)
    left = {name: path for name, path in slides.items() if not unfinished.is_done(name)}
    with LookingBar(list(left.values()), len(slides) - len(left), len(slides), quiet) as bar:
        for name, path in left.items():
            try:
                with during(name):
                    file = FileMark.of(path)
                    with open_slide(path, z=z) as slide:
                        bar.open(path, slide.width * slide.height)
                        found = looker.look(name, slide, file, bar.advance)
            except (SporeYoloError, MemoryError, OSError, cv2.error) as error:
                if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
                    raise
                failure = Failure(name, _reason(error, path))
                failures.append(failure)
                bar.close_slide(path, f"{name}: {failure.reason}")
                continue
            part, marked = found
            unfinished.save(part, marked)
            looker.best.add(looker.places[name], part.crops)
            bar.close_slide(path)
    return failures


@contextmanager
def _alone(unfinished: UnfinishedRun) -> Iterator[UnfinishedRun]:
    """Keeps other processes of this machine away from the output.

    Raises:
        UsageError: Another one writes to it.
    """
    lock = unfinished.output.with_name(f".{unfinished.output.name}.lock")
    with locked(lock, wait=False) as held:
        if not held:
            raise UsageError(
                f"--output: another process is writing to {unfinished.output} at this moment; wait for its end, or"
                " choose another folder"
            )
        try:
            yield unfinished
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _kept(unfinished: UnfinishedRun, slides: Mapping[str, Path]) -> Iterator[None]:
    """Says what a stop of any kind left, and removes it if that is nothing."""
    try:
        yield
    except BaseException as stop:
        done = sum(unfinished.is_done(name) for name in slides) if unfinished.holds_parts() else 0
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
    if isinstance(error, MemoryError | cv2.error):
        more = " ".join(str(error).split()) if isinstance(error, MemoryError) else ""
        return f"does not fit into memory{more and f' ({more})'}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.removeprefix(f"{path}: ").split()) or type(error).__name__


def check_output(unfinished: UnfinishedRun, resume: bool, force: bool) -> None:
    """Nothing of others is replaced, and results only where that was asked for.

    Raises:
        UsageError: Something lies there.
    """
    output, found = unfinished.output, unfinished.finds()
    if found == "other things":
        raise UsageError(f"--output: {output} exists and holds other things than predictions; choose another folder")
    if force:
        return
    if unfinished.holds_parts():
        if not resume:
            raise UsageError(
                f"--output: {unfinished.folder} holds a run that is not finished; add --resume to go on with it, or"
                " --force to start over"
            )
    elif found == "results":
        raise UsageError(f"--output: {output} holds predictions already; choose another folder or add --force")
