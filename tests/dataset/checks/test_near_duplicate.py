from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.dataset.checks import near_duplicate
from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.near_duplicate import CHECK
from tests.dataset.checks.conftest import build_material

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


@pytest.mark.parametrize(
    ("second", "is_found"),
    [
        pytest.param(("a.png", "rust", 101, 100, 151, 150), True, id="a pixel aside"),
        pytest.param(("a.png", "smut", 100, 100, 150, 150), True, id="the same place, another class"),
        pytest.param(("a.png", "rust", 100, 100, 150, 150), False, id="the very same box has a check of its own"),
        pytest.param(("b.png", "smut", 100, 100, 150, 150), False, id="another image"),
        pytest.param(("a.png", "rust", 100, 100, 140, 150), True, id="an IoU of just 0.8"),
        pytest.param(("a.png", "rust", 100, 100, 139, 150), False, id="an IoU below"),
        pytest.param(("a.png", "rust", 101, 100, 151, 150, True), False, id="an ignored box"),
        pytest.param(("a.png", "rust", 149, 100, 199, 150), False, id="spores that touch"),
    ],
)
def test_two_boxes(material: Build, found: Found, second: tuple[object, ...], is_found: bool) -> None:
    first = ("a.png", "rust", 100, 100, 150, 150)
    for boxes in ([first, second], [second, first]):
        findings = found(CHECK, material(boxes))
        assert [finding.rows for finding in findings] == [(1, 0)] * is_found
        assert all(finding.severity == Severity.WARNING for finding in findings)


def test_message_says_which_box_and_how_much(material: Build, found: Found) -> None:
    boxes = [("a.png", "rust", 100, 100, 150, 150), ("a.png", "smut", 100, 100, 150, 150)]
    (finding,) = found(CHECK, material(boxes))
    assert finding.message == "smut lies on rust (labels.csv:2) with an IoU of 1.00: is it one object?"
    assert finding.line == 3


def _iou(one: tuple[int, int, int, int, str], other: tuple[int, int, int, int, str]) -> Fraction:
    """Counted pixel by pixel."""
    first, second = (
        {(x + i, y + j) for i in range(width) for j in range(height)} for x, y, width, height, _ in (one, other)
    )
    return Fraction(len(first & second), len(first | second))


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, 14)] * 2, *[st.integers(5, 9)] * 2, st.sampled_from("ab")), max_size=14))
def test_a_box_is_found_if_and_only_if_a_pair_is_there(places: list[tuple[int, int, int, int, str]]) -> None:
    distinct = list(dict.fromkeys(places))
    boxes = [(f"{image}.png", "rust", x, y, x + w, y + h) for x, y, w, h, image in distinct]
    table = build_material(boxes, {"a.png": (30, 30), "b.png": (30, 30)})
    true = {
        (other, one)
        for one, other in combinations(range(len(distinct)), 2)
        if distinct[one][4] == distinct[other][4] and _iou(distinct[one], distinct[other]) >= Fraction(4, 5)
    }
    found = {finding.rows for finding in CHECK.find(table)}
    assert found <= true
    # No pair is free of all that was found: mending those leaves at most boxes that were hidden by another.
    touched = {row for pair in found for row in pair}
    assert all(touched & set(pair) for pair in true)


def test_a_heap_without_sense_ends_with_a_note(material: Build, found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicate, "MOST_PAIRS", 1000)
    column = [("a.png", "rust", 5, 8 * y, 12, 8 * y + 7) for y in range(100)]
    findings = found(CHECK, material([*column, ("b.png", "rust", 5, 5, 9, 9), ("b.png", "smut", 5, 5, 9, 9)]))
    assert [(finding.severity, finding.image) for finding in findings] == [
        (Severity.WARNING, "b.png"),
        (Severity.NOTE, "a.png"),
    ]


def test_many_boxes_are_compared_with_their_neighbours_only(material: Build, found: Found) -> None:
    rng = np.random.default_rng(0)
    places = rng.choice(10_000, 1_225, replace=False)
    boxes = [
        ("a.png", "rust", x, y, x + 60, y + 60) for x, y in zip(places % 100 * 60, places // 100 * 60, strict=True)
    ]
    assert not found(CHECK, material(boxes, {"a.png": (6060, 6060)}))
