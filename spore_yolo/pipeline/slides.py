"""The slides of a prediction flow: where they are found, who looks at which, and how one comes to a machine."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.lake import Lake, RemotePath, is_remote, mirror_of, remote_of
from spore_yolo.files.lake.errors import NotThere
from spore_yolo.files.lake.paths import as_address
from spore_yolo.inference.slides import belonging, slides_among
from spore_yolo.pipeline.workplace import local_of
from spore_yolo.prediction.finding import RESULTS, find_slides, without_results
from spore_yolo.prediction.parts import FileMark

NS_PER_SECOND = 10**9


@dataclass(frozen=True)
class Shard:
    """The slides that one task looks at.

    Attributes:
        number: From 1 on.
        slides: Their names.
        bytes: Size of the files that are still to be looked at.
    """

    number: int
    slides: tuple[str, ...]
    bytes: int


class CannotBring(Exception):
    """A slide that is there could not be brought to this machine: the fault is not the slide's."""


def found_slides(sources: Sequence[str], output: str) -> dict[str, FileMark]:
    """The slides that files, folders, globs and addresses name, each once, in the order of ``spore-yolo predict``.

    Args:
        sources: The files, folders, globs and addresses; of the data lake nothing is moved.
        output: Where the results will lie: its images are no slides.

    Returns:
        By its name, the file of each slide as it is now.

    Raises:
        UsageError: One of them names nothing.
    """
    place = local_of(output)
    ours = (place, place.with_name(f"{place.name}.unfinished"))
    local = [source for source in sources if not is_remote(source)]
    found = {path: FileMark.of(path) for path in (find_slides(local, *ours) if local else [])}
    for source in sources:
        if is_remote(source):
            remote = _in_the_lake(RemotePath.parse(source))
            found |= {path: mark for path, mark in remote.items() if not any(map(path.is_relative_to, ours))}
    if not found:
        raise UsageError(f"slides: everything there lies in output ({output}) and counts as results, not as slides")
    return {as_address(path): mark for path, mark in sorted(found.items())}


def _in_the_lake(source: RemotePath) -> dict[Path, FileMark]:
    """The slides at an address, by the files that they will be on this machine; results of predictions are none."""
    lake, folder = Lake(), source
    files = lake.files(folder)
    if not files and source.key:  # a single file, perhaps
        folder = source.parent
        files = {name: file for name, file in lake.files(folder).items() if name == source.name}
    found = {mirror_of(folder / name): file for name, file in files.items()}
    for name in files:
        if name.lower().endswith((".vms", ".vmu")):  # says which other files belong to it
            lake.pull_file(folder / name)
    slides = slides_among(mirror_of(folder), found)
    if not slides:
        what = "expected slides (JPEG, PNG, TIFF, SVS, NDPI, CZI and others), found none" if files else "nothing there"
        raise UsageError(f"slides: {source}: {what}")
    place = mirror_of(folder)

    def holds_results(one: Path) -> bool:
        if one.is_relative_to(place):
            return all(one / name in found for name in RESULTS)
        remote = remote_of(one)
        return remote is not None and bool(remote.key) and all(lake.exists(remote / name) for name in RESULTS)

    slides = without_results({path: path for path in slides}, holds_results)
    return {path: FileMark(found[path].size, found[path].modified * NS_PER_SECOND) for path in slides}


def dealt(slides: Mapping[str, int], count: int) -> list[Shard]:
    """Deals slides into shards of about the same size.

    Each goes to the shard that has least so far, the largest first; what is done already weighs nothing.

    Args:
        slides: Bytes that are still to be looked at, by the slides' names; zero for those that are done.
        count: How many shards; there are fewer where there are not as many slides to be looked at.

    Returns:
        The shards; each slide is in one, in the order given. The same slides are always dealt in the same way.
    """
    left = sum(size > 0 for size in slides.values())
    hands: list[list[str]] = [[] for _ in range(max(1, min(count, left)))]
    loads = [(0, number) for number in range(len(hands))]
    for name, size in sorted(slides.items(), key=lambda slide: -slide[1]):
        load, number = loads[0]
        hands[number].append(name)
        heapq.heapreplace(loads, (load + size, number))
    places = {name: place for place, name in enumerate(slides)}
    return [
        Shard(number, tuple(sorted(names, key=places.__getitem__)), sum(slides[name] for name in names))
        for number, names in enumerate(hands, 1)
    ]


@contextmanager
def at_hand(slide: str, lake: Lake) -> Iterator[None]:
    """Has the file of a slide on this machine; what was brought here for it goes again.

    Args:
        slide: Its name.
        lake: Where it may be.

    Raises:
        CannotBring: It is in the data lake and cannot be moved.
        SporeYoloError: It is no longer there.
    """
    if not is_remote(slide):
        yield
        return
    remote = RemotePath.parse(slide)
    brought: list[Path] = []
    try:
        try:
            for one in _files(remote):
                if not mirror_of(one).exists():
                    brought.append(mirror_of(one))
                lake.pull(one)
        except (NotThere, UsageError):
            raise
        except (SporeYoloError, OSError) as error:
            raise CannotBring(str(error)) from error
        yield
    finally:
        for path in brought:
            _remove(path)


def _files(remote: RemotePath) -> Iterator[RemotePath]:
    """A slide's file, and once this is here the other files and folders that belong to it."""
    yield remote
    for path in belonging(mirror_of(remote)):
        yield remote.parent / path.name


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
