"""Which slides a run looks at."""

from __future__ import annotations

import glob
from pathlib import Path

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.slides import SLIDE_SUFFIXES
from spore_yolo.inference.slides import find_slides as slides_in


def find_slides(sources: list[str], *ours: Path) -> list[Path]:
    """The slides that files, folders and globs name, each once, sorted.

    Args:
        sources: The files, folders and globs.
        ours: Folders of results, whose images are none.

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
