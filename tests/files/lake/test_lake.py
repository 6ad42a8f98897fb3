from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.lake import Lake, LakeVersion, RemotePath, mirror_of
from tests.files.lake.conftest import contents
from tests.lake_server import Bucket


def moved(s3: Bucket, before: int, verb: str) -> list[str]:
    """Objects of data that were read or written since."""
    asked = [line.split(" ", 1)[1] for line in s3.asked()[before:] if line.startswith(f"{verb} ")]
    return [key for key in asked if not key.startswith("?list-type") and "/.spore-yolo/" not in key]


def test_what_is_pushed_is_what_boto3_reads(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath) -> None:
    version = lake.push(folder, prefix)
    read = {key.removeprefix("lake/slides/"): s3.get(key) for key in s3.etags() if "/.spore-yolo/" not in key}
    assert read == contents(folder)
    assert version == LakeVersion.of_folder(folder) == lake.version(prefix) == lake.version(folder)
    assert LakeVersion.from_json(s3.get("lake/slides/.spore-yolo/version.json")) == version
    history = s3.get(f"lake/slides/.spore-yolo/versions/{version.version}.json")
    assert history == s3.get("lake/slides/.spore-yolo/version.json")


def test_what_boto3_wrote_is_pulled_with_its_time(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath) -> None:
    for name, content in contents(folder).items():
        s3.put(f"lake/slides/{name}", content)
    s3.put("lake/slides-of-others/x.jpg", b"x")
    s3.put("lake/slides/marker/", b"")
    mirror = lake.pull(prefix)
    assert mirror == mirror_of(prefix)
    assert contents(mirror) == contents(folder)
    times = {one["Key"]: one["LastModified"] for one in s3.client.list_objects_v2(Bucket=s3.name)["Contents"]}
    for name in contents(folder):
        assert (mirror / name).stat().st_mtime == int(times[f"lake/slides/{name}"].timestamp())


def test_a_second_pull_or_push_moves_nothing(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath) -> None:
    lake.push(folder, prefix)
    lake.pull(prefix)
    before = len(s3.asked())
    assert Lake().pull(prefix) == mirror_of(prefix)
    assert Lake().push(folder, prefix) == Lake().push(mirror_of(prefix), prefix) == LakeVersion.of_folder(folder)
    assert not moved(s3, before, "GET") and not moved(s3, before, "PUT") and not moved(s3, before, "POST")
    assert len(s3.asked()) - before <= 8  # a list and a manifest each


def test_only_what_changed_is_moved(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath) -> None:
    first = lake.push(folder, prefix)
    lake.pull(prefix)
    before = len(s3.asked())
    (folder / "a.jpg").write_bytes(b"FIRST")  # as long as before
    (folder / "new.jpg").write_bytes(b"new")
    second = lake.push(folder, prefix)
    assert sorted(moved(s3, before, "PUT")) == ["/lake/slides/a.jpg", "/lake/slides/new.jpg"]
    before = len(s3.asked())
    assert contents(lake.pull(prefix)) == contents(folder)
    assert sorted(moved(s3, before, "GET")) == ["/lake/slides/a.jpg", "/lake/slides/new.jpg"]
    assert first.version != second.version


def test_a_lost_index_costs_hashing_but_moves_nothing(
    lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath, tmp_path: Path
) -> None:
    lake.push(folder, prefix)
    lake.pull(prefix)
    (tmp_path / "cache" / "lake" / "index.sqlite").write_bytes(b"no database at all, but long enough to be looked at")
    before = len(s3.asked())
    assert contents(lake.pull(prefix)) == contents(folder)
    assert not moved(s3, before, "GET")


def test_files_that_left_the_bucket_leave_the_mirror(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath) -> None:
    for name, content in contents(folder).items():
        s3.put(f"lake/slides/{name}", content)
    mirror = lake.pull(prefix)
    (mirror / "own.txt").write_text("never pushed")
    s3.client.delete_object(Bucket=s3.name, Key="lake/slides/day 3/[deep]/empty.txt")
    lake.pull(prefix)
    assert not (mirror / "day 3" / "[deep]").exists()
    assert (mirror / "own.txt").exists()


def test_what_is_gone_here_goes_there_if_asked(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath) -> None:
    lake.push(folder, prefix)
    s3.put("lake/slides/others.jpg", b"of others")
    (folder / "a.jpg").unlink()
    lake.push(folder, prefix)
    assert "lake/slides/a.jpg" in s3.etags()
    known = lake.push(folder, prefix, delete="known")
    assert "lake/slides/a.jpg" not in s3.etags() and "lake/slides/others.jpg" in s3.etags()
    assert known == LakeVersion.of_folder(folder)
    lake.push(folder, prefix, delete=True)
    assert "lake/slides/others.jpg" not in s3.etags()


def test_a_folder_that_is_gone_takes_its_manifest_along(
    lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath
) -> None:
    lake.push(folder, prefix)
    shutil.rmtree(folder)
    lake.push(folder, prefix, delete="known")
    assert not s3.etags()


def test_some_files_alone(lake: Lake, folder: Path, prefix: RemotePath) -> None:
    lake.push(folder, prefix)
    mirror = lake.pull(prefix, only=lambda name: name.endswith(".jpg"))
    assert {name.rpartition(".")[2] for name in contents(mirror)} == {"jpg"}


