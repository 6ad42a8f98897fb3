"""The data lake: brings folders from ``s3://bucket/prefix`` to disk and back; only what changed is moved."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.lake.changes import (
    Plan,
    check_room,
    check_wrong,
    plan_pull,
    plan_push,
)
from spore_yolo.files.lake.client import S3Client
from spore_yolo.files.lake.errors import LakeError, NotThere
from spore_yolo.files.lake.index import Index, Known, hashed
from spore_yolo.files.lake.manifests import Entry, Manifests, check_version
from spore_yolo.files.lake.paths import RemotePath, is_ours, is_safe, mirror_of
from spore_yolo.files.lake.remote_file import RemoteFile
from spore_yolo.files.lake.transfer import PART_BYTES, Move, Transfer, halves_folder
from spore_yolo.files.lake.version import LakeVersion, Manifest, data_files
from spore_yolo.files.names import is_utf8
from spore_yolo.files.wording import listed

THREADS = 16
"""Requests at a time: most of the time they wait for the server."""

REMEMBERED_AT_ONCE = 64
"""Files that were moved, until the index is told."""

Only = Callable[[str], bool]
"""Says of a path below the prefix whether it is meant."""


class Lake:
    """Buckets of S3, or of a server that speaks like it.

    Credentials, region and endpoint are what the AWS client finds (``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, roles, ...);
    none of it is stored.

    Args:
        threads: Requests at a time.
        part_bytes: What is moved with one request; larger files are moved in parts, and a pull goes on there after a
            stop. S3 takes no less than 5 MB in a push.
    """

    def __init__(self, threads: int = THREADS, part_bytes: int = PART_BYTES) -> None:
        self._client = S3Client(threads)
        self._transfer = Transfer(self._client, threads, part_bytes)
        self._manifests = Manifests(self._client)
        self._index = Index()

    def exists(self, remote: RemotePath) -> bool:
        """Whether there is such a file or folder.

        Raises:
            LakeError: The bucket cannot be asked.
        """
        return self._client.file(remote) is not None or self._client.holds(remote)

    def files(self, prefix: RemotePath) -> dict[str, RemoteFile]:
        """The files of a folder by their path below it; what we say about them is left out.

        Raises:
            LakeError: The bucket cannot be read.
        """
        return {name: file for name, file in self._client.files(prefix) if not is_ours(name)}

    def pull(
        self,
        remote: RemotePath,
        folder: Path | None = None,
        only: Only | None = None,
        expected: LakeVersion | str | None = None,
        optional: bool = False,
        overwrite: bool = False,
        unchecked: bool = False,
    ) -> Path:
        """Brings a folder, or a file, to disk; what is there already is not moved again.

        Files that the bucket no longer has go, too, if they came from there. A file that was changed here since it came
        is kept as long as the bucket's own did not change as well.

        Args:
            remote: The folder or file.
            folder: Where to; ``None``: its mirror.
            only: Which files of the folder.
            expected: The version that it must have; another one is an error, files that came later are left out. What
                else lies in the folder stays there: see :meth:`check`.
            optional: Whether it is fine that there is nothing.
            overwrite: Whether to replace files that were changed here.
            unchecked: Whether to take what is there, whatever the manifest says.

        Returns:
            The folder, or the file.

        Raises:
            LakeError: It is not there, cannot be read, or is not what the manifest says.
            SporeYoloError: The disk has no room, or files were changed both here and in the bucket.
        """
        listing = dict(self._client.files(remote))
        if not listing:
            file = self._client.file(remote)
            if file is not None:
                return self._pull_one(remote, file, folder, overwrite)
            if not optional:
                raise NotThere(f"{remote}: no such file or folder in the bucket")
            self._forget_file(mirror_of(remote) if folder is None else folder / remote.name, remote)
        place = mirror_of(remote) if folder is None else folder
        if place.is_file() and listing:
            raise SporeYoloError(f"{place}: expected a folder to pull {remote} into, found a file")
        manifest = None if unchecked else self._manifests.read_listed(remote, listing)
        version = None if manifest is None else manifest.version
        if expected is not None:
            version = self._pinned(remote, expected, manifest)
            check_version(remote, version, manifest)
        pinned = None if expected is None or version is None else version.files

        def wanted(name: str) -> bool:
            return not is_ours(name) and (only is None or only(name)) and (pinned is None or name in pinned)

        files = {name: file for name, file in listing.items() if wanted(name)}
        hashes = {} if version is None else {name: one for name, one in version.files.items() if wanted(name)}
        if version is not None and (late := [name for name in files if name not in hashes]):
            _note(f"{remote}: {len(late):,} objects came after its version was written ({listed(sorted(late))})")
        known = self._still_here(place, remote)
        plan = plan_pull(remote, place, files, hashes, known, overwrite)
        check_wrong(remote, plan.wrong, manifest, self._client)
        if plan.ahead and expected is not None:
            raise SporeYoloError(
                f"{place}: expected what {remote} holds, found {listed(sorted(plan.ahead))} changed here; pull with"
                " --overwrite to replace that, or into an empty folder"
            )
        plan.gone = [name for name in known if name not in listing and (only is None or only(name))]
        self._carry_out(plan, remote, place, known)
        check_wrong(remote, plan.wrong, manifest, self._client)
        if not optional or listing:
            place.mkdir(parents=True, exist_ok=True)
        return place

    def pull_file(self, remote: RemotePath) -> Path:
        """Brings one file to its mirror.

        Raises:
            LakeError: It is not there, or cannot be read.
        """
        file = self._client.file(remote)
        if file is None:
            raise NotThere(f"{remote}: no such file in the bucket")
        return self._pull_one(remote, file, None, overwrite=False)

    def push(
        self,
        folder: Path,
        prefix: RemotePath,
        only: Only | None = None,
        delete: bool | Literal["known"] = False,
        overwrite: bool = False,
    ) -> LakeVersion:
        """Writes what changed in a folder to the bucket, and last of all the manifest that names its version.

        A file that did not change here since it was moved does not replace an object that did. Two pushes to one place
        in the same moments are not kept apart: the last one wins.

        Args:
            folder: The folder.
            prefix: Where to.
            only: Which files of the folder.
            delete: Whether objects go that the folder does not hold; ``known``: it is a mirror, and only those go that
                it held when it was pulled, if they are the same still.
            overwrite: Whether to replace objects that were changed in the bucket since they were moved.

        Returns:
            What the prefix holds now, as its manifest says.

        Raises:
            LakeError: The bucket cannot be written; what was moved is kept, and pushing again goes on from there.
            SporeYoloError: Files were changed both here and in the bucket; nothing was written.
        """
        if folder.is_file() or not (folder.exists() or delete == "known"):
            raise UsageError(f"{folder}: expected a folder, found {'a file' if folder.exists() else 'none'}")
        local = {name: path for name, path in data_files(folder) if only is None or only(name)}
        _check_names(local)
        listing = dict(self._client.files(prefix))
        manifest = self._manifests.read_listed(prefix, listing) or Manifest(LakeVersion())
        known = self._index.below(folder, prefix)
        now = self._hashed(local, known)
        plan = plan_push(prefix, folder, local, now, listing, manifest, known, overwrite, mirror=delete == "known")
        told: dict[str, Entry | None] = {name: Entry(one.size, one.sha256, one.etag) for name, one in plan.same.items()}
        self._index.add((local[name], prefix / name, one) for name, one in plan.same.items())
        count = 0
        try:
            with self._remembering() as remember:
                for move, one in self._transfer.push(plan.moves):
                    told[move.relative] = Entry(one.size, one.sha256, one.etag)
                    remember(move, one)
                    count += 1
        except LakeError as error:
            raise _kept(error, count, len(plan.moves), "pushed") from None
        if plan.newer:
            _note_newer(prefix, plan.newer)
        away = [name for name in (*listing, *known) if name not in local and (only is None or only(name))]
        gone = [name for name in dict.fromkeys(away) if not is_ours(name)]
        if delete == "known":
            gone = [name for name in gone if name in known and listing.get(name, known[name]).etag == known[name].etag]
        if delete and gone:
            self._client.delete(prefix, [name for name in gone if name in listing])
            self._index.forget(folder / name for name in gone)
            told |= dict.fromkeys(gone)
        return self._manifests.tell(prefix, told, listing)

    def push_file(self, local: Path, remote: RemotePath, overwrite: bool = False) -> None:
        """Writes one file to the bucket if it changed; see :meth:`push`.

        Raises:
            LakeError: The bucket cannot be written.
            SporeYoloError: The file was changed both here and in the bucket.
        """
        before, file = self._index.of(local, remote), self._client.file(remote)
        known = {} if before is None else {remote.name: before}
        now = {remote.name: hashed(local, before)}
        files = {} if file is None else {remote.name: file}
        empty = Manifest(LakeVersion())
        paths = {remote.name: local}
        plan = plan_push(remote.parent, local.parent, paths, now, files, empty, known, overwrite, mirror=False)
        for move, one in self._transfer.push(plan.moves):
            self._index.add([(move.local, move.remote, one)])
            self._manifests.tell_around(remote, {"": Entry(one.size, one.sha256, one.etag)})
        if plan.newer:
            _note_newer(remote.parent, plan.newer)

    def delete(self, prefix: RemotePath, only: Only | None = None) -> None:
        """Deletes the files of a folder in the bucket; of its mirror they go with the next pull.

        Args:
            prefix: The folder.
            only: Which of them.

        Raises:
            LakeError: The bucket cannot be written.
        """
        listing = dict(self._client.files(prefix))
        gone = [name for name in listing if not is_ours(name) and (only is None or only(name))]
        if gone:
            self._client.delete(prefix, gone)
            self._manifests.tell(prefix, dict.fromkeys(gone), listing)

    def version(self, place: RemotePath | Path) -> LakeVersion:
        """The version of a folder on disk or in the lake; a prefix without a manifest is pulled to be hashed.

        Raises:
            LakeError: There is no such place, or it is not what its manifest says.
        """
        if isinstance(place, RemotePath):
            listing = dict(self._client.files(place))
            manifest = self._manifests.read_listed(place, listing)
            if manifest is None:
                return self.version(self.pull(place))
            check_wrong(place, _unlike(manifest, listing), manifest, self._client)
            return manifest.version
        if not place.exists():
            raise UsageError(f"{place}: no such file or folder")
        files = dict(data_files(place))
        found = self._hashed(files, self._index.below(place if place.is_dir() else place.parent))
        return LakeVersion({name: (one.size, one.sha256) for name, one in found.items()})

    def check(self, place: Path, remote: RemotePath, version: str) -> LakeVersion:
        """Makes sure that what lies on disk is a version of a place of the lake, and nothing besides.

        Args:
            place: The folder or file.
            remote: Where it came from.
            version: The version.

        Returns:
            What lies there.

        Raises:
            SporeYoloError: Something else lies there.
        """
        found = self.version(place)
        if found.version == version:
            return found
        said = ""
        with suppress(LakeError):  # of a single file there is no such record
            files = self._manifests.earlier(remote, version).files
            others = [name for name, one in found.files.items() if files.get(name) != one]
            said = f"; not of that version: {listed(sorted(others))}" if others else ""
        raise SporeYoloError(
            f"{place}: expected version {version}, found {found.version}{said}; pull that version into an empty folder"
        )

    def _pull_one(self, remote: RemotePath, file: RemoteFile, folder: Path | None, overwrite: bool) -> Path:
        place = mirror_of(remote.parent) if folder is None else folder
        known = self._index.of(place / remote.name, remote)
        before = {} if known is None else {remote.name: known}
        plan = plan_pull(remote.parent, place, {remote.name: file}, {}, before, overwrite)
        self._carry_out(plan, remote.parent, place, before)
        return place / remote.name

    def _forget_file(self, path: Path, remote: RemotePath) -> None:
        """Removes a file that came from an object that is no more."""
        known = self._index.of(path, remote)
        if known is not None and known.is_now(path):
            path.unlink()
            self._index.forget([path])

    def _still_here(self, folder: Path, remote: RemotePath) -> dict[str, Known]:
        """What is known of the files of a folder. Those that were removed are forgotten.

        A mirror may be deleted, and only files that go after this are meant to go in the bucket as well.
        """
        known = self._index.below(folder, remote)
        missing = {name for name in known if not (folder / name).exists()}
        self._index.forget(folder / name for name in missing)
        return {name: one for name, one in known.items() if name not in missing}

    @contextmanager
    def _remembering(self) -> Iterator[Callable[[Move, Known], None]]:
        """Gives what is called for each file that was moved."""
        moved: list[tuple[Path, RemotePath, Known]] = []

        def remember(move: Move, one: Known) -> None:
            moved.append((move.local, move.remote, one))
            if len(moved) == REMEMBERED_AT_ONCE or one.size > PART_BYTES:
                self._index.add(moved)
                moved.clear()

        try:
            yield remember
        finally:
            self._index.add(moved)

    def _pinned(self, remote: RemotePath, expected: LakeVersion | str, manifest: Manifest | None) -> LakeVersion:
        if isinstance(expected, LakeVersion):
            return expected
        if manifest is not None and manifest.version.version == expected:
            return manifest.version
        return self._manifests.earlier(remote, expected)

    def _carry_out(self, plan: Plan, remote: RemotePath, place: Path, known: Mapping[str, Known]) -> None:
        halves = halves_folder(place)
        check_room(remote, place, plan.moves)
        self._index.add(plan.same)
        count = 0
        try:
            with self._remembering() as remember:
                for move, one in self._transfer.pull(plan.moves, halves):
                    if isinstance(one, Known):
                        remember(move, one)
                        count += 1
                    else:
                        plan.wrong[move.relative] = one.reason
        except LakeError as error:
            raise _kept(error, count, len(plan.moves), "pulled") from None
        with suppress(OSError):  # others may be at it, or it was never made
            halves.rmdir()
            halves.parent.rmdir()
        for name in plan.gone:
            if known[name].is_now(place / name):
                (place / name).unlink()
                _remove_empty((place / name).parent, place)
        self._index.forget(place / name for name in plan.gone)
        if plan.ahead:
            _note(f"{remote}: {listed(sorted(plan.ahead))} changed here and not pushed yet; what lies here is used")

    def _hashed(self, files: Mapping[str, Path], known: Mapping[str, Known]) -> dict[str, Known]:
        with ThreadPoolExecutor(core_count()) as pool:
            found = pool.map(lambda name: hashed(files[name], known.get(name)), files)
            return dict(zip(files, found, strict=True))


def _unlike(manifest: Manifest, listing: Mapping[str, RemoteFile]) -> dict[str, str]:
    """Objects that are surely or probably not what the manifest says, without reading them."""
    wrong = {}
    for name, (size, _) in manifest.version.files.items():
        file = listing.get(name)
        if file is None:
            wrong[name] = "is gone"
        elif file.size != size:
            wrong[name] = f"expected {size:,} bytes, found {file.size:,}"
        elif file.etag != manifest.etags.get(name, file.etag):
            wrong[name] = "was written since"
    return wrong


def _check_names(names: Mapping[str, Path]) -> None:
    for name, path in names.items():
        if not (is_safe(name) and is_utf8(name)):
            raise UsageError(f"{str(path)!a}: expected a name in UTF-8 without backslashes; rename the file")


def _kept(error: LakeError, count: int, total: int, done: str) -> LakeError:
    more = f"{count:,} of {total:,} files were {done} and are kept; run the command again to go on from there"
    return type(error)(f"{error}\n{more}")


def _note_newer(prefix: RemotePath, names: Sequence[str]) -> None:
    _note(
        f"{prefix}: {listed(sorted(names))} changed or went in the bucket and did not change here; the bucket stays as"
        " it is (spore-yolo lake push --overwrite writes what lies here)"
    )


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and folder.is_relative_to(root):
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = folder.parent


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
