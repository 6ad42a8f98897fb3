"""Requests to a bucket, on s3fs; every error that leaves here is meant for people."""

from __future__ import annotations

import calendar
import os
from collections.abc import Iterator
from typing import Any

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake.errors import ConnectionLost, NotThere, translated
from spore_yolo.files.lake.paths import RemotePath
from spore_yolo.files.lake.remote_file import RemoteFile

CONNECT_SECONDS = 4
"""Until a server counts as not there. With two more attempts it is told in a quarter of a minute."""

READ_SECONDS = 30
"""Without a byte until a connection counts as broken."""

ATTEMPTS = 3
"""Of one request that gets no answer, or one of a server in trouble."""

READS = 4
"""Attempts to read an object whose connection breaks while bytes are on their way."""

DELETED_AT_ONCE = 1000
"""Objects that S3 deletes with one request."""


class S3Client:
    """Requests to S3. Credentials, region and endpoint are what the AWS client finds; none of it is kept.

    Args:
        connections: Requests that may be under way at a time.
    """

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._made: tuple[int, Any] | None = None
        self._endpoint: str | None = None

    def files(self, prefix: RemotePath) -> Iterator[tuple[str, RemoteFile]]:
        """All objects below a prefix, by their key's rest; markers of folders are left out."""
        token: dict[str, str] = {}
        while True:
            page = self._call("list", prefix, "list_objects_v2", Prefix=prefix.prefix, **token)
            for item in page.get("Contents", []):
                rest = item["Key"].removeprefix(prefix.prefix)
                if rest and not rest.endswith("/"):
                    yield rest, RemoteFile(item["Size"], item["ETag"].strip('"'), _seconds(item["LastModified"]))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def holds(self, prefix: RemotePath) -> bool:
        """Whether there is any object below a prefix."""
        return bool(self._call("list", prefix, "list_objects_v2", Prefix=prefix.prefix, MaxKeys=1).get("Contents"))

    def file(self, remote: RemotePath) -> RemoteFile | None:
        """What the bucket says of one object; ``None`` where there is none."""
        if not remote.key:
            return None
        try:
            found = self._call("read", remote, "head_object", Key=remote.key)
        except NotThere:
            return None
        return RemoteFile(
            found["ContentLength"], found["ETag"].strip('"'), _seconds(found["LastModified"]), found.get("VersionId")
        )

    def versions(self, remote: RemotePath) -> dict[str, str]:
        """Version id of each content, by its ETag, that a bucket with versioning still has of an object."""
        page = self._call("read the versions of", remote, "list_object_versions", Prefix=remote.key)
        return {
            item["ETag"].strip('"'): item["VersionId"]
            for item in page.get("Versions", [])
            if item["Key"] == remote.key and item.get("VersionId", "null") != "null"
        }

    def read(self, remote: RemotePath, etag: str | None = None, span: tuple[int, int] | None = None) -> bytes:
        """The bytes of an object.

        Args:
            remote: The object.
            etag: The content that is meant; another one is an error.
            span: First byte, and the one after the last; ``None`` for all.

        Raises:
            Changed: The object has another content by now.
            ConnectionLost: The connection broke, several times.
            NotThere: There is no such object.
        """
        from fsspec.asyn import sync

        system = self._system()
        options = {"Bucket": remote.bucket, "Key": remote.key}
        if etag is not None:
            options["IfMatch"] = f'"{etag}"'
        if span is not None:
            options["Range"] = f"bytes={span[0]}-{span[1] - 1}"

        async def whole() -> bytes:
            answer = await system._call_s3("get_object", **options)
            async with answer["Body"] as body:
                return bytes(await body.read())

        for attempt in range(1, READS + 1):
            try:
                with translated(remote, lambda: self._endpoint, "read"):
                    content: bytes = sync(system.loop, whole)
                if span is not None and len(content) != span[1] - span[0]:
                    raise ConnectionLost(f"{remote}: expected {span[1] - span[0]:,} bytes, received {len(content):,}")
                return content
            except ConnectionLost:
                if attempt == READS:
                    raise
        raise AssertionError("not reached")

    def write(self, remote: RemotePath, content: bytes) -> str:
        """Writes an object, whole or not at all.

        Returns:
            Its ETag.
        """
        return str(self._call("write", remote, "put_object", Key=remote.key, Body=content)["ETag"]).strip('"')

    def begin_parts(self, remote: RemotePath) -> str:
        """Begins to write an object in parts; nothing shows until :meth:`end_parts`.

        Returns:
            The id of the upload.
        """
        return str(self._call("write", remote, "create_multipart_upload", Key=remote.key)["UploadId"])

    def write_part(self, remote: RemotePath, upload: str, number: int, content: bytes) -> str:
        """Writes one part.

        Returns:
            Its ETag.
        """
        options = {"Key": remote.key, "UploadId": upload, "PartNumber": number, "Body": content}
        return str(self._call("write", remote, "upload_part", **options)["ETag"])

    def end_parts(self, remote: RemotePath, upload: str, parts: list[str]) -> str:
        """Makes one object of all parts.

        Returns:
            Its ETag.
        """
        listed = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(parts, 1)]}
        options = {"Key": remote.key, "UploadId": upload, "MultipartUpload": listed}
        return str(self._call("write", remote, "complete_multipart_upload", **options)["ETag"]).strip('"')

    def drop_parts(self, remote: RemotePath, upload: str) -> None:
        """Removes the parts of an upload that does not come to its end."""
        self._call("write", remote, "abort_multipart_upload", Key=remote.key, UploadId=upload)

    def delete(self, prefix: RemotePath, relative: list[str]) -> None:
        """Deletes objects below a prefix."""
        for start in range(0, len(relative), DELETED_AT_ONCE):
            keys = [{"Key": f"{prefix.prefix}{one}"} for one in relative[start : start + DELETED_AT_ONCE]]
            answer = self._call("delete", prefix, "delete_objects", Delete={"Objects": keys, "Quiet": True})
            for error in answer.get("Errors", []):
                raise SporeYoloError(f"s3://{prefix.bucket}/{error['Key']}: cannot be deleted ({error['Code']})")

    def _call(self, doing: str, remote: RemotePath, method: str, **options: Any) -> Any:
        with translated(remote, lambda: self._endpoint, doing):
            system = self._system()
            return system.call_s3(method, Bucket=remote.bucket, **options)

    def _system(self) -> Any:
        """The file system of this process; after a fork a new one, since connections do not come along."""
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), self._connect())
        return self._made[1]

    def _connect(self) -> Any:
        try:
            from s3fs import S3FileSystem
        except ImportError:
            raise SporeYoloError(
                "addresses that begin with s3:// need s3fs; install it with: pip install 'spore-yolo[lake]'"
            ) from None

        system: Any = S3FileSystem(
            # Ours alone: instances that others made could remember listings and another endpoint.
            skip_instance_cache=True,
            use_listings_cache=False,
            config_kwargs={
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
                "max_pool_connections": self._connections,
                # botocore also tries again where a server answers that it is in trouble, which s3fs does not.
                "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
            },
        )
        system.retries = 1  # else each of its attempts would have botocore's
        system.connect()
        self._endpoint = system.s3.meta.endpoint_url
        return system


def _seconds(moment: Any) -> int:
    """Whole seconds since 1970: listings know milliseconds, single objects do not, and both must say the same."""
    return calendar.timegm(moment.utctimetuple())
