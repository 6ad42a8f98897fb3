"""VGG Image Annotator JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.via import read_via
from spore_yolo.labels.table import RawLabels, check_boxes

Read = Callable[..., RawLabels]

RECT = {"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40}


def region(shape: Any = RECT, /, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes or {"species": "smut"}}


def entry(*regions: Any, name: Any = "a.jpg", size: Any = 1234) -> dict[str, Any]:
    return {"filename": name, "size": size, "regions": list(regions), "file_attributes": {}}


def entries_of(*entries: Any) -> dict[str, Any]:
    return {f"image {number}": one for number, one in enumerate(entries)}


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Read:
    """Reads an export of annotations with the images given, one a line from line 2 on."""

    def reader(*entries: Any) -> RawLabels:
        path = tmp_path / "via.json"
        lines = [f"{json.dumps(key)}: {json.dumps(one)}" for key, one in entries_of(*entries).items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}")
        return read_labels(path, images, "via")

    return reader


def test_rectangles(read: Read, images: ImageIndex) -> None:
    labels = read(
        entry(region(), region({**RECT, "x": 0.5}, species="bunt")), entry(name="b.png"), entry(region(), size=1234)
    )
    assert [(box.image, box.class_name, *box[2:6], box.line) for box in labels.boxes] == [
        ("a.jpg", "smut", 10, 20, 40, 60, 2),
        ("a.jpg", "bunt", 0.5, 20, 30.5, 60, 2),
        ("a.jpg", "smut", 10, 20, 40, 60, 4),
    ]
    assert (labels.classes, labels.labelled_images, labels.notes) == (["bunt", "smut"], {"a.jpg", "b.png"}, [])
    assert (labels.problems, check_boxes(labels.boxes, images.sizes).problems) == ([], [])


@pytest.mark.parametrize(
    ("shape", "expected", "kind"),
    [
        pytest.param(
            {"name": "polygon", "all_points_x": [4, 8, 6], "all_points_y": [9, 2, 5]}, (4, 2, 8, 9), "polygons", id="1"
        ),
        pytest.param({"name": "circle", "cx": 20, "cy": 30, "r": 5.5}, (14.5, 24.5, 25.5, 35.5), "circles", id="2"),
        pytest.param({"name": "ellipse", "cx": 20, "cy": 30, "rx": 5, "ry": 8}, (15, 22, 25, 38), "ellipses", id="3"),
        pytest.param(
            {"name": "ellipse", "cx": 20, "cy": 30, "rx": 5, "ry": 8, "theta": math.pi / 2},
            (12, 25, 28, 35),
            "ellipses",
            id="theta is in radians",
        ),
    ],
)
def test_other_shapes_count_by_the_box_round_them(
    read: Read, shape: dict[str, Any], expected: tuple[float, ...], kind: str
) -> None:
    labels = read(entry(region(shape), region()))
    assert labels.boxes[0][2:6] == pytest.approx(expected)
    assert labels.notes == [f"1 {kind} were turned into the boxes round them"]
    assert labels.problems == []


def test_shapes_that_are_no_boxes_are_counted(read: Read) -> None:
    line = {"name": "polyline", "all_points_x": [4, 8], "all_points_y": [9, 2]}
    point = {"name": "point", "cx": 4, "cy": 4}
    labels = read(entry(region(), region(line), region(point), region(point)))
    assert (len(labels.boxes), labels.problems) == (1, [])
    assert labels.notes == ["annotations that are no boxes were left out: 2 point, 1 polyline"]


def test_project_keeps_the_lines_of_its_images(tmp_path: Path, images: ImageIndex) -> None:
    project = {
        "_via_settings": {"project": {"name": "spores"}},
        "_via_img_metadata": entries_of(entry(region()), entry(region(), name="b.png")),
        "_via_attributes": {"region": {"species": {"type": "text"}}, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": ["image 0", "image 1"],
    }
    path = tmp_path / "project.json"
    path.write_text(json.dumps(project, indent=1))
    labels = read_via(path, images)
    lines = path.read_text().splitlines()
    assert [(box.image, lines[(box.line or 0) - 1].strip()) for box in labels.boxes] == [
        ("a.jpg", '"image 0": {'),
        ("b.png", '"image 1": {'),
    ]
    assert labels.problems == []


def test_version_1_has_regions_by_number_and_numbers_as_text(read: Read) -> None:
    old = {"name": "rect", "x": "10", "y": "20", "width": "30", "height": "40.5"}
    labels = read({"filename": "a.jpg", "size": 1, "regions": {"0": region(old), "1": region()}, "fileref": ""})
    assert [box[2:6] for box in labels.boxes] == [(10, 20, 40, 60.5), (10, 20, 40, 60)]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param([{"plant": "rust"}, {"plant": "smut"}], ["rust", "smut"], id="the only attribute"),
        pytest.param([{"plant": "rust", "remark": " "}], ["rust"], id="the only one with values"),
        pytest.param([{"remark": "x", "Type": "rust"}, {"type": "x"}], ["rust"], id="called type, first spelling"),
        pytest.param([{"name": "x", "label": "rust", "type": "y"}], ["rust"], id="label before name and type"),
        pytest.param([{"plant": {"rust": True, "smut": False}}], ["rust"], id="a check box"),
        pytest.param([{"plant": 7}], ["7"], id="a number"),
    ],
)
def test_class_is_an_attribute(read: Read, attributes: list[dict[str, Any]], expected: list[str]) -> None:
    labels = read(entry(*(region(RECT, **one) for one in attributes)))
    assert [box.class_name for box in labels.boxes] == expected
    assert len(labels.problems) == len(attributes) - len(expected)


def test_several_checked_classes(read: Read) -> None:
    labels = read(entry(region(RECT, species={"rust": True, "bunt": True})))
    assert [box.class_name for box in labels.boxes] == ["rust"]
    assert labels.notes == ["1 regions have more than one class; the first of them counts"]


def test_nobody_can_tell_which_attribute_is_the_class(read: Read) -> None:
    with pytest.raises(InputProblems, match="found plant, colour; rename the one that is the class"):
        read(entry(region(RECT, plant="x", colour="red")))


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        pytest.param({"regions": []}, "SPR001", "an image with a 'filename'", id="no file name"),
        pytest.param(3, "SPR001", "an image with a 'filename'", id="a number"),
        pytest.param(entry(name=[]), "SPR001", "an image with a 'filename'", id="a list as name"),
        pytest.param({"filename": "a.jpg"}, "SPR001", "'regions' of a.jpg, found None", id="no regions"),
        pytest.param(entry(name="c.jpg"), "SPR002", "no c.jpg", id="unknown image"),
        pytest.param(entry(size=99), "SPR002", "found two, of 1234 and 99 bytes", id="another image of the name"),
        pytest.param(entry(3), "SPR001", "region 1 of a.jpg: expected a region with a shape", id="no region"),
        pytest.param(entry(region(None)), "SPR001", "a shape and its 'name'", id="no shape"),
        pytest.param(entry(region({"x": 1})), "SPR001", "a shape and its 'name'", id="a shape without a name"),
        pytest.param(entry(region({"name": "rect", "x": 1})), "SPR001", "y: expected a number, found None", id="no y"),
        pytest.param(entry(region({**RECT, "width": "wide"})), "SPR001", "width: expected a number", id="text"),
        pytest.param(entry(region({**RECT, "x": True})), "SPR001", "x: expected a number, found True", id="true"),
        pytest.param(entry(region({**RECT, "x": 10**400})), "SPR001", "larger than any image", id="a huge number"),
        pytest.param(
            entry(region({"name": "polygon", "all_points_x": [1], "all_points_y": [1, 2]})),
            "SPR001",
            "of one length",
            id="half a point",
        ),
        pytest.param(
            entry(region({"name": "polygon", "all_points_x": [], "all_points_y": []})),
            "SPR001",
            "of one",
            id="no point",
        ),
        pytest.param(
            entry({"shape_attributes": RECT, "region_attributes": ["x"]}), "SPR001", "'region_attributes'", id="a list"
        ),
        pytest.param(
            entry({"shape_attributes": RECT}), "SPR001", "a class in 'species', found none", id="no attributes"
        ),
        pytest.param(entry(region(RECT, species={"rust": False})), "SPR001", "found none", id="nothing checked"),
    ],
)
def test_bad_entry_is_named_by_its_line(read: Read, tmp_path: Path, bad: Any, code: str, message: str) -> None:
    labels = read(entry(region()), bad, entry(region()))
    assert [(problem.file, problem.line, problem.code) for problem in labels.problems] == [
        (tmp_path / "via.json", 3, code)
    ]
    assert message in labels.problems[0].message
    assert [box.line for box in labels.boxes] == [2, 4]


def test_places_that_are_no_places_are_left_to_the_boxes_table(read: Read, images: ImageIndex) -> None:
    labels = read(entry(region({**RECT, "x": math.nan}), region({"name": "circle", "cx": 1e300, "cy": 1, "r": 1})))
    assert {problem.code for problem in check_boxes(labels.boxes, images.sizes).problems} == {"SPR011"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([], id="an empty list"),
        pytest.param([entry(region())], id="a list"),
        pytest.param(3, id="a number"),
        pytest.param({}, id="nothing"),
        pytest.param({"_via_settings": {}}, id="a project without images"),
        pytest.param({"images": [{"id": 1}], "categories": []}, id="COCO"),
    ],
)
def test_file_that_is_no_via(tmp_path: Path, images: ImageIndex, content: Any) -> None:
    (tmp_path / "via.json").write_text(json.dumps(content))
    with pytest.raises(InputProblems, match="expected annotations or a project of VGG Image Annotator 2"):
        read_via(tmp_path / "via.json", images)


def test_project_without_images_of_its_own_is_empty(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "via.json").write_text(json.dumps({"_via_img_metadata": {}, "_via_settings": {}}))
    labels = read_via(tmp_path / "via.json", images)
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], set())


def test_folder_of_files(tmp_path: Path, images: ImageIndex) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "1.json").write_text(json.dumps(entries_of(entry(region()))))
    (folder / "2.json").write_text("[]")
    (folder / "3.json").write_text(json.dumps(entries_of(entry(region(RECT, kind="rust"), name="b.png"))))
    labels = read_via(folder, images)
    assert [(box.image, box.class_name) for box in labels.boxes] == [("a.jpg", "smut"), ("b.png", "rust")]
    assert [problem.file for problem in labels.problems] == [folder / "2.json"]
    with pytest.raises(SporeYoloError, match="expected VGG Image Annotator files"):
        read_via(tmp_path / "images", images)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        pytest.param("https://example.org/spores/day%201/a.jpg?size=full", "spores/day 1/a.jpg", id="an address"),
        pytest.param("day 1\\a.jpg", "day 1/a.jpg", id="a path of Windows"),
        pytest.param("50%20.jpg", "50%20.jpg", id="a name with a per cent sign"),
    ],
)
def test_name_of_an_image_that_is_not_at_hand(tmp_path: Path, name: str, image: str) -> None:
    path = tmp_path / "via.json"
    path.write_text(json.dumps(entries_of(entry(region(), name=name))))
    assert [box.image for box in read_via(path, NamedImages(path)).boxes] == [image]


def test_labels_of_an_unreadable_image_are_left_to_the_image(tmp_path: Path, images: ImageIndex) -> None:
    (images.root / "bad.jpg").touch()
    (tmp_path / "via.json").write_text(json.dumps(entries_of(entry(region(), 3, name="bad.jpg"))))
    labels = read_via(tmp_path / "via.json", ImageIndex(images.root))
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"bad.jpg"})
