"""The manifests in a bucket: what a prefix holds, and what it held before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from spore_yolo.files.lake.client import S3Client
from spore_yolo.files.lake.errors import Denied, LakeError, NotThere
from spore_yolo.files.lake.paths import OURS, RemotePath
from spore_yolo.files.lake.version import LakeVersion, Manifest
from spore_yolo.files.wording import listed

MANIFEST = f"{OURS}/version.json"


class Entry(NamedTuple):
    """What a manifest says of one file."""

    size: int
    sha256: str
    etag: str


Told = Mapping[str, Entry | None]
"""What became of files, by their path below a prefix; ``None`` for those that were deleted."""


class Manifests:
    """Reads and writes manifests.

    A prefix that was pushed has one; so may a folder within it, or round it. A push brings all of them up to date.

    Args:
        client: Whom to ask.
    """

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def read(self, prefix: RemotePath) -> Manifest | None:
        """The manifest of a prefix; ``None`` where there is none.

        Raises:
            LakeError: It cannot be read.
            SporeYoloError: It is damaged.
        """
        place = prefix / MANIFEST
        try:
            return Manifest.read(self._client.read(place), str(place))
        except NotThere:
            return None

    def read_listed(self, prefix: RemotePath, listing: Collection[str]) -> Manifest | None:
        """The same, where it is known already what the prefix holds."""
        return self.read(prefix) if MANIFEST in listing else None

    def earlier(self, prefix: RemotePath, version: str) -> LakeVersion:
        """An earlier version of a prefix.

        Raises:
            SporeYoloError: It never had that.
        """
        place = prefix / f"{OURS}/versions/{version}.json"
        try:
            return LakeVersion.from_json(self._client.read(place), str(place))
        except NotThere:
            raise LakeError(
                f"{prefix}: expected version {version}, which it never had as far as the bucket knows"
            ) from None

    def tell(self, prefix: RemotePath, told: Told, listing: Collection[str]) -> LakeVersion:
        """Brings the manifest of a prefix up to date, and those within it and round it.

        Args:
            prefix: What was pushed to.
            told: What became of its files; a file that did not change may be among them.
            listing: What the prefix held before, our own objects included.

        Returns:
            What the prefix holds now.
        """
        before = self.read_listed(prefix, listing)
        if before is not None and _after(before, told) == before:
            return before.version
        for name in listing:
            nested = name.removesuffix(f"/{MANIFEST}")
            within = {
                path.removeprefix(f"{nested}/"): one for path, one in told.items() if path.startswith(f"{nested}/")
            }
            if nested != name and within:
                self._update(prefix / nested, self.read(prefix / nested), within)
        version = self._update(prefix, before, told)
        self.tell_around(prefix, told)
        return version

    def tell_around(self, place: RemotePath, told: Told) -> None:
        """Brings the manifests of the folders round a place up to date.

        Args:
            place: A prefix, or a file.
            told: What became of the files below it; of a file itself by the empty path.
        """
        around = place
        while around.key:
            around = around.parent
            begin = place.key.removeprefix(around.prefix)
            try:
                manifest = self.read(around)
            except Denied:  # who may only read a part of a bucket has no manifest round it
                continue
            if manifest is not None:
                self._update(around, manifest, {f"{begin}/{path}".rstrip("/"): one for path, one in told.items()})

    def _update(self, prefix: RemotePath, manifest: Manifest | None, told: Told) -> LakeVersion:
        before = manifest or Manifest(LakeVersion())
        after = _after(before, told)
        if not after.version.files:
            ours = [f"{OURS}/{name}" for name, _ in self._client.files(prefix / OURS)]
            self._client.delete(prefix, ours)
        elif after != before:
            text = after.to_json().encode()
            self._client.write(prefix / f"{OURS}/versions/{after.version.version}.json", text)
            self._client.write(prefix / MANIFEST, text)
        return after.version


def _after(before: Manifest, told: Told) -> Manifest:
    files = {name: one for name, one in before.version.files.items() if told.get(name, one) is not None}
    etags = {name: etag for name, etag in before.etags.items() if name in files}
    for name, entry in told.items():
        if entry is not None:
            files[name] = (entry.size, entry.sha256)
            etags[name] = entry.etag
    return Manifest(LakeVersion(files), etags)


def check_version(prefix: RemotePath, expected: LakeVersion, manifest: Manifest | None) -> None:
    """Makes sure that a prefix still holds a version.

    Raises:
        LakeError: It does not; the message says what changed.
    """
    if manifest is None:
        return
    now = manifest.version.files
    gone = [name for name in expected.files if name not in now]
    changed = [name for name, (_, sha256) in expected.files.items() if name in now and now[name][1] != sha256]
    parts = [f"{what}: {listed(sorted(names))}" for what, names in (("changed", changed), ("gone", gone)) if names]
    if parts:
        raise LakeError(
            f"{prefix}: expected version {expected.version}, found {manifest.version.version}; {'; '.join(parts)}."
            " Restore these objects, or work with the version that is there"
        )
