"""CSV: a row a box, ``image,x_min,y_min,x_max,y_max,class``, under these or other column names."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError, UsageError
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.values import score_of
from spore_yolo.labels.table import COORDINATES, RawBox, RawLabels

COLUMNS = ["image", *COORDINATES, "class"]
SCORE = "score"

# Other programs' names for our columns, compared without case, blanks, dots and underscores.
GUESSES: Mapping[str, frozenset[str]] = {
    "image": frozenset({"image", "filename", "file", "imagename", "imagepath", "path", "imageid", "slide", "img"}),
    "x_min": frozenset({"xmin", "x1", "left", "xtl", "bboxxmin", "minx", "x0"}),
    "y_min": frozenset({"ymin", "y1", "top", "ytl", "bboxymin", "miny", "y0"}),
    "x_max": frozenset({"xmax", "x2", "right", "xbr", "bboxxmax", "maxx"}),
    "y_max": frozenset({"ymax", "y2", "bottom", "ybr", "bboxymax", "maxy"}),
    "class": frozenset({"class", "label", "classname", "category", "name", "species", "taxon", "labelname"}),
    SCORE: frozenset({"score", "confidence", "conf", "probability", "prob"}),
}


def read_csv(path: Path, images: KnownImages, options: ReadOptions = PLAIN) -> RawLabels:
    """Reads a CSV file with a header; comma, semicolon or tab separate.

    A row with an image and nothing else says that people looked at the image and found no object.

    Args:
        path: The file.
        images: The images that the labels speak of.
        options: ``columns`` and ``scores`` concern this format.

    Raises:
        UsageError: ``columns`` names a column that the file does not have.
        InputProblems: A column is missing or may be any of several.
    """
    labels = RawLabels()
    with _opened(path) as reader:
        own = _columns(path, list(reader.fieldnames or []), options.columns, options.scores)
        for row in reader:
            values = {name: (row[column] or "").strip() for name, column in own.items()}
            _read_row(values, path, reader.line_num, images, labels)
    labels.classes = sorted({box.class_name for box in labels.boxes})
    return labels


def csv_header(path: Path) -> list[str]:
    """The names of the columns of a CSV file."""
    with _opened(path) as reader:
        return list(reader.fieldnames or [])


@contextmanager
def _opened(path: Path) -> Iterator[csv.DictReader[str]]:
    if path.is_dir():
        raise SporeYoloError(f"{path}: expected a CSV file, found a folder")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            separator = max(",;\t", key=header.count)
            stream.seek(0)
            yield csv.DictReader(stream, delimiter=separator)
    except UnicodeDecodeError:
        raise SporeYoloError(f"{path}: expected a CSV file in UTF-8, found other bytes; save it as UTF-8") from None
    except csv.Error as error:
        raise SporeYoloError(f"{path}: not a CSV file: {error}") from None


def _columns(path: Path, header: list[str], given: Mapping[str, str], scores: bool) -> dict[str, str]:
    wanted = [*COLUMNS, SCORE] if scores else COLUMNS
    unknown = [name for name in given if name not in wanted]
    absent = [name for name in given.values() if name not in header]
    if unknown or absent:
        raise UsageError(
            f"column names: expected {', '.join(wanted)} = a column of {path} ({', '.join(header)}),"
            f" found {', '.join(unknown + absent)}"
        )
    own = dict(given)
    problems = []
    for name in wanted:
        if name in own:
            continue
        fits = [column for column in header if _plain(column) in GUESSES[name]]
        # "image" beside "image_id", "class" beside "name": the plain word is meant.
        exact = [column for column in fits if column.strip().lower() == name]
        fits = exact or fits
        if len(fits) == 1:
            own[name] = fits[0]
        elif fits or name != SCORE:
            found = f"found {', '.join(fits)}" if fits else f"found only {', '.join(header) or 'an empty file'}"
            problems.append(Problem(path, 1, f"expected one column that holds {name}, {found}"))
    if problems:
        advice = "Say which column is which, for example --columns image=file,x_min=left,class=taxon"
        raise InputProblems("The columns cannot be told:", problems, advice)
    return own


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _read_row(row: dict[str, str], path: Path, line: int, images: KnownImages, labels: RawLabels) -> None:
    try:
        image = images.find(row["image"])
    except LookupError as error:
        labels.problems.append(Problem(path, line, str(error)))
        return
    labels.labelled_images.add(image)
    if image not in images.sizes or not any(row[name] for name in COLUMNS[1:]):
        return
    if not row["class"]:
        labels.problems.append(Problem(path, line, "expected a class, found nothing"))
        return
    try:
        x_min, y_min, x_max, y_max = (float(row[name]) for name in COORDINATES)
    except ValueError:
        found = ", ".join(row[name] or "nothing" for name in COORDINATES)
        labels.problems.append(Problem(path, line, f"expected four numbers, found {found}"))
        return
    try:
        score = score_of(row[SCORE]) if row.get(SCORE) else None
    except ValueError as error:
        labels.problems.append(Problem(path, line, str(error)))
        return
    labels.boxes.append(RawBox(image, row["class"], x_min, y_min, x_max, y_max, False, path, line, score=score))
