"""Content hashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.hashes import fingerprint, sha256_file


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # The test vectors of FIPS 180-2.
        pytest.param(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", id="empty file"),
        pytest.param(b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", id="three letters"),
        pytest.param(
            b"a" * 1_000_000,
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            id="a million letters, more than one read",
        ),
    ],
)
def test_sha256_file(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, True, id="order of keys does not count"),
        pytest.param({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}}, True, id="nor does it further down"),
        pytest.param([1, 2], [2, 1], False, id="order of a list counts"),
        pytest.param({"a": 1}, {"a": 2}, False, id="values count"),
        pytest.param({"a": 1}, {"b": 1}, False, id="names count"),
        pytest.param({"a": None}, {}, False, id="a missing key is not an empty one"),
        pytest.param(["ab", "c"], ["a", "bc"], False, id="borders between values count"),
        pytest.param("1", 1, False, id="text is not a number"),
        pytest.param(Path("a/b.jpg"), "a/b.jpg", True, id="a path is its text"),
    ],
)
def test_fingerprint(one: Any, other: Any, same: bool) -> None:
    assert (fingerprint(one) == fingerprint(other)) is same
    assert len(fingerprint(one)) == 64
