from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spore_yolo.dataset.checks.absurd_size import CHECK
from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]

USUAL = [("a.png", "rust", 100 + n, 100, 120 + n + n % 3, 120 + n % 2) for n in range(40)]


@pytest.mark.parametrize(
    ("box", "is_odd"),
    [
        pytest.param((200, 200, 201, 201), True, id="a click"),
        pytest.param((0, 200, 3, 204), False, id="small, but cut by the border"),
        pytest.param((200, 200, 300, 300), True, id="five times as large"),
        pytest.param((0, 0, 900, 900), True, id="large, though cut by the border"),
        pytest.param((200, 200, 260, 260), False, id="three times as large"),
        pytest.param((200, 200, 207, 207), False, id="a third"),
    ],
)
def test_a_box_among_usual_ones(material: Build, found: Found, box: tuple[int, ...], is_odd: bool) -> None:
    findings = found(CHECK, material([*USUAL, ("b.png", "rust", *box)]))
    assert [finding.rows for finding in findings] == [(40,)] * is_odd
    assert all(finding.severity == Severity.WARNING and finding.image == "b.png" for finding in findings)


def test_message_names_the_size_and_the_usual_one(material: Build, found: Found) -> None:
    squares = [("a.png", "rust", 100 + n, 100, 120 + n, 120) for n in range(20)]
    (finding,) = found(CHECK, material([*squares, ("a.png", "rust", 100, 100, 300, 300)]))
    assert finding.message == "a rust of 200 x 200 pixels, 10 times the usual side of 20 pixels"


def test_a_class_whose_sizes_differ_much_has_no_odd_ones(material: Build, found: Found) -> None:
    wide = np.exp(np.random.default_rng(0).normal(4, 1, 200)).clip(2, 800)
    assert not found(CHECK, material([("a.png", "dust", 100, 100, 100 + side, 100 + side) for side in wide]))


def test_each_class_has_its_own_size(material: Build, found: Found) -> None:
    large = [(image, "smut", *(np.array(corners) * 6)) for image, _, *corners in USUAL]
    images = {"a.png": (2000, 2000)}
    assert not found(CHECK, material([*USUAL, *large], images))
    assert found(CHECK, material([*USUAL, *large, ("a.png", "smut", 100, 100, 120, 120)], images))


def test_ignored_boxes_may_have_any_size(material: Build, found: Found) -> None:
    assert not found(CHECK, material([*USUAL, ("a.png", "rust", 200, 200, 800, 800, True)]))
