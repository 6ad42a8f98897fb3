"""Which format labels are in, from the first things that their files say."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.files.images import IMAGE_SUFFIXES
from spore_yolo.labels.formats import FORMAT_NAMES
from spore_yolo.labels.readers.columns import find_columns
from spore_yolo.labels.readers.csv import csv_header
from spore_yolo.labels.readers.folder import label_files
from spore_yolo.labels.readers.values import Item, JsonItems, some
from spore_yolo.labels.readers.yolo import CLASS_FILES, NOT_LABELS

MAX_HEAD = 64 * 1024
"""Bytes that are looked at, but for JSON, whose keys come in any order."""

MAX_ITEMS = 1000
"""Items of a JSON file that are looked at; other formats than COCO tell themselves by their first."""

MAX_LINES = 50
"""Lines of a text file that are looked at."""

SAMPLES = 10
"""Files of a suffix that are looked at."""

TABLES = frozenset({".csv", ".tsv"})
LABEL_SUFFIXES = frozenset({".xml", ".json", ".txt", ".parquet"}) | TABLES

ONE_FILE = frozenset({"coco", "parquet"})
"""Formats that have one file for all images, and whose readers take no folder."""

_MARKUP = re.compile(r"<([A-Za-z_][\w.:-]*)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)

Told = tuple[str, str] | None
"""A format, and how it shows."""


class Recognised(NamedTuple):
    """What labels were taken for.

    Attributes:
        label_format: A name of :data:`~spore_yolo.labels.formats.LABEL_FORMATS`.
        reason: How that shows.
        path: What is to be read: the file or folder that was asked for, or the one file in it that holds the labels.
    """

    label_format: str
    reason: str
    path: Path

    def __str__(self) -> str:
        return f"took {self.path} for {FORMAT_NAMES[self.label_format]} ({self.reason})"


def recognise(path: Path) -> Recognised:
    """Finds out the format of a label file, or of the label files below a folder.

    Args:
        path: The file or folder; images and other files may lie beside the labels.

    Raises:
        SporeYoloError: There are no labels, or of several formats, or of none that is known; the message says what was
            found and what to do.
    """
    if not path.exists():
        raise SporeYoloError(f"{path}: no such file or folder; expected labels")
    if not path.is_dir():
        told = _tell(path) or _by_suffix([path])
        if told is None:
            raise SporeYoloError(
                f"{path}: cannot tell the format of this file; say it with --format F, one of {', '.join(FORMAT_NAMES)}"
            )
        return Recognised(*told, path)
    files: dict[str, list[Path]] = {}
    for file, _ in label_files(path, "", "labels"):
        files.setdefault(file.suffix.lower(), []).append(file)
    counts = Counter({suffix or "without suffix": len(group) for suffix, group in files.items()})
    found, faults = _look(files)
    tables = [file for suffix in TABLES for file in files.get(suffix, [])]
    if not found and not faults and (told := _by_suffix(tables)):
        found[told[0]] = [(tables[0], told[1])]
    if len(found) == 1:
        return _of_folder(path, *found.popitem())
    if found:
        kinds = "; ".join(f"{FORMAT_NAMES[name]} ({told[0][0].name})" for name, told in found.items())
        raise SporeYoloError(
            f"{path}: found labels of several formats: {kinds}. Say which is meant with --format F, or give the file or"
            f" folder of one of them; F is {' or '.join(found)}"
        )
    if faults:
        raise faults[0]
    if set(files) <= IMAGE_SUFFIXES:
        number = sum(counts.values())
        raise SporeYoloError(f"{path}: found {number:,} images and no labels; give the label file, or their folder")
    listed = ", ".join(f"{number:,} {suffix}" for suffix, number in counts.most_common(10))
    raise SporeYoloError(
        f"{path}: cannot tell the format of the labels, found {listed}; say it with --format F, one of"
        f" {', '.join(FORMAT_NAMES)}"
    )


def _look(files: Mapping[str, Sequence[Path]]) -> tuple[dict[str, list[tuple[Path, str]]], list[InputProblems]]:
    """The formats of some files of each suffix, with the files and how it shows; and what cannot be read."""
    found: dict[str, list[tuple[Path, str]]] = {}
    faults: list[InputProblems] = []
    for suffix in sorted(LABEL_SUFFIXES & set(files)):
        group = [
            file
            for file in files[suffix]
            if suffix != ".txt" or not (file.stem in NOT_LABELS or file.name in CLASS_FILES)
        ]
        for file in group[:: -(-len(group) // SAMPLES) or 1]:
            try:
                told = _tell(file)
            except InputProblems as error:
                faults.append(error)
                continue
            if told is not None:
                found.setdefault(told[0], []).append((file, told[1]))
    return found, faults


def _of_folder(path: Path, label_format: str, told: list[tuple[Path, str]]) -> Recognised:
    file, reason = told[0]
    if label_format not in ONE_FILE:
        return Recognised(label_format, f"{file.relative_to(path)}: {reason}", path)
    if len(told) > 1:
        listed = some(file.relative_to(path) for file, _ in told)
        raise SporeYoloError(
            f"{path}: found several files that are {FORMAT_NAMES[label_format]}: {listed}; give one of them"
        )
    return Recognised(label_format, reason, file)


def _tell(file: Path) -> Told:
    """The format of one file.

    Raises:
        InputProblems: It is JSON or CSV, and broken.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(MAX_HEAD)
    except OSError as error:
        raise SporeYoloError(f"{file}: cannot be read: {error.strerror}") from None
    if head.startswith(b"PAR1"):
        return "parquet", "it begins with PAR1"
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if wide else "utf-8-sig", errors="replace").lstrip()
    suffix = file.suffix.lower()
    if text.startswith("<"):
        return _of_markup(text)
    if suffix == ".json" or (text.startswith(("{", "[")) and suffix not in TABLES):
        return _of_json(JsonItems(file))
    if suffix in TABLES:
        return _of_table(file)
    lines = text.splitlines()
    whole = lines[:-1] if len(head) == MAX_HEAD and len(lines) > 1 else lines
    if told := _of_numbers([line.split() for line in whole[:MAX_LINES] if line.strip()]):
        return told
    try:
        return _of_table(file)
    except InputProblems:
        return None  # any file is a table to the csv module, so a fault in it says nothing


