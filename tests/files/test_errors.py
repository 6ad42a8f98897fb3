"""Errors that are meant for people."""

from __future__ import annotations

import pytest

from spore_yolo.files.errors import MOST_LISTED, InputProblems, Problem, SporeYoloError, UsageError


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        pytest.param(Problem("a.csv", 3, "no class"), "a.csv:3: no class", id="file and line, as editors open it"),
        pytest.param(Problem("a.jpg", None, "truncated"), "a.jpg: truncated", id="a file without lines"),
        pytest.param(Problem("a.csv", 3, "no class", "SPR001"), "a.csv:3: SPR001 no class", id="with its check"),
    ],
)
def test_problem_as_text(problem: Problem, expected: str) -> None:
    assert str(problem) == expected


def test_input_problems_lists_all_of_them() -> None:
    error = InputProblems(
        "Two are wrong:", iter([Problem("a", 1, "one"), Problem("b", None, "two")]), "Mend the files."
    )
    assert str(error) == "Two are wrong:\n  a:1: one\n  b: two\nMend the files."
    assert [problem.message for problem in error.problems] == ["one", "two"]


def test_input_problems_of_a_whole_file_do_not_fill_the_screen() -> None:
    error = InputProblems("Many:", [Problem("a", line, "one") for line in range(10_200)])
    lines = str(error).splitlines()
    assert (len(lines), lines[-1]) == (MOST_LISTED + 2, "  … and 10,000 more")
    assert len(error.problems) == 10_200


def test_exit_codes() -> None:
    assert (SporeYoloError.exit_code, UsageError.exit_code, InputProblems("", []).exit_code) == (1, 2, 1)
