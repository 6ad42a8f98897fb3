"""Which slides a run looks at."""

from __future__ import annotations

import glob
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from spore_yolo.files.errors import UsageError
from spore_yolo.files.lake.paths import as_address
from spore_yolo.files.wording import listed
from spore_yolo.inference.slides import SLIDE_SUFFIXES
from spore_yolo.inference.slides import find_slides as slides_in

RESULTS = ("candidates.csv", "prediction.json")
"""A folder that holds these files holds the results of a prediction."""


def find_slides(sources: list[str], *ours: Path) -> list[Path]:
    """The slides that files, folders and globs name, each once, sorted.

    Args:
        sources: The files, folders and globs.
        ours: Folders of results, whose images are none. The same holds for results of earlier predictions, which are
            told on standard error.

    Raises:
        UsageError: One of them names nothing.
    """
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
    others = {
        slide: place for place, slide in slides.items() if not any(place.is_relative_to(folder) for folder in results)
    }
    if not others:
        raise UsageError(f"--source: everything there lies in --output {ours[0]} and counts as results, not as slides")
    left = sorted(without_results(others, lambda folder: all((folder / name).is_file() for name in RESULTS)))
    for slide in left:
        try:
            str(slide).encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(
                f"--source: {str(slide)!a}: expected a file name in UTF-8, which tables can hold; rename the file"
            ) from None
    return left


def without_results(slides: Mapping[Path, Path], holds_results: Callable[[Path], bool]) -> list[Path]:
    """Those of some slides that are not results of an earlier prediction; says how many are.

    Args:
        slides: The slides, each with the place where it really lies.
        holds_results: Whether the results of a prediction lie in a folder.

    Raises:
        UsageError: All of them are.
    """
    holds = cache(holds_results)
    left, results = [], Counter[Path]()
    for slide, place in slides.items():
        folder = next((folder for folder in place.parents if holds(folder)), None)
        if folder is None:
            left.append(slide)
        else:
            results[folder] += 1
    if results:
        where = listed([as_address(folder) for folder in results], "folders")
        told = f"{results.total():,} images are results of earlier predictions, not slides: those in {where}"
        if not left:
            raise UsageError(f"--source: all {told}")
        print(f"note: {told}; they are left out", file=sys.stderr)
    return left
