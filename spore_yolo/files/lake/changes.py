"""What differs between a bucket, its manifest and the disk."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.lake.client import S3Client
from spore_yolo.files.lake.errors import LakeError
from spore_yolo.files.lake.index import Known
from spore_yolo.files.lake.paths import RemotePath, target_of
from spore_yolo.files.lake.remote_file import RemoteFile
from spore_yolo.files.lake.transfer import Move
from spore_yolo.files.lake.version import Manifest

MOST_NAMED = 5
"""Files that a message names."""

_MD5 = re.compile("[0-9a-f]{32}")


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
    both: list[str] = []
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
        else:
            both.append(name)
    if both:
        raise SporeYoloError(
            f"{remote}: {listed(both)} changed both here and in the bucket; take the bucket's with"
            f" `spore-yolo lake pull {remote} --overwrite`, or this machine's with `spore-yolo lake push {remote}`"
        )
    return plan


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
    needed = sum(move.size for move in moves)
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


def listed(names: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(sorted(names)[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:,.1f} MB"


def _holds(path: Path, sha256: str | None, etag: str) -> bool:
    """Whether a file has this content; the ETag of an object that was written in one go is often its MD5."""
    if sha256 is not None:
        return sha256_file(path) == sha256
    if not _MD5.fullmatch(etag):
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == etag
