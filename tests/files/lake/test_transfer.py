from __future__ import annotations

import random
import threading
import time

import pytest

from spore_yolo.files.lake import Lake, RemotePath, mirror_of
from spore_yolo.files.lake.transfer import halves_folder
from tests.files.lake.conftest import PART
from tests.lake_server import Bucket


def test_two_commands_that_pull_the_same_large_file_bring_it_once(
    s3: Bucket, prefix: RemotePath, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = random.Random(0).randbytes(2 * PART + 1)
    s3.put("lake/slides/scan.svs", content)
    first, second = Lake(threads=1, part_bytes=PART), Lake(threads=1, part_bytes=PART)
    original, begun, goes_on = first._client.read, threading.Event(), threading.Event()

    def slowly(remote: RemotePath, etag: str | None = None, span: tuple[int, int] | None = None) -> bytes:
        begun.set()
        assert goes_on.wait(60)
        return original(remote, etag, span)

    monkeypatch.setattr(first._client, "read", slowly)
    failed: list[BaseException] = []

    def pulled(lake: Lake) -> None:
        try:
            lake.pull(prefix)
        except BaseException as error:
            failed.append(error)

    both = [threading.Thread(target=pulled, args=(lake,)) for lake in (first, second)]
    both[0].start()
    assert begun.wait(60)
    both[1].start()
    told, end = "", time.monotonic() + 60
    while "another command brings it to this machine" not in told:
        assert time.monotonic() < end, told
        told += capsys.readouterr().err
        time.sleep(0.02)
    goes_on.set()
    for one in both:
        one.join(60)
        assert not one.is_alive()
    assert not failed
    assert (mirror_of(prefix) / "scan.svs").read_bytes() == content
    assert s3.asked().count("GET /lake/slides/scan.svs") == 3  # its parts, each once
    assert not halves_folder(mirror_of(prefix)).exists()
    before = len(s3.asked())
    Lake().pull(prefix)
    assert "GET /lake/slides/scan.svs" not in s3.asked()[before:]


def test_an_object_that_changed_meanwhile_is_brought_anew(s3: Bucket, prefix: RemotePath, lake: Lake) -> None:
    for content in (bytes(2 * PART), b"1" * 2 * PART):  # of the same size, in the same second perhaps
        s3.put("lake/slides/scan.svs", content)
        assert (lake.pull(prefix) / "scan.svs").read_bytes() == content
