from __future__ import annotations

import base64
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.evaluation.operating_point import Curve
from spore_yolo.evaluation.plots import (
    MOST_COUNTS,
    confusion_uri,
    counts_uri,
    plot_confusion,
    plot_precision_recall,
    precision_recall_uri,
    recall_by_uri,
    reliability_uri,
    slide_roc_uri,
)
from spore_yolo.evaluation.presence import PresenceCurves

CURVE = Curve(np.array([0.9, 0.5]), np.array([0.2, 0.6]), np.array([1.0, 0.7]), boxes=10)
HOSTILE = ["$\\frac{", "_hidden", "<script>&\"'", "a\x00b\n", "шпора \U0001f344 \u202edlos", "x" * 300]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.int64)


def coloured(path: Path) -> int:
    """Pixels that are not grey: lines and dots, which the frame is not."""
    image = pixels(path)
    return int((image.max(axis=2) - image.min(axis=2) > 40).sum())


def svg(uri: str) -> ElementTree.Element:
    head, data = uri.split(",")
    assert head == "data:image/svg+xml;base64"
    return ElementTree.fromstring(base64.b64decode(data))


def texts(uri: str) -> list[str]:
    return ["".join(node.itertext()) for node in svg(uri).iter() if node.tag.endswith("}text")]


def shapes(uri: str, colour: str) -> int:
    """Parts of a plot that are drawn or filled in a colour."""
    return sum(colour in node.get("style", "") for node in svg(uri).iter())


def test_the_operating_point_is_a_dot(tmp_path: Path) -> None:
    plot_precision_recall(tmp_path / "with.png", {"rust": CURVE}, {"rust": (0.4, 0.4)}, "toy, test")
    plot_precision_recall(tmp_path / "without.png", {"rust": CURVE}, {"rust": (0.0, None)}, "toy, test")
    assert coloured(tmp_path / "with.png") > coloured(tmp_path / "without.png") > 100


def test_classes_without_boxes_or_candidates_have_no_line(tmp_path: Path) -> None:
    curve = Curve(np.array([0.9]), np.array([0.0]), np.array([0.0]), boxes=0)
    empty = Curve(np.zeros(0), np.zeros(0), np.zeros(0), boxes=3)
    points = {"a": (None, 0.0), "b": (0.0, None)}
    plot_precision_recall(tmp_path / "empty.png", {"a": curve, "b": empty}, points, "toy, test")
    assert coloured(tmp_path / "empty.png") == 0


def test_confusion_matrix_of_many_classes_and_of_nothing(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(12)]
    counts = pd.DataFrame(np.eye(12, dtype=int) * 1000, index=names, columns=names)
    plot_confusion(tmp_path / "many.png", counts, "toy, test")
    plot_confusion(tmp_path / "none.png", counts * 0, "toy, test")
    # The diagonal is dark blue in one, and in the other nothing is but the scale beside it.
    assert coloured(tmp_path / "many.png") > 2 * coloured(tmp_path / "none.png")


def test_any_name_can_be_drawn_and_none_is_taken_for_a_formula(tmp_path: Path) -> None:
    counts = pd.DataFrame(np.eye(len(HOSTILE), dtype=int), index=HOSTILE, columns=HOSTILE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves = dict.fromkeys(HOSTILE, CURVE)
        plot_precision_recall(tmp_path / "curves.png", curves, dict.fromkeys(HOSTILE, (0.4, 0.4)), "$\\frac{")
        plot_confusion(tmp_path / "confusion.png", counts, "$x")
        drawn = texts(confusion_uri(counts))
    for name in HOSTILE[:3]:
        assert drawn.count(name) == 2
    assert "a�b�" in drawn
    assert max(len(text) for text in drawn) < 30
    assert not any("\u202e" in text for text in drawn)


@pytest.mark.parametrize(
    ("classes", "counted"),
    [pytest.param(MOST_COUNTS, True, id="few: counted"), pytest.param(MOST_COUNTS + 1, False, id="many: shaded only")],
)
def test_confusion_of_the_report(classes: int, counted: bool) -> None:
    names = [f"class {number}" for number in range(classes)]
    counts = pd.DataFrame(np.diag(range(1001, 1001 + classes)), index=names, columns=names)
    assert ("1,001" in texts(confusion_uri(counts))) is counted


def test_the_same_plot_is_the_same_text() -> None:
    assert precision_recall_uri(CURVE, (0.4, 0.4)) == precision_recall_uri(CURVE, (0.4, 0.4))


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda point: precision_recall_uri(CURVE, point), id="precision and recall"),
        pytest.param(
            lambda point: slide_roc_uri(
                PresenceCurves(*(np.array([0.0, 0.5, 1.0]) for _ in range(6))),
                point,
            ),
            id="slides",
        ),
    ],
)
def test_a_diamond_marks_the_operating_point_where_there_is_one(draw: Any) -> None:
    assert shapes(draw((0.4, 0.4)), "#b3400f") > shapes(draw((None, 0.4)), "#b3400f") == 0
    assert shapes(draw((0.4, None)), "#b3400f") == 0


def figure(name: str, value: float | None, n: int, interval: list[float] | None) -> dict[str, Any]:
    return {"bin": name, "value": value, "n": n, "interval": interval}


def test_recall_by_a_trait() -> None:
    rows = [
        figure("up to 10 px", 0.9, 1200, [0.85, 0.93]),
        figure("10 to 20 px", 0.5, 12, None),
        figure("over 20 px", None, 0, None),
    ]
    drawn = recall_by_uri(rows)
    assert {"up to 10 px", "1,200 labelled", "none labelled"} <= set(texts(drawn))
    # A hatched bar is filled with a pattern: of the three one has no interval, one no bar.
    assert shapes(drawn, "fill: url(#") == 1
    assert shapes(recall_by_uri(rows[:1]), "fill: url(#") == 0


def test_reliability_with_and_without_intervals() -> None:
    table = pd.DataFrame(
        {"n": [10, 1000], "score": [0.3, 0.9], "right": [0.25, 0.95], "right_low": [np.nan, 0.9], "right_high": 0.99}
    )
    whole = shapes(reliability_uri(table), "stroke: #000000")
    assert whole > shapes(reliability_uri(table.assign(right_low=np.nan)), "stroke: #000000")


def test_counts_of_slides_of_which_many_are_alike() -> None:
    labelled, detected = np.array([0.0, 0, 0, 4]), np.array([0.0, 0, 0, 6])
    drawn = counts_uri(labelled, detected, 0.5, [-1.5, 2.5])
    bare = counts_uri(labelled, detected, None, None)
    assert shapes(drawn, "stroke: #173f5f") == shapes(bare, "stroke: #173f5f") + 3

    (dots,) = [node for node in svg(drawn).iter() if node.get("id") == "PathCollection_1"]
    assert sum(node.tag.endswith("}path") for node in dots.iter()) == 2
