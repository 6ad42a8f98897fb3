"""Watches what Python code does to the machine while it handles files that may come from anyone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Forbidden(BaseException):
    """A case did something that reading labels does not need."""


class Guard:
    """Watches what the process does while a case runs; Python has no way to take such a hook out again."""

    WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
    NEVER = (
        "socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto", "subprocess.Popen", "os.system",
        "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pickle.find_class", "urllib.Request",
        "os.chown", "os.setxattr", "ctypes.dlopen",
    )  # fmt: skip
    CREATES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def __init__(self, images: Path) -> None:
        self.folder: Path | None = None
        self.broken: list[str] = []
        package = Path(__file__).resolve().parents[1] / "spore_yolo"
        self._readable = tuple(
            os.path.realpath(place)
            for place in (
                images,
                package,
                sys.prefix,
                sys.base_prefix,
                "/proc",
                "/sys",
                "/usr/share",
                "/dev",
                *sys.path,
            )
            if place
        )
        sys.addaudithook(self._see)

    @contextmanager
    def watching(self, folder: Path) -> Iterator[None]:
        """Lets everything happen in ``folder`` only."""
        self.folder, self.broken = folder, []
        try:
            yield
        finally:
            self.folder = None

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        fault = ""
        if event == "open":
            fault = self._opened(*arguments)
        elif event in self.WRITES:
            paths = (
                arguments[:2]
                if event in ("os.rename", "os.link")
                else arguments[1:2]
                if event == "os.symlink"
                else arguments[:1]
            )
            bad = [path for path in paths if not self._within(path, (str(self.folder),), arguments)]
            fault = f"{event} of {bad[0]!r:.200}" if bad else ""
        elif event in self.NEVER:
            fault = f"{event} {arguments!r:.200}"
        if fault:
            self.broken.append(fault)
            raise Forbidden(fault)

    def _opened(self, path: Any, mode: str | None, flags: int) -> str:
        if isinstance(path, int):
            return ""
        own = (str(self.folder),)
        if flags & self.CREATES or (mode and set(mode) & set("wax+")):
            return "" if self._within(path, own, ()) or path == os.devnull else f"opened {path!r:.200} for writing"
        return "" if self._within(path, own + self._readable, ()) else f"opened {path!r:.200} for reading"

    @staticmethod
    def _within(path: Any, folders: tuple[str, ...], arguments: tuple[Any, ...]) -> bool:
        if isinstance(path, int):
            return True
        name = os.fsdecode(path)
        descriptor = arguments[-1] if arguments and isinstance(arguments[-1], int) and arguments[-1] > 2 else None
        if descriptor is not None and not os.path.isabs(name):
            name = os.path.join(f"/proc/self/fd/{descriptor}", name)
        try:
            real = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
        except (ValueError, OSError):
            return True  # no such name can be opened
        return any(real == folder or real.startswith(f"{folder}/") for folder in folders)
