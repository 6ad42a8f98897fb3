from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import Lake, LakeVersion, RemotePath, changes, mirror_of
from spore_yolo.files.lake.transfer import halves_folder
from tests.files.lake.conftest import PART, contents
from tests.lake_proxy import breaking_wire
from tests.lake_server import Bucket


def test_a_connection_that_breaks_once_is_taken_up_again(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.push(folder, prefix)
    with breaking_wire(s3.endpoint, PART + PART // 2, for_good=False) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        assert contents(Lake(part_bytes=PART).pull(prefix)) == contents(folder)
        assert wire.cuts == 1


def test_a_server_that_dies_leaves_what_was_moved_and_the_next_pull_goes_on(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.push(folder, prefix)
    with breaking_wire(s3.endpoint, PART + PART // 2, for_good=True) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        start = time.monotonic()
        with pytest.raises(SporeYoloError) as told:
            Lake(threads=1, part_bytes=PART).pull(prefix)  # one part after the other
        assert time.monotonic() - start < 30
    assert f"s3://{s3.name}/lake/slides/scan.svs" in str(told.value)
    assert "4 of 5 files were pulled and are kept; run the command again to go on" in str(told.value)
    mirror = mirror_of(prefix)
    assert not (mirror / "scan.svs").exists()
    assert set(contents(mirror)) == set(contents(folder)) - {"scan.svs"}  # no half file, under whatever name
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    before = len(s3.asked())
    assert contents(Lake(part_bytes=PART).pull(prefix)) == contents(folder)
    ranges = [line for line in s3.asked()[before:] if line == "GET /lake/slides/scan.svs"]
    assert len(ranges) == 2  # of three parts: the first was there already
    assert not halves_folder(mirror).exists()


def test_a_pull_that_is_killed_goes_on_within_the_file(
    s3: Bucket, lake: Lake, prefix: RemotePath, tmp_path: Path
) -> None:
    content = random.Random(1).randbytes(12 * PART)
    s3.put("lake/slides/scan.svs", content)
    code = (
        "import os, sys\n"
        "from spore_yolo.files.lake import Lake, RemotePath, transfer\n"
        "write, parts = transfer._Half.write, []\n"
        "def killed(half, number, content):\n"
        "    write(half, number, content)\n"
        "    parts.append(number)\n"
        "    if len(parts) == 7:\n"
        "        os.kill(os.getpid(), 9)\n"
        "transfer._Half.write = killed\n"
        f"Lake(threads=1, part_bytes={PART}).pull(RemotePath.parse(sys.argv[1]))\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(prefix)], env=os.environ, timeout=60)
    assert result.returncode == -9
    before = len(s3.asked())
    assert (lake.pull(prefix) / "scan.svs").read_bytes() == content
    assert s3.asked()[before:].count("GET /lake/slides/scan.svs") == 12 - 7


def test_halves_of_another_content_are_not_gone_on_with(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("lake/slides/scan.svs", (folder / "scan.svs").read_bytes())
    with breaking_wire(s3.endpoint, PART + PART // 2, for_good=True) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        with pytest.raises(SporeYoloError):
            Lake(threads=1, part_bytes=PART).pull(prefix)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    changed = random.Random(2).randbytes((folder / "scan.svs").stat().st_size)
    s3.put("lake/slides/scan.svs", changed)
    assert (Lake(part_bytes=PART).pull(prefix) / "scan.svs").read_bytes() == changed


def test_a_push_that_breaks_off_leaves_the_old_manifest_and_goes_on(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lake.push(folder, prefix)
    for number in range(40):
        (folder / f"new-{number}.jpg").write_bytes(b"new" * (number + 1))
    with breaking_wire(s3.endpoint, 6000, for_good=True) as wire:  # answers to some of the new ones
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.endpoint)
        with pytest.raises(SporeYoloError, match="of 40 files were pushed and are kept"):
            Lake(threads=2).push(folder, prefix)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    assert LakeVersion.from_json(s3.get("lake/slides/.spore-yolo/version.json")) == first
    there = len([key for key in s3.etags() if "/new-" in key])
    assert 0 < there < 40
    before = len(s3.asked())
    assert Lake().push(folder, prefix) == LakeVersion.of_folder(folder)
    again = [line for line in s3.asked()[before:] if line.startswith("PUT /lake/slides/new-")]
    assert len(again) == 40 - there


def test_an_upload_in_parts_that_breaks_off_leaves_no_object(
    s3: Bucket, folder: Path, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(part_bytes=PART)
    original = lake._client.write_part

    def broken(remote: RemotePath, upload: str, number: int, content: bytes) -> str:
        if number == 2:
            raise SporeYoloError("broken")
        return original(remote, upload, number, content)

    monkeypatch.setattr(lake._client, "write_part", broken)
    with pytest.raises(SporeYoloError, match="broken"):
        lake.push(folder, prefix)
    assert "lake/slides/scan.svs" not in s3.etags()
    assert not s3.client.list_multipart_uploads(Bucket=s3.name).get("Uploads")


def test_objects_changed_behind_the_manifest_are_named(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath
) -> None:
    s3.client.put_bucket_versioning(Bucket=s3.name, VersioningConfiguration={"Status": "Enabled"})
    lake.push(folder, prefix)
    old = s3.client.head_object(Bucket=s3.name, Key="lake/slides/a.jpg")["VersionId"]
    s3.put("lake/slides/a.jpg", b"FIRST")  # as long as before
    s3.put("lake/slides/day 3/.hidden", b"longer than before")
    s3.client.delete_object(Bucket=s3.name, Key="lake/slides/day 3/[deep]/empty.txt")
    with pytest.raises(SporeYoloError) as told:
        lake.version(prefix)
    assert "3 objects are not what the manifest says" in str(told.value)
    with pytest.raises(SporeYoloError) as told:
        lake.pull(prefix)
    for part in ("day 3/.hidden: expected 6 bytes, found 18", "day 3/[deep]/empty.txt: is gone"):
        assert part in str(told.value)
    s3.put("lake/slides/day 3/.hidden", b"hidden")
    s3.put("lake/slides/day 3/[deep]/empty.txt", b"")
    with pytest.raises(SporeYoloError) as told:
        lake.pull(prefix)
    assert "1 object is not what the manifest says" in str(told.value)
    assert f"a.jpg: expected SHA-256 {LakeVersion.of_folder(folder).files['a.jpg'][1]}" in str(told.value)
    assert f"version id {old} holds the old one" in str(told.value)
    assert not (mirror_of(prefix) / "a.jpg").exists()
    with pytest.raises(SporeYoloError, match="not what the manifest says"):
        lake.pull(prefix)


def test_what_was_changed_behind_the_manifest_can_become_the_new_version(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath
) -> None:
    first = lake.push(folder, prefix)
    s3.put("lake/slides/a.jpg", b"FIRST")
    mirror = lake.pull(prefix, unchecked=True)
    second = lake.push(mirror, prefix)
    assert second == lake.version(prefix) != first
    assert (lake.pull(prefix) / "a.jpg").read_bytes() == b"FIRST"


def test_a_push_of_the_true_files_restores_what_was_changed(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath
) -> None:
    first = lake.push(folder, prefix)
    s3.put("lake/slides/a.jpg", b"FIRST")
    assert lake.push(folder, prefix, overwrite=True) == first
    assert s3.get("lake/slides/a.jpg") == b"first"


def test_an_object_copied_within_s3_is_known_by_its_content(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath
) -> None:
    version = lake.push(folder, prefix)
    s3.put("lake/slides/scan.svs", s3.get("lake/slides/scan.svs"))  # in one go: the ETag is another one
    assert lake.version(lake.pull(prefix)) == version


def test_an_object_that_changes_while_it_is_pulled(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("lake/slides/scan.svs", (folder / "scan.svs").read_bytes())
    original = lake._client.read

    def read(remote: RemotePath, etag: str | None = None, span: tuple[int, int] | None = None) -> bytes:
        if span is not None and span[0] == PART:
            s3.put("lake/slides/scan.svs", bytes((folder / "scan.svs").stat().st_size))
        return original(remote, etag, span)

    monkeypatch.setattr(lake._client, "read", read)
    with pytest.raises(SporeYoloError, match=r"scan\.svs: changed while it was read"):
        lake.pull(prefix)
    assert not (mirror_of(prefix) / "scan.svs").exists()


def test_a_key_that_leaves_the_folder_is_told_and_nothing_is_written(
    s3: Bucket, lake: Lake, prefix: RemotePath, tmp_path: Path
) -> None:
    s3.put("lake/slides/a.jpg", b"a")
    s3.put("lake/slides/x/../../../../evil.txt", b"evil")
    with pytest.raises(SporeYoloError, match="key cannot be a path on disk"):
        lake.pull(prefix, tmp_path / "deep" / "here")
    assert not list(tmp_path.rglob("*.txt"))


def test_no_such_prefix_and_no_such_bucket(s3: Bucket, lake: Lake, prefix: RemotePath) -> None:
    with pytest.raises(SporeYoloError, match="no such file or folder in the bucket"):
        lake.pull(prefix / "nowhere")
    assert not lake.pull(prefix / "nowhere", optional=True).exists()
    with pytest.raises(SporeYoloError, match=f"s3://{s3.name}-x: no such bucket"):
        lake.pull(RemotePath(f"{s3.name}-x", "slides"))
    with pytest.raises(SporeYoloError, match="no such file in the bucket"):
        lake.pull_file(prefix / "nowhere.jpg")


def test_no_credentials(s3: Bucket, lake: Lake, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SporeYoloError, match="no credentials for S3; the AWS client looks for them in"):
        lake.pull(prefix)


def test_a_profile_that_does_not_exist(
    s3: Bucket, lake: Lake, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SporeYoloError, match="nobody"):
        lake.pull(prefix)


SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("status", "code", "said", "message"),
    [
        (403, "InvalidAccessKeyId", "does not exist in our records.", "S3 does not accept the credentials"),
        (403, "SignatureDoesNotMatch", "Check your key and signing method.", "S3 does not accept the credentials"),
        (403, "AccessDenied", "Access Denied", "no permission to list it"),
        (400, "ExpiredToken", "The provided token has expired.", "the credentials have expired"),
        (400, "AuthorizationHeaderMalformed", "The region is wrong.", "lies in another region"),
        (503, "SlowDown", "Please reduce your request rate.", "try again later"),
    ],
)
def test_what_s3_answers_is_told_without_any_secret(
    status: int, code: str, said: str, message: str, s3: Bucket, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f"<Error><Code>{code}</Code><Message>{said}</Message><AWSAccessKeyId>AKIAX</AWSAccessKeyId></Error>"

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        with pytest.raises(SporeYoloError) as told:
            Lake().pull(prefix)
    finally:
        server.shutdown()
        server.server_close()
    assert message in str(told.value) and str(prefix) in str(told.value)
    assert SECRET not in str(told.value) and "testing" not in str(told.value)


def test_a_server_that_is_not_there_is_told_soon(
    s3: Bucket, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:password@127.0.0.1:{port}")
    start = time.monotonic()
    with pytest.raises(SporeYoloError, match=f"S3 at http://127.0.0.1:{port} cannot be reached") as told:
        Lake().pull(prefix)
    assert time.monotonic() - start < 30
    assert "password" not in str(told.value)


def test_a_pull_that_does_not_fit_moves_nothing(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.push(folder, prefix)
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(changes.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(SporeYoloError, match=r"no room on this disk: 10\.5 MB are to be pulled, 1\.0 MB are free"):
        lake.pull(prefix)
    assert not mirror_of(prefix).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_fills_up_keeps_what_is_done(
    s3: Bucket, lake: Lake, folder: Path, prefix: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.push(folder, prefix)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        # Another program takes the room after it was looked for.
        usage = shutil.disk_usage(folder)
        monkeypatch.setattr(changes.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(OSError, match="No space left"):
            lake.pull(prefix, small / "slides")
        there = {name: one for name, one in contents(small / "slides").items() if not name.startswith(".spore-yolo/")}
        expected = contents(folder)
        assert there == {name: one for name, one in expected.items() if name != "scan.svs"}
        subprocess.run(["mount", "-o", "remount,size=32m", str(small)], check=True)
        assert contents(lake.pull(prefix, small / "slides")) == expected
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_s3fs_may_be_missing(s3: Bucket, lake: Lake, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SporeYoloError, match=r"pip install 'spore-yolo\[lake\]'"):
        lake.pull(prefix)
