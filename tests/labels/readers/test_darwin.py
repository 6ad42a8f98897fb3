"""V7 Darwin JSON 2.0."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.darwin import read_darwin
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import RawLabels, check_boxes

BOX = {"x": 10.5, "y": 20, "w": 30, "h": 40}


def annotation(name: Any = "rust", **shape: Any) -> dict[str, Any]:
    """An annotation as Darwin exports it, by default a bounding box."""
    shape = shape or {"bounding_box": BOX}
    return {"id": "5f54", "name": name, "properties": [], "slot_names": ["0"], **shape}


def item(name: Any = "a.jpg", **changes: Any) -> dict[str, Any]:
    slot = {
        "type": "image",
        "slot_name": "0",
        "width": 100,
        "height": 80,
        "source_files": [{"file_name": name, "url": "https://example.org/a"}],
    }
    return {"name": name, "path": "/", "source_info": {"item_id": "0192"}, "slots": [slot], **changes}


def darwin(*annotations: Any, **changes: Any) -> dict[str, Any]:
    content = {"version": "2.0", "schema_ref": "x", "item": item(), "annotations": list(annotations), "properties": []}
    return {**content, **changes}


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Callable[..., RawLabels]:
    """Reads a folder of Darwin files, each written with an indent of 1."""

    def reader(*contents: Any, scores: bool = False) -> RawLabels:
        folder = tmp_path / "darwin"
        folder.mkdir()
        for number, content in enumerate(contents):
            (folder / f"{number}.json").write_text(json.dumps(content, indent=1))
        return read_darwin(folder, images, ReadOptions(scores=scores))

    return reader


Read = Callable[..., RawLabels]


def test_boxes_are_corner_width_height(read: Read, images: ImageIndex) -> None:
    labels = read(darwin(annotation(), annotation(" smut ")), darwin(item=item("b.png", slots=[])))
    assert [(box.image, box.class_name, *box[2:6]) for box in labels.boxes] == [
        ("a.jpg", "rust", 10.5, 20, 40.5, 60),
        ("a.jpg", "smut", 10.5, 20, 40.5, 60),
    ]
    assert (labels.classes, labels.labelled_images) == (["rust", "smut"], {"a.jpg", "b.png"})
    assert labels.stated_sizes == {"a.jpg": (100, 80)}
    assert (labels.problems, labels.notes) == ([], [])
    checked = check_boxes(labels.boxes, images.sizes)
    assert (len(checked.table), checked.problems) == (2, [])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param({"paths": [[{"x": 4, "y": 9}, {"x": 8, "y": 2}, {"x": 6, "y": 5}]]}, (4, 2, 8, 9), id="one path"),
        pytest.param(
            {"paths": [[{"x": 4, "y": 9}, {"x": 8, "y": 2}], [{"x": 1, "y": 7}, {"x": 2, "y": 11}]]},
            (1, 2, 8, 11),
            id="two paths",
        ),
        pytest.param({"path": [{"x": 4, "y": 9}, {"x": 8, "y": 2}]}, (4, 2, 8, 9), id="the older form"),
    ],
)
def test_polygon_counts_by_the_box_round_it(read: Read, shape: dict[str, Any], expected: tuple[float, ...]) -> None:
    labels = read(darwin(annotation(polygon=shape)))
    assert [box[2:6] for box in labels.boxes] == [expected]
    assert (labels.problems, labels.notes) == ([], ["1 polygons were turned into the boxes round them"])


@pytest.mark.parametrize(
    ("angle", "expected"),
    [
        pytest.param({}, (40, 36, 60, 44), id="not turned"),
        pytest.param({"angle": math.pi / 2}, (46, 30, 54, 50), id="turned by a quarter, in radians"),
    ],
)
def test_ellipse_counts_by_the_box_round_it(read: Read, angle: dict[str, float], expected: tuple[float, ...]) -> None:
    shape = {"center": {"x": 50, "y": 40}, "radius": {"x": 10, "y": 4}, **angle}
    labels = read(darwin(annotation(ellipse=shape)))
    assert [box[2:6] for box in labels.boxes] == [pytest.approx(expected)]
    assert (labels.problems, labels.notes) == ([], ["1 ellipses were turned into the boxes round them"])


def two_slots(*files: Any) -> dict[str, Any]:
    slots = [
        {"type": "image", "slot_name": f"s{number}", "width": 100, "height": 80, "source_files": [{"file_name": name}]}
        for number, name in enumerate(files)
    ]
    return item("pair", slots=slots)


def test_each_slot_is_an_image(read: Read) -> None:
    first = annotation("rust") | {"slot_names": ["s0"]}
    second = annotation("smut") | {"slot_names": ["s1"]}
    both = annotation("bunt") | {"slot_names": ["s0", "s1", "s0"]}
    nowhere = annotation("scab") | {"slot_names": []}
    labels = read(darwin(first, second, both, nowhere, item=two_slots("a.jpg", "b.png")))
    assert labels.problems == []
    assert [(box.image, box.class_name) for box in labels.boxes] == [
        ("a.jpg", "rust"),
        ("b.png", "smut"),
        ("a.jpg", "bunt"),
        ("b.png", "bunt"),
        ("a.jpg", "scab"),
    ]
    assert labels.stated_sizes == {"a.jpg": (100, 80), "b.png": (100, 80)}


def test_slots_of_one_file_name_lie_in_folders(tmp_path: Path, save_image: Callable[..., Path]) -> None:
    for name in ("s0", "s1"):
        save_image(tmp_path / "images" / "pair" / name / "x.jpg")
    content = darwin(annotation() | {"slot_names": ["s1"]}, item=two_slots("x.jpg", "x.jpg"))
    (tmp_path / "1.json").write_text(json.dumps(content))
    for known in (ImageIndex(tmp_path / "images"), NamedImages(tmp_path / "1.json")):
        labels = read_darwin(tmp_path / "1.json", known)
        assert labels.problems == []
        assert [box.image for box in labels.boxes] == ["pair/s1/x.jpg"]


def test_one_unknown_slot_does_not_take_the_other_along(read: Read) -> None:
    content = darwin(
        annotation() | {"slot_names": ["s0"]}, annotation() | {"slot_names": ["s1"]}, item=two_slots("a.jpg", "c.jpg")
    )
    labels = read(content)
    assert [box.image for box in labels.boxes] == ["a.jpg"]
    assert [(problem.line, problem.code) for problem in labels.problems] == [(None, UNKNOWN_IMAGE)]


@pytest.mark.parametrize("names", [["s2"], "s0", [0]])
def test_slot_that_is_not_there(read: Read, names: Any) -> None:
    labels = read(darwin(annotation() | {"slot_names": names}, item=two_slots("a.jpg", "b.png")))
    assert [problem.code for problem in labels.problems] == [UNREADABLE_LABEL]
    assert "'slot_names' of the item (s0, s1)" in labels.problems[0].message


def test_bounding_box_of_a_polygon_is_taken(read: Read) -> None:
    labels = read(darwin(annotation(polygon={"paths": [[{"x": 0, "y": 0}, {"x": 1, "y": 1}]]}, bounding_box=BOX)))
    assert [box[2:6] for box in labels.boxes] == [(10.5, 20, 40.5, 60)]


def test_annotations_that_are_no_boxes_are_counted(read: Read) -> None:
    labels = read(
        darwin(
            annotation(tag={}),
            annotation(keypoint={"x": 1, "y": 2}, inference={"confidence": 0.5}),
            annotation(keypoint={"x": 1, "y": 2}),
            annotation(line={"path": []}),
            annotation(text={"text": "a remark"}),
            annotation(),
        )
    )
    assert len(labels.boxes) == 1
    assert labels.problems == []
    assert labels.notes == ["annotations that are no boxes were left out: 2 keypoint, 1 line, 1 tag, 1 without a shape"]


@pytest.mark.parametrize(
    ("more", "score"),
    [
        pytest.param({}, None, id="a label of people"),
        pytest.param({"inference": {"confidence": 0.25, "model": {"id": "m", "name": "n"}}}, 0.25, id="a model's"),
        pytest.param({"inference": {"model": {"id": "m"}}}, None, id="a model that is not sure of anything"),
        pytest.param({"inference": None}, None, id="null"),
    ],
)
def test_score_is_read_where_it_is_asked_for(read: Read, more: dict[str, Any], score: float | None) -> None:
    assert [box.score for box in read(darwin(annotation(bounding_box=BOX, **more)), scores=True).boxes] == [score]


def test_score_of_labels_is_not_read(read: Read) -> None:
    labels = read(darwin(annotation(bounding_box=BOX, inference={"confidence": "surely"})))
    assert ([box.score for box in labels.boxes], labels.problems) == ([None], [])


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        pytest.param(["a.jpg"], item("a.jpg", path=None, slots=None), "a.jpg", id="the name alone"),
        pytest.param(["x/a.jpg", "y/a.jpg"], item("a.jpg", path="/y"), "y/a.jpg", id="the path tells"),
        pytest.param(["x/a.jpg", "y/a.jpg"], item("a.jpg", path="\\y\\"), "y/a.jpg", id="a path of Windows"),
        pytest.param(
            ["a.jpg"],
            item("a", slots=[{"source_files": [{"file_name": "upload.jpg"}]}]),
            "a.jpg",
            id="name without suffix, which the uploaded file has",
        ),
        pytest.param(["a.b.jpg"], item("a.b"), "a.b.jpg", id="name without suffix, which no file has"),
        pytest.param(
            ["a.jpg"],
            item("renamed in Darwin.jpg", slots=[{"source_files": [{"file_name": "a.jpg"}]}]),
            "a.jpg",
            id="the uploaded file's name",
        ),
    ],
)
def test_image_is_found(
    tmp_path: Path, save_image: Callable[..., Path], names: list[str], asked: dict[str, Any], expected: str
) -> None:
    for name in names:
        save_image(tmp_path / "pictures" / name)
    (tmp_path / "1.json").write_text(json.dumps(darwin(annotation(), item=asked)))
    labels = read_darwin(tmp_path / "1.json", ImageIndex(tmp_path / "pictures"))
    assert labels.problems == []
    assert [box.image for box in labels.boxes] == [expected]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param([], '"version": "2.0", found None', id="a list"),
        pytest.param({"dataset": "d", "image": {}, "annotations": []}, "export it as Darwin 2.0", id="Darwin 1"),
        pytest.param(darwin(version="3.0"), "found '3.0'", id="a later version"),
        pytest.param(darwin(version=2.0), "found 2.0", id="a version that is no text"),
        pytest.param(darwin(item=None), "expected an 'item'", id="no item"),
        pytest.param(darwin(item={"path": "/"}), "'name' of an image", id="no name"),
        pytest.param(darwin(item=item(7)), "'name' of an image", id="a name that is no text"),
        pytest.param(darwin(item=item(path=["/"])), "'path' of the item", id="a path that is no text"),
        pytest.param(darwin(annotations={}), "a list 'annotations'", id="annotations are no list"),
        pytest.param(darwin(item=item(slots=3)), "a list of 'slots'", id="slots are no list"),
        pytest.param(
            darwin(item=item(slots=[{"slot_name": "x"}, {"slot_name": "x"}])),
            "found several called 'x'",
            id="two slots of one name",
        ),
        pytest.param(darwin(item=two_slots("a.jpg", "")), "file name in the 'source_files' of slot s1", id="no file"),
        pytest.param(darwin(item=item(slots=[{}] * 101)), "at most 100 slots, found 101", id="too many slots"),
        pytest.param(darwin(item=item(slots=[{"type": "video"}])), "type 'image', found 'video'", id="a video"),
        pytest.param(darwin(item=item("c.jpg")), "unknown image: no c.jpg", id="unknown image"),
        pytest.param(darwin(item=item(path="/../..")), "leads outside", id="a path that leads outside"),
        pytest.param(darwin(item=item("../a.jpg")), "leads outside", id="a name that leads outside"),
        pytest.param(darwin(item=item("..\\a.jpg")), "leads outside", id="the same on Windows"),
        pytest.param(
            darwin(item=item("c.jpg", slots=[{"source_files": [{"file_name": "../images/a.jpg"}]}])),
            "leads outside",
            id="an uploaded file that leads outside",
        ),
    ],
)
def test_bad_file_is_named(read: Read, tmp_path: Path, content: Any, message: str) -> None:
    labels = read(content, darwin(annotation(), item=item("b.png", slots=[])))
    assert len(labels.boxes) == 1, "the other file is read"
    assert [problem.file for problem in labels.problems] == [tmp_path / "darwin" / "0.json"]
    assert message in labels.problems[0].message
    assert labels.problems[0].code in (UNREADABLE_LABEL, UNKNOWN_IMAGE)


def line_of(path: Path, mark: str) -> int:
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if mark in line) - 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param({"bounding_box": BOX}, "with a 'name'", id="no name"),
        pytest.param(annotation("  "), "with a 'name'", id="an empty name"),
        pytest.param(annotation(bounding_box=[1, 2, 3, 4]), "the numbers x, y, w and h", id="a list"),
        pytest.param(annotation(bounding_box={"x": 1, "y": 2, "w": 3}), "the numbers x, y, w and h", id="no height"),
        pytest.param(annotation(bounding_box={**BOX, "h": "40"}), "the numbers x, y, w and h", id="a number as text"),
        pytest.param(annotation(bounding_box={**BOX, "x": 10**400}), "the numbers x, y, w and h", id="a huge number"),
        pytest.param(annotation(polygon={"paths": []}), "paths of points", id="a polygon without paths"),
        pytest.param(annotation(polygon={"paths": [[]]}), "paths of points", id="a path without points"),
        pytest.param(annotation(polygon={"paths": [[{"x": 1}]]}), "paths of points", id="half a point"),
        pytest.param(annotation(polygon={"paths": [[[1, 2]]]}), "paths of points", id="points as lists"),
        pytest.param(annotation(ellipse={"center": {"x": 1, "y": 2}}), "center, radius and angle", id="no radius"),
        pytest.param(annotation(ellipse=[1, 2, 3]), "center, radius and angle", id="an ellipse that is a list"),
        pytest.param(annotation(polygon=[]), "paths of points", id="a polygon that is a list"),
        pytest.param(
            annotation(bounding_box=BOX, inference={"confidence": 90}), "from 0 to 1, found 90", id="a score in percent"
        ),
        pytest.param(
            annotation(bounding_box=BOX, inference={"confidence": float("nan")}), "found nan", id="a score of NaN"
        ),
        pytest.param(annotation(bounding_box=BOX, inference={"confidence": True}), "found True", id="true"),
        pytest.param(annotation(bounding_box=BOX, inference={"confidence": [1]}), "found [1]", id="a list of scores"),
        pytest.param(annotation(bounding_box=BOX, inference=0.9), "'inference' with a 'confidence'", id="bare number"),
    ],
)
def test_bad_annotation_is_named_by_its_line(read: Read, tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    labels = read(darwin(annotation(), {"mark": "bad", **bad}, {"mark": "last", **annotation()}), scores=True)
    path = tmp_path / "darwin" / "0.json"
    assert [box.line for box in labels.boxes][-1:] == [line_of(path, '"last"')]
    assert len(labels.boxes) == 2
    assert [(problem.file, problem.line) for problem in labels.problems] == [(path, line_of(path, '"bad"'))]
    assert message in labels.problems[0].message


@pytest.mark.parametrize("bad", [pytest.param(3, id="a number"), pytest.param(None, id="null")])
def test_annotation_that_is_no_object(read: Read, bad: Any) -> None:
    labels = read(darwin(bad, annotation()))
    assert len(labels.boxes) == 1
    assert "with a 'name'" in labels.problems[0].message
    assert labels.problems[0].line is not None


def test_second_file_of_an_image_is_refused(read: Read, tmp_path: Path) -> None:
    labels = read(darwin(annotation()), darwin(annotation(), annotation()))
    assert len(labels.boxes) == 1
    assert [problem.file for problem in labels.problems] == [tmp_path / "darwin" / "1.json"]
    assert "a second one for a.jpg" in labels.problems[0].message


def test_properties_of_the_dataset_are_no_labels(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "d" / ".v7").mkdir(parents=True)
    (tmp_path / "d" / ".v7" / "metadata.json").write_text("{}")
    (tmp_path / "d" / "deep").mkdir()
    (tmp_path / "d" / "deep" / "a.json").write_text(json.dumps(darwin(annotation())))
    labels = read_labels(tmp_path / "d", images, "darwin")
    assert (len(labels.boxes), labels.problems) == (1, [])


def test_folder_without_files(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(SporeYoloError, match="expected Darwin files"):
        read_darwin(tmp_path / "d", images)


def test_damaged_file_is_named(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "a.json").write_text('{"version": "2.0",\n "item": ')
    labels = read_darwin(tmp_path / "a.json", images)
    assert [(problem.file, problem.line) for problem in labels.problems] == [(tmp_path / "a.json", 2)]


def test_labels_of_another_version_of_the_image(read: Read, images: ImageIndex) -> None:
    labels = read(darwin(annotation(), item=item(slots=[{"width": 200, "height": 160}])))
    checked = check_boxes(labels.boxes, images.sizes)
    assert len(checked.table) == 0
    assert "another version" in checked.problems[0].message
