"""What is moved, kept and deleted when both sides change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import Lake, RemotePath, changes, mirror_of, mirror_root
from spore_yolo.files.lake.changes import check_room
from spore_yolo.files.lake.remote_file import RemoteFile
from spore_yolo.files.lake.transfer import Move, half_of, halves_folder
from tests.files.lake.conftest import PART, contents
from tests.lake_server import Bucket

Told = pytest.CaptureFixture[str]


@pytest.fixture
def mirror(lake: Lake, folder: Path, prefix: RemotePath) -> Path:
    """The mirror of a folder that was pushed by another machine."""
    lake.push(folder, prefix)
    return lake.pull(prefix)


def test_a_mirror_that_was_deleted_deletes_nothing(
    lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath, mirror: Path
) -> None:
    before = s3.etags()
    shutil.rmtree(mirror_root())
    lake.pull(prefix, only=lambda name: name == "a.jpg")
    (mirror / "new.txt").write_text("new")
    lake.push(mirror, prefix, delete="known")
    assert before.keys() < s3.etags().keys()
    (mirror / "a.jpg").unlink()  # what goes from now on goes there as well
    lake.push(mirror, prefix, delete="known")
    assert "lake/slides/a.jpg" not in s3.etags() and "lake/slides/scan.svs" in s3.etags()


def test_what_others_wrote_meanwhile_is_not_deleted(lake: Lake, s3: Bucket, prefix: RemotePath, mirror: Path) -> None:
    (mirror / "a.jpg").unlink()
    s3.put("lake/slides/a.jpg", b"of others")
    lake.push(mirror, prefix, delete="known")
    assert s3.get("lake/slides/a.jpg") == b"of others"


@pytest.mark.parametrize("delete", [False, "known"])
def test_what_changed_there_alone_stays(
    delete: bool, lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath, mirror: Path, capsys: Told
) -> None:
    (folder / "a.jpg").write_bytes(b"changed there")
    lake.push(folder, prefix)
    (mirror / "new.txt").write_text("new")
    (mirror / "a.jpg").write_bytes((mirror / "a.jpg").read_bytes())  # touched alone
    version = lake.push(mirror, prefix, delete=delete)
    assert s3.get("lake/slides/a.jpg") == b"changed there" and s3.get("lake/slides/new.txt") == b"new"
    assert "a.jpg changed or went in the bucket and did not change here" in capsys.readouterr().err
    assert version == lake.version(prefix) == lake.version(lake.pull(prefix))  # the manifest is true
    lake.push(folder, prefix, overwrite=True)


def test_what_changed_on_both_sides_is_an_error_and_nothing_is_written(
    lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath, mirror: Path, tmp_path: Path
) -> None:
    here = lake.pull(prefix, tmp_path / "here it is")
    (folder / "a.jpg").write_bytes(b"there")
    lake.push(folder, prefix)
    for place in (mirror, here):
        (place / "a.jpg").write_bytes(b"here")
        (place / "new.txt").write_text("new")
    before = s3.etags()
    with pytest.raises(SporeYoloError, match=r"a\.jpg changed both here and in the bucket") as told:
        lake.push(mirror, prefix, delete="known")
    assert f"`spore-yolo lake pull {prefix}/a.jpg --overwrite`" in str(told.value)
    assert f"`spore-yolo lake push {prefix}/a.jpg --overwrite`" in str(told.value)
    with pytest.raises(SporeYoloError) as told:
        lake.push(here, prefix)
    assert f"`spore-yolo lake pull {prefix}/a.jpg '{here}' --overwrite`" in str(told.value)
    assert f"`spore-yolo lake push '{here}/a.jpg' {prefix}/a.jpg --overwrite`" in str(told.value)
    with pytest.raises(SporeYoloError, match=r"a\.jpg changed both here and in the bucket"):
        lake.push_file(mirror / "a.jpg", prefix / "a.jpg")
    assert s3.etags() == before
    lake.push_file(mirror / "a.jpg", prefix / "a.jpg", overwrite=True)
    assert s3.get("lake/slides/a.jpg") == b"here"


def test_a_single_file_that_changed_there_alone_stays(
    lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath, mirror: Path, capsys: Told
) -> None:
    lake.push_file(mirror / "a.jpg", prefix / "a.jpg")
    s3.put("lake/slides/a.jpg", b"there")
    lake.push_file(mirror / "a.jpg", prefix / "a.jpg")
    assert s3.get("lake/slides/a.jpg") == b"there"
    assert "a.jpg changed or went in the bucket" in capsys.readouterr().err


def test_a_mirror_does_not_bring_back_what_others_deleted(
    lake: Lake, s3: Bucket, prefix: RemotePath, mirror: Path
) -> None:
    s3.client.delete_object(Bucket=s3.name, Key="lake/slides/a.jpg")
    lake.push(mirror, prefix, delete="known")
    assert "lake/slides/a.jpg" not in s3.etags()
    lake.push(mirror, prefix)  # a folder that is pushed as a whole does
    assert s3.get("lake/slides/a.jpg") == b"first"


def test_a_push_whose_answer_was_lost_is_no_change_of_others(
    s3: Bucket, folder: Path, prefix: RemotePath, tmp_path: Path
) -> None:
    large = folder / "large.svs"
    large.write_bytes(bytes(9 * 1024**2))
    lake = Lake()  # in parts of the usual size
    lake.push(folder, prefix)
    index = tmp_path / "cache" / "lake" / "index.sqlite"
    remembered = index.read_bytes()
    large.write_bytes(b"1" * 9 * 1024**2)
    lake.push(folder, prefix)
    index.write_bytes(remembered)
    before = s3.etags()
    lake.push(folder, prefix)
    assert s3.etags() == before


def test_another_content_than_the_expected_one_is_an_error(
    lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath, mirror: Path, tmp_path: Path
) -> None:
    first = lake.version(prefix)
    (mirror / "a.jpg").write_bytes(b"changed here")
    with pytest.raises(SporeYoloError, match=r"expected what .* holds, found a\.jpg changed here"):
        lake.pull(prefix, expected=first.version)
    lake.pull(prefix, expected=first.version, overwrite=True)
    assert lake.check(mirror, prefix, first.version) == first
    (folder / "new.jpg").write_bytes(b"new")
    second = lake.push(folder, prefix)
    lake.pull(prefix)
    lake.pull(prefix, expected=first.version)
    with pytest.raises(SporeYoloError) as told:
        lake.check(mirror, prefix, first.version)
    for part in (first.version, f"found {second.version}", "not of that version: new.jpg", "an empty folder"):
        assert part in str(told.value)
    empty = lake.pull(prefix, tmp_path / "empty", expected=first.version)
    assert lake.check(empty, prefix, first.version) == first


def test_room_for_what_is_still_missing_is_enough(
    prefix: RemotePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "cache"))
    usage = shutil.disk_usage(tmp_path)
    folder, remote = mirror_of(prefix), prefix / "scan.svs"
    half = half_of(halves_folder(folder), remote)
    half.parent.mkdir(parents=True)
    with half.open("wb") as stream:
        stream.write(bytes(PART))
        stream.truncate(2 * PART)
    move = Move("scan.svs", remote, folder / "scan.svs", 2 * PART, RemoteFile(2 * PART, "etag", 1))
    monkeypatch.setattr(changes.shutil, "disk_usage", lambda path: usage._replace(free=PART + 4096))
    check_room(prefix, folder, [move])
    monkeypatch.setattr(changes.shutil, "disk_usage", lambda path: usage._replace(free=PART - 4096))
    with pytest.raises(SporeYoloError, match=r"5\.2 MB are to be pulled"):
        check_room(prefix, folder, [move])


def test_a_folder_is_deleted_with_its_manifest(lake: Lake, s3: Bucket, prefix: RemotePath, mirror: Path) -> None:
    lake.delete(prefix, only=lambda name: name.endswith(".jpg"))
    left = {name for name in contents(mirror) if not name.endswith(".jpg")}
    assert set(lake.version(prefix).files) == left
    assert set(contents(lake.pull(prefix))) == left
    lake.delete(prefix)
    lake.delete(prefix)
    assert not s3.etags()
