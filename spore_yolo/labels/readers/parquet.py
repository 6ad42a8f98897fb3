"""Parquet: a row a box, with the columns that CSV has too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.codes import UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.columns import Columns, find_columns
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.rows import MAX_ROWS, read_rows
from spore_yolo.labels.readers.values import MAX_BYTES, check_size, some
from spore_yolo.labels.table import RawLabels

BATCH = 20_000
"""Rows that are unpacked at a time."""


def read_parquet(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a Parquet file; columns and rows mean what they mean in CSV, and a row's line is its number from 1.

    Args:
        path: The file.
        images: The images that the labels speak of.
        options: ``columns``, ``scores`` and ``point_size`` concern this format.

    Raises:
        UsageError: ``columns`` names a column that the file does not have.
        InputProblems: A column is missing or may be any of several, or the file is damaged or too large.
    """
    file = _opened(path)
    header = [str(name) for name in file.schema_arrow.names]
    columns = find_columns(path, header, options.columns, scores=options.scores)
    used = [header[place] for place in sorted(set(columns.place.values()))]
    _check_unpacked(path, file, used)
    place = {role: used.index(header[at]) for role, at in columns.place.items()}
    columns = Columns(place, columns.layout, columns.notes, columns.spare_size)
    return read_rows(path, columns, _rows(path, used), images, options)


def parquet_header(path: Path) -> list[str]:
    """The names of the columns of a Parquet file."""
    return [str(name) for name in _opened(path).schema_arrow.names]


def _opened(path: Path, texts: list[str] | None = None) -> Any:
    """A Parquet file; columns of ``texts`` keep each text once, however many rows have it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_size(path, "a Parquet file")
    try:
        return pq.ParquetFile(path, read_dictionary=texts)
    except (pa.ArrowException, OSError, ValueError) as error:
        message = f"expected a Parquet file, found something else or a damaged one ({error!s:.200})"
        raise _unreadable(path, message) from None


def _check_unpacked(path: Path, file: Any, used: list[str]) -> None:
    """A small file can unpack to any size; what it says of itself must fit.

    What single columns of a row group say is not asked: pyarrow ends the whole program where it contradicts itself. So
    nobody knows how long the lists of a column are, and there must be none.
    """
    import pyarrow as pa

    lists = [name for name in used if pa.types.is_nested(file.schema_arrow.field(name).type)]
    if lists:
        message = (
            f"expected columns of single values, found lists or the like in {some(lists)}; write a box as four columns"
        )
        raise _unreadable(path, message)
    meta = file.metadata
    try:
        size = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, f"the file is damaged ({error!s:.200})") from None
    if meta.num_rows > MAX_ROWS or size > MAX_BYTES:
        raise _unreadable(
            path,
            f"expected at most {MAX_ROWS:,} rows and {MAX_BYTES // 1024**2} MB when unpacked, found {meta.num_rows:,}"
            f" rows and {size / 1024**2:,.0f} MB; split it into several datasets",
        )


def _rows(path: Path, used: list[str]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    import pyarrow as pa

    schema = _opened(path).schema_arrow
    is_text = (pa.types.is_string, pa.types.is_large_string)
    file = _opened(path, [name for name in used if any(test(schema.field(name).type) for test in is_text)])
    line = 0
    try:
        for batch in file.iter_batches(batch_size=BATCH, columns=used):
            # The order of a batch's columns is the file's, as that of `used`.
            for row in zip(*(_values(batch.column(name)) for name in used), strict=True):
                line += 1
                yield line, row
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, f"the file is damaged ({error!s:.200})", line + 1) from None


def _values(column: Any) -> list[Any]:
    """The values of a column; texts that come again are one object."""
    import pyarrow as pa

    if not isinstance(column, pa.DictionaryArray):
        return list(column.to_pylist())
    texts = column.dictionary.to_pylist()
    return [None if index is None else texts[index] for index in column.indices.to_pylist()]


def _unreadable(path: Path, message: str, line: int | None = None) -> InputProblems:
    return InputProblems("A file cannot be read:", [Problem(path, line, message, UNREADABLE_LABEL)])
