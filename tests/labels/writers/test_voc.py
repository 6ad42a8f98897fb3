from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import defusedxml.ElementTree
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers import write_labels
from spore_yolo.labels.writers.voc import whole_pixels

Make = Callable[..., LabelSet]


@pytest.mark.parametrize(
    ("box", "written"),
    [
        pytest.param((0, 0, 10, 20), [1, 1, 10, 20], id="pixels count from 1 and the maximum belongs to the box"),
        pytest.param((0.4, 0.6, 9.4, 9.6), [1, 2, 9, 10], id="to the nearest border"),
        pytest.param((5, 5, 6, 6), [6, 6, 7, 7], id="one pixel becomes two"),
        pytest.param((0, 0, 0.1, 0.1), [1, 1, 2, 2], id="thin, in the corner"),
        pytest.param((99.9, 79.9, 100, 80), [99, 79, 100, 80], id="thin, in the other corner"),
    ],
)
def test_whole_pixels(box: tuple[float, ...], written: list[int]) -> None:
    assert whole_pixels(np.array([box], dtype=float), (100, 80)).tolist() == [written]


@given(st.tuples(*[st.floats(0, 50)] * 4), st.booleans())
def test_whole_pixels_stay_on_the_image_and_have_an_area(ends: tuple[float, ...], known: bool) -> None:
    x_min, x_max, y_min, y_max = *sorted(ends[:2]), *sorted(ends[2:])
    (box,) = whole_pixels(np.array([[x_min, y_min, x_max, y_max]]), (50, 50) if known else None).tolist()
    assert box[0] < box[2] and box[1] < box[3] and min(box) >= 1
    assert not known or max(box) <= 50


def test_file(tmp_path: Path, make_labels: Make) -> None:
    rows = [("train/a&b.jpg", "<rust>", 0, 0, 10.5, 20, True), ("train/a&b.jpg", "smut", 4, 4, 5, 9)]
    labels = make_labels({"train/a&b.jpg": (30, 40), "c.jpg": None}, rows, ["<rust>", "smut"], [0.5, float("nan")])
    notes = write_labels(labels, tmp_path / "out", "voc")
    root = defusedxml.ElementTree.parse(tmp_path / "out" / "train" / "a&b.xml").getroot()
    assert [root.findtext(name) for name in ("folder", "filename", "size/width", "size/height")] == [
        "train",
        "train/a&b.jpg",
        "30",
        "40",
    ]
    first, second = root.findall("object")
    assert [first.findtext(name) for name in ("name", "difficult", "score")] == ["<rust>", "1", "0.5"]
    assert [second.findtext(name) for name in ("name", "difficult", "score")] == ["smut", "0", None]
    assert [int(part.text or "") for part in second.findall("bndbox/*")] == [5, 5, 6, 9]
    assert defusedxml.ElementTree.parse(tmp_path / "out" / "c.xml").getroot().find("size") is None
    assert len(notes) == 3 and "rounded" in notes[0] and "1 boxes are thinner" in notes[1] and "<score>" in notes[2]


@pytest.mark.parametrize("label_format", ["voc", "cvat"])
def test_names_that_xml_cannot_hold(tmp_path: Path, make_labels: Make, label_format: str) -> None:
    labels = make_labels({"a\x07.jpg": (5, 5)}, [], ["ru\x00st"])
    with pytest.raises(InputProblems, match="control character") as caught:
        write_labels(labels, tmp_path / "out.xml", label_format)
    assert len(caught.value.problems) == 2
    assert not any(tmp_path.iterdir())
