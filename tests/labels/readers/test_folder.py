"""Finding label files."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path, PurePosixPath

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.labels.readers.folder import label_files


def test_files_of_any_depth_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/a.xml", "a/c.xml", "a.xml", "B.XML", ".git/x.xml", "a/.c.xml", "a/c.xml.bak", "a/b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = label_files(tmp_path, ".xml", "labels")
    assert [str(relative) for _, relative in found] == ["B.XML", "a/c.xml", "a.xml", "b/a.xml"]
    assert [file for file, _ in found] == [tmp_path / relative for _, relative in found]


def test_one_file_may_be_called_anything(tmp_path: Path) -> None:
    (tmp_path / "labels").touch()
    assert label_files(tmp_path / "labels", ".xml", "labels") == [(tmp_path / "labels", PurePosixPath("labels"))]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self.xml").symlink_to(tmp_path / "a" / "self.xml")
    assert [str(relative) for _, relative in label_files(tmp_path, ".xml", "labels")] == ["a/self.xml"]


def test_folders_may_lie_deeper_than_python_calls_itself(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
        folder.mkdir()
    (folder / "a.xml").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        ((_, relative),) = label_files(tmp_path, ".xml", "labels")
    finally:
        sys.setrecursionlimit(limit)
    assert len(relative.parts) == 301


def test_none(tmp_path: Path) -> None:
    with pytest.raises(SporeYoloError, match=r"expected VOC files, found none"):
        label_files(tmp_path, ".xml", "VOC files")
