"""What several readers need: text and JSON that are read safely, with the lines of their items, and single values.

A label file may come from anyone. What it can cost is bounded: files above :data:`MAX_BYTES` are refused, and so is
JSON with more brackets than :data:`MAX_BRACKETS`, since an empty list of two letters takes thirty times their memory.
"""

from __future__ import annotations

import codecs
import gc
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNREADABLE_LABEL

LARGEST_SIDE = 10_000_000
"""Pixels; a label file that states more does not state a size."""

MAX_BYTES = 512 * 1024**2
"""Size of the largest label file that is read; a million COCO boxes take about 150 MB."""

MAX_BRACKETS = 10_000_000
"""Most lists and objects of a JSON file; a million COCO boxes have two to four million."""

LONG = 16 * 1024**2
"""Letters of JSON from which on its reading shows progress: about two seconds."""

MAX_NAMES = 10
"""Most names that a message lists."""


class Item(NamedTuple):
    """One item of a JSON file.

    Attributes:
        part: Name of the list that it is in; ``None`` where the file itself is the list.
        value: The item.
        line: The line on which it begins, 1-based.
        listed: Whether it is an item of a list, or of an opened object; else it is the whole value of ``part``.
    """

    part: str | None
    value: Any
    line: int
    listed: bool


class JsonItems:
    """The items of a JSON file, one after the other, each with its line, which the json module does not tell.

    A file that is an object gives the items of each of its lists, and its other values whole; a file that is a list
    gives its items. Items that were read and left behind take no memory.

    Args:
        path: The file.
        opened: Names of objects of the file whose values are given one by one, like the items of a list.

    Attributes:
        lists: The lists and opened objects that were met so far, those without items included.

    Raises:
        InputProblems: The file is too large, or not text. While items are taken: it is not JSON.
    """

    def __init__(self, path: Path, opened: Collection[str] = ()) -> None:
        self._path = path
        self._opened = opened
        self._text = _whole_letters(read_text(path, "JSON"))
        _check_brackets(path, self._text)
        self.lists: set[str | None] = set()

    def __iter__(self) -> Iterator[Item]:
        scan = _Scan(self._text)
        try:
            if len(self._text) < LONG:
                yield from self._items(scan)
            else:
                with tqdm(total=len(self._text), desc=f"reading {self._path.name}", unit="B", unit_scale=True) as bar:
                    for number, item in enumerate(self._items(scan)):
                        if number % 10_000 == 0:
                            bar.update(scan.place - bar.n)
                        yield item
                    bar.update(scan.place - bar.n)
        except json.JSONDecodeError as error:
            raise _unreadable(self._path, f"not valid JSON: {error.msg}", error.lineno) from None
        except RecursionError:
            raise _unreadable(self._path, "not JSON that can be read: it is nested too deeply") from None
        except ValueError:  # Python reads no whole number of more than 4,300 digits
            raise _unreadable(self._path, "not JSON that can be read: a number has thousands of digits") from None

    def _items(self, scan: _Scan) -> Iterator[Item]:
        opening = scan.peek()
        if opening == "[":
            self.lists.add(None)
            for value, line in scan.items():
                yield Item(None, value, line, True)
        elif opening == "{":
            for key in scan.names():
                opening = scan.peek()
                if opening == "[":
                    self.lists.add(key)
                    for value, line in scan.items():
                        yield Item(key, value, line, True)
                elif opening == "{" and key in self._opened:
                    self.lists.add(key)
                    for _ in scan.names():
                        yield Item(key, *scan.value(), True)
                else:
                    yield Item(key, *scan.value(), False)
        else:
            yield Item(None, *scan.value(), False)
        if scan.peek():
            raise scan.error("Extra data")


class _Scan:
    """A place in a JSON text, and the line it is on."""

    _blank = re.compile(r"[ \t\n\r]*")
    _behind_item = re.compile(r"[ \t\n\r]*([],])[ \t\n\r]*")

    def __init__(self, text: str) -> None:
        self._text = text
        self.place = 0
        self._line, self._counted = 1, 0
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next letter that is no blank; empty at the end."""
        blank = self._blank.match(self._text, self.place)
        self.place = blank.end() if blank else self.place
        return self._text[self.place : self.place + 1]

    def take(self, letter: str) -> None:
        """Goes on behind ``letter``."""
        if self.peek() != letter:
            raise self.error(f"Expecting '{letter}'")
        self.place += 1

    def items(self) -> Iterator[tuple[Any, int]]:
        """The items of a list and their lines; then the scan is behind the list.

        A file has a million of them: this loop is the shortest way through the text, not the shortest to write.
        """
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        text, decode, behind_item = self._text, self._decode, self._behind_item.match
        while True:
            start = self.place
            self._line += text.count("\n", self._counted, start)
            self._counted = start
            value, self.place = decode(text, start)
            yield value, self._line
            behind = behind_item(text, self.place)
            if behind is None:
                raise self.error("Expecting ',' delimiter")
            self.place = behind.end()
            if behind[1] == "]":
                return

    def names(self) -> Iterator[str]:
        """The names of an object's values; whoever asks takes the value before the next name."""
        self.take("{")
        while self.peek() != "}":
            key, _ = self.value()
            if not isinstance(key, str):
                raise self.error("Expecting property name enclosed in double quotes")
            self.take(":")
            yield key
            if self.peek() != "}":
                self.take(",")
                if self.peek() == "}":
                    raise self.error("Illegal trailing comma")
        self.take("}")

    def value(self) -> tuple[Any, int]:
        """The next value, and its line."""
        self.peek()
        self._line += self._text.count("\n", self._counted, self.place)
        self._counted = self.place
        value, self.place = self._decode(self._text, self.place)
        return value, self._line

    def error(self, message: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self._text, self.place)


