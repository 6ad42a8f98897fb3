"""Numbers and names as messages say them."""

from __future__ import annotations

from collections.abc import Iterable

MOST_NAMED = 5


def listed(names: Iterable[str], what: str = "") -> str:
    """The first names of some, and how many more there are.

    Args:
        names: The names.
        what: What they are names of, in the plural.
    """
    every = list(names)
    more = len(every) - MOST_NAMED
    rest = f" and {more:,} more {what}".rstrip() if more > 0 else ""
    return ", ".join(every[:MOST_NAMED]) + rest


def many(count: int, what: str) -> str:
    """So many of something, such as ``1 slide`` and ``2,000 slides``."""
    return f"{count:,} {what}{'s' if count != 1 else ''}"
