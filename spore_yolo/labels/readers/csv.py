"""CSV and TSV: a row a box, ``image,x_min,y_min,x_max,y_max,class``, under these or other column names."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.columns import find_columns
from spore_yolo.labels.readers.folder import each_label_file, label_files
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.rows import read_rows
from spore_yolo.labels.readers.values import read_text
from spore_yolo.labels.table import RawLabels

EXPECTED = "CSV files (*.csv)"

LARGEST_CELL = 131_072
"""Letters; the csv module's own limit, which another library may have moved."""


def read_csv(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a CSV file with a header, or a folder of them; comma, semicolon or tab separate.

    :mod:`~spore_yolo.labels.readers.columns` says which columns are understood, and
    :func:`~spore_yolo.labels.readers.rows.read_rows` what their rows mean. In a folder a file without an image column
    belongs to the image that has its stem.

    Args:
        path: The file or folder.
        images: The images that the labels speak of.
        options: ``columns``, ``scores`` and ``point_size`` concern this format.

    Raises:
        UsageError: ``columns`` names a column that the file does not have.
        InputProblems: A column is missing or may be any of several, or the file is no CSV file.
    """
    if not path.is_dir():
        return _read_file(path, images, options, named=True)
    labels = RawLabels()
    for file, _ in each_label_file(path, ".csv", EXPECTED):
        part = _read_file(file, images, options, named=False)
        labels.boxes += part.boxes
        labels.problems += part.problems
        labels.notes += part.notes
        labels.labelled_images |= part.labelled_images
        labels.stated_sizes |= part.stated_sizes
    labels.classes = sorted({box.class_name for box in labels.boxes})
    return labels


def _read_file(path: Path, images: KnownImages, options: ReadOptions, *, named: bool) -> RawLabels:
    rows = _rows(path)
    _, header = next(rows, (1, []))
    columns = find_columns(path, header, options.columns, scores=options.scores, named=named)
    return read_rows(path, columns, rows, images, options)


def csv_header(path: Path) -> list[str]:
    """The names of the columns of a CSV file, or of the first in a folder."""
    return next(_rows(label_files(path, ".csv", EXPECTED)[0][0]), (1, []))[1]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file that are not empty, each with its last line, the header first; none is shorter than it."""
    text = read_text(path, "a CSV file")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _unreadable(path, line, "expected text, found a NUL byte; save it as UTF-8")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    separator = max(",;\t", key=text[: text.find("\n") + 1 or None].count)
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.reader(_lines(text), delimiter=separator, strict=True)
    begun = width = 0
    try:
        for row in reader:
            begun = reader.line_num
            if row:
                width = width or len(row)
                yield begun, row if len(row) >= width else row + [""] * (width - len(row))
    except csv.Error as error:
        message = f"expected a row of a CSV file: {error}"
        if reader.line_num > begun + 1 or "end of data" in str(error):
            message = f"expected a row of a CSV file, found a quote that opens here and does not close ({error})"
        raise _unreadable(path, begun + 1, message) from None


def _lines(text: str) -> Iterator[str]:
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end


def _unreadable(path: Path, line: int, message: str) -> InputProblems:
    return InputProblems("A file cannot be read:", [Problem(path, line, message, UNREADABLE_LABEL)])
