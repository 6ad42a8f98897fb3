"""Label Studio JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.label_studio import read_label_studio
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import RawLabels, check_boxes

Read = Callable[..., RawLabels]

PLACE = {"x": 10, "y": 25, "width": 30, "height": 50, "rotation": 0}
"""On the 100 x 80 pixels of a.jpg: 10, 20 to 40, 60."""


def region(kind: str = "rectanglelabels", names: Any = ("smut",), /, **more: Any) -> dict[str, Any]:
    """A region of a.jpg; what is no field of a region goes into its value."""
    outer: dict[str, Any] = {
        key: more.pop(key) for key in ("original_width", "score", "meta", "id", "type") if key in more
    }
    classes = {} if names is None else {kind: list(names) if isinstance(names, tuple) else names}
    value = {**PLACE, **classes, **more}
    return {"type": kind, "original_width": 100, "original_height": 80, "image_rotation": 0, "value": value, **outer}


def task(*regions: Any, image: Any = "a.jpg", **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": list(regions)}], **more}


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Read:
    """Reads a file with the tasks given, one a line from line 2 on."""

    def reader(*tasks: Any, scores: bool = False) -> RawLabels:
        path = tmp_path / "tasks.json"
        path.write_text("[\n" + ",\n".join(map(json.dumps, tasks)) + "\n]")
        return read_labels(path, images, "label-studio", ReadOptions(scores=scores))

    return reader


def test_places_are_per_cent_of_the_image(read: Read, images: ImageIndex) -> None:
    labels = read(task(region(), region("rectanglelabels", ("bunt",), x=0.5)), task(image="b.png"))
    assert [(box.image, box.class_name, *box[2:6], box.line, box.stated_size) for box in labels.boxes] == [
        ("a.jpg", "smut", 10, 20, 40, 60, 2, (100, 80)),
        ("a.jpg", "bunt", 0.5, 20, 30.5, 60, 2, (100, 80)),
    ]
    assert (labels.classes, labels.labelled_images) == (["bunt", "smut"], {"a.jpg", "b.png"})
    assert (labels.stated_sizes, labels.notes, labels.problems) == ({"a.jpg": (100, 80)}, [], [])
    assert check_boxes(labels.boxes, images.sizes).problems == []


@pytest.mark.parametrize(
    ("shape", "expected", "note"),
    [
        # 30 x 40 pixels from (10, 20), by a quarter turn to the right about that corner: 40 to its left, 30 down.
        pytest.param(region(rotation=90), (-30, 20, 10, 50), "rotated boxes", id="a quarter turn"),
        pytest.param(region(rotation=-90), (10, -10, 50, 20), "rotated boxes", id="a quarter turn to the left"),
        pytest.param(region(rotation=180), (-20, -20, 10, 20), "rotated boxes", id="half a turn"),
        pytest.param(
            region("polygonlabels", points=[[1, 50], [50, 25], [25, 100]]), (1, 20, 50, 80), "polygons", id="a polygon"
        ),
        pytest.param(
            region("ellipselabels", x=50, y=50, radiusX=10, radiusY=20), (40, 24, 60, 56), "ellipses", id="an ellipse"
        ),
        pytest.param(
            region("ellipselabels", x=50, y=50, radiusX=10, radiusY=20, rotation=90),
            (34, 30, 66, 50),
            "ellipses",
            id="a turned ellipse",
        ),
    ],
)
def test_other_shapes_count_by_the_box_round_them(
    read: Read, shape: dict[str, Any], expected: tuple[float, ...], note: str
) -> None:
    labels = read(task(shape, region()))
    assert labels.boxes[0][2:6] == pytest.approx(expected)
    assert labels.notes == [f"1 {note} were turned into the boxes round them"]


@settings(max_examples=60)
@given(*[st.floats(1, 90)] * 4, st.floats(-400, 400))
def test_box_round_a_rotated_rectangle(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float, width: float, height: float, rotation: float
) -> None:
    """Against OpenCV's rotation about a point, which takes degrees to the left, on an image that is not square."""
    path = tmp_path_factory.getbasetemp() / "rotated.json"
    shape = region(x=x, y=y, width=width, height=height, rotation=rotation, original_width=300)
    path.write_text(json.dumps([task(shape)]))
    (box,) = read_label_studio(path, NamedImages(path)).boxes
    left, top, right, bottom = 3 * x, 0.8 * y, 3 * (x + width), 0.8 * (y + height)
    corners = np.array([[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]])
    turned = corners @ cv2.getRotationMatrix2D((left, top), -rotation, 1).T
    assert box[2:6] == pytest.approx((*turned.min(axis=0), *turned.max(axis=0)), abs=1e-3)


