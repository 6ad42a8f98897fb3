"""Where things lie on the machine that a step runs on: on disk as they are, or as the mirror of the data lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import Lake, LakeVersion, RemotePath, is_remote, mirror_of

TEMPORARY = ("tiles/", "classifier/crops/", "classifier/try/")
"""Parts of a run's folder that a step makes anew; they never go to the data lake."""

NEEDED_TO_GO_ON = ("detector/", "run.json", "training.json", "tracking/")
"""Parts of a run's folder that a detector's training goes on from."""


def beneath(address: str, *names: str) -> str:
    """The address of something in a folder, on disk or in the data lake."""
    if is_remote(address):
        return "/".join([address.rstrip("/"), *names])
    return str(Path(address, *names))


def local_of(address: str) -> Path:
    """Where an address lies on this machine, or will lie once it is brought here."""
    return mirror_of(RemotePath.parse(address)) if is_remote(address) else Path(address)


def brought(address: str, optional: bool = False, expected: LakeVersion | str | None = None) -> Path:
    """Brings a file or folder to this machine; what lies on disk stays where it is.

    Args:
        address: A path, or an address in the data lake, of which only what changed is moved.
        optional: Whether it is fine that there is nothing.
        expected: What must be there, of the data lake.

    Raises:
        SporeYoloError: There is nothing, or it cannot be moved, or it is something else.
    """
    if is_remote(address):
        return Lake().pull(RemotePath.parse(address), expected=expected, optional=optional)
    path = Path(address)
    if not optional and not path.exists():
        raise SporeYoloError(f"{path}: no such file or folder")
    return path


def taken_back(address: str, only: Callable[[str], bool] | None = None) -> None:
    """Brings what changed in a mirror to the data lake; what lies on disk stays where it is."""
    if not is_remote(address):
        return
    remote, place = RemotePath.parse(address), local_of(address)
    if place.is_file():
        Lake().push_file(place, remote)
    elif place.is_dir():
        Lake().push(place, remote, only=only, delete="known")


@contextmanager
def run_at_hand(address: str) -> Iterator[Path]:
    """A run's folder on this machine; what changed in it goes back to the data lake, also when the work failed.

    Args:
        address: The run's folder.
    """
    folder = brought(address, optional=True)
    try:
        yield folder
    except BaseException:
        try:
            taken_back(address, only=_lasting)
        except SporeYoloError as error:  # the first error is the one to mend
            print(f"warning: what was done so far is not in the data lake: {error}")
        raise
    taken_back(address, only=_lasting)


def kept_on_the_way(address: str) -> None:
    """Brings what a training could go on from to the data lake, should this machine be taken away.

    A training does not stop for it: what cannot be moved now is tried again at the next epoch.
    """
    try:
        taken_back(address, only=lambda name: name.startswith(NEEDED_TO_GO_ON))
    except SporeYoloError as error:
        print(f"warning: the checkpoint is not in the data lake yet: {error}")


def version_of(place: Path) -> LakeVersion:
    """The content hashes of all files of a folder on this machine, or of one file."""
    return Lake().version(place)


def _lasting(name: str) -> bool:
    return not name.startswith(TEMPORARY)
