"""YAML files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.files.structured import read_model, read_yaml, write_yaml


class Settings(BaseModel):
    """A model as the project uses them."""

    model_config = ConfigDict(extra="forbid")

    epochs: int
    name: str = "spore"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A path to write YAML to."""
    return tmp_path / "settings.yaml"


def test_read_yaml(file: Path) -> None:
    file.write_text("names: {0: Alternaria, 1: Prachtkäfer}\nlist: [1, 2.5]\n", encoding="utf-8")
    assert read_yaml(file) == {"names": {0: "Alternaria", 1: "Prachtkäfer"}, "list": [1, 2.5]}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        pytest.param(b"a: 1\nb: [1\nc: 2\n", 3, id="a bracket left open is noticed on the next line"),
        pytest.param(b"a: 1\nb: !!python/object/apply:os.getcwd []\n", 2, id="Python objects are not made"),
        pytest.param(b"a: 1\nb:\n\t- 2\n", 3, id="a tab"),
        pytest.param(b"a: \x01\n", None, id="a control character"),
        pytest.param(b"names: [a, b]\nday: 2024-13-45\n", None, id="a day that no calendar has"),
    ],
)
def test_read_yaml_names_the_place(file: Path, content: bytes, line: int | None) -> None:
    file.write_bytes(content)
    with pytest.raises(SporeYoloError, match="settings.yaml") as caught:
        read_yaml(file)
    if line is not None:
        assert isinstance(caught.value, InputProblems)
        assert [problem.line for problem in caught.value.problems] == [line]


LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(LAUGHS, "at most 200,000 values", id="a billion laughs"),
        pytest.param("a: &a {x: 1}\n" * 2 + "b: &b {<<: [*a, *a]}\nc: *b\nd: &d [*d]\n", "within itself", id="a ring"),
        pytest.param("names: " + "[" * 100_000, "at most 100 lists", id="brackets without end"),
        pytest.param("- " * 100_000 + "a", "at most 100 lists", id="dashes without end"),
        pytest.param("names:\n" + "- a\n" * 200_000, "at most 200,000 values", id="too many values"),
        pytest.param(
            "names: {" + ":".join(["1"] * 100_000) + ": a}", "199,999 letters", id="a number to the base of 60"
        ),
        pytest.param("names: !!int '" + "1:" * 50_000 + "1'", "100,001 letters", id="the same with a tag"),
        pytest.param("names: " + ":".join(["1"] * 300) + ":1.5", "not what it looks like", id="a number beyond floats"),
        pytest.param("names: !!bool rust", "not what it looks like", id="a tag that is not true"),
        pytest.param("- " + "rust " * 2_000_000, "at most 8 MB, found 10 MB", id="too large"),
    ],
)
def test_read_yaml_is_bounded(file: Path, content: str, words: str) -> None:
    file.write_text(content)
    begin = time.process_time()  # what other programs take does not count
    with pytest.raises(SporeYoloError, match=words) as caught:
        read_yaml(file)
    assert time.process_time() - begin < 5
    assert len(str(caught.value)) < 300 + len(str(file))


def test_read_yaml_with_an_alias(file: Path) -> None:
    file.write_text("a: &common [x, y]\nb: *common\nc: {<<: &more {k: 1}, j: 2}\n")
    assert read_yaml(file) == {"a": ["x", "y"], "b": ["x", "y"], "c": {"k": 1, "j": 2}}


def test_read_yaml_of_something_else_than_a_file(file: Path) -> None:
    with pytest.raises(SporeYoloError, match="found a folder"):
        read_yaml(file.parent)
    os.mkfifo(file)
    with pytest.raises(SporeYoloError, match="found something else"):
        read_yaml(file)


def test_read_yaml_of_a_missing_file(file: Path) -> None:
    with pytest.raises(SporeYoloError, match=r"settings\.yaml: no such file"):
        read_yaml(file)


def test_read_yaml_of_other_bytes(file: Path) -> None:
    file.write_bytes("name: Käfer".encode("latin-1"))
    with pytest.raises(SporeYoloError, match="UTF-8"):
        read_yaml(file)


def test_read_model(file: Path) -> None:
    file.write_text("epochs: 3\n")
    assert read_model(file, Settings) == Settings(epochs=3, name="spore")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("name: a\n", [["epochs"]], id="a field is missing"),
        pytest.param("epochs: many\nepoch: 1\n", [["epochs", "many"], ["epoch"]], id="two faults are told at once"),
        pytest.param("- 1\n", [["the file"]], id="a list where fields are expected"),
        pytest.param("", [["the file", "None"]], id="an empty file"),
    ],
)
def test_read_model_lists_every_fault(file: Path, content: str, words: list[list[str]]) -> None:
    file.write_text(content)
    with pytest.raises(InputProblems) as caught:
        read_model(file, Settings)
    assert len(caught.value.problems) == len(words)
    for problem, expected in zip(caught.value.problems, words, strict=True):
        assert problem.file == file
        assert all(word in problem.message for word in expected), problem.message


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"z": 1, "a": {"y": [1, 2], "b": None}}, id="nested"),
        pytest.param({"yes": "no", "text": "2024-01-01", "digits": "007"}, id="text that looks like something else"),
        pytest.param({"class": "Botrytis cinérea 灰霉"}, id="letters beyond ASCII"),
        pytest.param({"rate": 1e-5, "long": "word " * 60}, id="a small number and a long line"),
    ],
)
def test_write_yaml_round_trip(file: Path, value: dict[str, Any]) -> None:
    write_yaml(file, value)
    again = read_yaml(file)
    assert again == value
    assert list(again) == list(value), "keys keep their order"


def test_write_yaml_header_and_plain_letters(file: Path) -> None:
    write_yaml(file, {"class": "灰霉"}, header="# made by hand\n")
    assert file.read_text(encoding="utf-8") == "# made by hand\nclass: 灰霉\n"


def test_write_yaml_of_something_else_leaves_the_old_file(file: Path) -> None:
    file.write_text("a: 1\n")
    with pytest.raises(Exception, match="represent"):
        write_yaml(file, {"a": object()})
    assert file.read_text() == "a: 1\n"
    assert list(file.parent.iterdir()) == [file]
