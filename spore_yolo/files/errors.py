"""Errors that are meant for people: what was expected, what was found, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class SporeYoloError(Exception):
    """Something in the input or on the machine stops the work. Exit code 1."""

    exit_code = 1


class UsageError(SporeYoloError):
    """The command was called with options that do not fit. Exit code 2."""

    exit_code = 2


def stop_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C that came out as an error of another kind, as it may where it meets Python within an import.

    Args:
        error: What was raised.

    Returns:
        The stop among all that led to the error; ``None`` if it was none.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one place of the input.

    Attributes:
        file: The file as the user named it.
        line: The line in that file, 1-based, or ``None`` where the file has no lines.
        message: What was expected and what was found.
        code: The code of the check that explains problems of this kind, such as ``SPR013``; empty where none does.
    """

    file: Path | str
    line: int | None
    message: str
    code: str = ""

    def __str__(self) -> str:
        place = f"{self.file}" if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.code} {self.message}" if self.code else f"{place}: {self.message}"


MOST_LISTED = 200
"""Problems that a message lists; a label file of another dataset has as many as it has boxes."""


class InputProblems(SporeYoloError):
    """Problems found in the input, all of them at once.

    Args:
        summary: One sentence in front of the list.
        problems: What was found.
        advice: What the user can do about it.
    """

    def __init__(self, summary: str, problems: Iterable[Problem], advice: str = "") -> None:
        self.problems = list(problems)
        lines = [summary, *(f"  {problem}" for problem in self.problems[:MOST_LISTED])]
        if len(self.problems) > MOST_LISTED:
            lines.append(f"  … and {len(self.problems) - MOST_LISTED:,} more")
        if advice:
            lines.append(advice)
        super().__init__("\n".join(lines))