def test_single_files(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath, tmp_path: Path) -> None:
    lake.push_file(folder / "a.jpg", prefix / "deep" / "one.jpg")
    assert s3.get("lake/slides/deep/one.jpg") == b"first"
    assert lake.pull(prefix / "deep" / "one.jpg").read_bytes() == b"first"
    assert lake.pull(prefix / "deep" / "one.jpg", tmp_path / "here") == tmp_path / "here" / "one.jpg"
    before = len(s3.asked())
    lake.push_file(folder / "a.jpg", prefix / "deep" / "one.jpg")
    assert lake.pull_file(prefix / "deep" / "one.jpg") == mirror_of(prefix / "deep" / "one.jpg")
    assert not moved(s3, before, "GET") and not moved(s3, before, "PUT")


def test_manifests_within_and_round_a_folder_stay_true(
    lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath
) -> None:
    lake.push(folder, prefix)
    inner = folder / "day 3"
    lake.push(inner, prefix / "day 3")
    (inner / "new.jpg").write_bytes(b"new")
    (inner / ".hidden").write_bytes(b"changed")
    lake.push(inner, prefix / "day 3", delete="known")
    assert lake.version(prefix) == LakeVersion.of_folder(folder)
    (inner / ".hidden").write_bytes(b"changed once more")
    lake.push(folder, prefix)
    assert lake.version(prefix / "day 3") == LakeVersion.of_folder(inner)
    lake.push_file(folder / "a.jpg", prefix / "day 3" / "new.jpg")
    assert lake.version(prefix / "day 3").files["new.jpg"] == lake.version(prefix).files["a.jpg"]
    assert contents(lake.pull(prefix))["day 3/new.jpg"] == b"first"


def test_work_that_was_not_pushed_yet_is_kept(
    lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.push(folder, prefix)
    mirror = lake.pull(prefix)
    (mirror / "a.jpg").write_bytes(b"changed here")
    lake.pull(prefix)
    assert (mirror / "a.jpg").read_bytes() == b"changed here"
    assert "a.jpg changed here and not pushed yet" in capsys.readouterr().err
    (folder / "a.jpg").write_bytes(b"changed there")
    lake.push(folder, prefix)
    with pytest.raises(SporeYoloError, match=r"a\.jpg changed both here and in the bucket"):
        lake.pull(prefix)
    assert (mirror / "a.jpg").read_bytes() == b"changed here"
    lake.pull(prefix, overwrite=True)
    assert (mirror / "a.jpg").read_bytes() == b"changed there"


def test_a_run_gets_the_version_that_it_names(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath) -> None:
    first = lake.push(folder, prefix)
    (folder / "new.jpg").write_bytes(b"new")
    second = lake.push(folder, prefix)
    assert lake.version(lake.pull(prefix, expected=second.version)) == second
    mirror = lake.pull(prefix, expected=first)
    assert set(first.files) <= set(contents(mirror))
    assert lake.pull(prefix, expected=first.version) == mirror  # all of its objects are there still
    (folder / "a.jpg").write_bytes(b"changed")
    (folder / "new.jpg").unlink()
    third = lake.push(folder, prefix, delete="known")
    with pytest.raises(SporeYoloError) as told:
        lake.pull(prefix, expected=second.version)
    for part in (second.version, third.version, "changed: a.jpg", "gone: new.jpg"):
        assert part in str(told.value)
    with pytest.raises(SporeYoloError, match="which it never had"):
        lake.pull(prefix, expected="0" * 64)


def test_links_to_files_elsewhere_are_left_out(lake: Lake, s3: Bucket, folder: Path, prefix: RemotePath) -> None:
    layout = folder.with_name("layout")
    layout.mkdir()
    (layout / "image.jpg").symlink_to(folder / "a.jpg")
    (layout / "label.txt").write_text("0")
    lake.push(layout, prefix)
    assert [key for key in s3.etags() if "/.spore-yolo/" not in key] == ["lake/slides/label.txt"]


def test_objects_are_never_written_through_a_link(lake: Lake, s3: Bucket, prefix: RemotePath, tmp_path: Path) -> None:
    s3.put("lake/slides/in/x.jpg", b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "in").symlink_to(tmp_path / "outside")
    with pytest.raises(SporeYoloError, match="a link that leaves"):
        lake.pull(prefix, tmp_path / "here")
    assert not list((tmp_path / "outside").iterdir())


def test_a_whole_bucket(lake: Lake, s3: Bucket, folder: Path) -> None:
    bucket = RemotePath(s3.name)
    assert lake.push(folder, bucket) == lake.version(bucket)
    assert contents(lake.pull(bucket)) == contents(folder)


def test_what_is_there(lake: Lake, s3: Bucket, prefix: RemotePath) -> None:
    s3.put("lake/slides/a.jpg", b"12345")
    assert lake.exists(prefix) and lake.exists(prefix / "a.jpg") and lake.exists(RemotePath(s3.name))
    assert not lake.exists(prefix / "a.jp") and not lake.exists(prefix.parent / "slide")
    (file,) = lake.files(prefix).values()
    assert (file.size, file.etag) == (5, s3.etags()["lake/slides/a.jpg"].strip('"'))


@pytest.mark.slow
def test_more_files_than_a_list_has_on_a_page(lake: Lake, s3: Bucket, prefix: RemotePath, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(1003):
        (many / f"{number}.txt").write_text(str(number))
    version = lake.push(many, prefix)
    assert len(version.files) == 1003
    assert contents(lake.pull(prefix)) == contents(many)
    shutil.rmtree(many)
    lake.push(many, prefix, delete="known")
    assert not s3.etags()


def test_names_that_no_bucket_takes_are_told(lake: Lake, s3: Bucket, prefix: RemotePath, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    with open(os.path.join(os.fsencode(odd), b"\xff.txt"), "wb"):
        pass
    with pytest.raises(UsageError, match="expected a name in UTF-8"):
        lake.push(odd, prefix)
    assert not s3.etags()
