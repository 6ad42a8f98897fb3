"""What a bucket says of one object."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """An object.

    Attributes:
        size: Bytes.
        etag: What S3 calls its content; another content gets another one.
        modified: When it was written, seconds since 1970.
        version_id: The object's version in a bucket with versioning, where the bucket was asked.
    """

    size: int
    etag: str
    modified: int
    version_id: str | None = None
