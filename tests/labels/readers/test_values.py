"""What several readers need."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems
from spore_yolo.labels.readers.values import LARGEST_SIDE, Lines, numbers, read_json, score_of, stated_size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"[" * 200_000, r"nested too deeply", id="nested too deeply"),
        pytest.param(b"[" * 200_000 + b"]" * 200_000, r"nested too deeply", id="the same, closed"),
        pytest.param(b"[1" + b"0" * 6000 + b"]", r"thousands of digits", id="a number without end"),
        pytest.param(b'{"a": 1,\n "b" 2}', r":2: not valid JSON", id="broken"),
        pytest.param(b"", r":1: not valid JSON", id="empty"),
        pytest.param(b"\xff\xd8", r"other bytes", id="an image"),
    ],
)
def test_bad_json(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputProblems, match=rf"a\.json.*{message}"):
        read_json(tmp_path / "a.json")


def test_json_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]", encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json")[1] == [1]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(JSON, max_size=6), st.sampled_from([None, 0, 1]), st.booleans())
def test_line_of_each_item(items: list[Any], indent: int | None, in_part: bool) -> None:
    """Against the text up to the item: as many lines as it has when the later items are cut off."""
    text = json.dumps({"first": 1, "part": items} if in_part else items, indent=indent)
    lines, part = Lines(text), "part" if in_part else None
    starts = []
    for index in range(len(items)):
        marked = [*items[:index], "the mark", *items[index + 1 :]]
        content = json.dumps({"first": 1, "part": marked} if in_part else marked, indent=indent)
        before = content[: content.index('"the mark"')]
        starts.append(before.count("\n") + 1)
    assert [lines.of(part, index) for index in range(len(items))] == starts
    assert lines.of(part, len(items)) is None
    assert lines.of("no such part", 0) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1, 2.5, -3], (1.0, 2.5, -3.0), id="numbers"),
        pytest.param([1, 2, math.inf], (1.0, 2.0, math.inf), id="infinity is told later, with the box"),
        pytest.param([1, 2], None, id="too few"),
        pytest.param([1, 2, 3, 4], None, id="too many"),
        pytest.param([1, 2, "3"], None, id="text"),
        pytest.param([1, 2, None], None, id="null"),
        pytest.param([1, 2, 10**400], None, id="too large for a number of pixels"),
        pytest.param("123", None, id="no list"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_numbers(values: Any, expected: tuple[float, ...] | None) -> None:
    assert numbers(values, 3) == expected


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        pytest.param(100, 80, (100, 80), id="whole numbers"),
        pytest.param(100.0, 80.0, (100, 80), id="whole numbers that are written with a dot"),
        pytest.param(0, 0, None, id="0 x 0 means unknown"),
        pytest.param(100, None, None, id="half a size"),
        pytest.param(100, 80.5, None, id="half a pixel"),
        pytest.param("100", "80", None, id="text"),
        pytest.param(-100, 80, None, id="negative"),
        pytest.param(math.nan, math.inf, None, id="no numbers"),
        pytest.param(LARGEST_SIDE + 1, 80, None, id="no image is that wide"),
        pytest.param(10**400, 80, None, id="nor that"),
    ],
)
def test_stated_size(width: Any, height: Any, expected: tuple[int, int] | None) -> None:
    assert stated_size(width, height) == expected


@pytest.mark.parametrize("value", [0, 1, 0.5, "0.5", "1e-3", " 1 "])
def test_scores(value: Any) -> None:
    assert score_of(value) == float(value)


@pytest.mark.parametrize(
    "value", [-0.1, 1.01, 90, math.nan, math.inf, "nan", "high", "", None, True, [0.5], {}, 10**400, "1e999"]
)
def test_no_scores(value: Any) -> None:
    with pytest.raises(ValueError, match="expected a score from 0 to 1, found"):
        score_of(value)