def read_json(path: Path) -> tuple[Any, dict[str | None, list[int]]]:
    """Reads a JSON file that is small, such as the labels of one image.

    Returns:
        Its content, and the line of each item of each list that the content holds directly, by the list's name; the
        name is ``None`` where the content itself is a list.

    Raises:
        InputProblems: It is too large, or not JSON.
    """
    items = JsonItems(path)
    content: dict[str | None, Any] = {}
    lines: dict[str | None, list[int]] = {}
    for item in items:
        if item.listed:
            if not isinstance(content.get(item.part), list):  # a key that stood there before, with something else
                content[item.part], lines[item.part] = [], []
            content[item.part].append(item.value)
            lines[item.part].append(item.line)
        else:
            content[item.part] = item.value
    for part in items.lists:
        content.setdefault(part, [])
    return (content[None] if set(content) == {None} else content), lines


def read_text(path: Path, kind: str) -> str:
    """Reads a text file: UTF-8, or what its byte order mark says.

    Args:
        path: The file.
        kind: What it should be, for messages: ``JSON``.

    Raises:
        InputProblems: It is too large, no file, or in another encoding.
    """
    check_size(path, kind)
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = None if wide else data.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"expected {kind} in UTF-8, found other bytes; save it as UTF-8", line) from None


def check_size(path: Path, kind: str) -> None:
    """Makes sure that a label file is a file, and not too large to be read.

    Raises:
        InputProblems: It is not.
    """
    if not path.is_file():
        raise _unreadable(path, f"expected {kind}, found {'a folder' if path.is_dir() else 'no file'}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise _unreadable(
            path,
            f"expected {kind} of at most {MAX_BYTES // 1024**2} MB, found {size / 1024**2:,.0f} MB; split it into"
            " several datasets",
        )


_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)")


def _whole_letters(text: str) -> str:
    """JSON text in which the halves of a letter that stand alone are the sign for an unknown letter.

    JSON may escape them (RFC 8259, section 8.2), but they are no text: nothing can write them, nor look for them.
    """
    if not _HALF.search(text):
        return text
    return _ESCAPE.sub(lambda found: r"\ufffd" if len(found[0]) == 6 else found[0], text)


def _check_brackets(path: Path, text: str) -> None:
    brackets = text.count("[") + text.count("{")
    if brackets > MAX_BRACKETS:
        raise _unreadable(
            path,
            f"expected JSON with at most {MAX_BRACKETS:,} lists and objects, found {brackets:,}; split it into several"
            " datasets",
        )


def _unreadable(path: Path, message: str, line: int | None = None) -> InputProblems:
    return InputProblems("A file cannot be read:", [Problem(path, line, message, UNREADABLE_LABEL)])


def some(names: Iterable[object], letters: int = 40) -> str:
    """The first names of many, for a message; of each so many letters at most."""
    texts = [f"{name!s:.{letters}}" for name, _ in zip(names, range(MAX_NAMES + 1), strict=False)]
    return ", ".join(texts[:MAX_NAMES]) + (", …" if len(texts) > MAX_NAMES else "")


def numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """A JSON list of ``count`` numbers, or ``None`` where it is something else; NaN and infinity are let through."""
    if not isinstance(values, list) or len(values) != count or not _NUMBERS.issuperset(map(type, values)):
        return None
    try:
        return tuple(map(float, values))
    except OverflowError:
        return None


_NUMBERS = {int, float}  # bool is a kind of int, but true is no number


@contextmanager
def paused_collector() -> Iterator[None]:
    """Keeps Python from looking for unreachable objects among a million new ones, all of them in use, time and again.

    What is read from a file holds no circles, so nothing waits for the collector.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height as a label file states them, or ``None`` where it does not; 0 x 0 is some tools' "unknown"."""
    sides = (width, height)
    whole = all(isinstance(side, int | float) and 1 <= side <= LARGEST_SIDE and side == int(side) for side in sides)
    return (int(width), int(height)) if whole else None


def score_of(value: Any) -> float:
    """A score.

    Raises:
        ValueError: It is no number from 0 to 1; the message says what was found.
    """
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not 0 <= score <= 1:
        raise ValueError(f"expected a score from 0 to 1, found {value!r:.40}")
    return score