def test_shapes_that_are_no_boxes_are_counted_and_remarks_are_not(read: Read) -> None:
    labels = read(
        task(
            region("brushlabels", format="rle", rle=[0, 1, 2]),
            region("keypointlabels"),
            region("keypointlabels"),
            region("choices", ("sharp",)),
            {"type": "textarea", "value": {"text": ["a remark"]}},
            {"type": "relation", "from_id": "a", "to_id": "b"},
            region(),
        )
    )
    assert (len(labels.boxes), labels.problems) == (1, [])
    assert labels.notes == ["annotations that are no boxes were left out: 1 brushlabels, 2 keypointlabels"]


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        pytest.param([region("rectangle", None), region("labels", ("rust",))], ["rust"], id="<Rectangle> and <Labels>"),
        pytest.param(
            [region("polygon", None, points=[[1, 1], [2, 2]]), region("labels", ("rust",), points=[[1, 1], [2, 2]])],
            ["rust"],
            id="<Polygon> and <Labels>",
        ),
        pytest.param(
            [region("ellipse", None, radiusX=1, radiusY=1), region("labels", ("rust",), radiusX=1, radiusY=1)],
            ["rust"],
            id="<Ellipse> and <Labels>",
        ),
        pytest.param([region("rectangle", None), region("choices", ("rust",))], ["rust"], id="<Rectangle> and choices"),
        pytest.param([region("rectangle", None), region("labels", ("rust",), x=11)], ["rust"], id="another place"),
    ],
)
def test_class_from_a_control_of_its_own(read: Read, regions: list[Any], expected: list[str]) -> None:
    labels = read(task(*regions))
    assert [box.class_name for box in labels.boxes] == expected
    places = {json.dumps(one["value"]["x"]) for one in regions}
    assert len(labels.problems) == len(places) - 1


def test_several_classes_of_a_region(read: Read) -> None:
    labels = read(task(region("rectanglelabels", ("smut", "bunt")), region()))
    assert [box.class_name for box in labels.boxes] == ["smut", "smut"]
    assert labels.notes == ["1 regions have more than one class; the first of them counts"]


def annotation(x: float, **more: Any) -> dict[str, Any]:
    return {"result": [region(x=x)], **more}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param([annotation(1), annotation(2)], 2, id="the last"),
        pytest.param([annotation(1, updated_at="2024-02"), annotation(2, updated_at="2024-01")], 1, id="last updated"),
        pytest.param([annotation(1, updated_at="2024-01"), annotation(2, updated_at="2024-01")], 2, id="at one time"),
        pytest.param([annotation(1, created_at="2024-02"), annotation(2, updated_at="2024-01")], 1, id="made later"),
        pytest.param(
            [annotation(1, ground_truth=True), annotation(2, updated_at="2024-01", ground_truth=False)],
            1,
            id="ground truth",
        ),
    ],
)
def test_one_of_several_annotations_counts(read: Read, annotations: list[Any], expected: float) -> None:
    labels = read(task(annotations=annotations), task(region(), image="b.png"))
    assert [box.x_min for box in labels.boxes] == [expected, 10]
    assert labels.notes == [
        "1 images were annotated more than once; the ground truth counts, or else what was last updated"
    ]


def test_what_was_skipped_is_not_labelled(read: Read) -> None:
    skipped = annotation(2, was_cancelled=True, updated_at="2025")
    labels = read(task(annotations=[annotation(1), skipped]), task(annotations=[skipped], image="b.png"))
    assert [box.x_min for box in labels.boxes] == [1]
    assert labels.labelled_images == {"a.jpg"}, "nobody said that b.png is empty"
    assert labels.notes == ["1 tasks that nobody annotated were left out"]


