from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.labels.crop_truth import crop_truth
from spore_yolo.labels.table import COORDINATES, boxes_table

Box = tuple[int, int, int, int]
Scene = tuple[list[Box], list[Box], list[Box]]


def array(rows: list[Box]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


LABELS = [(0, 0, 20, 20), (4, 0, 24, 20), (300, 0, 320, 20)]
IGNORED = [(100, 100, 140, 140), (290, 0, 340, 60)]


@pytest.mark.parametrize(
    ("box", "label", "debris", "left_out"),
    [
        pytest.param((0, 0, 20, 20), 0, False, "", id="on a label"),
        pytest.param((3, 0, 23, 20), 1, False, "", id="nearer to its neighbour"),
        pytest.param((2, 0, 22, 20), 0, False, "", id="as near to both: the first"),
        pytest.param((0, 0, 20, 10), 0, False, "", id="IoU of exactly 0.5"),
        pytest.param((0, 10, 10, 20), -1, False, "between", id="IoU of 0.25"),
        pytest.param((0, 18, 20, 20), -1, False, "between", id="IoU of exactly 0.1"),
        pytest.param((0, 19, 20, 20), -1, True, "", id="IoU of 0.05"),
        pytest.param((500, 0, 520, 20), -1, True, "", id="far away"),
        pytest.param((20, 40, 40, 60), -1, True, "", id="corner to corner"),
        pytest.param((110, 110, 120, 120), -1, False, "ignored", id="inside an ignored box, however small"),
        pytest.param((120, 120, 160, 140), -1, False, "ignored", id="half of it on an ignored box"),
        pytest.param((130, 100, 150, 118), -1, False, "ignored", id="exactly half of it, and next to no IoU"),
        pytest.param((135, 100, 175, 140), -1, True, "", id="an eighth of it, IoU of 0.07"),
        pytest.param((60, 60, 180, 180), -1, False, "ignored", id="an ignored box is a ninth of it"),
        pytest.param((300, 0, 320, 20), 2, False, "", id="a label inside an ignored box is still known"),
        pytest.param((300, 0, 320, 6), -1, False, "ignored", id="near it, in the ignored box, nobody knows"),
    ],
)
def test_by_hand(box: Box, label: int, debris: bool, left_out: str) -> None:
    truth = crop_truth(array([box]), array(LABELS), array(IGNORED))
    assert (truth.label.tolist(), truth.debris.tolist(), truth.left_out.tolist()) == ([label], [debris], [left_out])


def test_iou_is_that_with_the_label_overlapped_best() -> None:
    truth = crop_truth(array([(0, 0, 20, 10), (500, 0, 520, 20)]), array(LABELS), array([]))
    assert truth.iou.tolist() == [0.5, 0.0]


def test_several_boxes_may_show_one_label() -> None:
    truth = crop_truth(array([(0, 0, 20, 20), (0, 0, 20, 19), (0, 0, 20, 18)]), array(LABELS), array([]))
    assert truth.label.tolist() == [0, 0, 0]


@pytest.mark.parametrize("ignored", [[], IGNORED])
def test_nothing_labelled_is_all_debris(ignored: list[Box]) -> None:
    truth = crop_truth(array([(0, 0, 20, 20), (50, 0, 70, 20)]), array([]), array(ignored))
    assert (truth.label.tolist(), truth.iou.tolist(), truth.debris.tolist()) == ([-1, -1], [0, 0], [True, True])


def test_no_boxes() -> None:
    truth = crop_truth(array([]), array(LABELS), array(IGNORED))
    assert [len(part) for part in (truth.label, truth.iou, truth.debris, truth.left_out)] == [0, 0, 0, 0]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Boxes, labels and ignored boxes with whole coordinates, so close together that many overlap."""

    def some(most: int) -> list[Box]:
        corner, side = st.integers(0, 24), st.integers(1, 20)
        rows = draw(st.lists(st.tuples(corner, corner, side, side), max_size=most))
        return [(x, y, x + w, y + h) for x, y, w, h in rows]

    return some(8), some(5), some(3)


def common(first: Box, second: Box) -> int:
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return max(0, wide) * max(0, high)


def area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def exact_iou(first: Box, second: Box) -> Fraction:
    both = common(first, second)
    return Fraction(both, area(first) + area(second) - both)


def said_in_words(box: Box, labels: list[Box], ignored: list[Box]) -> tuple[int, bool, str]:
    """The rule as docs/evaluation.md tells it, one box at a time and without rounding."""
    overlaps = [exact_iou(box, label) for label in labels]
    best = max(overlaps, default=Fraction(0))
    if best >= Fraction(1, 2):
        return overlaps.index(best), False, ""
    for other in ignored:
        if 2 * common(box, other) >= area(box) or exact_iou(box, other) >= Fraction(1, 10):
            return -1, False, "ignored"
    if best >= Fraction(1, 10):
        return -1, False, "between"
    return -1, True, ""


@settings(max_examples=300)
@given(scenes())
def test_as_the_rule_says_it(scene: Scene) -> None:
    boxes, labels, ignored = scene
    truth = crop_truth(array(boxes), array(labels), array(ignored))
    found = list(zip(truth.label.tolist(), truth.debris.tolist(), truth.left_out.tolist(), strict=True))
    assert found == [said_in_words(box, labels, ignored) for box in boxes]


@settings(max_examples=100)
@given(scenes())
def test_training_and_evaluation_agree_on_what_a_crop_shows(scene: Scene) -> None:
    """The same rule stands in evaluation; were they to part, the classifier would be measured by another."""
    from spore_yolo.evaluation.crops import crops_table
    from spore_yolo.inference.manifest import DEBRIS, OperatingPoint

    boxes, labels, ignored = scene
    truth = crop_truth(array(boxes), array(labels), array(ignored))
    candidates = pd.DataFrame(array(boxes), columns=COORDINATES).assign(
        **{"slide": "1.jpg", "class": "a", "detector_score": 0.9, "class_score": 0.9}
    )
    rows = [("1.jpg", f"label {n}", *label, False, "f", n) for n, label in enumerate(labels)]
    rows += [("1.jpg", "x", *box, True, "f", n) for n, box in enumerate(ignored)]
    images = pd.DataFrame({"image": ["1.jpg"], "group": ["g"]})
    theirs = crops_table(candidates, boxes_table(rows), images, OperatingPoint(detector=0.5))
    ours = [
        f"label {label}" if label >= 0 else DEBRIS if debris else ""
        for label, debris in zip(truth.label, truth.debris, strict=True)
    ]
    assert theirs["truth"].tolist() == ours
    assert theirs["left_out"].tolist() == truth.left_out.tolist()
    assert theirs["iou"].tolist() == truth.iou.tolist()
