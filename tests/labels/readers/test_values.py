"""What several readers need."""

from __future__ import annotations

import gc
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems
from spore_yolo.labels.readers import values
from spore_yolo.labels.readers.values import (
    LARGEST_SIDE,
    Item,
    JsonItems,
    numbers,
    paused_collector,
    read_json,
    read_text,
    score_of,
    some,
    stated_size,
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"[" * 200_000, r"nested too deeply", id="nested too deeply"),
        pytest.param(b"[" * 200_000 + b"]" * 200_000, r"nested too deeply", id="the same, closed"),
        pytest.param(b'{"a":' * 200_000, r"nested too deeply", id="objects nested too deeply"),
        pytest.param(b"[1" + b"0" * 6000 + b"]", r"thousands of digits", id="a number without end"),
        pytest.param(b'{"a": 1,\n "b" 2}', r":2: .*not valid JSON: Expecting ':'", id="no colon"),
        pytest.param(b'{"a": 1,\n 2: 2}', r":2: .*property name", id="a name that is no text"),
        pytest.param(b'{"a": 1,\n}', r":2: .*trailing comma", id="a comma too many in an object"),
        pytest.param(b'{"a": 1\n "b": 2}', r":2: .*Expecting ','", id="no comma in an object"),
        pytest.param(b"[1,\n]", r":2: .*Expecting value", id="a comma too many in a list"),
        pytest.param(b"[1\n 2]", r":1: .*Expecting ',' delimiter", id="no comma in a list"),
        pytest.param(b"[1,\n2", r":2: .*Expecting ',' delimiter", id="a list without end"),
        pytest.param(b"[1]\n[2]", r":2: .*Extra data", id="two lists"),
        pytest.param(b"{}\n3", r":2: .*Extra data", id="an object and more"),
        pytest.param(b"", r":1: .*not valid JSON", id="empty"),
        pytest.param(b" \n ", r":2: .*not valid JSON", id="blanks"),
        pytest.param(b"\xff\xd8", r"other bytes", id="an image"),
        pytest.param('{"a": "ä"}'.encode("latin-1"), r":1: .*save it as UTF-8", id="Latin 1"),
        pytest.param("\ufeff[1".encode("utf-16-le")[:-1], r"other bytes", id="UTF-16 cut off"),
    ],
)
def test_bad_json(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputProblems, match=rf"a\.json.*{message}") as caught:
        read_json(tmp_path / "a.json")
    assert [problem.code for problem in caught.value.problems] == ["SPR001"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_text('["Ä"]', encoding=encoding)
    assert read_json(tmp_path / "a.json") == (["Ä"], {None: [1]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(r"\ud83d\ude00", "\U0001f600", id="two halves are a letter"),
        pytest.param(r"a\ud83db", "a\ufffdb", id="the first half alone"),
        pytest.param(r"\uDE00", "\ufffd", id="the second half alone"),
        pytest.param(r"\ude00\ud83d", "\ufffd\ufffd", id="the wrong way round"),
        pytest.param(r"\ud83d\ud83d\ude00", "\ufffd\U0001f600", id="a half and a letter"),
        pytest.param(r"\\ud83d", r"\ud83d", id="a path with a folder ud83d"),
        pytest.param(r"\\\ud83d\"", '\\\ufffd"', id="a backslash and a half"),
        pytest.param(r"\u00e4\ud7ff\ue000", "ä\ud7ff\ue000", id="whole letters"),
    ],
)
def test_half_letters(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "a.json").write_text(f'["{text}"]')
    assert read_json(tmp_path / "a.json")[0] == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"a": [],\n "b": [1,\n2], "c": {"d": []}}', {"a": [], "b": [2, 3]}, id="object"),
        pytest.param("[]", {None: []}, id="empty list"),
        pytest.param("3", {}, id="number"),
        pytest.param("{}", {}, id="empty object"),
    ],
)
def test_small_json_comes_whole_and_with_lines(
    tmp_path: Path, text: str, expected: dict[str | None, list[int]]
) -> None:
    (tmp_path / "a.json").write_text(text)
    content, lines = read_json(tmp_path / "a.json")
    assert content == json.loads(text)
    assert lines == {part: found for part, found in expected.items() if found}
    items = JsonItems(tmp_path / "a.json")
    list(items)
    assert items.lists == set(expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60)