def test_tasks_that_nobody_annotated(read: Read) -> None:
    labels = read(task(annotations=[]), {"data": {"image": "b.png"}}, {"data": {"image": "c.jpg"}, "predictions": []})
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], set())
    assert labels.notes == ["3 tasks that nobody annotated were left out"]


def test_two_tasks_of_one_image(read: Read) -> None:
    labels = read(task(region()), task(region(x=20)))
    assert [box.x_min for box in labels.boxes] == [10, 20]
    assert labels.notes == ["1 images have more than one task; their boxes were put together"]


def test_completions_of_old_versions(read: Read) -> None:
    assert len(read({"data": {"image": "a.jpg"}, "completions": [{"result": [region()]}]}).boxes) == 1


def test_file_of_a_target_storage(tmp_path: Path, images: ImageIndex) -> None:
    folder = tmp_path / "storage"
    folder.mkdir()
    inside = {"id": 3, "data": {"image": "a.jpg"}}
    (folder / "1.json").write_text(json.dumps({"id": 1, "result": [region()], "task": inside}, indent=1))
    (folder / "2.json").write_text(json.dumps(task(region(), image="b.png")))
    (folder / "3.json").write_text("{")
    labels = read_label_studio(folder, images)
    assert [box.image for box in labels.boxes] == ["a.jpg", "b.png"]
    assert [problem.file for problem in labels.problems] == [folder / "3.json"]
    with pytest.raises(SporeYoloError, match="expected Label Studio files"):
        read_label_studio(tmp_path / "images", images)


def small(*values: Any, image: str = "a.jpg", **more: Any) -> dict[str, Any]:
    """A task of JSON-MIN."""
    return {"image": image, "id": 1, "label": list(values), "annotator": 1, "annotation_id": 5, **more}


def small_value(**more: Any) -> dict[str, Any]:
    return {**PLACE, "rectanglelabels": ["smut"], "original_width": 100, "original_height": 80, **more}


def test_small_form(read: Read) -> None:
    labels = read(
        small(small_value(), {"choices": ["sharp"], "type": "Choices"}, "a remark"),
        small(small_value(x=1), image="b.png", id=2, updated_at="2024-02"),
        small(small_value(x=2), image="b.png", id=2, updated_at="2024-01"),
        {"image": "a.jpg", "id": 3, "annotator": 1},
    )
    assert [(box.image, *box[2:6]) for box in labels.boxes] == [("a.jpg", 10, 20, 40, 60), ("b.png", 1, 20, 31, 60)]
    assert labels.problems == []
    assert labels.notes == [
        "1 images were annotated more than once; the ground truth counts, or else what was last updated",
        "1 images have more than one task; their boxes were put together",
    ]


def test_small_form_with_labels_of_their_own(read: Read) -> None:
    bare = {**PLACE, "type": "Rectangle", "original_width": 100, "original_height": 80}
    labels = read(small(bare, rust=[{**bare, "type": "Labels", "labels": ["rust"]}]))
    assert [(box.class_name, *box[2:6]) for box in labels.boxes] == [("rust", 10, 20, 40, 60)]


@pytest.mark.parametrize(
    ("of_region", "of_prediction", "expected"),
    [
        pytest.param(0.25, 0.5, 0.25, id="the region's own"),
        pytest.param(None, 0.5, 0.5, id="the prediction's"),
        pytest.param(0, 0.5, 0, id="a score of 0 is one"),
        pytest.param(None, None, None, id="none"),
    ],
)
def test_predictions(read: Read, of_region: Any, of_prediction: Any, expected: float | None) -> None:
    predictions = [{"result": [region(x=1, score=of_region)], "score": of_prediction}]
    labels = read(task(region(), predictions=predictions), scores=True)
    assert [(box.x_min, box.score) for box in labels.boxes] == [(1, expected)], "annotations are no predictions"


def test_predictions_are_no_annotations(read: Read) -> None:
    labels = read(task(region(score="surely"), predictions=[{"result": [region(), region()], "score": 7}]))
    assert [box.score for box in labels.boxes] == [None]


def test_bad_score(read: Read) -> None:
    labels = read(task(predictions=[{"result": [region(score=90), region()], "score": 0.5}]), scores=True)
    assert [box.score for box in labels.boxes] == [0.5]
    assert "region 1 of a.jpg: expected a score from 0 to 1, found 90" in labels.problems[0].message


