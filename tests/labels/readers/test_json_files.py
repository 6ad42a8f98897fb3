"""What the formats share that keep many images in one JSON file."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.labels.image_index import ImageIndex
from spore_yolo.labels.readers.json_files import find_image, objects, paths_of_address, read_each, unlike
from spore_yolo.labels.table import RawLabels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('[{"a": 1},\n3]', [({"a": 1}, 1), (3, 2)], id="a list"),
        pytest.param("[]", [], id="an empty list"),
        pytest.param('{"a": [1,\n2], "b": {}, "c": []}', [({"a": [1, 2], "b": {}, "c": []}, 1)], id="an object"),
        pytest.param('{"a": "", "a": [1]}', [({"a": [1]}, 1)], id="a name that stands there twice"),
        pytest.param("{}", [], id="an empty object"),
        pytest.param("3", [(3, 1)], id="a number"),
    ],
)
def test_objects(tmp_path: Path, text: str, expected: list[tuple[Any, int]]) -> None:
    (tmp_path / "a.json").write_text(text)
    assert list(objects(tmp_path / "a.json")) == expected


def test_each_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.json", "a.JSON", "deep/c.json", "d.txt"):
        (tmp_path / name).write_text(json.dumps(name))
    labels, found = RawLabels(), []

    def read(file: Path) -> None:
        assert not gc.isenabled()
        found.append(file.relative_to(tmp_path).as_posix())
        if file.name == "b.json":
            raise unlike(file, "something else", "b" * 100, 3)

    read_each(tmp_path, "JSON files", labels, read)
    assert found == ["a.JSON", "b.json", "deep/c.json"]
    assert [str(problem) for problem in labels.problems] == [
        f"{tmp_path / 'b.json'}:3: SPR001 expected something else, found '{'b' * 59}"
    ]
    with pytest.raises(InputProblems, match="expected something else"):
        read_each(tmp_path / "b.json", "JSON files", labels, read)
    with pytest.raises(SporeYoloError, match="expected JSON files, found none"):
        (tmp_path / "empty").mkdir()
        read_each(tmp_path / "empty", "JSON files", labels, read)


def test_first_known_path_counts_and_the_first_is_told(images: ImageIndex) -> None:
    assert find_image(["c.jpg", "b.png", "a.jpg"], images) == "b.png"
    with pytest.raises(LookupError, match=r"no c\.jpg"):
        find_image(["c.jpg", "d.jpg"], images)
    with pytest.raises(LookupError, match="found none"):
        find_image([], images)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param(" day 1/a.jpg ", ["day 1/a.jpg"], id="a path"),
        pytest.param("50%20.jpg", ["50%20.jpg", "50 .jpg"], id="a path is first of all itself"),
        pytest.param("https://x.org/a/b%20c.jpg?d=e", ["a/b c.jpg", "a/b%20c.jpg"], id="an address"),
        pytest.param("s3://bucket/a/b.jpg", ["a/b.jpg"], id="a store"),
        pytest.param("file:///home/me/b.jpg", ["home/me/b.jpg"], id="a file"),
        pytest.param("https://x.org", [""], id="a host alone"),
    ],
)
def test_paths_of_an_address(address: str, expected: list[str]) -> None:
    assert paths_of_address(address) == expected
