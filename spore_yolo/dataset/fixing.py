"""Mends what can be mended without a guess, into new label files; the labels that were read stay as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from spore_yolo.dataset.checks.base import Material
from spore_yolo.dataset.checks.duplicate import CODE as DUPLICATE
from spore_yolo.dataset.checks.duplicate import SAME
from spore_yolo.dataset.checks.similar_names import CODE as SIMILAR_NAMES
from spore_yolo.dataset.checks.similar_names import spellings
from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.errors import UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.codes import BEYOND_BORDER, NEGATIVE, NO_AREA
from spore_yolo.labels.label_set import LabelSet, classes_of
from spore_yolo.labels.table import (
    COORDINATES,
    LARGEST_COORDINATE,
    MAX_OVERHANG,
    UNKNOWN_SIZE,
    Corners,
    RawBox,
    check_boxes,
    clipped_to,
    displayed,
    fault_of_size,
)
from spore_yolo.labels.writers import FOLDER_FORMATS, WRITERS, write_labels

CHANGE_COLUMNS = ["code", "file", "line", "image", "class", "before", "after", "why"]
"""Columns of ``changes.csv``, a row a change; a box is ``x_min y_min x_max y_max``, a class its name."""

CHANGES, SKIPPED = "changes.csv", "skipped.csv"

MENDED = frozenset({NEGATIVE, NO_AREA, BEYOND_BORDER, DUPLICATE, SIMILAR_NAMES})
"""The codes of what is mended."""

SUFFIXES = {"coco": ".json", "csv": ".csv", "parquet": ".parquet", "cvat": ".xml"}
"""The suffix of label files of the formats that are one file."""


@dataclass(frozen=True)
class Mended:
    """What was mended, and where it lies.

    Attributes:
        folder: The folder that was asked for.
        labels: The new label file or folder in it; ``None`` where there was nothing to mend and nothing was written.
        label_format: The format of the new labels.
        changes: A row a change, columns :data:`CHANGE_COLUMNS`.
        skipped: How many labels could not be mended, and are not in the new labels.
        notes: What the new format could not hold.
    """

    folder: Path
    labels: Path | None
    label_format: str
    changes: pd.DataFrame
    skipped: int
    notes: list[str]


def mend(material: Material, codes: Collection[str] = MENDED) -> tuple[Material, pd.DataFrame]:
    """Mends labels; nothing is written.

    What is done: minimum and maximum of a box are swapped (SPR012), a box without area goes (SPR013), a box that
    reaches beyond the border is clipped (SPR015), of two boxes that are the same the later goes (SPR018), and names of
    classes that differ in case or blanks only get the commonest spelling (SPR022).

    Args:
        material: The labels.
        codes: What is mended; codes that nothing mends are passed over.

    Returns:
        What the checks look at then (its boxes table has no same boxes; what was read still has them), and a row a
        change, columns :data:`CHANGE_COLUMNS`.
    """
    changes: list[tuple[object, ...]] = []
    sizes = _sizes(material)
    boxes = list(_mended(material.labels.boxes, sizes, codes, changes))
    names: dict[str, str] = {}
    if SIMILAR_NAMES in codes:
        names = spellings(dict.fromkeys(material.classes, 0) | Counter(box.class_name for box in boxes))
        boxes = [_renamed(box, names, changes) if box.class_name in names else box for box in boxes]
    checked = check_boxes(boxes, sizes)
    if DUPLICATE in codes:
        twice = checked.table.duplicated(SAME)
        changes += _removed(checked.table[twice])
        checked = replace(checked, table=checked.table[~twice].reset_index(drop=True))
    listed = list(dict.fromkeys(names.get(name, name) for name in material.labels.classes))
    labels = replace(material.labels, boxes=boxes, classes=listed)
    mended = replace(material, labels=labels, checked=checked, classes=tuple(classes_of(listed, checked.table)))
    return mended, pd.DataFrame(changes, columns=CHANGE_COLUMNS).astype({"line": "Int64"})


def _sizes(material: Material) -> dict[str, ImageSize]:
    columns = (material.images[name] for name in ("image", "width", "height", "orientation"))
    return {
        image: UNKNOWN_SIZE if width is pd.NA else ImageSize(int(width), int(height), int(orientation))
        for image, width, height, orientation in zip(*columns, strict=True)
    }


def _mended(
    boxes: Iterable[RawBox],
    sizes: Mapping[str, ImageSize],
    codes: Collection[str],
    changes: list[tuple[object, ...]],
) -> Iterator[RawBox]:
    """The boxes with a right place, those that cannot be mended as they are."""
    for box in boxes:
        size = sizes[box.image]
        corners = displayed(box, size)
        if fault_of_size(box, size) or not all(abs(number) <= LARGEST_COORDINATE for number in corners):
            yield box
            continue
        place = (str(box.file), box.line, box.image, box.class_name)
        before = corners
        x_min, y_min, x_max, y_max = corners
        if NEGATIVE in codes and (x_max < x_min or y_max < y_min):
            corners = (min(x_min, x_max), min(y_min, y_max), max(x_min, x_max), max(y_min, y_max))
            changes.append((NEGATIVE, *place, _text(before), _text(corners), "the maximum lay before the minimum"))
        extent = (corners[2] - corners[0], corners[3] - corners[1])
        if NO_AREA in codes and min(extent) == 0:
            changes.append((NO_AREA, *place, _text(corners), "", "a box without area shows nothing"))
            continue
        clipped = clipped_to(corners, size)
        overhang = max(abs(one - other) for one, other in zip(clipped, corners, strict=True))
        if BEYOND_BORDER in codes and min(extent) > 0 and _has_area(clipped) and overhang >= MAX_OVERHANG:
            why = f"it reached {overhang:g} pixels beyond the border"
            changes.append((BEYOND_BORDER, *place, _text(corners), _text(clipped), why))
            corners = clipped
        yield (box if corners == before else _moved(box, corners))


def _moved(box: RawBox, corners: Corners) -> RawBox:
    """The box at another place, in the frame of the displayed image."""
    x_min, y_min, x_max, y_max = corners
    return box._replace(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max, stated_size=None)


def _has_area(corners: Corners) -> bool:
    return corners[2] > corners[0] and corners[3] > corners[1]


def _renamed(box: RawBox, names: dict[str, str], changes: list[tuple[object, ...]]) -> RawBox:
    name = names[box.class_name]
    place = (str(box.file), box.line, box.image, box.class_name)
    changes.append((SIMILAR_NAMES, *place, box.class_name, name, "the commonest spelling of this name"))
    return box._replace(class_name=name)


def _removed(boxes: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """The changes that take boxes of the table out."""
    names = ["label_file", "line", "image", "class", *COORDINATES]
    for *place, x_min, y_min, x_max, y_max in boxes[names].itertuples(index=False, name=None):
        yield DUPLICATE, *place, _text((x_min, y_min, x_max, y_max)), "", "the same box stands before it"


def _text(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.10g}" for number in numbers)


def check_target(target: Path, material: Material, force: bool) -> None:
    """Makes sure that new labels replace nothing but earlier ones of ours.

    Raises:
        UsageError: The target lies in the labels or the images, holds them, or exists.
    """
    place = target.resolve()
    for source in (material.path.resolve(), material.known.root.resolve()):
        if place.is_relative_to(source) or source.is_relative_to(place):
            raise UsageError(
                f"--fix {target}: expected a folder apart from the labels and images, found {source} there"
            )
    if target.exists() and not target.is_dir():
        raise UsageError(f"--fix {target}: expected a new folder, found a file")
    if target.is_dir() and any(target.iterdir()):
        if not (target / CHANGES).is_file():
            raise UsageError(f"--fix {target}: the folder exists and no --fix made it; name another")
        if not force:
            raise UsageError(f"--fix {target}: the folder exists; name another, or replace it with --force")


def write_mended(material: Material, changes: pd.DataFrame, target: Path) -> Mended:
    """Writes mended labels, ``changes.csv``, and ``skipped.csv`` with what the new labels do not hold.

    The labels have the format that they had, or COCO where we do not write that.

    Args:
        material: What :func:`mend` gives.
        changes: Likewise.
        target: The folder; see :func:`check_target`.
    """
    label_format = material.label_format if material.label_format in WRITERS else "coco"
    left = [*material.labels.problems, *material.checked.problems]
    if changes.empty:
        return Mended(target, None, label_format, changes, 0, [])
    named = material.images["image"].isin(material.labels.labelled_images)
    images = material.images.loc[named, ["image", "width", "height"]].reset_index(drop=True)
    name = "labels" if label_format in FOLDER_FORMATS else f"labels{SUFFIXES[label_format]}"
    with atomic_folder(target) as temporary:
        label_set = LabelSet(images, material.boxes, list(material.classes))
        notes = write_labels(label_set, temporary / name, label_format, material.known.root)
        changes.to_csv(temporary / CHANGES, index=False)
        if left:
            rows = [(problem.code, str(problem.file), problem.line, problem.message) for problem in left]
            table = pd.DataFrame(rows, columns=["code", "file", "line", "reason"]).astype({"line": "Int64"})
            table.to_csv(temporary / SKIPPED, index=False)
    return Mended(target, target / name, label_format, changes, len(left), notes)
