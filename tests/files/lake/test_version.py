from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.files.atomic import atomic_file, atomic_folder
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import LakeVersion
from spore_yolo.files.lake.version import Manifest, data_files
from tests.files.lake.test_paths import KEYS

CONTENTS = st.dictionaries(KEYS.filter(bool), st.binary(max_size=8), max_size=6)


def version_of(contents: dict[str, bytes]) -> LakeVersion:
    return LakeVersion({name: (len(one), hashlib.sha256(one).hexdigest()) for name, one in contents.items()})


@given(CONTENTS)
def test_a_manifest_is_read_as_it_is_written(contents: dict[str, bytes]) -> None:
    version = version_of(contents)
    assert LakeVersion.from_json(version.to_json()) == version
    manifest = Manifest(version, dict.fromkeys(contents, "tag"))
    assert Manifest.read(manifest.to_json(), "x") == manifest


@given(CONTENTS, CONTENTS)
def test_two_contents_have_one_version_only_if_they_are_equal(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (version_of(one).version == version_of(other).version) == (one == other)
    assert version_of(dict(reversed(one.items()))).version == version_of(one).version


def test_a_folder_has_the_version_of_its_contents(tmp_path: Path) -> None:
    contents = {"a.txt": b"1", "deep/er/b.bin": b"\x00\xff", "deep/ü c.txt": b"", ".hidden": b"x", "c.tar.gz": b"y"}
    for name, one in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(one)
    found = LakeVersion.of_folder(tmp_path)
    assert found == version_of(contents)
    assert found.size == 5


def test_what_is_no_data_belongs_to_no_version(tmp_path: Path) -> None:
    folder, outside = tmp_path / "data", tmp_path / "outside"
    (folder / ".spore-yolo").mkdir(parents=True)
    outside.mkdir()
    (outside / "slide.jpg").write_text("elsewhere")
    (folder / "a.txt").write_text("a")
    (folder / "half.part").write_text("half")
    (folder / ".spore-yolo" / "version.json").write_text("{}")
    (folder / "link.jpg").symlink_to(outside / "slide.jpg")
    (folder / "dangling.jpg").symlink_to(outside / "gone.jpg")
    (folder / "folder").symlink_to(outside)
    (folder / "same.txt").symlink_to("a.txt")
    with atomic_file(folder / "boxes.csv") as file, atomic_folder(folder / "growing") as growing:
        file.write_text("b")
        (growing / "b.txt").write_text("b")
        assert [name for name, _ in data_files(folder)] == ["a.txt", "same.txt"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="nothing in it"),
        pytest.param(version_of({"a": b"1"}).to_json()[:-20], id="cut off"),
        pytest.param(version_of({"a": b"1"}).to_json().replace('"a"', '"b"'), id="another file"),
        pytest.param(version_of({"../a": b"1"}).to_json(), id="leaves the folder"),
        pytest.param(version_of({"a": b"1"}).to_json().replace('"size": 1', '"size": "1"'), id="a size as text"),
    ],
)
def test_damaged_manifests_are_told(text: str) -> None:
    with pytest.raises(SporeYoloError, match="s3://farm/x: damaged"):
        LakeVersion.from_json(text, "s3://farm/x")


def test_a_manifest_of_a_later_form_is_told() -> None:
    content = json.loads(version_of({"a": b"1"}).to_json()) | {"form": 2}
    with pytest.raises(SporeYoloError, match="a newer spore-yolo wrote it"):
        LakeVersion.from_json(json.dumps(content))
