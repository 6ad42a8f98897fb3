"""COCO JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycocotools.mask
import pytest

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.coco import read_coco
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
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

    def reader(annotations: list[dict[str, Any]], options: ReadOptions = PLAIN, **parts: Any) -> RawLabels:
        content = {"images": IMAGES, "categories": CATEGORIES, "annotations": annotations, **parts}
        (tmp_path / "coco.json").write_text(json.dumps(content, indent=1))
        return read_coco(tmp_path / "coco.json", images, options)

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
        pytest.param(annotation([1, 1, True, 2]), "four numbers", id="true in place of a number"),
        pytest.param({"image_id": 900, "category_id": 40, "segmentation": []}, "four numbers", id="no outline either"),
        pytest.param(annotation([], image=[900]), "to be numbers", id="a list as image id"),
        pytest.param(annotation([], category={}), "to be numbers", id="an object as category id"),
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
        pytest.param(b'{"images": [],\n "categories": [\n}', r"coco\.json:3: SPR001 not valid JSON", id="broken JSON"),
        pytest.param(b'{"images": [', r"coco\.json:1: SPR001 not valid JSON", id="a file cut off"),
        pytest.param(b"", r"coco\.json:1: SPR001 not valid JSON", id="an empty file"),
        pytest.param(b"\xff\xd8\xff\xe0", "other bytes", id="an image"),
        pytest.param(b"[]", "'images'", id="a list"),
        pytest.param(b'{"images": [], "annotations": []}', "'categories'", id="no categories"),
        pytest.param(b'{"images": [], "categories": []}', "'annotations'", id="no annotations"),
        pytest.param(b'{"images": {}, "categories": [], "annotations": []}', "'images'", id="images are no list"),
        pytest.param(b'{"images": [{"id": 1}], "categories": [], "annotations": []}', "file_name", id="no file name"),
        pytest.param(b'{"images": [], "categories": [3], "annotations": []}', "'categories'", id="a bare number"),
        pytest.param(b'{"images": [], "categories": [], "annotations": [[]]}', "'annotations'", id="a bare list"),
        pytest.param(b'{"images": [], "categories": [], "annotations": {}}', "'annotations'", id="an object"),
        pytest.param(
            b'{"images":\n[{"id": null, "file_name": "a.jpg"}]}', r":2: SPR001 .*'images'.* have id", id="an id of null"
        ),
        pytest.param(b'{"images": [{"id": true, "file_name": "a.jpg"}]}', "'images'.* have id", id="an id of true"),
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


MASK = {"size": [80, 100], "counts": [10 * 80 + 20, 5, 80 - 5, 5, 8000 - 11 * 80 - 25]}
"""Five pixels of column 10 and of column 11, from row 20 on."""

PACKED = {"size": [80, 100], "counts": pycocotools.mask.frPyObjects(MASK, 80, 100)["counts"].decode()}


@pytest.mark.parametrize("bbox", [{}, {"bbox": None}, {"bbox": []}, {"bbox": [0, 0, 0, 0]}], ids=str)
@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        pytest.param([[4, 9, 8, 2, 6.5, 5]], (4, 2, 8, 9), id="a polygon"),
        pytest.param([[4, 9, 8, 2, 6, 5], [1, 7, 2, 11, 3, 3]], (1, 2, 8, 11), id="two polygons"),
        pytest.param(MASK, (10, 20, 12, 25), id="a mask"),
        pytest.param(PACKED, (10, 20, 12, 25), id="a packed mask"),
    ],
)
def test_outline_counts_by_the_box_round_it(
    read: Read, bbox: dict[str, Any], segmentation: Any, expected: tuple[float, ...]
) -> None:
    outline = {"image_id": 900, "category_id": 40, "segmentation": segmentation, **bbox}
    labels = read([outline, annotation([1, 1, 2, 2], segmentation=segmentation), outline])
    assert labels.problems == []
    assert [box[2:6] for box in labels.boxes] == [expected, (1, 1, 3, 3), expected], "a box wins over the outline"
    assert labels.notes == ["2 outlines without a box were turned into the boxes round them"]


@pytest.mark.parametrize(
    ("segmentation", "code", "message"),
    [
        pytest.param([[1, 2, 3, 4]], "SPR001", "three points or more", id="two points"),
        pytest.param([[1, 2, 3, 4, 5, 6, 7]], "SPR001", "three points or more", id="half a point"),
        pytest.param([[1, 2, 3, 4, 5, "6"]], "SPR001", "three points or more", id="text"),
        pytest.param([1, 2, 3, 4, 5, 6], "SPR001", "three points or more", id="a bare list of numbers"),
        pytest.param([[[1, 2], [3, 4], [5, 6]]], "SPR001", "three points or more", id="points as pairs"),
        pytest.param("1 2 3", "SPR001", "three points or more", id="text only"),
        pytest.param({"size": [80, 100], "counts": [8000]}, "SPR013", "with an area, found an empty mask", id="empty"),
        pytest.param({"size": [80, 100], "counts": [7999]}, "SPR001", "sum to its 8,000 pixels", id="too few pixels"),
        pytest.param({"counts": [7999]}, "SPR001", "'size' [height, width], found None", id="a mask without size"),
        pytest.param({"size": [80, 100]}, "SPR001", "'counts' of a mask", id="a mask without runs"),
        pytest.param(
            {"size": [100, 80], "counts": [0, 8000]}, "SPR008", "a mask of 100 x 80 pixels", id="a mask on its side"
        ),
    ],
)
def test_bad_outline(read: Read, tmp_path: Path, segmentation: Any, code: str, message: str) -> None:
    labels = read([annotation(None, segmentation=MASK), {"mark": "bad", **annotation(None, segmentation=segmentation)}])
    assert [(problem.code, problem.line) for problem in labels.problems] == [
        (code, line_of(tmp_path / "coco.json", '"bad"'))
    ]
    assert message in labels.problems[0].message
    assert len(labels.boxes) == 1


def test_bad_box_is_not_replaced_by_its_outline(read: Read) -> None:
    labels = read([annotation([1, 1, 2], segmentation=[[4, 9, 8, 2, 6, 5]])])
    assert (labels.boxes, len(labels.problems)) == ([], 1)


def test_outline_with_a_point_that_is_nowhere(read: Read, images: ImageIndex) -> None:
    labels = read([annotation(None, segmentation=[[4, 9, math.nan, 2, 6, 5]])])
    assert [problem.code for problem in check_boxes(labels.boxes, images.sizes).problems] == ["SPR011"]


def test_size_of_a_mask_is_a_stated_size(read: Read, images: ImageIndex) -> None:
    mask = {"size": [40, 50], "counts": [0, 2000]}
    labels = read([annotation(None, image=1, segmentation=mask)], images=[{"id": 1, "file_name": "a.jpg"}])
    assert [problem.code for problem in check_boxes(labels.boxes, images.sizes).problems] == ["SPR008"]


def test_two_ids_of_one_image_and_of_one_class(read: Read) -> None:
    labels = read(
        [annotation([1, 1, 2, 2]), annotation([3, 3, 2, 2], image=901, category=41)],
        images=[*IMAGES, {"id": 901, "file_name": "a.jpg"}, IMAGES[0]],
        categories=[*CATEGORIES, {"id": 41, "name": "smut"}, CATEGORIES[0]],
    )
    assert [(box.image, box.class_name) for box in labels.boxes] == [("a.jpg", "smut")] * 2
    assert (labels.classes, labels.problems) == (["smut", "bunt"], [])


def test_id_of_two_images_stands_for_neither(read: Read, tmp_path: Path) -> None:
    labels = read(
        [annotation([1, 1, 2, 2]), annotation([3, 3, 2, 2], image=7)],
        images=[*IMAGES, {"mark": "bad", "id": 900, "file_name": "b.png"}, {"id": 900, "file_name": "a.jpg"}],
    )
    assert [box.image for box in labels.boxes] == ["b.png"]
    assert [problem.line for problem in labels.problems] == [line_of(tmp_path / "coco.json", '"bad"')]
    assert "image id 900 stands for two images, a.jpg and b.png" in labels.problems[0].message
    assert labels.labelled_images == {"b.png"}, "nobody knows whether a.jpg is without boxes"


def test_id_of_two_classes_stands_for_neither(read: Read, tmp_path: Path) -> None:
    labels = read(
        [annotation([1, 1, 2, 2]), annotation([3, 3, 2, 2], category=3)],
        categories=[*CATEGORIES, {"mark": "bad", "id": 40, "name": "rust"}, CATEGORIES[0]],
    )
    assert [box.class_name for box in labels.boxes] == ["bunt"]
    assert [problem.line for problem in labels.problems] == [line_of(tmp_path / "coco.json", '"bad"')]
    assert "category id 40 stands for two classes, 'smut' and 'rust'" in labels.problems[0].message
    assert labels.classes == ["bunt"]


@pytest.mark.parametrize("name", [None, "", "  ", ["smut"], {}, True, 1.5])
def test_class_without_a_name(read: Read, tmp_path: Path, name: Any) -> None:
    labels = read(
        [annotation([1, 1, 2, 2]), annotation([3, 3, 2, 2], category=3)],
        categories=[{"mark": "bad", "id": 40, "name": name}, CATEGORIES[1]],
    )
    assert [box.class_name for box in labels.boxes] == ["bunt"]
    assert [problem.line for problem in labels.problems] == [line_of(tmp_path / "coco.json", '"bad"')], "told once"
    assert "category id 40: expected the name of a class, found" in labels.problems[0].message


def test_class_that_is_a_number(read: Read) -> None:
    assert read([], categories=[{"id": 40, "name": 7}, {"id": 3, "name": "7"}]).classes == ["7"]


@pytest.mark.parametrize("name", [None, " ", 7, ["a.jpg"]])
def test_image_without_a_name(read: Read, tmp_path: Path, name: Any) -> None:
    labels = read([annotation([1, 1, 2, 2])], images=[{"mark": "bad", "id": 900, "file_name": name}])
    assert [(problem.line, problem.code) for problem in labels.problems] == [
        (line_of(tmp_path / "coco.json", '"bad"'), "SPR001")
    ]
    assert "expected 'file_name' with the name of an image" in labels.problems[0].message


def test_two_files_that_would_be_one_image(read: Read, tmp_path: Path) -> None:
    labels = read(
        [annotation([1, 1, 2, 2], image=1), annotation([1, 1, 2, 2], image=2), annotation([1, 1, 2, 2], image=3)],
        images=[
            {"id": 1, "file_name": "./day 1/a.jpg"},
            {"mark": "bad", "id": 2, "file_name": "day 2/a.jpg"},
            {"id": 3, "file_name": "day 1\\a.jpg"},
        ],
    )
    assert len(labels.boxes) == 2
    assert [problem.line for problem in labels.problems] == [line_of(tmp_path / "coco.json", '"bad"')]
    assert "found day 2/a.jpg and day 1/a.jpg, which both would be a.jpg" in labels.problems[0].message


def test_two_sizes_of_one_image(tmp_path: Path, images: ImageIndex) -> None:
    content = {
        "images": [IMAGES[0], {**IMAGES[0], "id": 1, "width": 200}],
        "categories": CATEGORIES,
        "annotations": [annotation([1, 1, 2, 2]), annotation([1, 1, 2, 2], image=1)],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(content))
    labels = read_coco(path, NamedImages(path))
    assert len(labels.boxes) == 1
    assert "one size of a.jpg, found 200 x 80 and 100 x 80" in labels.problems[0].message
    checked = check_boxes(read_coco(path, images).boxes, images.sizes)
    assert [problem.code for problem in checked.problems] == ["SPR008"], "the image itself tells, if it is at hand"


PREDICTIONS = ReadOptions(scores=True)


def test_scores_of_predictions(read: Read, tmp_path: Path) -> None:
    bad = {"mark": "bad", **annotation([1, 1, 2, 2], score=90)}
    labels = read([annotation([1, 1, 2, 2], score=0.25), annotation([1, 1, 2, 2]), bad], PREDICTIONS)
    assert [box.score for box in labels.boxes] == [0.25, None]
    assert [problem.line for problem in labels.problems] == [line_of(tmp_path / "coco.json", '"bad"')]
    assert "annotation id 5: expected a score from 0 to 1, found 90" in labels.problems[0].message


@pytest.fixture
def read_results(tmp_path: Path, images: ImageIndex) -> Callable[..., RawLabels]:
    """Reads a results list with the numbers of a COCO file that has no annotations."""

    def reader(*results: Any, numbers: bool = True, more: list[Any] | None = None) -> RawLabels:
        ids_file, path = tmp_path / "truth.json", tmp_path / "results.json"
        ids_file.write_text(json.dumps({"images": [*IMAGES, *(more or [])], "categories": CATEGORIES}))
        path.write_text(json.dumps(results, indent=1))
        return read_coco(path, images, ReadOptions(scores=True, ids_file=ids_file if numbers else None))

    return reader


def test_results_list(read_results: Read, tmp_path: Path) -> None:
    labels = read_results(
        {"image_id": 900, "category_id": 40, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 7, "category_id": 3, "segmentation": {"size": [40, 60], "counts": [0, 2400]}, "score": 1},
        {"mark": "lost", "image_id": 8, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 1},
        {"image_id": 8, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 1},
        more=[{"id": 8, "file_name": "c.jpg"}, {"id": 9, "file_name": "d.jpg"}],
    )
    assert [(box.image, *box[2:6], box.score) for box in labels.boxes] == [
        ("a.jpg", 1, 2, 4, 6, 0.5),
        ("b.png", 0, 0, 60, 40, 1),
    ]
    assert [(problem.code, problem.line) for problem in labels.problems] == [
        ("SPR002", line_of(tmp_path / "results.json", '"lost"'))
    ], "once an image, and only where something was found"


def test_results_list_without_numbers(read_results: Read) -> None:
    with pytest.raises(SporeYoloError, match="--coco-ids FILE"):
        read_results({"image_id": 900, "category_id": 40, "bbox": [1, 2, 3, 4], "score": 0.5}, numbers=False)


def test_results_that_are_none(read_results: Read) -> None:
    with pytest.raises(InputProblems, match="list of results {image_id, category_id, bbox, score}"):
        read_results(3)


def test_results_list_is_no_truth(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "results.json").write_text(json.dumps([annotation([1, 1, 2, 2], score=1)]))
    with pytest.raises(InputProblems, match="expected a list 'images'"):
        read_coco(tmp_path / "results.json", images)
