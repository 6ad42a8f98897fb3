"""Labels alone in FiftyOne: what each box bears, and on a real database which boxes each view holds."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.evaluation.fiftyone_labelled import Labelled, build_labelled, labelled_boxes
from spore_yolo.labels.table import boxes_table
from tests.evaluation.fiftyone_case import fiftyone

BOXES = [
    ("a.png", "rust", 0, 0, 20, 10, False),
    ("a.png", "rust", 100, 0, 120, 10, False),
    ("a.png", "rust", 100, 50, 180, 90, False),  # four times as large
    ("a.png", "blight", 0, 50, 10, 60, False),
    ("b.png", "rust", 0, 0, 20, 20, True),
]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    images = pd.DataFrame(
        {
            "image": ["a.png", "b.png", "c.png"],
            "width": 200,
            "height": 100,
            "group": ["x", "y", "y"],
            "split": ["train", "test", "test"],
            "um_per_px": 0.5,
        }
    )
    return boxes_table((*row, "l.csv", 1) for row in BOXES), images


def test_what_each_box_bears() -> None:
    table = labelled_boxes(*tables())
    assert table["aspect"].tolist() == [2, 2, 2, 1, 1]
    rust = table[table["class"] == "rust"]
    # Sides of squares of the same area: sqrt(200) twice, sqrt(3200), 20; the median is 17.07.
    assert rust["off_size"].round(3).tolist() == [1.207, 1.207, 3.314, 1.172]
    assert rust["off_aspect"].tolist() == [1, 1, 1, 2]
    assert table["class_boxes"].tolist() == [3, 3, 3, 1, 3], "an ignored box is not counted"
    assert table["side_um"].iloc[3] == 5


@functools.cache
def built() -> Any:
    boxes, images = tables()
    files = {image: Path("/slides") / image for image in images["image"]}
    return build_labelled(fiftyone(), "labels", Labelled(boxes, images, files, ["rust", "blight"], ["blight"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("view", "boxes"),
    [
        ("rare first", ["blight", "rust", "rust", "rust"]),
        ("targets", ["blight"]),
        ("ignored", ["rust"]),
        ("odd sizes", ["rust"]),
        ("odd shapes", []),
        ("touching", []),
    ],
)
def test_views_of_boxes(view: str, boxes: list[str]) -> None:
    shown = built().load_saved_view(view)
    field = "ignored" if view == "ignored" else "ground_truth"
    assert shown.values(f"{field}.label") == boxes


@pytest.mark.slow
def test_views_by_size_and_of_slides() -> None:
    sides = built().load_saved_view("rust: largest first").values("ground_truth.side_px")
    assert sides == sorted(sides, reverse=True)
    assert sides == built().load_saved_view("rust: smallest first").values("ground_truth.side_px")[::-1]
    assert built().load_saved_view("densest slides").values("slide")[0] == "a.png"
    assert built().load_saved_view("empty slides").values("slide") == ["c.png"]
    assert built().load_saved_view("split test").values("slide") == ["b.png", "c.png"]
    x, y, width, height = built().first().ground_truth.detections[2].bounding_box
    assert (x, y, width, height) == pytest.approx((0.5, 0.5, 0.4, 0.4))
