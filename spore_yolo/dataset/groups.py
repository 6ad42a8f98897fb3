"""Which images belong together: sources and groups.

A *source* is the image that exported variants (flips, grey, brightness) were made from. A *group* is what must never be
torn apart by a split: a slide, trap, farm or day, which may hold many sources.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from spore_yolo.files.errors import InputProblems, Problem, UsageError
from spore_yolo.files.structured import read_pairs

# Roboflow names each exported variant of NAME.png "NAME_png.rf.HASH.jpg".
VARIANT = re.compile(r"^(?P<source>.+)\.rf\.[0-9A-Za-z]{8,}$")

# Exporters deal the variants of one source out to these folders; they say nothing about where the image comes from.
SPLIT_FOLDERS = frozenset({"train", "training", "valid", "val", "validation", "test", "testing", "images"})


def source_of(image: str) -> str:
    """The source of an image: the image itself, but for exported variants the name before ``.rf.``.

    Example:
        >>> source_of("train/images/field_1_png.rf.0a4c69c9906fdcc27502e7714f99e828.jpg")
        'field_1_png'
        >>> source_of("day_1/field_1.jpg")
        'day_1/field_1'
    """
    path = PurePosixPath(image)
    variant = VARIANT.match(path.stem)
    if variant is None:
        return path.with_suffix("").as_posix()
    folders = [part for part in path.parent.parts if part.lower() not in SPLIT_FOLDERS]
    return PurePosixPath(*folders, variant["source"]).as_posix()


def sources_of(images: Iterable[str]) -> dict[str, str]:
    """The source of each image.

    Images that differ only in their suffix keep it, so that they stay two sources. An original ``NAME.png`` that lies
    beside its variants ``NAME_png.rf.HASH.jpg`` belongs to them.
    """
    images = list(images)
    sources = {image: source_of(image) for image in images}
    plain: dict[str, list[str]] = defaultdict(list)
    for image, source in sources.items():
        if not VARIANT.match(PurePosixPath(image).stem):
            plain[source].append(image)
    for twins in plain.values():
        if len(twins) > 1:
            sources |= {image: image for image in twins}
    variants = {source for image, source in sources.items() if VARIANT.match(PurePosixPath(image).stem)}
    for image in images:
        path = PurePosixPath(image)
        folders = [part for part in path.parent.parts if part.lower() not in SPLIT_FOLDERS]
        exported = PurePosixPath(*folders, f"{path.stem}_{path.suffix.removeprefix('.')}").as_posix()
        if exported in variants:
            sources[image] = exported
    return sources


def groups_of(sources: Mapping[str, str], group_by: str | None) -> dict[str, str]:
    """The group of each image.

    Args:
        sources: Source of each image.
        group_by: A regular expression searched in the image's path, whose first bracket is the group; or a CSV file
            with the columns ``image,group``. Without it, each source is a group.

    Raises:
        UsageError: The expression is not valid or has no bracket.
        InputProblems: An image has no group, or variants of one source would be torn apart.
    """
    if group_by is None:
        return dict(sources)
    if is_table(group_by):
        given = read_pairs(Path(group_by), "image", "group")
        return _whole_sources(sources, {image: given.get(image) for image in sources}, group_by)
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise UsageError(f"--group-by: not a regular expression: {error} (found {group_by!r})") from None
    if pattern.groups < 1:
        raise UsageError(f"--group-by: expected a bracket round the group, as in '(trap_[0-9]+)', found {group_by!r}")
    matches = {image: pattern.search(image) for image in sources}
    return _whole_sources(sources, {image: match and match.group(1) for image, match in matches.items()}, group_by)


def is_table(group_by: str) -> bool:
    """Whether groups are given by a CSV file, not by a regular expression."""
    return group_by.lower().endswith(".csv")


def _whole_sources(sources: Mapping[str, str], found: Mapping[str, str | None], group_by: str) -> dict[str, str]:
    groups: dict[str, str] = {}
    problems: list[Problem] = []
    of_source: dict[str, tuple[str, str]] = {}
    for image, source in sources.items():
        group = found[image]
        if not group:
            problems.append(Problem(image, None, f"--group-by {group_by!r} finds no group for this image"))
            continue
        groups[image] = group
        first_image, first_group = of_source.setdefault(source, (image, group))
        if group != first_group:
            problems.append(
                Problem(image, None, f"is in group {group}, but {first_image} of the same source is in {first_group}")
            )
    if problems:
        raise InputProblems(
            "The images cannot be grouped:", problems, "Change --group-by so that every image has one group."
        )
    return groups
