"""Writes that happen whole or not at all: to a temporary name beside the target, then a rename."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; on success it is renamed to ``path``.

    Any exception, Ctrl-C included, removes the temporary file and leaves ``path`` as it was.
    The temporary name keeps the suffix of ``path``, since writers choose their format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.stem}.{secrets.token_hex(4)}{path.suffix}"
    # With the mode that an ordinary open() gives, which mkstemp does not; and umask() cannot be asked without being
    # changed for all threads.
    temporary.touch(exist_ok=False)
    try:
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Gives an empty temporary folder beside ``path``; on success it takes the place of ``path``.

    An existing folder at ``path`` is replaced as a whole. Any exception, Ctrl-C included, removes
    the temporary folder and leaves ``path`` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    previous = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            if path.exists():
                os.replace(path, previous)
            os.replace(temporary, path)
        except BaseException:
            if previous.exists() and not path.exists():
                os.replace(previous, path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)