def _by_suffix(tables: Sequence[Path]) -> Told:
    """CSV, for tables whose columns only the user can tell."""
    if tables and tables[0].suffix.lower() in TABLES:
        return "csv", f"its suffix is {tables[0].suffix}"
    return None


def _of_markup(text: str) -> Told:
    root = _MARKUP.search(_COMMENT.sub("", text))
    formats = {"annotation": "voc", "annotations": "cvat"}
    name = root[1] if root else ""
    return (formats[name], f"its root is <{name}>") if name in formats else None


def _of_json(items: JsonItems) -> Told:
    for number, item in enumerate(items):
        if told := _of_item(item):
            return told
        if number == MAX_ITEMS:
            break
    if "shapes" in items.lists:
        return "labelme", "it has 'shapes'"
    if {"images", "annotations"} <= items.lists:
        return "coco", "it has 'images' and 'annotations'"
    return None


def _of_item(item: Item) -> Told:
    """The format that one part of a JSON file shows."""
    value, part = item.value, item.part
    if not isinstance(value, dict):
        return ("labelme", "it has 'imagePath'") if part == "imagePath" else None
    keys = set(value)
    if part is None:
        return _of_list_item(value, keys)
    if not item.listed:
        if part in ("_via_settings", "_via_img_metadata"):
            return "via", f"it has '{part}'"
        if {"filename", "regions"} <= keys:
            return "via", "its parts have 'filename' and 'regions'"
        if part == "item" and keys & {"slots", "name", "source_info"}:
            return "darwin", "it has 'item'"
        return None
    if (
        (part == "images" and "file_name" in keys)
        or (part == "annotations" and {"image_id", "category_id"} & keys)
        or (part == "categories" and {"id", "name"} <= keys)
    ):
        return "coco", f"it has '{part}'"
    if part in ("annotations", "predictions") and "result" in keys:
        return "label-studio", f"it has '{part}' with 'result'"
    if part == "shapes" and "points" in keys:
        return "labelme", "it has 'shapes' with 'points'"
    return None


def _of_list_item(value: dict[str, Any], keys: set[str]) -> Told:
    """The format of a JSON file that is a list of such items."""
    if {"image_id", "category_id"} <= keys:
        return "coco", "it is a list of results with 'image_id' and 'category_id'"
    if isinstance(value.get("data"), dict) and keys & {"annotations", "predictions", "completions"}:
        return "label-studio", "it is a list of tasks with 'data'"
    if keys & {"image", "imagefilename"} and isinstance(value.get("annotations"), list):
        return "createml", "it is a list of images with 'annotations'"
    if {"filename", "regions"} <= keys:
        return "via", "its items have 'filename' and 'regions'"
    if any(_is_marked(field) for field in value.values()):
        return "label-studio", "its items have a list of rectangles in percent (JSON-MIN)"
    return None


def _is_marked(field: Any) -> bool:
    """Whether a field of a task is what Label Studio's JSON-MIN makes of its shapes."""
    return isinstance(field, list) and any(
        isinstance(shape, dict) and {"original_width", "original_height"} <= set(shape) for shape in field[:1]
    )


def _of_numbers(lines: Sequence[Sequence[str]]) -> Told:
    """The format of a text file with a line an object."""
    try:
        rows = [[float(word) for word in line] for line in lines]
    except ValueError:
        return None
    if not rows:
        return None
    counts = {len(row) for row in rows}
    if counts == {3} and all(row[2].is_integer() for row in rows):
        return "points", "its lines are x y class"
    # Beyond 2 no box touches its image, whatever it hangs over.
    fractions = all(row[0].is_integer() and all(-1 <= number <= 2 for number in row[1:]) for row in rows)
    if fractions and min(counts) >= 5:
        return "yolo", "its lines are a class and fractions"
    return None


def _of_table(file: Path) -> Told:
    """CSV, if the columns of a box can be told."""
    header = csv_header(file)
    if "region_shape_attributes" in header:
        return "via", "it has a column region_shape_attributes"
    try:
        find_columns(file, header, {}, scores=False)
    except InputProblems:
        return None
    return "csv", "it has columns of boxes"
