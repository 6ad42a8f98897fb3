"""Writes counts and detections as an Excel workbook, for people who read tables with their eyes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font, PatternFill
from openpyxl.utils import get_column_letter

from spore_yolo.files.atomic import atomic_file
from spore_yolo.labels.writers.candidates import written

EXCEL_ROWS = 1_048_576
"""The most rows that Excel opens on a sheet, the header included."""

HEADER = PatternFill("solid", fgColor="DDE3EA")
TARGET = PatternFill("solid", fgColor="FFD966")
BOLD = Font(bold=True)
FORMULA_SIGNS = ("=", "+", "-", "@")
WIDEST = 60


def write_workbook(
    path: Path,
    counts: pd.DataFrame,
    detections: pd.DataFrame,
    about: Sequence[tuple[str, Any]],
    targets: Sequence[str] = (),
) -> list[str]:
    """Writes the sheets ``counts``, ``detections`` and ``about``, whole or not at all.

    Text stays text, whatever it begins with: Excel computes nothing in this file.

    Args:
        path: The ``.xlsx`` file.
        counts: A row a slide: ``slide``, a column a class, ``all``.
        detections: A row a detection, as for :func:`spore_yolo.labels.writers.candidates.write_csv`.
        about: What made them: name and value, a row each. Several rows may have one name.
        targets: The classes whose columns are marked.

    Returns:
        What had no place in the workbook, a line each.
    """
    most = EXCEL_ROWS - 2  # between the header and the last row
    notes = [
        f"{path.name} holds the first {most:,} of {len(table):,} {what}, Excel opens no more rows; {whole} has all"
        for what, table, whole in (
            ("slides", counts, "counts.csv"),
            ("detections", detections, "predictions.csv"),
        )
        if len(table) > most
    ]
    totals = ["all slides", *(int(counts[name].sum()) for name in counts.columns[1:])]
    book = Workbook(write_only=True)
    with atomic_file(path) as temporary, _closing(book):
        _add_table(book, "counts", counts.head(most), totals, {name: f"{name} (target)" for name in targets})
        _add_table(book, "detections", written(detections.head(most)), notes[-1:] if len(detections) > most else ())
        _add_about(book, [*about, *(("note", note) for note in notes)])
        book.save(temporary)
    return notes


@contextmanager
def _closing(book: Workbook) -> Iterator[None]:
    """Closes the sheets if the work stops in their middle; else they complain on the screen when they are let go."""
    try:
        yield
    except BaseException:
        for sheet in book.worksheets:
            with suppress(Exception):
                sheet.close()
        raise


def _add_about(book: Workbook, rows: Sequence[tuple[str, Any]]) -> None:
    sheet = book.create_sheet("about")
    sheet.column_dimensions["A"].width = 26
    sheet.column_dimensions["B"].width = 110
    sheet.append([_cell(sheet, name, bold=True, fill=HEADER) for name in ("what", "value")])
    for name, value in rows:
        sheet.append([_cell(sheet, name, bold=True), _cell(sheet, value)])


def _add_table(
    book: Workbook, title: str, table: pd.DataFrame, last_row: Sequence[Any], marks: Mapping[str, str] | None = None
) -> None:
    """Adds a sheet with a header that stays in sight, a filter, and columns as wide as what they hold.

    Args:
        book: Opened to be written only, so that a million rows take little memory.
        title: Name of the sheet.
        table: What it holds.
        last_row: A row below the table that the filter leaves alone.
        marks: Header, in the colour of targets, of the columns that are marked.
    """
    marks = marks or {}
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "B2"
    letters = [get_column_letter(number) for number in range(1, len(table.columns) + 1)]
    headers = [marks.get(name, name) for name in table.columns]
    for letter, header, name in zip(letters, headers, table.columns, strict=True):
        longest = max((len(str(value)) for value in table[name].head(1000)), default=0)
        # The filter's button covers the end of a header.
        sheet.column_dimensions[letter].width = min(WIDEST, max(len(header) + 4, longest + 2))
    sheet.auto_filter.ref = f"A1:{letters[-1]}{len(table) + 1}"
    sheet.append(
        [
            _cell(sheet, header, bold=True, fill=TARGET if name in marks else HEADER)
            for name, header in zip(table.columns, headers, strict=True)
        ]
    )
    for row in _rows(table):
        sheet.append([_cell(sheet, value) if isinstance(value, str) else value for value in row])
    if last_row:
        sheet.append([_cell(sheet, value, bold=True) for value in last_row])


def _rows(table: pd.DataFrame) -> Iterator[Iterable[Any]]:
    """The rows as Python's own numbers and texts; ``None`` for what is missing."""
    columns = [table[name].astype(object).where(table[name].notna(), None) for name in table.columns]
    return zip(*columns, strict=True)


def _cell(sheet: Any, value: Any, *, bold: bool = False, fill: PatternFill | None = None) -> Any:
    """A cell whose text is never taken for a formula, neither now nor when somebody edits it."""
    if isinstance(value, str):
        # XML has no control characters; names of files may.
        value = ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", value)
    cell = WriteOnlyCell(sheet, value)
    if isinstance(value, str):
        cell.data_type = "s"
        if value.startswith(FORMULA_SIGNS):
            cell.quotePrefix = True
    if bold:
        cell.font = BOLD
    if fill is not None:
        cell.fill = fill
    return cell
