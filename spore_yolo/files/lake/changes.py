"""What differs between a bucket, its manifest and the disk."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.lake.client import S3Client
from spore_yolo.files.lake.errors import LakeError
from spore_yolo.files.lake.index import Known
from spore_yolo.files.lake.paths import RemotePath, mirror_of, target_of
from spore_yolo.files.lake.remote_file import RemoteFile
from spore_yolo.files.lake.transfer import Move, half_of, halves_folder, pushed_part, spans_of
from spore_yolo.files.lake.version import Manifest
from spore_yolo.files.wording import MOST_NAMED, listed

_MD5 = re.compile("([0-9a-f]{32})(?:-([0-9]{1,5}))?")


@dataclass
class Plan:
    """What a pull does.

    Attributes:
        moves: Files to bring.
        same: Files that are there already, and were not known to be.
        ahead: Files that were changed here and stay as they are.
        gone: Files that the bucket no longer has.
        wrong: Objects that are not what the manifest says, and in which way.
    """

    moves: list[Move] = field(default_factory=list)
    same: list[tuple[Path, RemotePath, Known]] = field(default_factory=list)
    ahead: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)


def plan_pull(
    remote: RemotePath,
    folder: Path,
    files: Mapping[str, RemoteFile],
    hashes: Mapping[str, tuple[int, str]],
    known: Mapping[str, Known],
    overwrite: bool,
) -> Plan:
    """Says what a pull has to do.

    Args:
        remote: The prefix.
        folder: Where its files go.
        files: What the bucket holds.
        hashes: Size and SHA-256 that files must have, where that is known.
        known: What this machine remembers of the files in the folder.
        overwrite: Whether files that were changed here are replaced.

    Raises:
        SporeYoloError: Files were changed both here and in the bucket, or a key cannot be a path.
    """
    plan = Plan(wrong={name: "is gone" for name in hashes if name not in files})
    both: dict[str, Path] = {}
    root = folder.resolve()
    inside: set[Path] = set()
    for name, file in files.items():
        path, place = target_of(name, folder, remote), remote / name
        if path.parent not in inside:
            if not path.parent.resolve().is_relative_to(root):
                raise SporeYoloError(
                    f"{path.parent}: a link that leaves {folder}; remove it, or pull into another folder"
                )
            inside.add(path.parent)
        size, sha256 = hashes.get(name, (file.size, None))
        if size != file.size:
            plan.wrong[name] = f"expected {size:,} bytes, found {file.size:,}"
            continue
        move = Move(name, place, path, file.size, file, sha256)
        before = known.get(name)
        if before is not None and before.is_now(path):
            if before.etag == file.etag and sha256 not in (None, before.sha256):
                plan.wrong[name] = f"expected SHA-256 {sha256}, found {before.sha256}"
            elif before.sha256 == sha256 and before.etag != file.etag:  # written anew with the same content
                plan.same.append((path, place, Known(before.size, before.modified_ns, before.sha256, file.etag)))
            elif before.etag != file.etag:
                plan.moves.append(move)
        elif not path.exists() or overwrite:
            plan.moves.append(move)
        elif path.is_file() and path.stat().st_size == file.size and _holds(path, sha256, file.etag):
            plan.same.append((path, place, Known.of(path, sha256_file(path), file.etag)))
        elif before is not None and before.etag == file.etag:
            plan.ahead.append(name)
        elif before is not None and path.is_file() and sha256_file(path) == before.sha256:  # written, but the same
            plan.moves.append(move)
        else:
            both[name] = path
    if both:
        raise changed_on_both_sides(remote, folder, both)
    return plan


@dataclass
class PushPlan:
    """What a push does.

    Attributes:
        moves: Files to write.
        same: Files whose object holds the same, as they are now.
        newer: Files that changed in the bucket since they were moved and not here: theirs stay.
    """

    moves: list[Move] = field(default_factory=list)
    same: dict[str, Known] = field(default_factory=dict)
    newer: list[str] = field(default_factory=list)


def plan_push(
    remote: RemotePath,
    folder: Path,
    local: Mapping[str, Path],
    now: Mapping[str, Known],
    files: Mapping[str, RemoteFile],
    manifest: Manifest,
    known: Mapping[str, Known],
    overwrite: bool,
    mirror: bool,
) -> PushPlan:
    """Says what a push has to do.

    Args:
        remote: The prefix.
        folder: Where its files come from.
        local: The files.
        now: The files as they are.
        files: What the bucket holds.
        manifest: What the bucket says.
        known: What this machine remembers of the files in the folder. What it does not remember is written.
        overwrite: Whether objects that were changed in the bucket are replaced.
        mirror: Whether the folder only mirrors the prefix, so that a file whose object is gone is not written anew.

    Raises:
        SporeYoloError: Files were changed both here and in the bucket.
    """
    plan = PushPlan()
    both: dict[str, Path] = {}
    for name, path in local.items():
        one, file, before = now[name], files.get(name), known.get(name)
        if file is not None and same_content(path, one, file, before, manifest, name):
            plan.same[name] = replace(one, etag=file.etag)
            continue
        theirs = before is not None and (mirror if file is None else file.etag != before.etag)
        changed = before is None or before.sha256 != one.sha256
        if overwrite or not theirs or (changed and file is None):
            plan.moves.append(Move(name, remote / name, path, one.size, sha256=one.sha256))
        elif changed:
            both[name] = path
        else:
            plan.newer.append(name)
    if both:
        raise changed_on_both_sides(remote, folder, both)
    return plan


def changed_on_both_sides(remote: RemotePath, folder: Path, files: Mapping[str, Path]) -> SporeYoloError:
    """An error that says how to take the one or the other of files that changed both here and in the bucket.

    Args:
        remote: The prefix.
        folder: Its folder.
        files: The files, by their path below the prefix.
    """
    there, here, into = remote, folder, folder
    if len(files) == 1:  # nothing else needs to be moved
        ((name, here),) = files.items()
        there, into = remote / name, here.parent
    mirrored = mirror_of(there) == here
    pull = shlex.join(["spore-yolo", "lake", "pull", str(there), *([] if mirrored else [str(into)]), "--overwrite"])
    push = shlex.join(["spore-yolo", "lake", "push", *([] if mirrored else [str(here)]), str(there), "--overwrite"])
    return SporeYoloError(
        f"{remote}: {listed(sorted(files))} changed both here and in the bucket, and nothing was replaced;"
        f" take the bucket's with `{pull}`, or this machine's with `{push}`"
    )


def check_wrong(remote: RemotePath, wrong: Mapping[str, str], manifest: Manifest | None, client: S3Client) -> None:
    """Makes sure that no object was changed behind the manifest.

    Raises:
        LakeError: Some were; the message names them and says what to do.
    """
    if not wrong:
        return
    lines = [
        f"{remote}: {len(wrong):,} {'object is' if len(wrong) == 1 else 'objects are'} not what the manifest says:"
    ]
    for name in sorted(wrong)[:MOST_NAMED]:
        old = None
        with suppress(LakeError):  # only who may read versions learns of them
            old = client.versions(remote / name).get(manifest.etags.get(name, "")) if manifest is not None else None
        lines.append(f"  {name}: {wrong[name]}{f' (version id {old} holds the old one)' if old else ''}")
    lines += [f"  … and {len(wrong) - MOST_NAMED:,} more"] if len(wrong) > MOST_NAMED else []
    lines.append(
        "Restore them in the bucket; or make what lies there the new version with"
        f" `spore-yolo lake pull {remote} --unchecked` and `spore-yolo lake push {remote}`. While somebody pushes to"
        " it, wait for the end."
    )
    raise LakeError("\n".join(lines))


def check_room(remote: RemotePath, folder: Path, moves: Sequence[Move]) -> None:
    """Makes sure that the files fit on the disk.

    Raises:
        SporeYoloError: They do not.
    """
    halves = halves_folder(folder)
    needed = sum(move.size - _taken(half_of(halves, move.remote)) for move in moves)
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise SporeYoloError(
            f"{remote}: no room on this disk: {megabytes(needed)} are to be pulled,"
            f" {megabytes(free)} are free; make room, or set SPORE_YOLO_CACHE to a folder on a larger disk"
        )


def same_content(path: Path, now: Known, file: RemoteFile, before: Known | None, manifest: Manifest, name: str) -> bool:
    """Whether an object holds what a file on disk does, as far as that can be told without reading the object.

    Args:
        path: The file.
        now: The file as it is.
        file: The object.
        before: The file as it was when it was last moved.
        manifest: What the bucket says.
        name: Its path below the manifest's prefix.
    """
    if file.size != now.size:
        return False
    if before is not None and (before.etag, before.sha256) == (file.etag, now.sha256):
        return True
    said = manifest.version.files.get(name)
    if said is not None and (manifest.etags.get(name), said[1]) == (file.etag, now.sha256):
        return True
    return _holds(path, None, file.etag)


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:,.1f} MB"


def _taken(half: Path) -> int:
    """Bytes that a half file takes of the disk; its size is that of the whole from the beginning on."""
    try:
        found = half.stat()
    except OSError:
        return 0
    return min(found.st_size, getattr(found, "st_blocks", 0) * 512)


def _holds(path: Path, sha256: str | None, etag: str) -> bool:
    """Whether a file has this content.

    The ETag of an object that was written in one go is often its MD5; that of one written in parts, the MD5 of theirs.
    """
    if sha256 is not None:
        return sha256_file(path) == sha256
    match = _MD5.fullmatch(etag)
    if match is None:
        return False
    md5 = partial(hashlib.md5, usedforsecurity=False)
    with path.open("rb") as stream:
        if match[2] is None:
            return hashlib.file_digest(stream, md5).hexdigest() == match[1]
        size = path.stat().st_size
        spans = spans_of(size, pushed_part(size))
        if len(spans) != int(match[2]):
            return False
        parts = md5()
        for start, end in spans:
            parts.update(md5(stream.read(end - start)).digest())
        return parts.hexdigest() == match[1]
