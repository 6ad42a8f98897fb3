"""Text files with centre points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.readers.points import read_points, squares
from spore_yolo.labels.table import UNKNOWN_SIZE, RawLabels, check_boxes

SIZES = {"a.jpg": ImageSize(100, 80), "b.jpg": ImageSize(60, 40), "c.jpg": UNKNOWN_SIZE}

Read = Callable[..., RawLabels]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads text files, given by their names and contents."""

    def reader(files: dict[str, str | bytes], options: ReadOptions | None = None) -> RawLabels:
        folder = tmp_path / "points"
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        images = KnownImages(SIZES, tmp_path / "slides", "in the test")
        return read_points(folder, images, options or ReadOptions(point_size=20))

    return reader


def test_squares_round_points(read: Read) -> None:
    labels = read({"a.txt": "50 40 1\n\n5 6.5 0\r\n", "b.txt": ""})
    assert [(box.image, box.class_name, box[2:6], box.line) for box in labels.boxes] == [
        ("a.jpg", "1", (40, 30, 60, 50), 1),
        ("a.jpg", "0", (0, 0, 15, 16.5), 3),
    ]
    assert labels.labelled_images == {"a.jpg", "b.jpg"}
    assert labels.classes == ["0", "1"]
    assert labels.problems == []
    assert labels.notes == [
        "2 points became squares of 20 pixels round them",
        "1 squares round points near the border were clipped",
    ]


def test_clipped_where_the_border_is_known(read: Read) -> None:
    labels = read({"a.txt": "98 79 0", "c.txt": "98 3 0"})
    assert [box[2:6] for box in labels.boxes] == [(88, 69, 100, 80), (88, 0, 108, 13)]


def test_point_far_outside_is_told_by_the_check(read: Read) -> None:
    labels = read({"a.txt": "500 40 0\nnan 5 0\n"})
    codes = [problem.code for problem in check_boxes(labels.boxes, SIZES).problems]
    assert codes == ["SPR014", "SPR011"]
    assert not any("clipped" in note for note in labels.notes)


def test_names_of_the_classes(read: Read) -> None:
    labels = read({"a.txt": "50 40 1\n50 40 2\n", "classes.txt": "rust\nsmut\n"})
    assert [box.class_name for box in labels.boxes] == ["smut"]
    assert labels.classes == ["rust", "smut"]
    (problem,) = labels.problems
    assert (problem.line, problem.code) == (2, "SPR021")
    assert "unknown class 2; the class list has 0 rust, 1 smut" in problem.message


def test_names_that_the_user_knows(read: Read) -> None:
    labels = read({"a.txt": "50 40 1\n"}, ReadOptions(point_size=4, class_names={0: "rust", 1: "smut"}))
    assert [box.class_name for box in labels.boxes] == ["smut"]


@pytest.mark.parametrize("line", ["1 2", "1 2 3 4", "x 2 0", "1 2 rust", "1 2 0.5", "1_0 2 0", "0 .5 .5 .1 .1"])
def test_line_that_is_no_point(read: Read, line: str) -> None:
    labels = read({"a.txt": f"50 40 0\n{line}\n"})
    assert len(labels.boxes) == 1
    (problem,) = labels.problems
    assert (problem.line, problem.code) == (2, "SPR001")
    assert line in problem.message


def test_file_without_image_and_file_that_is_no_text(read: Read) -> None:
    labels = read({"z.txt": "1 2 0", "a.txt": b"\xff\xfe\xff"})
    assert sorted(problem.code for problem in labels.problems) == ["SPR001", "SPR002"]


def test_size_has_to_be_said(read: Read) -> None:
    with pytest.raises(UsageError, match="--point-size: "):
        read({"a.txt": "1 2 0"}, ReadOptions())


def test_file_and_empty_folder(tmp_path: Path) -> None:
    images = KnownImages(SIZES, tmp_path, "in the test")
    (tmp_path / "a.txt").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SporeYoloError, match="found a file"):
        read_points(tmp_path / "a.txt", images, ReadOptions(point_size=3))
    with pytest.raises(SporeYoloError, match="found none"):
        read_points(tmp_path / "empty", images, ReadOptions(point_size=3))


def test_squares_of_no_points() -> None:
    corners, clipped = squares(np.empty((0, 2)), 5, [])
    assert (corners.shape, clipped) == ((0, 4), 0)
