from __future__ import annotations

from collections.abc import Callable

import pytest

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.odd_aspect import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]

ROUND = [("a.png", "rust", 100 + n, 100, 120 + n + n % 3, 120 + n % 2) for n in range(40)]


@pytest.mark.parametrize(
    ("box", "is_odd"),
    [
        pytest.param((200, 200, 280, 210), True, id="a lying sliver"),
        pytest.param((200, 200, 210, 280), True, id="a standing sliver"),
        pytest.param((200, 200, 240, 220), False, id="twice as long as broad"),
        pytest.param((200, 0, 280, 5), False, id="cut by the border"),
    ],
)
def test_a_box_among_round_ones(material: Build, found: Found, box: tuple[int, ...], is_odd: bool) -> None:
    findings = found(CHECK, material([*ROUND, ("b.png", "rust", *box)]))
    assert [finding.rows for finding in findings] == [(40,)] * is_odd
    assert all(finding.severity == Severity.WARNING for finding in findings)
    assert all("8.0 times as long as broad" in finding.message for finding in findings)


def test_long_spores_lie_in_any_direction(material: Build, found: Found) -> None:
    lying = [("a.png", "rod", 100 + n, 100, 180 + n, 110 + n % 4) for n in range(40)]
    standing = [("a.png", "rod", 300 + n, 100, 310 + n, 180 + n % 4) for n in range(10)]
    askew = [("a.png", "rod", 600 + n, 100, 660 + n, 160) for n in range(3)]
    assert not found(CHECK, material([*lying, *standing, *askew]))