@pytest.mark.parametrize("without", [task(region()), small(small_value())])
def test_no_predictions_at_all(read: Read, without: Any) -> None:
    with pytest.raises(InputProblems, match="tasks with 'predictions'"):
        read(without, scores=True)


def test_ignored_as_this_program_writes_it(read: Read) -> None:
    labels = read(task(region(meta={"text": ["ignored"]}), region(meta={"text": ["blurred"]}), region(meta=3)))
    assert [box.ignored for box in labels.boxes] == [True, False, False]


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        pytest.param(3, "SPR001", "a task of Label Studio, found 3", id="a number"),
        pytest.param({"id": 1}, "SPR001", "a task of Label Studio", id="no task"),
        pytest.param({"image": "a.jpg", "annotations": [{"label": "x"}]}, "SPR001", "a task of Label", id="CreateML"),
        pytest.param(
            {"data": {}, "annotations": [{"result": []}]}, "SPR001", "whose data name an image", id="no image"
        ),
        pytest.param(task(annotations=3), "SPR001", "a list 'annotations'", id="no list"),
        pytest.param(task(annotations=[{}]), "SPR001", "with a list 'result' each", id="no result"),
        pytest.param(task(image="c.jpg"), "SPR002", "no c.jpg", id="unknown image"),
        pytest.param(task(image=["a.jpg"]), "SPR001", "whose data name an image", id="a list of images"),
        pytest.param(task(3), "SPR001", "region 1 of a.jpg: expected a 'value' with a place", id="no region"),
        pytest.param(task(region("rectanglelabels", None)), "SPR001", "with a class", id="no class"),
        pytest.param(task(region("rectanglelabels", (" ",))), "SPR001", "with a class", id="a blank class"),
        pytest.param(task(region("rectanglelabels", 3)), "SPR001", "with a class", id="a number as class"),
        pytest.param(task(region("rectangle", None)), "SPR001", "with a class", id="a bare rectangle"),
        pytest.param(task(region(x="1")), "SPR001", "the numbers x, y, width, height and rotation", id="text"),
        pytest.param(task(region(rotation="left")), "SPR001", "and rotation", id="a rotation in words"),
        pytest.param(task(region(width=10**400)), "SPR001", "the numbers x, y", id="a huge number"),
        pytest.param(task(region("polygonlabels")), "SPR001", "'points' with pairs", id="no points"),
        pytest.param(task(region("polygonlabels", points=[[1, 2], [3]])), "SPR001", "pairs", id="half a point"),
        pytest.param(task(region("ellipselabels", radiusX=1)), "SPR001", "x, y, radiusX, radiusY", id="one radius"),
        pytest.param(
            {"data": {"left": "a.jpg", "right": "b.png"}, "annotations": [{"result": []}]},
            "SPR001",
            "a task with one image, or one that is called 'image', found left, right",
            id="two images",
        ),
    ],
)
def test_bad_task_is_named_by_its_line(read: Read, tmp_path: Path, bad: Any, code: str, message: str) -> None:
    labels = read(task(region()), bad, task(region(), image="b.png"))
    assert [(problem.file, problem.line, problem.code) for problem in labels.problems] == [
        (tmp_path / "tasks.json", 3, code)
    ]
    assert message in labels.problems[0].message
    assert [box.line for box in labels.boxes] == [2, 4]


def test_size_that_is_not_stated_is_that_of_the_image(read: Read, tmp_path: Path) -> None:
    labels = read(task(region(original_width=None)))
    assert [box[2:6] for box in labels.boxes] == [(10, 20, 40, 60)]
    assert (labels.boxes[0].stated_size, labels.stated_sizes) == (None, {})
    path = tmp_path / "tasks.json"
    labels = read_label_studio(path, NamedImages(path))
    assert "expected 'original_width' and 'original_height'" in labels.problems[0].message


def test_labels_of_another_version_of_the_image(read: Read, images: ImageIndex) -> None:
    checked = check_boxes(read(task(region(original_width=200))).boxes, images.sizes)
    assert [problem.code for problem in checked.problems] == ["SPR008"]


