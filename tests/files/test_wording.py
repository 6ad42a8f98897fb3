from __future__ import annotations

import pytest

from spore_yolo.files.wording import listed, many


@pytest.mark.parametrize(
    ("names", "what", "text"),
    [
        ([], "slides", ""),
        (["b", "a"], "slides", "b, a"),
        (list("abcde"), "slides", "a, b, c, d, e"),
        (list("abcdefg"), "slides", "a, b, c, d, e and 2 more slides"),
        (list("abcdef"), "", "a, b, c, d, e and 1 more"),
        ([str(number) for number in range(2005)], "", "0, 1, 2, 3, 4 and 2,000 more"),
    ],
)
def test_listed(names: list[str], what: str, text: str) -> None:
    assert listed(names, what) == text
    assert listed(iter(names), what) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 slides"), (1, "1 slide"), (2000, "2,000 slides")])
def test_many(count: int, text: str) -> None:
    assert many(count, "slide") == text
