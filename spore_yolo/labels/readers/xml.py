"""XML that may come from anyone, read element by element with lines.

What a file can cost is bounded. Document types and entities are refused: a few lines of them unfold into gigabytes, or
read other files. So are files that are too large, nested too deeply, or have too many elements or too long ones.
"""

from __future__ import annotations

import xml.sax
import xml.sax.handler
import xml.sax.xmlreader
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import defusedxml.common
from defusedxml.expatreader import DefusedExpatParser, create_parser

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNREADABLE_LABEL
from spore_yolo.labels.readers.values import check_size

MAX_ELEMENTS = 5_000_000
"""Most elements of a file; a million boxes with two attributes each are three million."""

MAX_DEPTH = 100
"""Most elements within each other; label formats have fewer than ten."""

MAX_TEXT = 1_000_000
"""Longest text of an element, in letters."""

CHUNK = 1024**2
MAX_CHUNKS = 16
"""Longest tag or comment, in chunks: the parser reads an unfinished one again with each chunk that comes."""


@dataclass(slots=True)
class Element:
    """An element of a file.

    Attributes:
        name: Its name.
        attributes: Its attributes.
        line: The line on which it begins, 1-based.
        within: Name of the opened element that it is directly in; empty for the root, and for what is in an item.
        text: The text in it, behind its last child, without blanks round it.
        children: The elements directly in it.
    """

    name: str
    attributes: dict[str, str]
    line: int
    within: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, name: str) -> Element | None:
        """The first child of that name."""
        return next((child for child in self.children if child.name == name), None)

    def text_of(self, name: str) -> str:
        """The text of the first child of that name; empty without one."""
        child = self.child(name)
        return child.text if child else ""

    def every(self, name: str) -> Iterator[Element]:
        """The elements of that name at any depth, in their order."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.every(name)


class XmlItems:
    """The items of an XML file, one after the other, without holding the others in memory.

    The root is an opened element: it is given when it begins, without children. What is in an opened element is either
    opened as well, where its name is in ``opened``, or it is given when it ends, with all that is in it.

    Args:
        path: The file.
        opened: Names of elements that are opened besides the root.

    Raises:
        InputProblems: The file is too large or no file. While items are taken: it is not XML, or not safe.
    """

    def __init__(self, path: Path, opened: tuple[str, ...] = ()) -> None:
        check_size(path, "XML")
        self._path = path
        self._opened = frozenset(opened)

    def __iter__(self) -> Iterator[Element]:
        parser = create_parser(forbid_dtd=True)
        handler = _Handler(parser, self._opened)
        parser.setContentHandler(handler)
        try:
            with self._path.open("rb") as stream:
                for _ in _feed(parser, stream):
                    yield from handler.taken()
            parser.close()
            yield from handler.taken()
        except xml.sax.SAXParseException as error:
            raise self._unreadable(f"not valid XML: {error.getMessage()}", error.getLineNumber()) from None
        except _TooMuch as error:
            raise self._unreadable(f"not XML that can be read: {error}", parser.getLineNumber()) from None
        except defusedxml.common.DefusedXmlException:
            raise self._unreadable("XML with a document type or entities is not read, for safety") from None
        except (ValueError, LookupError) as error:  # Python's codecs, which serve the parser
            raise self._unreadable(
                f"expected XML in a known encoding, found another ({error!s:.100}); save it as UTF-8"
            ) from None
        except OSError as error:
            raise self._unreadable(f"expected XML, found a file that cannot be read: {error.strerror}") from None

    def _unreadable(self, message: str, line: int | None = None) -> InputProblems:
        return InputProblems("A file cannot be read:", [Problem(self._path, line, message, UNREADABLE_LABEL)])


class _TooMuch(Exception):
    """A limit was passed; the message says which."""


def _feed(parser: DefusedExpatParser, stream: BinaryIO) -> Iterator[None]:
    """Gives a file to a parser, in pieces."""
    place: tuple[int | None, int | None] = (None, None)
    stuck = 0
    parser.feed(b"")  # opens it: an empty file is an error, too
    while chunk := stream.read(CHUNK):
        parser.feed(chunk)
        now = (parser.getLineNumber(), parser.getColumnNumber())
        stuck = stuck + 1 if now == place else 0
        place = now
        if stuck >= MAX_CHUNKS:
            raise _TooMuch(f"a tag or comment is longer than {MAX_CHUNKS * CHUNK // 1024**2} MB")
        yield


class _Handler(xml.sax.handler.ContentHandler):
    """Builds the items of one file."""

    def __init__(self, locator: xml.sax.xmlreader.Locator, opened: frozenset[str]) -> None:
        super().__init__()
        self._locator = locator
        self._opened = opened
        self._path: list[Element] = []
        self._open = 0  # so many elements at the start of the path are opened ones
        self._count = 0
        self._text: list[str] = []
        self._letters = 0
        self._items: list[Element] = []

    def taken(self) -> list[Element]:
        """The items that have come since the last call."""
        items, self._items = self._items, []
        return items

    def startElement(self, name: str, attrs: xml.sax.xmlreader.AttributesImpl) -> None:  # noqa: N802 - a name of SAX
        self._count += 1
        depth = len(self._path)
        if self._count > MAX_ELEMENTS:
            raise _TooMuch(f"it has more than {MAX_ELEMENTS:,} elements; split it into several datasets")
        if depth >= MAX_DEPTH:
            raise _TooMuch(f"it is nested more than {MAX_DEPTH} elements deep")
        parent = self._path[-1] if depth else None
        within = parent.name if parent and depth == self._open else ""
        element = Element(name, dict(attrs.items()), self._locator.getLineNumber() or 1, within)
        if depth == self._open and (name in self._opened or not depth):
            self._open += 1
            self._items.append(element)
        elif parent and depth > self._open:
            parent.children.append(element)
        self._path.append(element)
        self._text.clear()
        self._letters = 0

    def characters(self, content: str) -> None:
        self._letters += len(content)
        if self._letters > MAX_TEXT:
            raise _TooMuch(f"a text is longer than {MAX_TEXT:,} letters")
        self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802 - a name of SAX
        element = self._path.pop()
        if len(self._path) < self._open:
            self._open -= 1
        else:
            element.text = "".join(self._text).strip()
            if len(self._path) == self._open:
                self._items.append(element)
        self._text.clear()
        self._letters = 0
