"""Moves files between a bucket and the disk: in parallel, each whole or not at all, checked by hash."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Never, TypeAlias, TypeVar

from tqdm import tqdm

from spore_yolo.files.atomic import atomic_file
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file, sha256_text
from spore_yolo.files.lake.client import S3Client
from spore_yolo.files.lake.errors import LakeError
from spore_yolo.files.lake.index import Known
from spore_yolo.files.lake.paths import OURS, RemotePath, mirror_root
from spore_yolo.files.lake.remote_file import RemoteFile
from spore_yolo.files.locking import locked

PART_BYTES = 8 * 1024**2
"""What is moved with one request of a large file; as much is moved again at most after a stop."""

MOST_PARTS = 10_000
"""S3 takes no more for one object."""

Result = TypeVar("Result")

Bar: TypeAlias = "tqdm[Never]"


class WrongContent(LakeError):
    """An object has another content than the manifest says.

    Args:
        reason: What was expected and found.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Move:
    """One file to move.

    Attributes:
        relative: Its path below the prefix.
        remote: Its object.
        local: Its place on disk.
        size: Bytes.
        file: What the bucket says of the object; ``None`` where it is written anew.
        sha256: The content that is expected; ``None`` where nobody knows it.
    """

    relative: str
    remote: RemotePath
    local: Path
    size: int
    file: RemoteFile | None = None
    sha256: str | None = None


class Transfer:
    """Moves files, those of some megabytes one after the other in parts, all others side by side.

    Args:
        client: Whom to ask.
        threads: Requests at a time.
        part_bytes: What is moved with one request.
    """

    def __init__(self, client: S3Client, threads: int, part_bytes: int = PART_BYTES) -> None:
        self._client = client
        self._threads = threads
        self._part_bytes = part_bytes

    def pull(self, moves: Iterable[Move], halves: Path) -> Iterator[tuple[Move, Known | WrongContent]]:
        """Brings objects to disk.

        Args:
            moves: What to bring.
            halves: Where parts of large files are kept until they are whole.

        Yields:
            Each file that is there now, or whose object is not what it should be, as they come.

        Raises:
            LakeError: The bucket cannot be read any more; what was given out is there.
        """
        moves = list(moves)
        with self._bar(moves, "pulling") as bar:

            def small(move: Move) -> tuple[Move, Known | WrongContent]:
                try:
                    known = self._pull_small(move)
                except WrongContent as error:
                    return move, error
                bar.update(move.size)
                return move, known

            yield from self._side_by_side(partial(small, move) for move in moves if not self._is_large(move))
            for move in filter(self._is_large, moves):
                try:
                    with _alone(half_of(halves, move.remote), move) as done:
                        if done is not None:
                            bar.update(move.size)
                        known = done or self._pull_large(move, halves, bar)
                    yield move, known
                except WrongContent as error:
                    yield move, error

    def push(self, moves: Iterable[Move]) -> Iterator[tuple[Move, Known]]:
        """Writes objects from disk.

        Yields:
            Each file whose object is written, as they come.

        Raises:
            LakeError: The bucket cannot be written; what was given out is there.
        """
        moves = list(moves)
        with self._bar(moves, "pushing") as bar:

            def small(move: Move) -> tuple[Move, Known]:
                known = self._push_small(move)
                bar.update(move.size)
                return move, known

            yield from self._side_by_side(partial(small, move) for move in moves if not self._is_large(move))
            for move in filter(self._is_large, moves):
                yield move, self._push_large(move, bar)

    def _is_large(self, move: Move) -> bool:
        return move.size > self._part_bytes

    def _bar(self, moves: list[Move], doing: str) -> Bar:
        size = sum(move.size for move in moves)
        few = len(moves) < 200 and size < 64 * 1024**2
        return tqdm(total=size, desc=doing, unit="B", unit_scale=True, disable=few, leave=False)

    def _side_by_side(self, tasks: Iterable[Callable[[], Result]]) -> Iterator[Result]:
        """What the tasks give, as they come; after an error those that run are waited for, and no other begins."""
        waiting = iter(tasks)
        running: set[Future[Result]] = set()
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                more = True
                while more or running:
                    # A few are enough to keep all threads busy; results are taken before more are begun.
                    while more and len(running) < 2 * self._threads:
                        task = next(waiting, None)
                        more = task is not None
                        if task is not None:
                            running.add(pool.submit(task))
                    if not running:
                        break
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    failed = [one for one in done if one.exception() is not None]
                    yield from (one.result() for one in done if one.exception() is None)
                    if failed:
                        for one in running:
                            one.cancel()
                        rest, running = wait(running)[0], set()
                        yield from (one.result() for one in rest if not one.cancelled() and one.exception() is None)
                        failed[0].result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _pull_small(self, move: Move) -> Known:
        assert move.file is not None
        content = self._client.read(move.remote, move.file.etag)
        sha256 = hashlib.sha256(content).hexdigest()
        _check(move, sha256)
        with atomic_file(move.local) as temporary:
            temporary.write_bytes(content)
            os.utime(temporary, (move.file.modified, move.file.modified))
        return Known.of(move.local, sha256, move.file.etag)

    def _pull_large(self, move: Move, halves: Path, bar: Bar) -> Known:
        assert move.file is not None
        half = _Half(halves, move, self._part_bytes)
        bar.update(sum(end - start for number, (start, end) in enumerate(half.spans) if number in half.done))
        etag = move.file.etag

        def part(number: int) -> int:
            start, end = half.spans[number]
            half.write(number, self._client.read(move.remote, etag, (start, end)))
            return end - start

        missing = [number for number in range(len(half.spans)) if number not in half.done]
        for size in self._side_by_side(partial(part, number) for number in missing):
            bar.update(size)
        sha256 = sha256_file(half.path)
        try:
            _check(move, sha256)
        except WrongContent:
            half.remove()
            raise
        os.utime(half.path, (move.file.modified, move.file.modified))
        move.local.parent.mkdir(parents=True, exist_ok=True)
        os.replace(half.path, move.local)
        half.remove()
        return Known.of(move.local, sha256, etag)

    def _push_small(self, move: Move) -> Known:
        before = move.local.stat()
        content = move.local.read_bytes()
        etag = self._client.write(move.remote, content)
        return Known(before.st_size, before.st_mtime_ns, hashlib.sha256(content).hexdigest(), etag)

    def _push_large(self, move: Move, bar: Bar) -> Known:
        known = Known.of(move.local, move.sha256 or sha256_file(move.local))
        spans = spans_of(known.size, pushed_part(known.size, self._part_bytes))
        upload = self._client.begin_parts(move.remote)

        def part(number: int) -> tuple[int, str]:
            start, end = spans[number]
            with move.local.open("rb") as stream:
                stream.seek(start)
                content = stream.read(end - start)
            etag = self._client.write_part(move.remote, upload, number + 1, content)
            bar.update(len(content))
            return number, etag

        try:
            etags = dict(self._side_by_side(partial(part, number) for number in range(len(spans))))
            if not known.is_now(move.local):
                raise SporeYoloError(f"{move.local}: changed while it was pushed; push again when nothing writes to it")
            etag = self._client.end_parts(move.remote, upload, [etags[number] for number in range(len(spans))])
        except BaseException:
            # What the server cannot be told now goes by the bucket's own rule for uploads that never came to an end.
            with suppress(LakeError):
                self._client.drop_parts(move.remote, upload)
            raise
        return Known(known.size, known.modified_ns, known.sha256, etag)