@given(st.lists(JSON, max_size=6), st.sampled_from([None, 0, 1]), st.sampled_from([None, "list", "object"]))
def test_items_come_with_their_lines(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], indent: int | None, within: str | None
) -> None:
    """Against the json module, and the text up to the item: so many lines it has when the later items are cut off."""

    def text_of(items: list[Any]) -> str:
        part = dict(zip("abcdef", items, strict=False)) if within == "object" else items
        return json.dumps({"first": 1, "part": part} if within else part, indent=indent)

    path = tmp_path_factory.getbasetemp() / "items.json"
    path.write_text(text_of(items), encoding="utf-8")
    name = "part" if within else None
    found = [item for item in JsonItems(path, opened=["part"]) if item.part == name]
    before = []
    for index in range(len(items)):
        marked = text_of([*items[:index], "the mark", *items[index + 1 :]])
        before.append(marked[: marked.index('"the mark"')])
    assert found == [Item(name, value, text.count("\n") + 1, True) for value, text in zip(items, before, strict=True)]


def test_object_that_is_not_opened_comes_whole(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": {"b": 1},\n"c": {"d": [2]}}')
    assert list(JsonItems(tmp_path / "a.json", opened=["c"])) == [
        Item("a", {"b": 1}, 1, False),
        Item("c", [2], 2, True),
    ]


def test_what_a_file_may_cost_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("[[], {}]")
    monkeypatch.setattr(values, "MAX_BRACKETS", 2)
    with pytest.raises(InputProblems, match="at most 2 lists and objects, found 3"):
        JsonItems(tmp_path / "a.json")
    monkeypatch.setattr(values, "MAX_BYTES", 7)
    with pytest.raises(InputProblems, match="expected JSON of at most 0 MB"):
        JsonItems(tmp_path / "a.json")


@pytest.mark.parametrize(("name", "message"), [("", "found a folder"), ("none.json", "found no file")])
def test_no_file(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputProblems, match=message):
        read_text(tmp_path / name, "JSON")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param([], "", id="none"),
        pytest.param("abc", "a, b, c", id="few"),
        pytest.param("abcdefghij", "a, b, c, d, e, f, g, h, i, j", id="as many as are shown"),
        pytest.param("abcdefghijk", "a, b, c, d, e, f, g, h, i, j, …", id="one more"),
        pytest.param(["x" * 50, 3], "x" * 40 + ", 3", id="a long one"),
    ],
)
def test_many_names_are_shortened(names: Any, expected: str) -> None:
    assert some(names) == expected


def test_many_names_are_not_all_read() -> None:
    endless = iter(int, 1)
    assert some(endless).count("0") == 10


@pytest.mark.parametrize("on", [True, False])
def test_collector_is_as_before(on: bool) -> None:
    was_on = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        with pytest.raises(ValueError, match="inside"), paused_collector():
            assert not gc.isenabled()
            raise ValueError("inside")
        assert gc.isenabled() is on
    finally:
        (gc.enable if was_on else gc.disable)()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1, 2.5, -3], (1.0, 2.5, -3.0), id="numbers"),
        pytest.param([1, 2, math.inf], (1.0, 2.0, math.inf), id="infinity is told later, with the box"),
        pytest.param([1, 2], None, id="too few"),
        pytest.param([1, 2, 3, 4], None, id="too many"),
        pytest.param([1, 2, "3"], None, id="text"),
        pytest.param([1, 2, True], None, id="true is no number"),
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


@pytest.mark.parametrize(
    ("text", "content", "lines"),
    [
        pytest.param('{"a": 12.5,\n"a": [1,\n2]}', {"a": [1, 2]}, {"a": [2, 3]}, id="a number, then a list"),
        pytest.param('{"a": [0],\n"a": 3,\n"a": [1]}', {"a": [1]}, {"a": [3]}, id="a list again"),
        pytest.param('{"a": [1], "a": null}', {"a": None}, {"a": [1]}, id="nothing in the end"),
    ],
)
def test_read_json_with_a_key_twice(tmp_path: Path, text: str, content: object, lines: object) -> None:
    (tmp_path / "a.json").write_text(text)
    assert read_json(tmp_path / "a.json") == (content, lines)
