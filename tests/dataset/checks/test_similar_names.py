from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from spore_yolo.dataset.checks.base import Check, Finding, Material, Severity
from spore_yolo.dataset.checks.similar_names import CHECK, MOST_CLASSES, spellings

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]


@pytest.mark.parametrize(
    ("first", "second", "differ_in"),
    [
        pytest.param("Rust", "rust", "case or blanks", id="case"),
        pytest.param("rust", "rust ", "case or blanks", id="a blank behind"),
        pytest.param("leaf rust", "leaf  Rust", "case or blanks", id="two blanks, and case"),
        pytest.param("leafrust", "leaf rust", "case or blanks", id="a blank between"),
        pytest.param("leaf_rust", "leaf rust", "blanks, hyphens or underscores", id="underscore"),
        pytest.param("leaf-rust", "Leaf_rust", "blanks, hyphens or underscores", id="hyphen"),
        pytest.param("Fusarium", "Fusariun", "one letter", id="another letter"),
        pytest.param("spore", "spores", "one letter", id="a letter more"),
        pytest.param("Alternaria alternata", "Alternaria alternatta", "one letter", id="in one of two words"),
        pytest.param("alternria", "Alternaria", "one letter", id="a letter less, and case"),
        pytest.param("type1", "type2", None, id="a number"),
        pytest.param("day 1", "day 2", None, id="a number apart"),
        pytest.param("day 1 1", "day 11", None, id="a blank between digits"),
        pytest.param("day1-1", "day1_11", None, id="a hyphen between digits"),
        pytest.param("type A", "type B", None, id="a letter that stands alone"),
        pytest.param("stage I", "stage II", None, id="Roman numbers"),
        pytest.param("pod", "rod", None, id="short words"),
        pytest.param("Rh+", "Rh-", None, id="signs"),
        pytest.param("smut", "rust", None, id="two letters"),
        pytest.param("smut rust", "smut rusty spore", None, id="a word more"),
    ],
)
def test_two_names(material: Build, found: Found, first: str, second: str, differ_in: str | None) -> None:
    for names in ((first, second), (second, first)):
        boxes = [("a.png", names[0], 5, 5, 20, 20), ("a.png", names[0], 50, 5, 70, 20), ("b.png", names[1], 5, 5, 9, 9)]
        findings = found(CHECK, material(boxes))
        if differ_in is None:
            assert not findings
            continue
        (finding,) = findings
        assert finding.message == f"{names[1]!r} (1 box) and {names[0]!r} (2 boxes) differ in {differ_in} only"
        assert (finding.severity, finding.line, finding.image) == (Severity.WARNING, 4, "b.png")


def test_a_class_that_only_the_list_names(material: Build, found: Found) -> None:
    (finding,) = found(CHECK, material([("a.png", "rust", 5, 5, 20, 20)], classes=["Rust", "rust"]))
    assert finding.message == "'Rust' (0 boxes) and 'rust' (1 box) differ in case or blanks only"
    assert (finding.file, finding.line) == ("labels.csv", None)


def test_spellings__all_go_to_the_commonest() -> None:
    counts = {"RBC": 1, "rbc": 5, " rbc": 5, "WBC": 3, "r b c": 0}
    assert spellings(counts) == {"RBC": "rbc", " rbc": "rbc", "r b c": "rbc"}


@pytest.mark.parametrize("number", [MOST_CLASSES, 50 * MOST_CLASSES])
def test_many_classes_take_no_quadratic_time(material: Build, found: Found, number: int) -> None:
    letters = "abcdefghij"
    names = ["".join(letters[int(digit)] for digit in f"{n:08d}") for n in range(number)]
    looked_at = material(classes=names)
    start = time.process_time()
    findings = found(CHECK, looked_at)
    # All pairs would take minutes.
    assert time.process_time() - start < 10
    assert (findings[0].severity == Severity.NOTE) == (number > MOST_CLASSES)
