"""Locks between processes, which end with the process however it ends."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO


def _module() -> Any:
    """``fcntl``, or ``None`` where the system has none; there nothing is locked."""
    try:
        return importlib.import_module("fcntl")
    except ImportError:
        return None


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Holds a lock on a file, which is made if it is missing; who holds it may remove the file.

    Args:
        path: The file.
        wait: Wait for whoever holds the lock.

    Yields:
        Whether the lock is held; ``False`` only without ``wait``, when another holds it.
    """
    fcntl = _module()
    while True:
        with _opened(path) as stream:
            if fcntl is not None:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    yield False
                    return
                if not _is_still(path, stream.fileno()):
                    continue  # whoever held it removed the file: others lock the new one
            yield True
            return


def _opened(path: Path) -> BinaryIO:
    """The file, made with its folder if they are missing; whoever held the lock may remove both at any moment."""
    while True:
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("ab")


def _is_still(path: Path, opened: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(opened))
    except FileNotFoundError:
        return False
