from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spore_yolo.files.lake import Lake, LakeVersion, RemotePath, mirror_of
from tests.lake_server import Bucket

Run = Callable[..., tuple[int, str, str]]


def filled(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("bb")
    return folder


def test_a_folder_goes_there_and_back(spore_yolo: Run, s3: Bucket, tmp_path: Path) -> None:
    folder, address = filled(tmp_path / "slides"), f"{s3.address}/lake/slides"
    version = LakeVersion.of_folder(folder).version
    said = f"version: {version}\nfiles: 2\nbytes: 3\n"
    assert spore_yolo("lake", "push", folder, address) == (0, f"{address}\n{said}", "")
    assert spore_yolo("lake", "version", address) == (0, f"{address}\n{said}", "")
    assert spore_yolo("lake", "version", folder) == (0, f"{folder}\n{said}", "")
    assert spore_yolo("lake", "pull", address, tmp_path / "here") == (0, f"{tmp_path / 'here'}\n{said}", "")
    mirror = mirror_of(RemotePath.parse(address))
    assert spore_yolo("lake", "pull", address, "--expect", version) == (0, f"{mirror}\n{said}", "")
    assert LakeVersion.of_folder(tmp_path / "here") == LakeVersion.of_folder(mirror) == LakeVersion.of_folder(folder)


def test_objects_that_the_folder_does_not_hold_go_if_asked(spore_yolo: Run, s3: Bucket, tmp_path: Path) -> None:
    folder, address = filled(tmp_path / "slides"), f"{s3.address}/slides"
    s3.put("slides/others.txt", b"x")
    spore_yolo("lake", "push", folder, address)
    assert "slides/others.txt" in s3.etags()
    spore_yolo("lake", "push", folder, address, "--delete")
    assert "slides/others.txt" not in s3.etags()


def test_a_changed_object_is_told_and_can_be_taken(spore_yolo: Run, s3: Bucket, tmp_path: Path) -> None:
    folder, address = filled(tmp_path / "slides"), f"{s3.address}/slides"
    spore_yolo("lake", "push", folder, address)
    s3.put("slides/a.txt", b"A")
    code, _, err = spore_yolo("lake", "pull", address)
    assert code == 1 and "1 object is not what the manifest says" in err
    assert f"spore-yolo lake pull {address} --unchecked" in err
    assert spore_yolo("lake", "pull", address, "--unchecked")[0] == 0
    assert spore_yolo("lake", "push", address)[0] == 0
    assert spore_yolo("lake", "pull", address)[0] == 0


def test_what_was_changed_on_both_sides_is_replaced_if_asked(spore_yolo: Run, s3: Bucket, tmp_path: Path) -> None:
    folder, address = filled(tmp_path / "slides"), f"{s3.address}/slides"
    spore_yolo("lake", "push", folder, address)
    (folder / "a.txt").write_text("here")
    s3.put("slides/a.txt", b"there")
    code, _, err = spore_yolo("lake", "push", folder, address)
    assert code == 1 and "a.txt changed both here and in the bucket" in err
    assert spore_yolo("lake", "push", folder, address, "--overwrite")[0] == 0
    assert s3.get("slides/a.txt") == b"here"


def test_a_mirror_deletes_only_what_it_held(spore_yolo: Run, s3: Bucket, tmp_path: Path) -> None:
    folder, address = filled(tmp_path / "slides"), f"{s3.address}/slides"
    spore_yolo("lake", "push", folder, address)
    mirror = mirror_of(RemotePath.parse(address))
    Lake().pull(RemotePath.parse(address), only=lambda name: name == "a.txt")
    (mirror / "a.txt").rename(mirror / "renamed.txt")
    assert spore_yolo("lake", "push", address, "--delete")[0] == 0
    assert {key for key in s3.etags() if ".spore-yolo" not in key} == {"slides/renamed.txt", "slides/deep/b.txt"}


def test_the_expected_version_or_an_error(spore_yolo: Run, s3: Bucket, tmp_path: Path) -> None:
    folder, address = filled(tmp_path / "slides"), f"{s3.address}/slides"
    first = LakeVersion.of_folder(folder).version
    spore_yolo("lake", "push", folder, address)
    (folder / "c.txt").write_text("c")
    spore_yolo("lake", "push", folder, address)
    assert spore_yolo("lake", "pull", address, tmp_path / "here")[0] == 0
    code, out, err = spore_yolo("lake", "pull", address, tmp_path / "here", "--expect", first)
    assert code == 1 and not out and "not of that version: c.txt; pull that version into an empty folder" in err
    code, out, _ = spore_yolo("lake", "pull", address, tmp_path / "empty", "--expect", first)
    assert code == 0 and f"version: {first}" in out
    code, _, err = spore_yolo("lake", "pull", f"{address}/a.txt", "--expect", first)
    assert code == 1 and f"expected version {first}, found " in err


def test_wrong_usage(spore_yolo: Run, s3: Bucket, tmp_path: Path) -> None:
    folder = filled(tmp_path / "slides")
    for words in (["push", folder], ["push", folder, folder], ["push", "nowhere", s3.address], ["pull", folder]):
        code, _, err = spore_yolo("lake", *words)
        assert code == 2, err
    assert spore_yolo("lake", "version", "nowhere")[0] == 2
    assert spore_yolo("lake")[0] == 2


def test_help_has_examples(spore_yolo: Run) -> None:
    code, out, _ = spore_yolo("lake", "--help")
    assert code == 0 and "spore-yolo lake push slides/ s3://farm/slides" in out
    code, out, _ = spore_yolo("--help")
    assert code == 0 and "paths may be s3://bucket/prefix" in out
