"""The journal of a run: what there is to track, a line an event, before any store sees it."""

from __future__ import annotations

import datetime
import json
import math
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, get_args

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.files.locking import locked

FOLDER = "tracking"
JOURNAL = "journal.jsonl"
KEPT = "files"

Kind = Literal["begin", "describe", "start", "parameters", "metrics", "tags", "dataset", "figure", "artifact", "end"]
"""What an event is; ``begin`` stands first and names the journal, ``start`` and ``end`` enclose a part."""

RUN = ""
"""In place of a part's name: the event is of the run as a whole."""

KEYS: dict[str, set[str]] = {
    "begin": {"id"},
    "describe": {"parameters", "tags"},
    "start": {"label", "commit", "versions", "again"},
    "parameters": {"of", "values"},
    "metrics": {"of", "values", "step"},
    "tags": {"of", "values"},
    "dataset": {"of", "name", "version", "context", "lake_version"},
    "figure": {"of", "path", "name"},
    "artifact": {"of", "path", "name"},
    "end": {"of", "status", "reason"},
}
"""What the payload of each kind holds; ``of`` is the number of the ``start`` event that the part began with."""

_TAIL = 1 << 16


@dataclass(frozen=True)
class Event:
    """A line of the journal.

    Attributes:
        number: Its place, from 1 on without a gap.
        time: When it happened, ISO 8601 in UTC.
        part: The name of the part, or :data:`RUN`.
        kind: What it is.
        payload: What there is to track; which keys depends on the kind.
    """

    number: int
    time: str
    part: str
    kind: Kind
    payload: Mapping[str, Any]

    @property
    def milliseconds(self) -> int:
        """When it happened, in milliseconds since 1970."""
        return round(datetime.datetime.fromisoformat(self.time).timestamp() * 1000)


class Journal:
    """``tracking/journal.jsonl`` in a run's folder, and the files that it speaks of.

    Nothing is written before the first event. An event is one line; a line that was only half written when the process
    was killed is none, and the next one takes its place. Figures and artifacts are kept beside the journal as they were
    when they were tracked: figures as copies, artifacts as hard links where the disk allows, which take no room until
    the original is replaced.

    Args:
        run_folder: The run's folder.
    """

    def __init__(self, run_folder: Path) -> None:
        self.folder = run_folder / FOLDER
        self.path = self.folder / JOURNAL
        self._size = -1
        self._last = 0

    def append(self, part: str, kind: Kind, payload: Mapping[str, Any]) -> Event:
        """Adds an event.

        Raises:
            InputProblems: The last line of the journal is damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "journal.lock"), self.path.open("a+b") as stream:
            self._find_end(stream)
            if not self._last:
                self._write(stream, RUN, "begin", {"id": uuid.uuid4().hex})
            return self._write(stream, part, kind, payload)

    def read(self) -> list[Event]:
        """All events.

        Raises:
            InputProblems: There are damaged lines; each is named.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        events: list[Event] = []
        problems: list[Problem] = []
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):  # what follows the last \n is half a line
            try:
                events.append(_parse(line, number))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                problems.append(Problem(self.path, number, f"expected an event of a tracking journal: {error}"))
        if problems:
            raise InputProblems(
                "A tracking journal is damaged:",
                problems,
                "Take it from a backup, or delete the lines and number the others anew; nothing was sent.",
            )
        return events

    def keep(self, part: str, kind: Literal["figure", "artifact"], source: Path, name: str, **more: Any) -> Event:
        """Keeps a file or a folder as it is now, and adds an event that names it.

        Args:
            part: The name of the part.
            kind: ``figure`` copies, ``artifact`` links where the disk allows.
            source: The file or folder.
            name: What to call it in the store.
            **more: Further keys of the event's payload.
        """
        place = self.folder / KEPT / uuid.uuid4().hex[:12]
        place.mkdir(parents=True)
        target = place / source.name
        try:
            if source.is_dir():
                _copy_folder(source, target)
            elif kind == "figure":
                shutil.copy2(source, target)
            else:
                _link_or_copy(str(source), str(target))
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        kept = target.relative_to(self.folder).as_posix()
        return self.append(part, kind, {"path": kept, "name": name, **more})

    def keep_text(self, part: str, name: str, file: str, text: str, **more: Any) -> Event:
        """Keeps a text as an artifact; see :meth:`keep`."""
        place = self.folder / KEPT / uuid.uuid4().hex[:12]
        place.mkdir(parents=True)
        (place / file).write_text(text, encoding="utf-8")
        kept = (place / file).relative_to(self.folder).as_posix()
        return self.append(part, "artifact", {"path": kept, "name": name, **more})

    def file_of(self, event: Event) -> Path:
        """The file or folder that an event speaks of.

        Raises:
            SporeYoloError: It is no longer there, or is a link or holds one: what a journal names goes into a store,
                and must not come from elsewhere.
        """
        path = self.folder / str(event.payload["path"])
        inside = [self.folder / KEPT, path.parent, path, *path.rglob("*")]
        link = next((one for one in inside if one.is_symlink()), None)
        if link is not None:
            raise SporeYoloError(
                f"{link}: expected a file that was kept here, found a link to elsewhere; it is not sent"
            )
        if not path.exists():
            raise SporeYoloError(f"{path}: no such file; {self.path}:{event.number} speaks of it")
        return path

    def _find_end(self, stream: BinaryIO) -> None:
        """Puts the end of the file behind the last whole line, and finds that line's number."""
        size = stream.seek(0, os.SEEK_END)
        if size == self._size:
            return
        tail, start = b"", size
        while start and tail.count(b"\n") < 2:
            step = min(_TAIL, start)
            start -= step
            stream.seek(start)
            tail = stream.read(step) + tail
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            stream.truncate(start + len(whole))
        self._last = 0
        if whole:
            line = whole[:-1].rsplit(b"\n", 1)[-1]
            try:
                self._last = _parse(line, None).number
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                count = self.path.read_bytes().count(b"\n")
                raise InputProblems(
                    "A tracking journal is damaged:",
                    [Problem(self.path, count, f"expected an event of a tracking journal: {error}")],
                    "Take it from a backup, delete the line, or add --tracking none to go on without tracking.",
                ) from None
        self._size = stream.seek(0, os.SEEK_END)

    def _write(self, stream: BinaryIO, part: str, kind: Kind, payload: Mapping[str, Any]) -> Event:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        event = Event(self._last + 1, now, part, kind, plain(payload))
        stream.write(_line(event))
        stream.flush()
        self._last = event.number
        self._size = stream.seek(0, os.SEEK_END)
        return event


