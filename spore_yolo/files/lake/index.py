"""What this machine remembers of files that were moved, so that unchanged ones are neither moved nor hashed again."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.lake.paths import RemotePath, cache_folder

FORM = 1
"""Counts up when the table changes its form; it is then made anew, and files are hashed once more."""

WAIT_SECONDS = 60
"""For other processes that write to it."""


@dataclass(frozen=True)
class Known:
    """A file as it was when it was last moved or hashed.

    Attributes:
        size: Bytes.
        modified_ns: When it was last written.
        sha256: Its content.
        etag: The content of its object; empty for a file that was only hashed.
    """

    size: int
    modified_ns: int
    sha256: str
    etag: str = ""

    def is_now(self, path: Path) -> bool:
        """Whether the file is still as it was."""
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.modified_ns)

    @staticmethod
    def of(path: Path, sha256: str, etag: str = "") -> Known:
        """The file as it is."""
        found = path.stat()
        return Known(found.st_size, found.st_mtime_ns, sha256, etag)


class Index:
    """A table of files by their path. Losing it costs time, nothing else."""

    def __init__(self) -> None:
        self.path = cache_folder() / "lake" / "index.sqlite"
        self._lock = threading.Lock()

    def below(self, folder: Path, remote: RemotePath | None = None) -> dict[str, Known]:
        """What is known of the files of a folder, by their path relative to it.

        Args:
            folder: The folder.
            remote: The prefix that they mirror; files that mirror another one are left out. ``None``: any.
        """
        begin = f"{os.path.abspath(folder)}/"
        query = "SELECT path, remote, size, modified_ns, sha256, etag FROM files WHERE path >= ? AND path < ?"
        with self._table() as table:
            rows = table.execute(query, (begin, f"{begin[:-1]}0")).fetchall()  # 0 comes after /
        return {
            path.removeprefix(begin): Known(*known)
            for path, where, *known in rows
            if remote is None or where == f"{remote}/{path.removeprefix(begin)}"
        }

    def of(self, path: Path, remote: RemotePath) -> Known | None:
        """What is known of one file, if it mirrors this object."""
        query = "SELECT size, modified_ns, sha256, etag FROM files WHERE path = ? AND remote = ?"
        with self._table() as table:
            row = table.execute(query, (os.path.abspath(path), str(remote))).fetchone()
        return None if row is None else Known(*row)

    def add(self, known: Iterable[tuple[Path, RemotePath, Known]]) -> None:
        """Remembers files, and what they mirror."""
        rows = [
            (os.path.abspath(path), str(remote), one.size, one.modified_ns, one.sha256, one.etag)
            for path, remote, one in known
        ]
        with self._table() as table:
            table.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)

    def forget(self, paths: Iterable[Path]) -> None:
        """Forgets files."""
        with self._table() as table:
            table.executemany("DELETE FROM files WHERE path = ?", [(os.path.abspath(path),) for path in paths])

    @contextmanager
    def _table(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, closing(self._open()) as table, table:
                yield table
        except sqlite3.Error as error:
            raise SporeYoloError(
                f"{self.path}: cannot be used ({error}); make room on its disk, or delete it: it only remembers"
                " what was moved"
            ) from None

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or the disk is full
                raise
            self.path.unlink(missing_ok=True)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        table = sqlite3.connect(self.path, timeout=WAIT_SECONDS)
        try:
            table.execute("PRAGMA synchronous = OFF")
            if table.execute("PRAGMA user_version").fetchone()[0] != FORM:
                with table:
                    table.execute("DROP TABLE IF EXISTS files")
                    table.execute(
                        "CREATE TABLE files (path TEXT PRIMARY KEY, remote TEXT NOT NULL, size INTEGER NOT NULL,"
                        " modified_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, etag TEXT NOT NULL)"
                    )
                    table.execute(f"PRAGMA user_version = {FORM}")
        except BaseException:
            table.close()
            raise
        return table


def hashed(path: Path, known: Known | None) -> Known:
    """The file as it is; it is read only if it changed since it was known."""
    if known is not None and known.is_now(path):
        return known
    return Known.of(path, sha256_file(path))
