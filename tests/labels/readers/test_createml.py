"""CreateML JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.createml import read_createml
from spore_yolo.labels.table import RawLabels, check_boxes

Read = Callable[..., RawLabels]


def annotation(x: Any, y: Any, width: Any, height: Any, label: Any = "smut") -> dict[str, Any]:
    return {"label": label, "coordinates": {"x": x, "y": y, "width": width, "height": height}}


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Read:
    """Reads a file with the items given, one a line from line 2 on."""

    def reader(*items: Any) -> RawLabels:
        path = tmp_path / "createml.json"
        path.write_text("[\n" + ",\n".join(map(json.dumps, items)) + "\n]")
        return read_labels(path, images, "createml")

    return reader


def test_coordinates_are_centre_and_size(read: Read, images: ImageIndex) -> None:
    labels = read(
        {"image": "a.jpg", "annotations": [annotation(25, 40, 30, 40), annotation(50.5, 40, 1, 80, "bunt")]},
        {"imagefilename": "b.png", "annotation": []},
    )
    assert [(box.image, box.class_name, *box[2:6], box.line) for box in labels.boxes] == [
        ("a.jpg", "smut", 10, 20, 40, 60, 2),
        ("a.jpg", "bunt", 50, 0, 51, 80, 2),
    ]
    assert (labels.classes, labels.labelled_images) == (["bunt", "smut"], {"a.jpg", "b.png"})
    assert (labels.problems, check_boxes(labels.boxes, images.sizes).problems) == ([], [])


def test_apples_own_example(tmp_path: Path) -> None:
    """The keys as in "Building an object detector data source"."""
    item = {"imagefilename": "breakfast_0.png", "annotation": [annotation(195.122, 156.062, 148.872, 148.03, "Waffle")]}
    (tmp_path / "a.json").write_text(json.dumps([item]))
    labels = read_createml(tmp_path / "a.json", NamedImages(tmp_path / "a.json"))
    assert [(box.image, box.class_name) for box in labels.boxes] == [("breakfast_0.png", "Waffle")]
    assert labels.boxes[0][2:6] == pytest.approx((120.686, 82.047, 269.558, 230.077))


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        pytest.param(3, "SPR001", "'image' and its 'annotations'", id="a number"),
        pytest.param({"annotations": []}, "SPR001", "'image' and its 'annotations'", id="no image"),
        pytest.param({"image": " ", "annotations": []}, "SPR001", "'image' and its", id="a blank image"),
        pytest.param({"image": "a.jpg"}, "SPR001", "a list 'annotations' for a.jpg, found None", id="no annotations"),
        pytest.param({"image": "a.jpg", "annotations": {}}, "SPR001", "a list 'annotations'", id="no list"),
        pytest.param({"image": "c.jpg", "annotations": []}, "SPR002", "no c.jpg", id="unknown image"),
        pytest.param({"image": "a.jpg", "annotations": [3]}, "SPR001", "a 'label', found 3", id="no annotation"),
        pytest.param(
            {"image": "a.jpg", "annotations": [annotation(1, 1, 2, 2, "")]}, "SPR001", "with a 'label'", id="no label"
        ),
        pytest.param(
            {"image": "a.jpg", "annotations": [annotation(1, 1, 2, "2")]}, "SPR001", "the numbers x, y", id="text"
        ),
        pytest.param(
            {"image": "a.jpg", "annotations": [{"label": "smut", "coordinates": [1, 1, 2, 2]}]},
            "SPR001",
            "annotation 1 of a.jpg: expected 'coordinates'",
            id="a list of coordinates",
        ),
        pytest.param(
            {"image": "a.jpg", "annotations": [{"label": "smut"}]}, "SPR001", "found None", id="no coordinates"
        ),
    ],
)
def test_bad_item_is_named_by_its_line(read: Read, tmp_path: Path, bad: Any, code: str, message: str) -> None:
    good = {"image": "b.png", "annotations": [annotation(5, 5, 2, 2)]}
    labels = read(good, bad, good)
    assert [(problem.file, problem.line, problem.code) for problem in labels.problems] == [
        (tmp_path / "createml.json", 3, code)
    ]
    assert message in labels.problems[0].message
    assert [box.line for box in labels.boxes] == [2, 4]


def test_fractions_are_refused(read: Read) -> None:
    fractions = {"image": "a.jpg", "annotations": [annotation(0.5, 0.5, 0.25, 0.5), annotation(0.01, 0.9, 0.1, 0.25)]}
    labels = read(fractions)
    assert [problem.code for problem in labels.problems] == ["SPR011"]
    assert "found fractions of the image in all 2;" in labels.problems[0].message
    assert labels.boxes == []
    assert len(read(fractions, {"image": "b.png", "annotations": [annotation(5, 5, 2, 2)]}).boxes) == 3


def test_folder_of_files(tmp_path: Path, images: ImageIndex) -> None:
    folder = tmp_path / "labels"
    (folder / "deep").mkdir(parents=True)
    (folder / "1.json").write_text(json.dumps([{"image": "a.jpg", "annotations": [annotation(5, 5, 2, 2)]}]))
    (folder / "2.json").write_text("[")
    (folder / "deep" / "3.json").write_text(json.dumps({"image": "b.png", "annotations": [annotation(5, 5, 2, 2)]}))
    labels = read_createml(folder, images)
    assert [(box.image, box.file.name) for box in labels.boxes] == [("a.jpg", "1.json"), ("b.png", "3.json")]
    assert [(problem.file, problem.code) for problem in labels.problems] == [(folder / "2.json", "SPR001")]
    with pytest.raises(InputProblems, match="not valid JSON"):
        read_createml(folder / "2.json", images)


def test_folder_without_files(tmp_path: Path, images: ImageIndex) -> None:
    with pytest.raises(SporeYoloError, match="expected CreateML files"):
        read_createml(tmp_path / "images", images)


def test_labels_of_an_unreadable_image_are_left_to_the_image(tmp_path: Path, images: ImageIndex) -> None:
    (images.root / "bad.jpg").touch()
    (tmp_path / "a.json").write_text(json.dumps([{"image": "bad.jpg", "annotations": [annotation(5, 5, 2, 2)]}]))
    labels = read_createml(tmp_path / "a.json", ImageIndex(images.root))
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"bad.jpg"})
