"""Writes that happen whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spore_yolo.files.atomic import atomic_file, atomic_folder, write_text

INTERRUPTIONS = [
    pytest.param(ValueError("a row is wrong"), id="an error of the writer"),
    pytest.param(KeyboardInterrupt(), id="Ctrl-C"),
    pytest.param(SystemExit(1), id="the program is asked to stop"),
]


def names_in(folder: Path) -> list[str]:
    """Everything below a folder, hidden files included."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


class TestAtomicFile:
    def test_new_file_appears_only_at_the_end(self, tmp_path: Path) -> None:
        target = tmp_path / "table.csv"
        with atomic_file(target) as temporary:
            temporary.write_text("half")
            assert not target.exists()
            temporary.write_text("whole")
        assert target.read_text() == "whole"
        assert names_in(tmp_path) == ["table.csv"]

    def test_old_file_is_replaced(self, tmp_path: Path) -> None:
        target = tmp_path / "table.csv"
        target.write_text("a much longer old content")
        with atomic_file(target) as temporary:
            temporary.write_text("new")
            assert target.read_text() == "a much longer old content"
        assert target.read_text() == "new"
        assert names_in(tmp_path) == ["table.csv"]

    @pytest.mark.parametrize("interruption", INTERRUPTIONS)
    @pytest.mark.parametrize("existed", [True, False], ids=["over an old file", "for a new file"])
    def test_interruption_leaves_everything_as_it_was(
        self, tmp_path: Path, interruption: BaseException, existed: bool
    ) -> None:
        target = tmp_path / "table.csv"
        if existed:
            target.write_text("old")
        with pytest.raises(type(interruption)), atomic_file(target) as temporary:
            temporary.write_text("half")
            raise interruption
        assert names_in(tmp_path) == (["table.csv"] if existed else [])
        assert not existed or target.read_text() == "old"

    def test_parents_are_made(self, tmp_path: Path) -> None:
        write_text(tmp_path / "one" / "two" / "note.txt", "x")
        assert (tmp_path / "one" / "two" / "note.txt").read_text() == "x"

    def test_temporary_name_keeps_the_suffix_and_the_folder(self, tmp_path: Path) -> None:
        with atomic_file(tmp_path / "boxes.parquet") as temporary:
            assert temporary.suffix == ".parquet"
            assert temporary.parent == tmp_path

    def test_result_is_as_readable_as_an_ordinary_file(self, tmp_path: Path) -> None:
        (tmp_path / "ordinary").write_text("x")
        write_text(tmp_path / "atomic", "x")
        assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "ordinary").stat().st_mode

    def test_the_mask_of_new_files_is_not_touched_since_threads_share_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail(f"set to {mask}"))
        write_text(tmp_path / "note.txt", "x")


def test_write_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "Mäusegerste 真菌\n")
    assert (tmp_path / "note.txt").read_bytes() == "Mäusegerste 真菌\n".encode()


class TestAtomicFolder:
    def test_new_folder_appears_only_at_the_end(self, tmp_path: Path) -> None:
        target = tmp_path / "dataset"
        with atomic_folder(target) as temporary:
            (temporary / "a.txt").write_text("a")
            assert not target.exists()
        assert names_in(tmp_path) == ["dataset", "dataset/a.txt"]

    def test_old_folder_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "dataset"
        (target / "deep").mkdir(parents=True)
        (target / "deep" / "old.txt").write_text("old")
        (target / "same.txt").write_text("old")
        with atomic_folder(target) as temporary:
            assert names_in(temporary) == [], "the writer must not find old files"
            (temporary / "same.txt").write_text("new")
            assert (target / "same.txt").read_text() == "old"
        assert names_in(tmp_path) == ["dataset", "dataset/same.txt"]
        assert (target / "same.txt").read_text() == "new"

    @pytest.mark.parametrize("interruption", INTERRUPTIONS)
    @pytest.mark.parametrize("existed", [True, False], ids=["over an old folder", "for a new folder"])
    def test_interruption_leaves_everything_as_it_was(
        self, tmp_path: Path, interruption: BaseException, existed: bool
    ) -> None:
        target = tmp_path / "dataset"
        if existed:
            target.mkdir()
            (target / "old.txt").write_text("old")
        with pytest.raises(type(interruption)), atomic_folder(target) as temporary:
            (temporary / "deep").mkdir()
            (temporary / "deep" / "half.txt").write_text("half")
            raise interruption
        assert names_in(tmp_path) == (["dataset", "dataset/old.txt"] if existed else [])
        assert not existed or (target / "old.txt").read_text() == "old"

    @pytest.mark.parametrize(
        ("call", "happens"),
        [
            pytest.param(1, "before", id="before the old folder moves away"),
            pytest.param(1, "after", id="just after the old folder moved away"),
            pytest.param(2, "before", id="before the new folder takes its place"),
        ],
    )
    def test_ctrl_c_during_the_exchange_does_not_lose_the_old_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, happens: str
    ) -> None:
        target = tmp_path / "dataset"
        target.mkdir()
        (target / "old.txt").write_text("old")
        calls = 0
        replace = os.replace

        def interrupted(source: Path, destination: Path) -> None:
            nonlocal calls
            calls += 1
            if calls == call and happens == "before":
                raise KeyboardInterrupt
            replace(source, destination)
            if calls == call:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt), atomic_folder(target) as temporary:
            (temporary / "new.txt").write_text("new")
        assert names_in(tmp_path) == ["dataset", "dataset/old.txt"]

    def test_failure_of_the_exchange_brings_the_old_folder_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "dataset"
        target.mkdir()
        (target / "old.txt").write_text("old")
        replace = os.replace

        def failing(source: Path, destination: Path) -> None:
            if (Path(source) / "new.txt").exists():
                raise OSError("the disk is full")
            replace(source, destination)

        monkeypatch.setattr(os, "replace", failing)
        with pytest.raises(OSError, match="disk is full"), atomic_folder(target) as temporary:
            (temporary / "new.txt").write_text("new")
        assert names_in(tmp_path) == ["dataset", "dataset/old.txt"]

    def test_parents_are_made_and_others_may_enter(self, tmp_path: Path) -> None:
        with atomic_folder(tmp_path / "one" / "dataset"):
            pass
        assert (tmp_path / "one" / "dataset").stat().st_mode & 0o555 == 0o555
