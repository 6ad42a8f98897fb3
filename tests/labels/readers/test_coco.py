"""COCO JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.errors import InputProblems
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.coco import read_coco
from spore_yolo.labels.table import RawLabels, check_boxes

SaveImage = Callable[..., Path]

IMAGES = [
    {"id": 900, "file_name": "a.jpg", "width": 100, "height": 80},
    {"id": 7, "file_name": "b.png", "width": 60, "height": 40},
]
CATEGORIES = [{"id": 40, "name": "smut"}, {"id": 3, "name": "bunt"}]


def annotation(bbox: Any, image: Any = 900, category: Any = 40, **more: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": image, "category_id": category, "bbox": bbox, **more}


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Callable[..., RawLabels]:
    """Reads a COCO file, written with an indent of 1, with the annotations given."""

    def reader(annotations: list[dict[str, Any]], **parts: Any) -> RawLabels:
        content = {"images": IMAGES, "categories": CATEGORIES, "annotations": annotations, **parts}
        (tmp_path / "coco.json").write_text(json.dumps(content, indent=1))
        return read_coco(tmp_path / "coco.json", images)

    return reader


Read = Callable[..., RawLabels]


def test_boxes_are_corner_width_height(read: Read, images: ImageIndex) -> None:
    labels = read([annotation([10, 20, 30, 40]), annotation([0, 0, 60, 40], image=7, category=3)])
    assert [(box.image, box.class_name, *box[2:6]) for box in labels.boxes] == [
        ("a.jpg", "smut", 10, 20, 40, 60),
        ("b.png", "bunt", 0, 0, 60, 40),
    ]
    checked = check_boxes(labels.boxes, images.sizes)
    assert (len(checked.table), checked.problems, checked.clipped) == (2, [], 0)


def test_classes_keep_the_order_of_the_file_and_images_without_boxes_count(read: Read) -> None:
    labels = read([annotation([1, 1, 2, 2])])
    assert labels.classes == ["smut", "bunt"], "neither by id nor by letter, and with classes that have no box"
    assert labels.labelled_images == {"a.jpg", "b.png"}
    assert labels.problems == []


@pytest.mark.parametrize(
    ("image_id", "category_id"),
    [
        pytest.param(0, 0, id="from zero"),
        pytest.param(10_000_000_007, 99, id="large, with gaps"),
        pytest.param("a3f9", "c-1", id="text"),
    ],
)
def test_ids_are_arbitrary(read: Read, image_id: Any, category_id: Any) -> None:
    labels = read(
        [annotation([1, 1, 2, 2], image_id, category_id)],
        images=[{"id": 1, "file_name": "b.png"}, {"id": image_id, "file_name": "a.jpg"}],
        categories=[{"id": 1, "name": "bunt"}, {"id": category_id, "name": "rust"}],
    )
    assert [(box.image, box.class_name) for box in labels.boxes] == [("a.jpg", "rust")]


@pytest.mark.parametrize(
    ("more", "ignored"),
    [
        pytest.param({}, False, id="not said"),
        pytest.param({"iscrowd": 0}, False, id="no crowd"),
        pytest.param({"iscrowd": 1}, True, id="a crowd"),
    ],
)
def test_crowds_are_ignored(read: Read, more: dict[str, Any], ignored: bool) -> None:
    assert [box.ignored for box in read([annotation([1, 1, 2, 2], **more)]).boxes] == [ignored]


def line_of(path: Path, mark: str) -> int:
    """The line of the brace that opens the item with ``mark``; the brace stands alone on the line before."""
    lines = path.read_text().splitlines()
    place = next(number for number, line in enumerate(lines, start=1) if mark in line)
    assert lines[place - 2].strip() == "{"
    return place - 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(annotation([1, 1, 2, 2], image=8), "unknown image id 8", id="unknown image"),
        pytest.param(annotation([1, 1, 2, 2], category=4), "unknown class, category id 4", id="unknown category"),
        pytest.param(annotation([1, 1, 2]), "four numbers", id="three numbers"),
        pytest.param(annotation([1, 1, 2, 2, 5]), "four numbers", id="five numbers"),
        pytest.param(annotation([1, 1, 2, "2"]), "four numbers", id="a number as text"),
        pytest.param(annotation([1, 1, 2, None]), "four numbers", id="a number is missing"),
        pytest.param(annotation([1, 1, 2, 10**400]), "four numbers", id="a number larger than any image"),
        pytest.param(annotation(None), "four numbers", id="no box"),
        pytest.param({"image_id": 900, "category_id": 40, "segmentation": []}, "four numbers", id="an outline only"),
        pytest.param({"bbox": [1, 1, 2, 2], "category_id": 40}, "unknown image id None", id="no image id"),
        pytest.param({"bbox": [1, 1, 2, 2], "image_id": 900}, "category id None", id="no category id"),
    ],
)
def test_bad_annotation_is_named_by_its_line(read: Read, tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    good = annotation([1, 1, 2, 2], segmentation=[[1, 2, 3]])
    labels = read([good, good, {"mark": "bad", **bad}, {"mark": "last", **good}])
    assert len(labels.boxes) == 3
    assert [problem.line for problem in labels.problems] == [line_of(tmp_path / "coco.json", '"bad"')]
    assert message in labels.problems[0].message
    assert labels.boxes[-1].line == line_of(tmp_path / "coco.json", '"last"')


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        pytest.param([1, 1, float("nan"), 2], "four numbers", id="not a number"),
        pytest.param([1, 1, 0, 2], "with an area", id="no width"),
        pytest.param([1, 1, 5, -2], "with an area", id="negative height"),
        pytest.param([90, 1, 20, 5], "beyond the border", id="reaches beyond the right"),
        pytest.param([200, 1, 20, 5], "outside", id="outside"),
    ],
)
def test_impossible_box_is_named_by_its_line(
    read: Read, tmp_path: Path, images: ImageIndex, bbox: list[float], message: str
) -> None:
    labels = read([annotation([1, 1, 2, 2]), {"mark": "bad", **annotation(bbox)}])
    checked = check_boxes(labels.boxes, images.sizes)
    assert len(checked.table) == 1
    assert [problem.line for problem in checked.problems] == [line_of(tmp_path / "coco.json", '"bad"')]
    assert message in checked.problems[0].message


def test_lines_do_not_depend_on_the_order_or_the_layout_of_the_file(tmp_path: Path, images: ImageIndex) -> None:
    text = """
{"annotations": [{"id": 1, "image_id": 900, "category_id": 40, "bbox": [1, 1, 2, 2]}, {"id": 2}, {
    "id": 3, "image_id": 900, "category_id": 40,
    "bbox": [1, 1, 2, 2], "note": "a } and \\" {"}
  ,
  {"id": 4}],
 "categories": [{"id": 40, "name": "annotations"}], "images": [
  {"id": 900, "file_name": "a.jpg"},
  {"id": 901, "file_name": "c.jpg"}]}
"""
    (tmp_path / "coco.json").write_text(text, encoding="utf-8-sig")
    labels = read_coco(tmp_path / "coco.json", images)
    assert [box.line for box in labels.boxes] == [2, 2]
    assert sorted(problem.line or 0 for problem in labels.problems) == [2, 6, 9]


def test_unknown_image_is_told_once(read: Read, tmp_path: Path) -> None:
    labels = read(
        [annotation([1, 1, 2, 2], image=8), annotation([3, 3, 2, 2], image=8), annotation([1, 1, 2, 2])],
        images=[*IMAGES, {"mark": "bad", "id": 8, "file_name": "c.jpg"}],
    )
    assert len(labels.boxes) == 1
    assert [problem.line for problem in labels.problems] == [line_of(tmp_path / "coco.json", '"bad"')]
    assert "c.jpg" in labels.problems[0].message
    assert labels.labelled_images == {"a.jpg", "b.png"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b'{"images": [],\n "categories": [\n}', r"coco\.json:3: not valid JSON", id="broken JSON"),
        pytest.param(b'{"images": [', r"coco\.json:1: not valid JSON", id="a file cut off"),
        pytest.param(b"", r"coco\.json:1: not valid JSON", id="an empty file"),
        pytest.param(b"\xff\xd8\xff\xe0", "other bytes", id="an image"),
        pytest.param(b"[]", "'images'", id="a list"),
        pytest.param(b'{"images": [], "annotations": []}', "'categories'", id="no categories"),
        pytest.param(b'{"images": [], "categories": []}', "'annotations'", id="no annotations"),
        pytest.param(b'{"images": {}, "categories": [], "annotations": []}', "'images'", id="images are no list"),
        pytest.param(b'{"images": [{"id": 1}], "categories": [], "annotations": []}', "file_name", id="no file name"),
        pytest.param(b'{"images": [], "categories": [3], "annotations": []}', "'categories'", id="a bare number"),
        pytest.param(b'{"images": [], "categories": [], "annotations": [[]]}', "'annotations'", id="a bare list"),
        pytest.param(b"[" * 200_000, "nested too deeply", id="nested too deeply"),
        pytest.param(b'{"images": [1' + b"0" * 6000 + b"]}", "thousands of digits", id="a number without end"),
    ],
)
def test_file_that_is_not_coco(tmp_path: Path, images: ImageIndex, content: bytes, message: str) -> None:
    (tmp_path / "coco.json").write_bytes(content)
    with pytest.raises(InputProblems, match=message):
        read_labels(tmp_path / "coco.json", images, "coco")


def test_folder_in_place_of_a_file(tmp_path: Path, images: ImageIndex) -> None:
    with pytest.raises(InputProblems, match="found a folder"):
        read_coco(tmp_path, images)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # The image is stored as 60 x 40 and displayed, turned to the right, as 40 x 60.
        pytest.param({"width": 60, "height": 40}, [30, 0, 40, 20], id="stored size: top left turns to top right"),
        pytest.param({"width": 40, "height": 60}, [0, 0, 20, 10], id="displayed size: stays"),
        pytest.param({}, [0, 0, 20, 10], id="no size: taken as displayed"),
        pytest.param({"width": 0, "height": 0}, [0, 0, 20, 10], id="0 x 0 means unknown"),
        pytest.param({"width": None, "height": None}, [0, 0, 20, 10], id="null means unknown"),
    ],
)
def test_turned_image(tmp_path: Path, turned: ImageIndex, size: dict[str, Any], expected: list[float]) -> None:
    content = {
        "images": [{"id": 1, "file_name": "t.jpg", **size}],
        "categories": CATEGORIES,
        "annotations": [annotation([0, 0, 20, 10], image=1)],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    checked = check_boxes(read_coco(tmp_path / "coco.json", turned).boxes, turned.sizes)
    assert checked.problems == []
    assert checked.table.iloc[0][["x_min", "y_min", "x_max", "y_max"]].tolist() == expected


def test_labels_of_another_version_of_the_image(read: Read, images: ImageIndex) -> None:
    labels = read(
        [annotation([1, 1, 2, 2], image=1)], images=[{"id": 1, "file_name": "a.jpg", "width": 50, "height": 40}]
    )
    checked = check_boxes(labels.boxes, images.sizes)
    assert len(checked.table) == 0
    assert "another version" in checked.problems[0].message


def test_labels_of_an_unreadable_image_are_left_to_the_image(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "a.jpg")
    (tmp_path / "bad.jpg").touch()
    content = {
        "images": [{"id": 1, "file_name": "bad.jpg"}],
        "categories": CATEGORIES,
        "annotations": [annotation([0, 0, 20, 10], image=1)],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    labels = read_coco(tmp_path / "coco.json", ImageIndex(tmp_path))
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"bad.jpg"})


def test_scores_of_labels_are_not_read_and_sizes_are_told(read: Read) -> None:
    labels = read([annotation([1, 1, 2, 2], score="surely")])
    assert ([box.score for box in labels.boxes], labels.problems) == ([None], [])
    assert labels.stated_sizes == {"a.jpg": (100, 80), "b.png": (60, 40)}


def test_path_that_leads_outside_is_refused_where_no_image_is_at_hand(tmp_path: Path) -> None:
    content = {"images": [{"id": 1, "file_name": "../../a.jpg"}], "categories": CATEGORIES, "annotations": []}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    labels = read_coco(tmp_path / "coco.json", NamedImages(tmp_path / "coco.json"))
    assert labels.labelled_images == set()
    assert "path of an image below one folder, found '../../a.jpg'" in labels.problems[0].message
