from __future__ import annotations

import os
from pathlib import Path

import pytest

from spore_yolo.dataset.register import (
    DatasetEntry,
    find_entry,
    read_register,
    relative_to_register,
    write_entry,
)
from spore_yolo.files.errors import InputProblems, UsageError


def _entry(**changes: object) -> DatasetEntry:
    fields = {"images": "raw", "labels": "raw/l.csv", "format": "csv", "folder": "data/a", "classes": ["Alternaria"]}
    return DatasetEntry.model_validate(fields | changes)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="no file"),
        pytest.param("", id="an empty file"),
        pytest.param("{}\n", id="an empty mapping"),
        pytest.param("# only a comment\n\n", id="only a comment"),
    ],
)
def test_read_register__empty(register: Path, text: str | None) -> None:
    if text is not None:
        register.write_text(text, encoding="utf-8")
    assert read_register(register) == {}


def test_write_entry__read_back_and_others_stay(register: Path) -> None:
    first = _entry(targets=["Alternaria"], group_by="(trap)", licence="CC BY 4.0", source="Feld \u00e4hnlich: 1")
    write_entry(register, "zeta", first)
    write_entry(register, "alpha", _entry())
    assert read_register(register) == {"alpha": _entry(), "zeta": first}
    write_entry(register, "alpha", _entry(format="coco"))
    assert read_register(register) == {"alpha": _entry(format="coco"), "zeta": first}
    text = register.read_text(encoding="utf-8")
    assert text.startswith("#")
    assert text.index("alpha:") < text.index("zeta:")
    assert [path.name for path in register.parent.iterdir()] == ["datasets.yaml"], "no temporary file is left"


def test_write_entry__unchanged_is_not_written_again(register: Path) -> None:
    write_entry(register, "a", _entry())
    os.utime(register, ns=(1, 1))
    write_entry(register, "a", _entry())
    assert register.stat().st_mtime_ns == 1
    write_entry(register, "a", _entry(licence="CC0"))
    assert register.stat().st_mtime_ns != 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("a: {images: raw}\n", "a.labels", id="a field is missing"),
        pytest.param(
            "a: {images: r, labels: l, format: csv, folder: d, classes: [], colour: red}\n",
            "a.colour",
            id="one too many",
        ),
        pytest.param("a: {images: [raw\n", "datasets.yaml", id="not YAML"),
        pytest.param("- a\n- b\n", "datasets.yaml", id="a list"),
    ],
)
def test_read_register__refused(register: Path, text: str, named: str) -> None:
    register.write_text(text, encoding="utf-8")
    with pytest.raises(InputProblems) as caught:
        read_register(register)
    assert named in str(caught.value)


def test_write_entry__a_damaged_register_is_left_alone(register: Path) -> None:
    register.write_text("a: {images: raw}\n", encoding="utf-8")
    with pytest.raises(InputProblems):
        write_entry(register, "b", _entry())
    assert register.read_text(encoding="utf-8") == "a: {images: raw}\n"


def test_find_entry(register: Path) -> None:
    write_entry(register, "a", _entry())
    assert find_entry(register, "a") == _entry()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("b", "unknown dataset 'b'", id="unknown"),
        pytest.param(None, "expected a dataset's name", id="no name given"),
    ],
)
def test_find_entry__says_what_there_is(register: Path, name: str | None, words: str) -> None:
    with pytest.raises(UsageError, match="none is registered") as caught:
        find_entry(register, name)
    assert words in str(caught.value)
    write_entry(register, "a", _entry())
    write_entry(register, "c", _entry())
    with pytest.raises(UsageError, match="a, c") as caught:
        find_entry(register, name)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("data/a", "data/a", id="below"),
        pytest.param("../other/a", "../other/a", id="beside"),
        pytest.param(".", ".", id="the folder itself"),
    ],
)
def test_relative_to_register(register: Path, path: str, expected: str) -> None:
    assert relative_to_register(register.parent / path, register) == expected
