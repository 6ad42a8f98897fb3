"""Pascal VOC XML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.labels.codes import UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.readers.voc import read_voc
from spore_yolo.labels.table import RawLabels, check_boxes

SaveImage = Callable[..., Path]

SIZE = "<size><width>100</width><height>80</height><depth>3</depth></size>"


def voc_object(x_min: object, y_min: object, x_max: object, y_max: object, name: str = "rust", more: str = "") -> str:
    return (
        f"<object><name>{name}</name>{more}<bndbox><xmin>{x_min}</xmin><ymin>{y_min}</ymin>"
        f"<xmax>{x_max}</xmax><ymax>{y_max}</ymax></bndbox></object>"
    )


def voc(*lines: str) -> str:
    """A VOC file with a line for each argument, the first of them on line 2."""
    return "\n".join(["<annotation>", *lines, "</annotation>", ""])


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Callable[..., RawLabels]:
    """Reads one VOC file with the text given, as the labels of a.jpg (100 x 80)."""

    def reader(content: str | bytes, name: str = "a.xml", scores: bool = False) -> RawLabels:
        folder = tmp_path / "labels"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_voc(folder, images, ReadOptions(scores=scores))

    return reader


Read = Callable[..., RawLabels]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        # VOC counts pixels from 1 and includes the maximum; ours counts from 0 and excludes it.
        pytest.param((1, 1, 100, 80), (0, 0, 100, 80), id="the whole image"),
        pytest.param((1, 1, 2, 2), (0, 0, 2, 2), id="the first two pixels of the first two rows"),
        pytest.param((11, 21, 30, 40), (10, 20, 30, 40), id="20 x 20 pixels"),
        pytest.param((99, 79, 100, 80), (98, 78, 100, 80), id="the last corner"),
        pytest.param(("11.5", "21.25", "30", "40"), (10.5, 20.25, 30, 40), id="fractions of pixels"),
        pytest.param((" 11 ", "\n21\n", "30", "40"), (10, 20, 30, 40), id="blanks round the numbers"),
    ],
)
def test_pixels_are_counted_from_zero(
    read: Read, images: ImageIndex, stated: tuple[object, ...], expected: tuple[float, ...]
) -> None:
    labels = read(voc(SIZE, voc_object(*stated)))
    assert labels.problems == []
    assert [box[2:6] for box in labels.boxes] == [expected]
    checked = check_boxes(labels.boxes, images.sizes)
    assert (len(checked.table), checked.problems, checked.clipped) == (1, [], 0)


@pytest.mark.parametrize(
    "stated",
    [
        pytest.param((50, 40, 50, 40), id="a stray click"),
        pytest.param((50, 30, 50, 40), id="a stroke from top to bottom"),
        pytest.param((40, 40, 60, 40), id="a stroke from left to right"),
        pytest.param((60, 30, 40, 50), id="left and right exchanged"),
        pytest.param((1, 1, 1, 1), id="a click into the corner"),
    ],
)
def test_a_box_without_area_is_a_problem(read: Read, images: ImageIndex, stated: tuple[int, ...]) -> None:
    labels = read(voc(SIZE, voc_object(11, 21, 30, 40), voc_object(*stated)))
    checked = check_boxes(labels.boxes, images.sizes)
    assert len(checked.table) == 1
    assert [problem.line for problem in checked.problems] == [4]
    assert "box with an area" in checked.problems[0].message


@pytest.mark.parametrize(
    ("more", "ignored"),
    [
        pytest.param("", False, id="not said"),
        pytest.param("<difficult>0</difficult>", False, id="not difficult"),
        pytest.param("<difficult/>", False, id="empty"),
        pytest.param("<difficult>1</difficult>", True, id="difficult"),
        pytest.param("<truncated>1</truncated><occluded>1</occluded>", False, id="truncated is not difficult"),
    ],
)
def test_difficult_objects_are_ignored(read: Read, more: str, ignored: bool) -> None:
    labels = read(voc(voc_object(1, 1, 5, 5, more=more)))
    assert [box.ignored for box in labels.boxes] == [ignored]


def test_each_object_has_its_line(read: Read) -> None:
    labels = read(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + voc(
            "<filename>a.jpg</filename>",
            SIZE,
            voc_object(1, 1, 5, 5, "rust"),
            "<object>\n <name>smut</name>\n <bndbox>\n  <xmin>2</xmin>\n  <ymin>3</ymin>",
            "  <xmax>4</xmax>\n  <ymax>5</ymax>\n </bndbox>\n</object>",
            voc_object(6, 6, 9, 9, "bunt"),
        )
    )
    # Line 1 declares, 2 opens, 3 names the file, 4 has the size; the second object takes lines 6 to 14.
    assert [(box.class_name, box.line) for box in labels.boxes] == [("rust", 5), ("smut", 6), ("bunt", 15)]
    assert [box[2:6] for box in labels.boxes][1] == (1, 2, 4, 5)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        pytest.param(voc(SIZE, voc_object("a", 1, 5, 5)), 3, "four numbers, found a, 1, 5, 5", id="a letter"),
        pytest.param(voc(SIZE, voc_object("1_0", 1, 5, 5)), 3, "four numbers, found 1_0", id="a number of Python"),
        pytest.param(voc(SIZE, voc_object("\uff11", 1, 5, 5)), 3, "four numbers, found \uff11", id="a wide digit"),
        pytest.param(
            voc("<object><name>rust</name><polygon><x1>1</x1></polygon></object>"),
            2,
            "<polygon> with",
            id="half a point",
        ),
        pytest.param(
            voc("<object><name>rust</name><polygon/></object>"), 2, "<polygon> with", id="a polygon of nothing"
        ),
        pytest.param(
            voc("<object><name>rust</name><robndbox><cx>1</cx></robndbox></object>"),
            2,
            "in the <robndbox> of the object, found no cy, w, h, angle",
            id="a part of a rotated box",
        ),
        pytest.param(voc(SIZE, voc_object("", 1, 5, 5)), 3, "found no xmin", id="an empty number"),
        pytest.param(voc("<object><name>rust</name></object>"), 2, "found no xmin, ymin, xmax, ymax", id="no box"),
        pytest.param(voc(voc_object(1, 1, 5, 5, name="")), 2, "found no name", id="no class"),
        pytest.param(
            voc(
                "<object><name>rust</name><part><name>tail</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
                "<xmax>5</xmax><ymax>5</ymax></bndbox></part></object>"
            ),
            2,
            "found no xmin",
            id="the box of a part is not the box of the object",
        ),
        pytest.param(voc("", "<object>"), 4, "not valid XML", id="an element left open"),
        pytest.param("", 1, "not valid XML", id="an empty file"),
        pytest.param('{"images": []}', 1, "not valid XML", id="JSON"),
        pytest.param(b"<annotation>\n\xff</annotation>", 2, "not valid XML", id="other bytes"),
        pytest.param("<html></html>", 1, "found <html>", id="another kind of XML"),
        pytest.param(
            '<?xml version="1.0" encoding="gb2312"?>\n' + voc(voc_object(1, 1, 5, 5)),
            None,
            "XML",
            id="an encoding of several bytes, which the parser does not know",
        ),
        pytest.param('<?xml version="1.0" encoding="none-such"?>\n' + voc(), None, "XML", id="no such encoding"),
    ],
)
def test_bad_files_and_objects(
    read: Read, tmp_path: Path, content: str | bytes, line: int | None, message: str
) -> None:
    labels = read(content)
    assert labels.boxes == []
    assert [problem.file for problem in labels.problems] == [tmp_path / "labels" / "a.xml"]
    assert message in labels.problems[0].message
    assert labels.problems[0].code == UNREADABLE_LABEL
    assert line is None or labels.problems[0].line == line


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(
            '<!DOCTYPE x [<!ENTITY a "rust"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>', id="an entity bomb"
        ),
        pytest.param('<!DOCTYPE x [<!ENTITY c SYSTEM "secret.txt">]>', id="a file from elsewhere"),
        pytest.param('<!DOCTYPE x SYSTEM "x.dtd" [<!ENTITY c "rust">]>', id="a document type from elsewhere"),
    ],
)
def test_entities_are_refused(read: Read, tmp_path: Path, head: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "secret.txt").write_text("secret")
    labels = read(head + voc(voc_object(1, 1, 5, 5, name="&c;")))
    assert labels.boxes == []
    assert ["for safety" in problem.message for problem in labels.problems] == [True]


def test_a_bad_file_does_not_take_its_neighbours_along(read: Read) -> None:
    read("<annotation>", "a.xml")
    labels = read(voc(voc_object(1, 1, 5, 5)), "b.xml")
    assert [box.image for box in labels.boxes] == ["b.png"]
    assert len(labels.problems) == 1


def test_classes_and_negatives(read: Read) -> None:
    read(voc(voc_object(1, 1, 5, 5, "smut"), voc_object(1, 1, 5, 5, "bunt"), voc_object(2, 2, 5, 5, "smut")), "a.xml")
    labels = read(voc(SIZE), "b.xml")
    assert labels.classes == ["bunt", "smut"]
    assert labels.labelled_images == {"a.jpg", "b.png"}, "a file without objects says that there are none"


@pytest.mark.parametrize(
    ("file", "filename", "expected"),
    [
        pytest.param("a.xml", "b.png", "a.jpg", id="the name of the XML file comes first"),
        pytest.param("a.xml", None, "a.jpg", id="no filename inside"),
        pytest.param("0001.xml", "b.png", "b.png", id="else the filename inside"),
        pytest.param("0001.xml", r"C:\slides\b.png", "b.png", id="a filename with the folders of Windows"),
    ],
)
def test_image_of_a_file(read: Read, file: str, filename: str | None, expected: str) -> None:
    named = f"<filename>{filename}</filename>" if filename else ""
    labels = read(voc(named, voc_object(1, 1, 5, 5)), file)
    assert [box.image for box in labels.boxes] == [expected]


@pytest.mark.parametrize(
    ("filename", "named"), [("c.png", "c.png"), ("", "0001")], ids=["filename inside", "none inside"]
)
def test_unknown_image(read: Read, filename: str, named: str) -> None:
    labels = read(voc(f"<filename>{filename}</filename>", voc_object(1, 1, 5, 5)), "0001.xml")
    assert labels.boxes == []
    assert labels.labelled_images == set()
    assert "unknown image" in labels.problems[0].message
    assert named in labels.problems[0].message
    assert labels.problems[0].code == UNKNOWN_IMAGE


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        pytest.param("<size><width>100</width><height>80</height></size>", 1, id="the size of the image"),
        pytest.param("<size><width>0</width><height>0</height></size>", 1, id="0 x 0 means unknown"),
        pytest.param("<size><width></width></size>", 1, id="an empty size"),
        pytest.param("", 1, id="no size"),
        pytest.param("<size><width>200</width><height>160</height></size>", 0, id="another version of the image"),
    ],
)
def test_stated_size(read: Read, images: ImageIndex, size: str, taken: int) -> None:
    checked = check_boxes(read(voc(size, voc_object(1, 1, 5, 5))).boxes, images.sizes)
    assert len(checked.table) == taken
    assert len(checked.problems) == 1 - taken


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # The image is stored as 60 x 40 and displayed, turned to the right, as 40 x 60.
        pytest.param((60, 40), [30, 0, 40, 20], id="stored size: top left turns to top right"),
        pytest.param((40, 60), [0, 0, 20, 10], id="displayed size: stays"),
        pytest.param(None, [0, 0, 20, 10], id="no size: taken as displayed"),
    ],
)
def test_turned_image(tmp_path: Path, turned: ImageIndex, size: tuple[int, int] | None, expected: list[float]) -> None:
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    (tmp_path / "t.xml").write_text(voc(stated, voc_object(1, 1, 20, 10)))
    checked = check_boxes(read_voc(tmp_path / "t.xml", turned).boxes, turned.sizes)
    assert checked.problems == []
    assert checked.table.iloc[0][["x_min", "y_min", "x_max", "y_max"]].tolist() == expected


def test_folders_of_splits(tmp_path: Path, save_image: SaveImage) -> None:
    for split in ("train", "test"):
        save_image(tmp_path / split / "a.jpg")
        (tmp_path / split / "a.xml").write_text(voc(voc_object(1, 1, 5, 5, name=split)))
    labels = read_labels(tmp_path, ImageIndex(tmp_path), "voc")
    assert [(box.image, box.class_name) for box in labels.boxes] == [("test/a.jpg", "test"), ("train/a.jpg", "train")]


def test_labels_of_an_unreadable_image_are_left_to_the_image(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "a.jpg")
    (tmp_path / "bad.jpg").touch()
    (tmp_path / "bad.xml").write_text(voc(voc_object(1, 1, 5, 5)))
    labels = read_voc(tmp_path, ImageIndex(tmp_path))
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"bad.jpg"})


def test_no_files(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "labels").mkdir()
    with pytest.raises(SporeYoloError, match="found none"):
        read_voc(tmp_path / "labels", images)


def test_sizes_are_told_also_for_images_without_objects(tmp_path: Path) -> None:
    size = "<size><width>100</width><height>80</height></size>"
    (tmp_path / "0001.xml").write_text(voc("<filename>deep/a.jpg</filename>" + size))
    (tmp_path / "0002.xml").write_text(voc("<filename>b.jpg</filename>"))
    labels = read_voc(tmp_path, NamedImages(tmp_path))
    assert labels.problems == []
    assert labels.labelled_images == {"deep/a.jpg", "b.jpg"}
    assert labels.stated_sizes == {"deep/a.jpg": (100, 80)}


def test_second_file_of_an_image_is_refused(tmp_path: Path, images: ImageIndex) -> None:
    for name in ("1.xml", "2.xml"):
        (tmp_path / name).write_text(voc("<filename>a.jpg</filename>", voc_object(1, 1, 5, 5)))
    labels = read_voc(tmp_path, images)
    assert len(labels.boxes) == 1
    assert [problem.file for problem in labels.problems] == [tmp_path / "2.xml"]
    assert "a second one for a.jpg" in labels.problems[0].message


def test_file_that_does_not_name_its_image_needs_the_images(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(voc("", voc_object(1, 1, 5, 5)))
    labels = read_voc(tmp_path, NamedImages(tmp_path))
    assert labels.boxes == []
    assert "give the folder that holds a.*" in labels.problems[0].message


@pytest.mark.parametrize(
    ("shape", "expected", "note"),
    [
        pytest.param(
            "<polygon><x1>4.5</x1><y1>9</y1><x2>8</x2><y2>2</y2><x3>6</x3><y3>5</y3></polygon>",
            (4.5, 2, 8, 9),
            "polygons",
            id="a polygon of Roboflow",
        ),
        pytest.param(
            "<polygon><pt><x>4</x><y>9</y></pt><pt><x>8</x><y>2</y></pt><username>x</username></polygon>",
            (4, 2, 8, 9),
            "polygons",
            id="a polygon with points",
        ),
        pytest.param(
            "<robndbox><cx>50</cx><cy>40</cy><w>20</w><h>10</h><angle>1.5707963267948966</angle></robndbox>",
            (45, 30, 55, 50),
            "rotated boxes",
            id="a box of roLabelImg, turned by a quarter",
        ),
    ],
)
def test_other_shapes_become_the_box_round_them(read: Read, shape: str, expected: tuple[float, ...], note: str) -> None:
    labels = read(voc(f"<object><name>rust</name>{shape}</object>"))
    assert labels.problems == []
    assert [box[2:6] for box in labels.boxes] == [pytest.approx(expected)]
    assert labels.notes == [f"1 {note} were turned into the boxes round them"]


def test_box_beside_a_polygon_is_taken(read: Read) -> None:
    labels = read(voc(voc_object(1, 1, 5, 5, more="<polygon><x1>7</x1><y1>8</y1></polygon>")))
    assert ([box[2:6] for box in labels.boxes], labels.notes) == ([(0, 0, 5, 5)], [])


@pytest.mark.parametrize("tag", ["score", "confidence"])
def test_scores_are_read_where_they_are_asked_for(read: Read, tag: str) -> None:
    content = voc(voc_object(1, 1, 5, 5, more=f"<{tag}>0.25</{tag}>"), voc_object(1, 1, 5, 5))
    assert [box.score for box in read(content, scores=True).boxes] == [0.25, None]
    assert [box.score for box in read(content).boxes] == [None, None]


@pytest.mark.parametrize("score", ["90", "nan", "high"])
def test_score_that_is_none(read: Read, score: str) -> None:
    labels = read(voc(SIZE, voc_object(1, 1, 5, 5, more=f"<score>{score}</score>")), scores=True)
    assert [(problem.line, problem.code) for problem in labels.problems] == [(3, UNREADABLE_LABEL)]
    assert "from 0 to 1" in labels.problems[0].message
