from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.lake.paths import (
    RemotePath,
    as_address,
    cache_folder,
    from_address,
    is_remote,
    is_safe,
    mirror_of,
    mirror_root,
    remote_of,
    target_of,
)

NAMES = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in (".", "..")
)
KEYS = st.lists(NAMES, max_size=4).map("/".join)


@given(KEYS)
def test_an_address_is_read_as_it_is_written(key: str) -> None:
    remote = RemotePath("farm", key)
    assert RemotePath.parse(str(remote)) == remote
    assert RemotePath.parse(f"{remote}/") == remote


@given(KEYS, NAMES)
def test_what_lies_in_a_place_has_it_as_its_parent(key: str, name: str) -> None:
    inner = RemotePath("farm", key) / name
    assert (inner.parent, inner.name) == (RemotePath("farm", key), name)


@given(KEYS)
def test_a_mirror_leads_back_to_its_address_and_stays_in_the_cache(key: str) -> None:
    remote = RemotePath("farm", key)
    assert remote_of(mirror_of(remote)) == remote
    assert Path(os.path.normpath(mirror_of(remote))).is_relative_to(mirror_root())
    assert from_address(as_address(mirror_of(remote))) == mirror_of(remote)


@given(st.text())
def test_a_safe_name_never_leaves_its_folder(relative: str) -> None:
    if is_safe(relative):
        inside = Path(os.path.normpath(Path("/folder") / relative))
        assert inside != Path("/folder") and inside.is_relative_to("/folder")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a\\..\\b", "a\0b", ".."])
def test_keys_that_leave_the_folder_are_told(key: str, tmp_path: Path) -> None:
    with pytest.raises(SporeYoloError, match="cannot be a path on disk"):
        target_of(key, tmp_path, RemotePath("farm"))


@pytest.mark.parametrize(
    "text",
    ["s3://", "s3:///a", "s3://farm//a", "s3://farm/../a", "s3://farm/a//", "/farm/a", "gs://farm/a", "s3://-x/a"],
)
def test_other_texts_are_no_addresses(text: str) -> None:
    with pytest.raises(UsageError):
        RemotePath.parse(text)


def test_what_counts_as_an_address() -> None:
    assert is_remote("s3://farm/a") and is_remote(RemotePath("farm"))
    assert not is_remote("farm/a") and not is_remote(Path("s3:/farm")) and not is_remote("gs://farm")


def test_the_cache_lies_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "all"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("SPORE_YOLO_CACHE")
    assert cache_folder() == tmp_path / "all" / "spore-yolo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "spore-yolo"


def test_paths_that_are_no_mirror_have_no_address(tmp_path: Path) -> None:
    assert remote_of(tmp_path) is None
    assert remote_of(mirror_root()) is None
    assert as_address(Path("slides") / "a.jpg") == "slides/a.jpg"
