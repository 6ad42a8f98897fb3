"""Every format in, every format out, and in again: the same boxes, as far as the formats can hold them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.label_set import LabelSet, boxes_of, classes_of, images_of
from spore_yolo.labels.predictions import check_predictions
from spore_yolo.labels.readers import READERS, read_labels
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.source import open_labels
from spore_yolo.labels.table import BOX_COLUMNS, COORDINATES, boxes_table, check_boxes
from spore_yolo.labels.writers import FOLDER_FORMATS, WRITERS, write_labels
from tests.labels.foreign_formats import FOREIGN, POINT_SIZE


@dataclass(frozen=True)
class Holds:
    """What a format can hold.

    Attributes:
        pixels: By how much a side of a box may come back moved.
        ignored: Ignored boxes come back as such; else they are left out.
        scores: Predictions come back with their scores.
        order: Classes keep their order, and those without boxes are kept.
    """

    pixels: float = 2e-4
    ignored: bool = False
    scores: bool = False
    order: bool = False


HOLDS = {
    "coco": Holds(ignored=True, scores=True, order=True),
    "voc": Holds(pixels=0.5 + 1e-9, ignored=True, scores=True),  # whole pixels; THIN for boxes of less than two
    "yolo": Holds(scores=True, order=True),  # 8 decimals: a ten-thousandth of a pixel up to 10,000 pixels a side
    "csv": Holds(ignored=True, scores=True),
    "parquet": Holds(ignored=True, scores=True),
    "darwin": Holds(scores=True),
    "cvat": Holds(ignored=True, scores=True, order=True),
    "label-studio": Holds(ignored=True, scores=True),
    "labelme": Holds(ignored=True),
    "via": Holds(),
    "createml": Holds(),
    "points": Holds(order=True),  # what comes back is a square of POINT_SIZE round the centre
}

THIN = 2.0
"""VOC: how far a side of a box thinner than two pixels may move, since it is widened to two."""

SCORE = 5.1e-6
"""Half of the last decimal of a score."""


def test_the_table_has_every_format() -> None:
    assert set(HOLDS) == set(READERS)
    assert set(WRITERS) | set(FOREIGN) == set(READERS)


_STEMS = st.text(alphabet="abZ 0é錆(&'#%+~=;,", max_size=6).map(str.strip)
_CLASSES = st.lists(
    st.text(alphabet="aB0 é錆<&>\"';=,#:%/-", min_size=1, max_size=8).map(str.strip).filter(bool),
    min_size=1,
    max_size=3,
    unique_by=str.casefold,
)


@st.composite
def label_sets(draw: st.DrawFn, scored: bool) -> LabelSet:
    """Images of various sizes in folders, with and without boxes; coordinates have up to four decimals."""
    sizes: dict[str, ImageSize] = {}
    for number in range(draw(st.integers(1, 3))):
        folder = draw(st.sampled_from(["", "train/", "day 1/Föld & er/"]))
        name = f"{folder}{draw(_STEMS)}{number}{draw(st.sampled_from(['.jpg', '.png', '.TIF']))}"
        sizes[name] = ImageSize(draw(st.integers(2, 9000)), draw(st.integers(2, 5000)))
    classes = draw(_CLASSES)
    rows = []
    for name, size in sizes.items():
        for _ in range(draw(st.integers(0, 3))):
            x_min, x_max = draw(_side(size.width))
            y_min, y_max = draw(_side(size.height))
            ignored = not scored and draw(st.booleans())
            rows.append((name, draw(st.sampled_from(classes)), x_min, y_min, x_max, y_max, ignored, "f", None))
    boxes = boxes_table(rows)
    if scored:
        boxes = boxes.assign(score=[draw(st.floats(0, 1)) for _ in rows])
        boxes["score"] = boxes["score"].astype("float64")
    return LabelSet(images_of(sizes), boxes, classes)


def _side(length: int) -> st.SearchStrategy[tuple[float, float]]:
    """Two ends, at least a tenth of a pixel apart, often at borders or on whole pixels."""
    ends = st.one_of(st.floats(0, length), st.integers(0, length).map(float))
    pairs = st.tuples(ends, ends).map(lambda pair: (round(min(pair), 4), round(max(pair), 4)))
    return pairs.filter(lambda pair: pair[1] - pair[0] >= 0.1)


def write(labels: LabelSet, label_format: str, folder: Path) -> Path:
    """Writes labels below an empty folder; returns what is to be read."""
    if label_format in FOREIGN:
        writer, name = FOREIGN[label_format]
        folder.mkdir()
        writer(labels, folder)
        return folder / name
    suffix = {"coco": ".json", "cvat": ".xml"}.get(label_format, f".{label_format}")
    target = folder if label_format in FOLDER_FORMATS else folder.with_suffix(suffix)
    write_labels(labels, target, label_format)
    return target / "tasks.json" if label_format == "label-studio" else target


def read(path: Path, label_format: str, images: pd.DataFrame, scored: bool) -> LabelSet:
    """Reads labels of known images as the commands do; nothing may be wrong with them."""
    sizes = {name: ImageSize(width, height) for name, width, height in images.itertuples(index=False)}
    point_size = POINT_SIZE if label_format == "points" else None
    options = ReadOptions(scores=scored, point_size=point_size)
    known = KnownImages(sizes, path.parent / "no images", "in the test")
    labels = read_labels(path, known, label_format, options)
    assert labels.problems == []
    if scored:
        predictions = check_predictions(labels.boxes, sizes)
        assert predictions.problems == [] and predictions.outside == predictions.empty == 0
        boxes = boxes_of(predictions.candidates, "f")
    else:
        checked = check_boxes(labels.boxes, sizes)
        assert checked.problems == []
        boxes = checked.table
    if label_format not in ("yolo", "points"):  # in these an image without boxes need not be named
        assert labels.labelled_images == set(sizes)
    return LabelSet(images, boxes, classes_of(labels.classes, boxes))


def assert_same(found: LabelSet, expected: LabelSet, label_format: str, scored: bool) -> None:
    holds = HOLDS[label_format]
    boxes = expected.boxes if holds.ignored else expected.boxes[~expected.boxes["ignored"]]
    place = {name: number for number, name in enumerate(expected.images["image"])}
    one, other = (
        table.iloc[np.argsort(table["image"].map(place).to_numpy(), kind="stable")] for table in (found.boxes, boxes)
    )
    for column in ("image", "class", "ignored"):
        assert one[column].tolist() == other[column].tolist()
    corners = other[COORDINATES].to_numpy(dtype=float)
    moved = np.abs(one[COORDINATES].to_numpy(dtype=float) - corners)
    allowed = np.full(moved.shape, holds.pixels)
    if label_format == "voc":
        allowed[(corners[:, 2:] - corners[:, :2] < 2).any(axis=1)] = THIN
    assert (moved <= allowed).all(), moved.max()
    if scored:
        assert one["score"].to_numpy(dtype=float) == pytest.approx(other["score"].to_numpy(dtype=float), abs=SCORE)
    used = boxes["class"].unique()
    kept = [name for name in expected.classes if holds.order or name in used]
    assert [name for name in found.classes if name in kept] == (kept if holds.order else sorted(kept))


def as_points(labels: LabelSet) -> LabelSet:
    """What is left of labels when only the centres of their boxes are known."""
    boxes = labels.boxes.assign(ignored=False)
    corners = boxes[COORDINATES].to_numpy(dtype=float)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    limits = boxes[["image"]].merge(labels.images, on="image", how="left")[["width", "height"]].to_numpy(dtype=float)
    low, high = np.maximum(centres - POINT_SIZE / 2, 0), np.minimum(centres + POINT_SIZE / 2, limits)
    boxes[COORDINATES] = np.hstack([low, high])
    return LabelSet(labels.images, boxes, labels.classes)


CASES = [(name, scored) for name, holds in HOLDS.items() for scored in ([False, True] if holds.scores else [False])]


@pytest.mark.parametrize(("label_format", "scored"), CASES, ids=lambda value: str(value))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_from_every_format_to_every_format(label_format: str, scored: bool, data: st.DataObject) -> None:
    labels = data.draw(label_sets(scored))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if label_format in ("via", "createml"):  # no place for ignored ones; ours leave them out themselves
            labels = LabelSet(labels.images, labels.boxes.assign(ignored=False), labels.classes)
        expected = as_points(labels) if label_format == "points" else labels
        first = read(write(labels, label_format, folder / "in"), label_format, labels.images, scored)
        assert_same(first, expected, label_format, scored)
        for number, out in enumerate(WRITERS):
            again = read(write(first, out, folder / f"out{number}"), out, labels.images, scored)
            assert_same(again, first, out, scored)


@pytest.mark.parametrize("label_format", [name for name in WRITERS if name != "yolo"])
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(labels=label_sets(scored=False))
def test_without_the_images_their_names_and_sizes_come_back_too(label_format: str, labels: LabelSet) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = write(labels, label_format, Path(name) / "out")
        source = open_labels(path, label_format, None)
    assert source.labels.problems == []
    stated = set(labels.images["image"])
    assert set(source.sizes) == stated
    if label_format == "label-studio":  # states the size beside each box
        stated = set(labels.boxes["image"])
    sizes = {name: (width, height) for name, width, height in labels.images.itertuples(index=False)}
    assert {name: (source.sizes[name].width, source.sizes[name].height) for name in stated} == {
        name: sizes[name] for name in stated
    }
    assert list(check_boxes(source.labels.boxes, source.sizes).table.columns) == BOX_COLUMNS