def test_turned_image(tmp_path: Path, turned: ImageIndex) -> None:
    """Label Studio shows images as browsers do, turned, and its numbers are per cent of what it shows."""
    shape = region(original_width=40) | {"original_height": 60}
    (tmp_path / "tasks.json").write_text(json.dumps([task(shape, image="t.jpg")]))
    checked = check_boxes(read_label_studio(tmp_path / "tasks.json", turned).boxes, turned.sizes)
    assert checked.table.iloc[0][["x_min", "y_min", "x_max", "y_max"]].tolist() == [4, 15, 16, 45]


def test_places_that_are_no_places_are_left_to_the_boxes_table(read: Read, images: ImageIndex) -> None:
    regions = [region(x=math.nan), region(rotation=math.nan), region(x=1e300), region(rotation=math.inf)]
    regions.append(region("polygonlabels", points=[[1, 1], [math.nan, 2], [3, 3]]))
    labels = read(task(*regions))
    assert [problem.code for problem in check_boxes(labels.boxes, images.sizes).problems] == ["SPR011"] * 5


def test_turned_rectangle_without_area_gets_none(read: Read, images: ImageIndex) -> None:
    labels = read(task(region(width=0, rotation=30)))
    assert [problem.code for problem in check_boxes(labels.boxes, images.sizes).problems] == ["SPR013"]


@pytest.mark.parametrize(
    ("data", "image"),
    [
        pytest.param("/data/local-files/?d=slides/day%201/a.jpg", "day 1/a.jpg", id="a local storage"),
        pytest.param("http://localhost:8080/data/local-files/?d=day 1/a.jpg", "day 1/a.jpg", id="with its host"),
        pytest.param("/data/local-files/?d=C:\\slides\\day 1\\a.jpg", "day 1/a.jpg", id="of Windows"),
        pytest.param("/data/upload/1/0123abcd-b.png", "b.png", id="an upload"),
        pytest.param("/data/upload/1/b.png", "b.png", id="an upload without a mark"),
        pytest.param("/data/upload/1/deadbeef-c.jpg", "deadbeef-c.jpg", id="what looks like a mark is the name"),
        pytest.param("s3://bucket/slides/day 2/a.jpg", "day 2/a.jpg", id="a store"),
        pytest.param("https://example.org/slides/day%202/a.jpg?signature=x.png", "day 2/a.jpg", id="an address"),
        pytest.param("b.png", "b.png", id="the name alone"),
    ],
)
def test_image_is_found(tmp_path: Path, save_image: Callable[..., Path], data: str, image: str) -> None:
    for name in ("day 1/a.jpg", "day 2/a.jpg", "b.png", "deadbeef-c.jpg", "c.jpg"):
        save_image(tmp_path / "pictures" / name)
    (tmp_path / "tasks.json").write_text(json.dumps([{**task(region()), "data": {"remark": "x.y", "picture": data}}]))
    labels = read_label_studio(tmp_path / "tasks.json", ImageIndex(tmp_path / "pictures"))
    assert labels.problems == []
    assert [box.image for box in labels.boxes] == [image]


@pytest.mark.parametrize(
    ("data", "image"),
    [
        pytest.param("/data/local-files/?d=slides/day%201/a.jpg", "slides/day 1/a.jpg", id="a local storage"),
        pytest.param("/data/upload/1/0123abcd-b.png", "0123abcd-b.png", id="an upload keeps its mark"),
        pytest.param("s3://bucket/day 2/a.jpg", "day 2/a.jpg", id="a store"),
        pytest.param("/data/local-files/?d=../../etc/a.jpg", None, id="a path that leads outside"),
        pytest.param("http://[/../a.jpg", None, id="an address that is none"),
    ],
)
def test_image_that_is_not_at_hand(tmp_path: Path, data: str, image: str | None) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task(region(), image=data)]))
    labels = read_label_studio(path, NamedImages(path))
    assert [box.image for box in labels.boxes] == ([image] if image else [])
    assert [problem.code for problem in labels.problems] == ([] if image else ["SPR002"])


def test_labels_of_an_unreadable_image_are_left_to_the_image(tmp_path: Path, images: ImageIndex) -> None:
    (images.root / "bad.jpg").touch()
    (tmp_path / "tasks.json").write_text(json.dumps([task(region(), 3, image="bad.jpg")]))
    labels = read_label_studio(tmp_path / "tasks.json", ImageIndex(images.root))
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"bad.jpg"})