def plain(value: Any) -> Any:
    """A value in the types that JSON has; numbers that JSON has not become ``NaN``, ``Infinity``, ``-Infinity``."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) or hasattr(value, "__float__"):
        number = float(value)
        if math.isnan(number):
            return "NaN"
        return number if math.isfinite(number) else ("Infinity" if number > 0 else "-Infinity")
    return str(value)


def _line(event: Event) -> bytes:
    content = {
        "n": event.number,
        "time": event.time,
        "part": event.part,
        "kind": event.kind,
        "payload": event.payload,
    }
    return json.dumps(content, allow_nan=False).encode() + b"\n"


def _parse(line: bytes, number: int | None) -> Event:
    """Reads a line.

    Args:
        line: The line.
        number: The number that it must have, if that is known.

    Raises:
        ValueError, TypeError, KeyError: It is no event.
    """
    try:
        content = json.loads(line)
    except ValueError:
        raise ValueError(f"found {line[:60]!r}") from None
    if not isinstance(content, dict) or set(content) != {"n", "time", "part", "kind", "payload"}:
        raise ValueError(f"found {line[:60]!r}")
    event = Event(content["n"], content["time"], content["part"], content["kind"], content["payload"])
    if not isinstance(event.number, int) or (number is not None and event.number != number):
        raise ValueError(f"expected the number {number}, found {event.number!r}")
    if event.kind not in get_args(Kind) or not isinstance(event.payload, dict) or not isinstance(event.part, str):
        raise ValueError(f"found {line[:60]!r}")
    missing = KEYS[event.kind] - set(event.payload)
    if missing:
        raise ValueError(f"{event.kind} without {', '.join(map(repr, sorted(missing)))}")
    datetime.datetime.fromisoformat(event.time)
    if event.kind in ("figure", "artifact"):
        # A journal may come from anywhere; what it names must not lead out of its own folder, and into a store.
        path = PurePosixPath(str(event.payload["path"]))
        if path.is_absolute() or ".." in path.parts or path.parts[:1] != (KEPT,):
            raise ValueError(f"the path {str(path)!r} leads out of {KEPT}/")
    return event


def _copy_folder(source: Path, target: Path) -> None:
    """Links or copies the files of a folder; links that lead out of it are left out."""
    inside = source.resolve()

    def leading_out(folder: str, names: list[str]) -> list[str]:
        paths = {name: Path(folder, name) for name in names}
        return [name for name, path in paths.items() if path.is_symlink() and not path.resolve().is_relative_to(inside)]

    shutil.copytree(source, target, ignore=leading_out, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
    return target
