"""XML read element by element."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems
from spore_yolo.labels.codes import UNREADABLE_LABEL
from spore_yolo.labels.readers import values, xml
from spore_yolo.labels.readers.xml import Element, XmlItems


def items(path: Path, content: str | bytes, *opened: str) -> list[Element]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(XmlItems(path, opened))


def test_items_come_whole_and_with_their_lines(tmp_path: Path) -> None:
    found = items(tmp_path / "a.xml", '<a>\n <b k="1">x<c> y\n </c></b>\n\n <d/>\n</a>\n')
    assert [(item.name, item.line, item.within) for item in found] == [("a", 1, ""), ("b", 2, "a"), ("d", 5, "a")]
    assert found[0].children == [], "the root does not hold what is in it"
    assert found[1].attributes == {"k": "1"}
    assert [(child.name, child.text, child.line, child.within) for child in found[1].children] == [("c", "y", 2, "")]
    assert (found[1].text_of("c"), found[1].text_of("none"), found[1].child("none")) == ("y", "", None)


def test_opened_elements_come_when_they_begin(tmp_path: Path) -> None:
    content = "<a><image n='1'><box/><box><image/></box></image><image n='2'/><other><image/></other></a>"
    found = items(tmp_path / "a.xml", content, "image")
    assert [(item.name, item.within, len(item.children)) for item in found] == [
        ("a", "", 0),
        ("image", "a", 0),
        ("box", "image", 0),
        ("box", "image", 1),
        ("image", "a", 0),
        ("other", "a", 1),
    ]


def test_every_goes_to_any_depth(tmp_path: Path) -> None:
    meta = items(tmp_path / "a.xml", "<r><m><x>1</x><y><x>2<z/><x>3</x></x></y></m></r>")[1]
    assert [element.text for element in meta.every("x")] == ["1", "", "3"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "koi8-r"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "Пшеница" if encoding == "koi8-r" else "Blätter"
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    content = f'<?xml version="1.0" encoding="{declared}"?>\n<a><b>{text}</b></a>'.encode(encoding)
    assert items(tmp_path / "a.xml", content)[1].text == text


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        pytest.param("", 1, "not valid XML", id="empty"),
        pytest.param("<a>\n<b></a>", 2, "not valid XML", id="closed in the wrong order"),
        pytest.param("<a/>\n<b/>", 2, "not valid XML", id="two roots"),
        pytest.param(b"<a>\n\n\xff</a>", 3, "not valid XML", id="other bytes"),
        pytest.param("<a>&x;</a>", 1, "not valid XML", id="an unknown entity"),
        pytest.param('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', None, "for safety", id="an entity"),
        pytest.param('<!DOCTYPE a SYSTEM "http://example.org/a.dtd"><a/>', None, "for safety", id="a document type"),
        pytest.param('<?xml version="1.0" encoding="gb2312"?><a/>', None, "save it as UTF-8", id="bytes by twos"),
        pytest.param('<?xml version="1.0" encoding="none-such"?><a/>', None, "save it as UTF-8", id="no encoding"),
        pytest.param('<?xml version="1.0" encoding="zlib"?><a/>', None, "save it as UTF-8", id="a codec of no text"),
        pytest.param("\n" + "<a>" * 200, 2, "nested more than 100", id="deep"),
        pytest.param("<a>\n<b>" + "x" * 2000 + "</b></a>", 2, "longer than 1,000 letters", id="a long text"),
        pytest.param("<a>\n" + "<b/>" * 600 + "</a>", 2, "more than 500 elements", id="many elements"),
        pytest.param("<a>\n<!--" + "<" * 5000, 2, "longer than", id="a comment without an end"),
        pytest.param('<a>\n<b c="' + "x" * 5000 + '"/></a>', 2, "longer than", id="a long attribute"),
        pytest.param("<a>" + " " * 200_000 + "</a>", None, "of at most", id="a large file"),
    ],
)
def test_bad_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, line: int | None, message: str
) -> None:
    monkeypatch.setattr(xml, "MAX_TEXT", 1000)
    monkeypatch.setattr(xml, "MAX_ELEMENTS", 500)
    monkeypatch.setattr(xml, "CHUNK", 100)
    monkeypatch.setattr(values, "MAX_BYTES", 100_000)
    with pytest.raises(InputProblems) as caught:
        items(tmp_path / "a.xml", content)
    assert [(problem.file, problem.line, problem.code) for problem in caught.value.problems] == [
        (tmp_path / "a.xml", line, UNREADABLE_LABEL)
    ]
    assert message in caught.value.problems[0].message


def test_long_text_that_is_no_item_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "CHUNK", 100)
    assert len(items(tmp_path / "a.xml", "<a>" + "<b> </b>\n" * 1000 + "</a>")) == 1001


@pytest.mark.parametrize("kind", ["folder", "nothing", "loop"])
def test_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.xml"
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    with pytest.raises(InputProblems, match="expected XML, found"):
        list(XmlItems(path))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20)


@given(texts=st.lists(st.tuples(TEXT, TEXT), max_size=6), chunk=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_texts_and_attributes_come_out_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]], chunk: int
) -> None:
    from xml.sax.saxutils import escape, quoteattr

    path = tmp_path_factory.getbasetemp() / "round.xml"
    body = "\n".join(f"<b k={quoteattr(key)}>{escape(text)}</b>" for key, text in texts)
    path.write_text(f"<a>\n{body}\n</a>", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xml, "CHUNK", chunk)  # wherever a piece ends
        patch.setattr(xml, "MAX_CHUNKS", 1000)
        found = list(XmlItems(path))[1:]
    assert [(item.attributes["k"], item.text, item.line) for item in found] == [
        (key, text, line) for line, (key, text) in enumerate(texts, start=2)
    ]
    assert not any(re.search(r"\s", item.text) for item in found)