class _Half:
    """A large file on its way: its bytes, and a list of the parts that are there.

    Args:
        folder: Where it is kept.
        move: The file.
        part_bytes: Bytes of a part.
    """

    def __init__(self, folder: Path, move: Move, part_bytes: int) -> None:
        assert move.file is not None
        folder.mkdir(parents=True, exist_ok=True)
        self.path = half_of(folder, move.remote)
        self._list = self.path.with_suffix(".parts")
        self.spans = spans_of(move.size, part_bytes)
        head = json.dumps({"etag": move.file.etag, "size": move.size, "part_bytes": part_bytes})
        lines = self._list.read_text(encoding="utf-8").splitlines() if self._list.exists() else []
        self.done: set[int] = set()
        if lines and lines[0] == head and self.path.exists() and self.path.stat().st_size == move.size:
            self.done = {int(line) for line in lines[1:] if line.isdigit() and int(line) < len(self.spans)}
        else:
            self.remove()
            with self.path.open("wb") as stream:
                stream.truncate(move.size)
            self._list.write_text(f"{head}\n", encoding="utf-8")

    def write(self, number: int, content: bytes) -> None:
        """Keeps a part."""
        with self.path.open("r+b") as stream:
            stream.seek(self.spans[number][0])
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # the list must not say more than the disk holds
        with self._list.open("a", encoding="utf-8") as stream:
            stream.write(f"{number}\n")

    def remove(self) -> None:
        """Removes what is left of it."""
        self.path.unlink(missing_ok=True)
        self._list.unlink(missing_ok=True)


def halves_folder(folder: Path) -> Path:
    """Where parts of large files are kept until they are whole: on the disk that they go to, outside of a mirror."""
    root = mirror_root()
    if folder.is_relative_to(root):
        return root.parent / "parts"
    return folder / OURS / "parts"


def half_of(halves: Path, remote: RemotePath) -> Path:
    """Where an object's bytes are kept until they are whole."""
    return halves / f"{sha256_text(str(remote))[:24]}.part"


@contextmanager
def _alone(half: Path, move: Move) -> Iterator[Known | None]:
    """Waits for another command that brings the same object to this disk.

    Args:
        half: Where its bytes are kept on the way.
        move: The file.

    Yields:
        The file, if the other command brought it; ``None`` if it is to be brought.
    """
    place = half.with_suffix(".lock")

    def remove() -> None:
        with suppress(OSError):  # not everywhere may an open file be removed
            place.unlink()

    before = move.local.stat() if move.local.is_file() else None
    with ExitStack() as held:
        if held.enter_context(locked(place, wait=False)):
            held.callback(remove)
            yield None
            return
        print(f"note: {move.remote}: another command brings it to this machine; waiting for it", file=sys.stderr)
        held.enter_context(locked(place))
        held.callback(remove)
        yield _brought(move, before)


def _brought(move: Move, before: os.stat_result | None) -> Known | None:
    """The file, if another command brought it since it was looked at."""
    assert move.file is not None
    if not move.local.is_file() or (before is not None and os.path.samestat(before, move.local.stat())):
        return None
    known = Known.of(move.local, sha256_file(move.local), move.file.etag)
    as_object = (known.size, known.modified_ns) == (move.size, move.file.modified * 10**9)
    return known if as_object and move.sha256 in (None, known.sha256) else None


def pushed_part(size: int, part_bytes: int = PART_BYTES) -> int:
    """Bytes of a part in which an object of some size is written."""
    return max(part_bytes, -(-size // MOST_PARTS))


def spans_of(size: int, part_bytes: int) -> list[tuple[int, int]]:
    """First byte of each part, and the one after its last."""
    return [(start, min(start + part_bytes, size)) for start in range(0, size, part_bytes)]


def _check(move: Move, sha256: str) -> None:
    if move.sha256 is not None and sha256 != move.sha256:
        raise WrongContent(f"expected SHA-256 {move.sha256}, found {sha256}")
