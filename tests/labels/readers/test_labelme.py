"""LabelMe JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers.labelme import read_labelme
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import RawLabels, check_boxes

SaveImage = Callable[..., Path]
Read = Callable[..., RawLabels]

CORNERS = [[10.5, 20], [40, 60]]


def shape(kind: str | None = "rectangle", points: Any = CORNERS, label: Any = "rust", **more: Any) -> dict[str, Any]:
    named = {} if kind is None else {"shape_type": kind}
    return {"label": label, "points": points, "group_id": None, "flags": {}, **named, **more}


def labelme(*shapes: Any, **changes: Any) -> dict[str, Any]:
    content = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "a.jpg", "imageData": None}
    return {**content, "imageHeight": 80, "imageWidth": 100, **changes}


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Read:
    """Reads a folder with a LabelMe file, by default a.json, with an indent of 1."""

    def reader(content: Any, name: str = "a.json", scores: bool = False) -> RawLabels:
        (tmp_path / "json" / name).parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        (tmp_path / "json" / name).write_text(text, encoding="utf-8")
        return read_labelme(tmp_path / "json", images, ReadOptions(scores=scores))

    return reader


@pytest.mark.parametrize(
    "points",
    [
        pytest.param([[10.5, 20], [40, 60]], id="top left, bottom right"),
        pytest.param([[40, 60], [10.5, 20]], id="bottom right, top left"),
        pytest.param([[10.5, 60], [40, 20]], id="bottom left, top right"),
        pytest.param([[10.5, 20], [40, 20], [40, 60], [10.5, 60]], id="all four, as X-AnyLabeling writes"),
    ],
)
def test_rectangle(read: Read, images: ImageIndex, points: list[list[float]]) -> None:
    labels = read(labelme(shape(points=points)))
    assert [(box.image, box.class_name, *box[2:6]) for box in labels.boxes] == [("a.jpg", "rust", 10.5, 20, 40, 60)]
    assert (labels.problems, labels.notes, labels.classes) == ([], [], ["rust"])
    assert labels.stated_sizes == {"a.jpg": (100, 80)}
    assert len(check_boxes(labels.boxes, images.sizes).table) == 1


@pytest.mark.parametrize(
    ("item", "expected", "note"),
    [
        pytest.param(shape("polygon", [[4, 9], [8, 2], [6, 5]]), (4, 2, 8, 9), "polygons", id="polygon"),
        pytest.param(shape(None, [[4, 9], [8, 2], [6, 5]]), (4, 2, 8, 9), "polygons", id="polygon of version 3"),
        pytest.param(shape("circle", [[50, 40], [53, 44]]), (45, 35, 55, 45), "circles", id="a circle of radius 5"),
        pytest.param(shape("mask", [[5, 6], [9, 12]], mask="iVBO"), (5, 6, 9, 12), "masks", id="mask"),
        pytest.param(
            shape("oriented_rectangle", [[5, 0], [10, 5], [5, 10], [0, 5]]),
            (0, 0, 10, 10),
            "rotated boxes",
            id="turned",
        ),
    ],
)
def test_other_shapes_become_the_box_round_them(
    read: Read, item: dict[str, Any], expected: tuple[float, ...], note: str
) -> None:
    labels = read(labelme(item))
    assert [box[2:6] for box in labels.boxes] == [expected]
    assert labels.notes == [f"1 {note} were turned into the boxes round them"]


def test_shapes_without_a_box_are_counted(read: Read) -> None:
    kinds = ["point", "points", "line", "linestrip", "linestrip"]
    labels = read(labelme(*[shape(kind, [[1, 2]]) for kind in kinds], shape()))
    assert len(labels.boxes) == 1
    assert labels.notes == ["annotations that are no boxes were left out: 1 line, 2 linestrip, 1 point, 1 points"]


def test_outlines_of_one_group_are_one_object(read: Read) -> None:
    first, second = [[0, 0], [5, 0], [5, 5]], [[20, 30], [25, 30], [25, 35]]
    labels = read(
        labelme(
            shape("polygon", first, group_id=1),
            shape("polygon", second, group_id=1),
            shape("polygon", second, group_id=2),
            shape("polygon", second, "smut", group_id=1),
            shape("polygon", second),
            shape(group_id=1),
        )
    )
    assert [(box.class_name, *box[2:6]) for box in labels.boxes] == [
        ("rust", 0, 0, 25, 35),
        ("rust", 20, 30, 25, 35),
        ("smut", 20, 30, 25, 35),
        ("rust", 20, 30, 25, 35),
        ("rust", 10.5, 20, 40, 60),
    ]
    assert labels.notes == [
        "5 polygons were turned into the boxes round them",
        "1 outlines were joined with others of their class and group_id to one box",
    ]


@pytest.mark.parametrize(
    ("name", "image_path", "expected"),
    [
        pytest.param("a.json", "b.png", "a.jpg", id="the name of the label file comes first"),
        pytest.param("1.json", "b.png", "b.png", id="else the path inside"),
        pytest.param("1.json", "..\\images\\b.png", "b.png", id="a path of Windows"),
        pytest.param("1.json", "C:\\slides\\b.png", "b.png", id="an absolute path of Windows"),
        pytest.param("1.json", "../../elsewhere/b.png", "b.png", id="a path that leads up"),
        pytest.param("a.json", None, "a.jpg", id="no path inside"),
    ],
)
def test_image_of_a_file(read: Read, name: str, image_path: str | None, expected: str) -> None:
    labels = read(labelme(shape(), imagePath=image_path), name)
    assert [box.image for box in labels.boxes] == [expected]


def test_folder_tells_which_image(tmp_path: Path, save_image: SaveImage) -> None:
    for day in ("1", "2"):
        save_image(tmp_path / day / "x.jpg")
        (tmp_path / day / "label.json").write_text(json.dumps(labelme(shape(label=day), imagePath="x.jpg")))
    labels = read_labelme(tmp_path, ImageIndex(tmp_path))
    assert [(box.image, box.class_name) for box in labels.boxes] == [("1/x.jpg", "1"), ("2/x.jpg", "2")]


def test_without_the_images(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps(labelme(shape(), imagePath="../images/x.jpg")))
    labels = read_labelme(tmp_path, NamedImages(tmp_path))
    assert (labels.labelled_images, labels.stated_sizes) == ({"x.jpg"}, {"x.jpg": (100, 80)})


@pytest.mark.parametrize("image_path", [None, "", "..", "c.png", 7])
def test_unknown_image(read: Read, tmp_path: Path, image_path: Any) -> None:
    labels = read(labelme(shape(), imagePath=image_path), "1.json")
    assert labels.boxes == []
    assert [(problem.file, problem.code) for problem in labels.problems] == [
        (tmp_path / "json" / "1.json", UNKNOWN_IMAGE)
    ]


def test_second_file_of_an_image_is_refused(read: Read, tmp_path: Path) -> None:
    read(labelme(shape()), "a.json")
    labels = read(labelme(shape()), "other.json")
    assert len(labels.boxes) == 1
    assert [problem.file for problem in labels.problems] == [tmp_path / "json" / "other.json"]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        pytest.param([], None, "a list 'shapes'", id="a list"),
        pytest.param({"images": [], "annotations": []}, None, "a list 'shapes'", id="COCO"),
        pytest.param(labelme(shapes={}), None, "a list 'shapes'", id="shapes that are no list"),
        pytest.param('{"shapes": [\n', 2, "not valid JSON", id="cut off"),
        pytest.param("[" * 100_000, None, "nested too deeply", id="deep"),
        pytest.param("", 1, "not valid JSON", id="empty"),
    ],
)
def test_bad_file_does_not_take_its_neighbours_along(read: Read, content: Any, line: int | None, message: str) -> None:
    read(labelme(shape(), imagePath="b.png"), "b.json")
    labels = read(content)
    assert [box.image for box in labels.boxes] == ["b.png"]
    assert [(problem.line, problem.code) for problem in labels.problems] == [(line, UNREADABLE_LABEL)]
    assert message in labels.problems[0].message


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(shape(label=""), "with a 'label'", id="no class"),
        pytest.param(shape(label=3), "with a 'label'", id="a class that is no text"),
        pytest.param(None, "with a 'label'", id="null"),
        pytest.param(shape(shape_type=3), "with a 'shape_type'", id="a kind that is no text"),
        pytest.param(shape(points=None), "with 'points'", id="no points"),
        pytest.param(shape(points=[]), "with 'points'", id="an empty list"),
        pytest.param(shape(points=[[1, 2], [3]]), "with 'points'", id="half a point"),
        pytest.param(shape(points=[[1, 2], ["3", 4]]), "with 'points'", id="a number as text"),
        pytest.param(shape(points=[[1, 2]]), "two corners, found 1 points", id="one corner"),
        pytest.param(shape("circle"), None, id="a circle of two points is one"),
        pytest.param(shape("circle", [[1, 2]]), "a point of its edge, found 1", id="half a circle"),
        pytest.param(shape(score=90), "from 0 to 1, found 90", id="a score in percent"),
    ],
)
def test_bad_shape_is_named_by_its_line(read: Read, tmp_path: Path, bad: Any, message: str | None) -> None:
    labels = read(labelme(shape(), bad, shape(label="last")), scores=True)
    if message is None:
        assert (len(labels.boxes), labels.problems) == (3, [])
        return
    assert [box.class_name for box in labels.boxes] == ["rust", "last"]
    assert [problem.code for problem in labels.problems] == [UNREADABLE_LABEL]
    assert message in labels.problems[0].message
    first, last = (box.line or 0 for box in labels.boxes)
    assert first < (labels.problems[0].line or 0) < last
    text = (tmp_path / "json" / "a.json").read_text().splitlines()
    assert text[first - 1].strip() == text[last - 1].strip() == "{"


def test_score_and_difficult(read: Read) -> None:
    content = labelme(shape(score=0.25, difficult=True), shape(score=None), shape())
    assert [(box.score, box.ignored) for box in read(content, scores=True).boxes] == [
        (0.25, True),
        (None, False),
        (None, False),
    ]
    assert [box.score for box in read(content).boxes] == [None, None, None]


def test_image_in_the_file_is_left_behind(read: Read) -> None:
    labels = read(labelme(shape(), imageData="A" * 3_000_000))
    assert (len(labels.boxes), labels.problems) == (1, [])


def test_nan_goes_to_the_table(read: Read, images: ImageIndex) -> None:
    labels = read(labelme(shape("polygon", [[1, 2], [float("nan"), 3], [4, 5]]), shape()))
    checked = check_boxes(labels.boxes, images.sizes)
    assert (len(checked.table), len(checked.problems)) == (1, 1)


def test_labels_of_an_unreadable_image_are_left_to_the_image(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "a.jpg")
    (tmp_path / "bad.jpg").touch()
    (tmp_path / "bad.json").write_text(json.dumps(labelme(shape(points=3))))
    labels = read_labelme(tmp_path, ImageIndex(tmp_path))
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"bad.jpg"})


def test_no_files(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(SporeYoloError, match="expected LabelMe files"):
        read_labelme(tmp_path / "none", images)
