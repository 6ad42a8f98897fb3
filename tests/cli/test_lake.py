from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spore_yolo.files.lake import LakeVersion, RemotePath, mirror_of
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
