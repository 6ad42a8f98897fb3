"""A folder with files of many kinds, and a data lake that moves large files in small parts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from spore_yolo.files.lake import Lake, RemotePath
from tests.lake_server import Bucket

PART = 5 * 1024**2
"""The least that S3 takes as a part."""


@pytest.fixture
def lake(s3: Bucket) -> Lake:
    return Lake(part_bytes=PART)


@pytest.fixture
def prefix(s3: Bucket) -> RemotePath:
    return RemotePath(s3.name, "lake/slides")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "slides")


def fill(folder: Path) -> Path:
    """Files whose names and sizes have given others trouble, one of them larger than two parts."""
    contents = {
        "a.jpg": b"first",
        "day 3/ü+b&c=1?versionId=2#x%20.jpg": b"second",
        "day 3/[deep]/empty.txt": b"",
        "day 3/.hidden": b"hidden",
        "scan.svs": random.Random(0).randbytes(2 * PART + 12345),
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
