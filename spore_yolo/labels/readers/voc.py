"""Pascal VOC XML: a file an image; pixels are 1-based and the maximum belongs to the box.

supervision's and most other readers take the numbers as they stand, which shifts every box by one pixel; hence ours.
"""

from __future__ import annotations

import xml.sax
import xml.sax.handler
import xml.sax.xmlreader
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import defusedxml.common
import defusedxml.sax

from spore_yolo.files.errors import Problem, SporeYoloError
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.values import stated_size
from spore_yolo.labels.table import RawBox, RawLabels


@dataclass
class _Object:
    line: int
    values: dict[str, str] = field(default_factory=dict)


class _Handler(xml.sax.handler.ContentHandler):
    """Collects the objects of one file, each with its line, which ElementTree does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.root: str | None = None
        self.file: dict[str, str] = {}
        self.objects: list[_Object] = []
        self._path: list[str] = []
        self._text = ""
        self._locator: xml.sax.xmlreader.Locator | None = None

    def setDocumentLocator(self, locator: xml.sax.xmlreader.Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: xml.sax.xmlreader.AttributesImpl) -> None:
        self.root = self.root or name
        self._path.append(name)
        self._text = ""
        if self._path[1:] == ["object"]:
            line = self._locator.getLineNumber() if self._locator else None
            self.objects.append(_Object(line or 1))

    def characters(self, content: str) -> None:
        self._text += content

    def endElement(self, name: str) -> None:
        where = self._path[1:]
        if where[:1] == ["object"] and where[1:] in (
            ["name"],
            ["difficult"],
            ["bndbox", "xmin"],
            ["bndbox", "ymin"],
            ["bndbox", "xmax"],
            ["bndbox", "ymax"],
        ):
            self.objects[-1].values[name] = self._text.strip()
        elif where in (["filename"], ["size", "width"], ["size", "height"]):
            self.file[name] = self._text.strip()
        self._path.pop()
        self._text = ""


def read_voc(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a folder of Pascal VOC XML files, or one such file.

    An image is found by the XML file's own name, else by its ``filename``. ``difficult`` objects become ignored boxes.
    A box whose maximum equals its minimum is a stray click and has no area, though VOC would count one pixel.
    """
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*.xml") if not f.name.startswith("."))
    if not files:
        raise SporeYoloError(f"{path}: expected Pascal VOC files (NAME.xml for NAME.jpg), found none")
    labels = RawLabels()
    for file in files:
        relative = PurePosixPath(file.relative_to(path).as_posix()) if path.is_dir() else PurePosixPath(file.name)
        _read_file(file, relative, images, labels)
    labels.classes = sorted({box.class_name for box in labels.boxes})
    return labels


def _read_file(file: Path, relative: PurePosixPath, images: KnownImages, labels: RawLabels) -> None:
    handler = _Handler()
    try:
        with file.open("rb") as stream:
            defusedxml.sax.parse(stream, handler, forbid_dtd=True)
    except xml.sax.SAXParseException as error:
        labels.problems.append(Problem(file, error.getLineNumber(), f"not valid XML: {error.getMessage()}"))
        return
    except defusedxml.common.DefusedXmlException:
        labels.problems.append(Problem(file, None, "XML with a document type or entities is not read, for safety"))
        return
    except (ValueError, LookupError) as error:
        message = f"expected XML in a known encoding, found another ({error}); save it as UTF-8"
        labels.problems.append(Problem(file, None, message))
        return
    if handler.root != "annotation":
        labels.problems.append(Problem(file, 1, f"expected a VOC file with <annotation>, found <{handler.root}>"))
        return
    try:
        image = images.find_for_label(relative)
    except LookupError as by_stem:
        try:
            image = images.find(handler.file.get("filename", ""))
        except LookupError as by_name:
            labels.problems.append(Problem(file, None, str(by_name if handler.file.get("filename") else by_stem)))
            return
    if image in labels.labelled_images:
        labels.problems.append(Problem(file, None, f"expected one file an image, found a second one for {image}"))
        return
    labels.labelled_images.add(image)
    size = _stated_size(handler.file)
    if size:
        labels.stated_sizes[image] = size
    if image not in images.sizes:
        return
    for item in handler.objects:
        box = _box(item, image, file, size)
        if isinstance(box, Problem):
            labels.problems.append(box)
        else:
            labels.boxes.append(box)


def _box(item: _Object, image: str, file: Path, size: tuple[int, int] | None) -> RawBox | Problem:
    missing = [key for key in ("name", "xmin", "ymin", "xmax", "ymax") if not item.values.get(key)]
    if missing:
        return Problem(file, item.line, f"expected <name> and <bndbox> in the object, found no {', '.join(missing)}")
    try:
        x_min, y_min, x_max, y_max = (float(item.values[key]) for key in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        found = ", ".join(item.values[key] for key in ("xmin", "ymin", "xmax", "ymax"))
        return Problem(file, item.line, f"expected four numbers, found {found}")
    if x_max > x_min:
        x_min -= 1.0
    if y_max > y_min:
        y_min -= 1.0
    ignored = item.values.get("difficult", "0").lower() not in ("", "0", "false", "no")
    return RawBox(image, item.values["name"], x_min, y_min, x_max, y_max, ignored, file, item.line, size)


def _stated_size(values: dict[str, str]) -> tuple[int, int] | None:
    try:
        size = int(values["width"]), int(values["height"])
    except (KeyError, ValueError):
        return None
    return stated_size(*size)
