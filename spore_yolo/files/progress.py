"""Progress on the terminal, where work is long enough to be waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Thing = TypeVar("Thing")

MANY = 2000
"""Things from which on progress is shown; fewer files are read before anybody looks."""


def progress(things: Iterable[Thing], count: int, doing: str, unit: str) -> Iterator[Thing]:
    """The things one by one, with a progress bar on standard error where there are many.

    Args:
        things: What is worked on.
        count: How many there are.
        doing: What is done, such as ``reading labels``.
        unit: What one thing is called.
    """
    return iter(tqdm(things, total=count, desc=doing, unit=unit, disable=count < MANY))
