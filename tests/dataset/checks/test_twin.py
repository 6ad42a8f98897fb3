from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from spore_yolo.dataset.checks.base import Check, Finding, Material, PixelFacts, Severity
from spore_yolo.dataset.checks.twin import CHECK

Build = Callable[..., Material]
Found = Callable[[Check, Material], list[Finding]]

PIXELS = {name: PixelFacts(content) for name, content in {"a": "1", "b": "2", "c": "1", "d": "1"}.items()}


@pytest.mark.parametrize(
    ("splits", "severity", "where"),
    [
        pytest.param({}, Severity.WARNING, "", id="no split"),
        pytest.param(dict.fromkeys("abcd", "train"), Severity.WARNING, "", id="one split"),
        pytest.param({"a": "train", "b": "test", "c": "spare"}, Severity.WARNING, "", id="spare is no split"),
        pytest.param(
            {"a": "train", "d": "val"}, Severity.ERROR, ", in different splits: train, val", id="different splits"
        ),
    ],
)
def test_groups_of_equal_files(
    material: Build, found: Found, splits: dict[str, str], severity: Severity, where: str
) -> None:
    (finding,) = found(CHECK, replace(material((), PIXELS.keys(), splits=splits), pixels=PIXELS))
    assert finding.severity == severity
    assert (finding.image, finding.message) == ("a", f"the same file as c, d{where}")


def test_variants_of_one_source_that_are_equal_are_no_mistake(material: Build, found: Found) -> None:
    names = [f"{'field' * 12}_png.rf.{number:032}.jpg" for number in range(2)]
    made = material((), names, sources=dict.fromkeys(names, "field"))
    (finding,) = found(CHECK, replace(made, pixels=dict.fromkeys(names, PixelFacts("1"))))
    assert finding.severity == Severity.NOTE
    assert finding.message == f"the same file as {names[1]}, another variant of its source"
    torn = material((), names, sources=dict.fromkeys(names, "field"), splits={names[0]: "train", names[1]: "test"})
    (finding,) = found(CHECK, replace(torn, pixels=dict.fromkeys(names, PixelFacts("1"))))
    assert finding.severity == Severity.ERROR


def test_files_of_one_group_that_are_equal_count_twice(material: Build, found: Found) -> None:
    made = material((), "ab", groups={"a": "trap", "b": "trap"})
    (finding,) = found(CHECK, replace(made, pixels=dict.fromkeys("ab", PixelFacts("1"))))
    assert finding.severity == Severity.WARNING


def test_files_that_cannot_be_opened_are_not_equal(material: Build, found: Found) -> None:
    pixels = {"a": PixelFacts("", damage="gone"), "b": PixelFacts("", damage="gone")}
    assert not found(CHECK, replace(material((), pixels.keys()), pixels=pixels))
