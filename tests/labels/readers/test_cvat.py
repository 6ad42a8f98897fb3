"""CVAT for images 1.1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.labels.codes import UNKNOWN_CLASS, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers.cvat import read_cvat
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import RawLabels, check_boxes

SaveImage = Callable[..., Path]
Read = Callable[..., RawLabels]

META = (
    "<version>1.1</version><meta><task><name>n</name><labels><label><name>smut</name><attributes/></label>"
    "<label><name>rust</name></label></labels></task></meta>"
)


def image(*shapes: str, name: str = "a.jpg", more: str = 'width="100" height="80"') -> str:
    """An ``<image>`` with its shapes, a line each."""
    return "\n".join([f'<image id="0" name="{name}" {more}>', *shapes, "</image>"])


def cvat(*parts: str, meta: str = META) -> str:
    """A file whose third line is the first of the parts."""
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', f"<annotations>{meta}", *parts, "</annotations>", ""])


def box(label: str = "rust", corners: tuple[object, ...] = (10, 20, 30.5, 40), more: str = "", inside: str = "") -> str:
    x_min, y_min, x_max, y_max = corners
    return f'<box label="{label}" xtl="{x_min}" ytl="{y_min}" xbr="{x_max}" ybr="{y_max}" {more}>{inside}</box>'


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Read:
    """Reads annotations.xml with the text given."""

    def reader(content: str, scores: bool = False) -> RawLabels:
        (tmp_path / "annotations.xml").write_text(content, encoding="utf-8")
        return read_cvat(tmp_path / "annotations.xml", images, ReadOptions(scores=scores))

    return reader


def test_boxes_and_negatives(read: Read, images: ImageIndex, tmp_path: Path) -> None:
    labels = read(cvat(image(box(), box("smut", (0, 0, 5, 6))), image(name="b.png", more="")))
    assert [(b.image, b.class_name, *b[2:6], b.ignored, b.file, b.line, b.score) for b in labels.boxes] == [
        ("a.jpg", "rust", 10, 20, 30.5, 40, False, tmp_path / "annotations.xml", 4, None),
        ("a.jpg", "smut", 0, 0, 5, 6, False, tmp_path / "annotations.xml", 5, None),
    ]
    assert labels.classes == ["smut", "rust"], "the order of the file's own list"
    assert labels.labelled_images == {"a.jpg", "b.png"}
    assert labels.stated_sizes == {"a.jpg": (100, 80)}
    assert (labels.problems, labels.notes) == ([], [])
    assert len(check_boxes(labels.boxes, images.sizes).table) == 2


@pytest.mark.parametrize(
    ("shape", "expected", "note"),
    [
        # 20 x 10 round (20, 25), turned by a quarter: 10 x 20.
        pytest.param(
            box(corners=(10, 20, 30, 30), more='rotation="90"'), (15, 15, 25, 35), "rotated boxes", id="a quarter turn"
        ),
        # A square of side 10 turned by 45 degrees is as wide as its diagonal.
        pytest.param(
            box(corners=(20, 20, 30, 30), more='rotation="45.00"'),
            (25 - 50**0.5, 25 - 50**0.5, 25 + 50**0.5, 25 + 50**0.5),
            "rotated boxes",
            id="an eighth of a turn",
        ),
        pytest.param(
            '<polygon label="rust" points="4.00,9.00;8.00,2.00;6.50,5.00"/>', (4, 2, 8, 9), "polygons", id="polygon"
        ),
        pytest.param(
            '<ellipse label="rust" cx="50" cy="40" rx="10" ry="4"/>', (40, 36, 60, 44), "ellipses", id="ellipse"
        ),
        pytest.param(
            '<ellipse label="rust" cx="50" cy="40" rx="10" ry="4" rotation="270"/>',
            (46, 30, 54, 50),
            "ellipses",
            id="ellipse on its side",
        ),
        pytest.param(
            '<mask label="rust" rle="1, 4" left="7" top="8" width="5" height="1"/>', (7, 8, 12, 9), "masks", id="mask"
        ),
    ],
)
def test_other_shapes_become_the_box_round_them(read: Read, shape: str, expected: tuple[float, ...], note: str) -> None:
    labels = read(cvat(image(shape)))
    assert [found[2:6] for found in labels.boxes] == [pytest.approx(expected)]
    assert labels.notes == [f"1 {note} were turned into the boxes round them"]


def test_shapes_without_a_box_are_counted(read: Read) -> None:
    labels = read(
        cvat(
            image(
                '<polyline label="rust" points="1,2;3,4"/>',
                '<points label="rust" points="1,2"/>',
                '<points label="rust" points="3,4"/>',
                '<skeleton label="rust"><points label="tip" points="1,2"/></skeleton>',
                '<tag label="rust"/>',
                box(),
            )
        )
    )
    assert len(labels.boxes) == 1
    assert labels.notes == ["annotations that are no boxes were left out: 2 points, 1 polyline, 1 skeleton, 1 tag"]


@pytest.mark.parametrize(
    ("value", "ignored"), [("true", True), ("True", True), ("false", False), ("", False)], ids=lambda value: str(value)
)
def test_ignored_boxes(read: Read, value: str, ignored: bool) -> None:
    inside = f'<attribute name="other">true</attribute><attribute name="ignored">{value}</attribute>'
    assert [found.ignored for found in read(cvat(image(box(inside=inside)))).boxes] == [ignored]


def test_scores_are_read_where_they_are_asked_for(read: Read) -> None:
    content = cvat(image(box(inside='<attribute name="score">0.25</attribute>'), box()))
    assert [found.score for found in read(content, scores=True).boxes] == [0.25, None]
    assert [found.score for found in read(content).boxes] == [None, None]


@pytest.mark.parametrize(
    ("shape", "message", "code"),
    [
        pytest.param(box(""), "the attribute 'label'", UNREADABLE_LABEL, id="no class"),
        pytest.param(box("bunt"), "unknown class bunt; the labels of the file are smut, rust", UNKNOWN_CLASS, id="cls"),
        pytest.param('<box label="rust" xtl="1" ytl="2"/>', "found no xbr, ybr", UNREADABLE_LABEL, id="half a box"),
        pytest.param(box(corners=(1, 2, "x", 4)), "expected a number, found 'x'", UNREADABLE_LABEL, id="a letter"),
        pytest.param(box(corners=(1, 2, "1_0", 4)), "found '1_0'", UNREADABLE_LABEL, id="a number of Python"),
        pytest.param(box(more='rotation="left"'), "found 'left'", UNREADABLE_LABEL, id="a turn that is no number"),
        pytest.param('<polygon label="rust" points="1,2;3"/>', "points x,y;x,y", UNREADABLE_LABEL, id="half a point"),
        pytest.param('<polygon label="rust"/>', "points x,y;x,y", UNREADABLE_LABEL, id="no points"),
        pytest.param('<mask label="rust" rle="1"/>', "found no left", UNREADABLE_LABEL, id="a mask without a place"),
        pytest.param('<ellipse label="rust" cx="1"/>', "found no cy", UNREADABLE_LABEL, id="half an ellipse"),
        pytest.param(
            box(inside='<attribute name="score">90</attribute>'), "from 0 to 1", UNREADABLE_LABEL, id="in percent"
        ),
    ],
)
def test_bad_shape_is_named_by_its_line(read: Read, shape: str, message: str, code: str) -> None:
    labels = read(cvat(image(box(), shape, box())), scores=True)
    assert [found.line for found in labels.boxes] == [4, 6]
    assert [(problem.line, problem.code) for problem in labels.problems] == [(5, code)]
    assert message in labels.problems[0].message


@pytest.mark.parametrize(
    "corners",
    [("nan", 1, 5, 5), (1, 1, "1e300", 5), (-9, 1, 5, 5), (200, 1, 300, 5)],
    ids=["nan", "huge", "left", "out"],
)
def test_geometry_is_left_to_the_table(read: Read, images: ImageIndex, corners: tuple[object, ...]) -> None:
    labels = read(cvat(image(box(corners=corners))))
    assert labels.problems == []
    assert [problem.line for problem in check_boxes(labels.boxes, images.sizes).problems] == [4]


def test_skeleton_points_are_no_classes_and_projects_have_labels_too(read: Read) -> None:
    meta = (
        "<meta><project><labels><label><name>smut</name></label><label><name>tip</name><parent>smut</parent></label>"
        "</labels></project></meta>"
    )
    assert read(cvat(image(box("smut")), meta=meta)).classes == ["smut"]


def test_without_a_list_any_class_is_one(read: Read) -> None:
    labels = read(cvat(image(box("z"), box("a")), meta=""))
    assert (labels.classes, labels.problems) == (["a", "z"], [])


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        pytest.param("<annotation/>", 1, "<annotations>, found <annotation>", id="VOC"),
        pytest.param(cvat('<track id="0" label="rust"/>'), 3, "CVAT for images 1.1", id="a video"),
        pytest.param("<annotations>\n" + image(box()), 4, "not valid XML", id="cut off"),
        pytest.param('<!DOCTYPE a [<!ENTITY x "y">]>' + cvat(), None, "for safety", id="an entity"),
        pytest.param("", 1, "not valid XML", id="empty"),
    ],
)
def test_bad_file(read: Read, content: str, line: int | None, message: str) -> None:
    labels = read(content)
    assert (labels.boxes, labels.labelled_images) == ([], set()), "a file that is not whole gives nothing"
    assert [(problem.line, problem.code) for problem in labels.problems] == [(line, UNREADABLE_LABEL)]
    assert message in labels.problems[0].message


def test_unknown_images(read: Read) -> None:
    labels = read(cvat(image(box(), name="c.jpg"), image(box(), name=""), image(box())))
    assert [found.image for found in labels.boxes] == ["a.jpg"]
    assert [(problem.line, problem.code) for problem in labels.problems] == [(3, UNKNOWN_IMAGE), (6, UNKNOWN_IMAGE)]


def test_second_image_of_a_name_is_refused(read: Read) -> None:
    labels = read(cvat(image(box()), image(box("smut"))))
    assert [found.class_name for found in labels.boxes] == ["rust"]
    assert [problem.line for problem in labels.problems] == [6]
    assert "a second one for a.jpg" in labels.problems[0].message


def test_subset_tells_which_image(tmp_path: Path, save_image: SaveImage) -> None:
    for name in ("train/a.jpg", "val/a.jpg", "test/deep/b.jpg"):
        save_image(tmp_path / "images" / name)
    parts = [
        image(box("rust"), more='subset="train"'),
        image(box("smut"), more='subset="val"'),
        image(box("rust"), name="deep/b.jpg", more='subset="test"'),
    ]
    (tmp_path / "a.xml").write_text(cvat(*parts))
    labels = read_cvat(tmp_path / "a.xml", ImageIndex(tmp_path / "images"))
    assert labels.problems == []
    assert [(found.image, found.class_name) for found in labels.boxes] == [
        ("train/a.jpg", "rust"),
        ("val/a.jpg", "smut"),
        ("test/deep/b.jpg", "rust"),
    ]


def test_folder_of_tasks(tmp_path: Path, save_image: SaveImage) -> None:
    for task, label in (("task_1", "rust"), ("task_2", "smut")):
        save_image(tmp_path / task / "images" / "a.jpg")
        (tmp_path / task / "annotations.xml").write_text(cvat(image(box(label))))
    labels = read_cvat(tmp_path, ImageIndex(tmp_path))
    assert labels.problems == []
    assert {found.image: found.class_name for found in labels.boxes} == {
        "task_1/images/a.jpg": "rust",
        "task_2/images/a.jpg": "smut",
    }


def test_image_of_two_files_is_refused(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "xml").mkdir()
    for name in ("1.xml", "2.xml"):
        (tmp_path / "xml" / name).write_text(cvat(image(box())))
    labels = read_cvat(tmp_path / "xml", images)
    assert len(labels.boxes) == 1
    assert [(problem.file.name, problem.line) for problem in labels.problems] == [("2.xml", 3)]  # type: ignore[union-attr]


def test_without_the_images(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(cvat(image(box(), name="deep/a.jpg"), image(name="../b.jpg")))
    named = NamedImages(tmp_path / "a.xml")
    labels = read_cvat(tmp_path / "a.xml", named)
    assert [found.image for found in labels.boxes] == ["deep/a.jpg"]
    assert labels.stated_sizes == {"deep/a.jpg": (100, 80)}
    assert [problem.code for problem in labels.problems] == [UNKNOWN_IMAGE], "a name that leads outside"


def test_labels_of_an_unreadable_image_are_left_to_the_image(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "a.jpg")
    (tmp_path / "bad.jpg").touch()
    (tmp_path / "a.xml").write_text(cvat(image(box("bunt"), name="bad.jpg")))
    labels = read_cvat(tmp_path / "a.xml", ImageIndex(tmp_path))
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"bad.jpg"})


def test_no_files(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(SporeYoloError, match="expected CVAT files"):
        read_cvat(tmp_path / "none", images)
