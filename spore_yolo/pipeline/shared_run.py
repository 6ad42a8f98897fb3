"""A prediction run that several machines work on: what each slide gave lies where all of them reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import Lake, RemotePath, is_remote
from spore_yolo.prediction.parts import FINISHED, PARTS, STATE, FileMark, SlidePart, UnfinishedRun
from spore_yolo.prediction.summary import CLASSES, FILES


class SharedRun(UnfinishedRun):
    """An unfinished run that lies on a disk which all machines see, or in the data lake.

    In the data lake the folder of the run is a working copy that belongs to one step: it holds what the step fetched,
    and what the step keeps goes to the lake at once.

    Args:
        output: Where the results will lie on this machine.
        remote: Where they will lie in the data lake; ``None``: ``output`` is the place.
    """

    def __init__(self, output: Path, remote: RemotePath | None = None) -> None:
        super().__init__(output)
        self.lake = Lake()
        self._remote = remote
        self._remote_folder = None if remote is None else remote.parent / f"{remote.name}.unfinished"

    def fetch(self, slides: Sequence[str] = (), marked: bool = False) -> None:
        """Brings the state of the run here, and what is kept of slides.

        Args:
            slides: Those slides.
            marked: Whether their marked images are needed, too.
        """
        if self._remote_folder is not None:
            paths = [self.folder / STATE, *(self.part(name) for name in slides)]
            paths += [self.marked(name) for name in slides] if marked else []
            wanted = {path.relative_to(self.folder).as_posix() for path in paths}
            self.lake.pull(self._remote_folder, self.folder, only=wanted.__contains__, optional=True)

    def fetch_all(self) -> None:
        """Brings the state and what is kept of all slides here, but for the marked images."""
        if self._remote_folder is not None:
            self.lake.pull(
                self._remote_folder, self.folder, only=lambda name: not name.endswith(".marked"), optional=True
            )

    def finds(self) -> Literal["nothing", "results", "other things"]:
        """What lies where the results will lie."""
        if self._remote is None:
            return super().finds()
        names = {name.split("/")[0] for name in self.lake.files(self._remote)}
        if not names:
            return "nothing"
        # Results that were cut off on their way lack some of their files.
        return "results" if FINISHED in names or names <= {*FILES, CLASSES} else "other things"

    def is_ours(self) -> bool:
        """Whether the folder holds nothing but an unfinished run, if anything."""
        if self._remote_folder is None:
            return super().is_ours()
        return {name.split("/")[0] for name in self.lake.files(self._remote_folder)} <= {STATE, PARTS}

    def begin(self, options: Mapping[str, Any], slides: Sequence[str]) -> None:
        """Starts anew; what is kept of another run is removed."""
        super().begin(options, slides)
        self._push(self.folder / STATE)

    def resume(self, options: Mapping[str, Any], slides: Mapping[str, FileMark]) -> list[str]:
        """Goes on with a run; see :meth:`spore_yolo.prediction.parts.UnfinishedRun.resume`."""
        added = super().resume(options, slides)
        self._push(self.folder / STATE)
        return added

    def save(self, part: SlidePart, marked: bytes | None) -> None:
        """Keeps what was found on a slide; it counts as done when its part is there, which comes last."""
        super().save(part, marked)
        if marked is not None:
            self._push(self.marked(part.slide))
        self._push(self.part(part.slide))

    def forget(self, slide: str) -> None:
        """Lets a slide be looked at anew."""
        super().forget(slide)
        self._delete(lambda name: name == self.part(slide).relative_to(self.folder).as_posix())

    @contextmanager
    def results(self, keep: bool = False) -> Iterator[Path]:
        """Gives an empty folder that becomes the output; see the same of an unfinished run."""
        with super().results(keep=True) as folder:
            yield folder
        if self._remote is not None:
            self.lake.push(self.output, self._remote, delete=True)
        if not keep:
            self.remove()

    def remove(self) -> None:
        """Removes all that is kept."""
        super().remove()
        # As on disk: without its state the rest counts for nothing.
        self._delete(lambda name: name == STATE)
        self._delete(lambda name: True)

    def _delete(self, which: Callable[[str], bool]) -> None:
        if self._remote_folder is not None:
            self.lake.delete(self._remote_folder, only=which)

    def _push(self, path: Path) -> None:
        if self._remote_folder is not None:
            self.lake.push_file(path, self._remote_folder / path.relative_to(self.folder).as_posix())


@contextmanager
def shared_run(output: str) -> Iterator[SharedRun]:
    """The run whose results go to a folder or an address.

    Messages speak of the address, never of the working copy.
    """
    if not is_remote(output):
        yield SharedRun(Path(output))
        return
    remote = RemotePath.parse(output)
    with TemporaryDirectory(prefix="spore-yolo-") as folder:
        try:
            yield SharedRun(Path(folder) / remote.name, remote)
        except SporeYoloError as error:
            error.args = (str(error).replace(folder, str(remote.parent)),)
            raise
