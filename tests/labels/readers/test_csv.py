"""CSV with a row a box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError
from spore_yolo.labels.image_index import ImageIndex, NamedImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.columns import CENTRE_SIZE, CORNERS, TOP_LEFT_SIZE, to_corners
from spore_yolo.labels.readers.csv import csv_header, read_csv
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import RawLabels, check_boxes

HEADER = "image,x_min,y_min,x_max,y_max,class\n"


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Callable[..., RawLabels]:
    """Reads a CSV file with the text given."""

    def reader(
        content: str | bytes, columns: Mapping[str, str] | None = None, point_size: float | None = None
    ) -> RawLabels:
        (tmp_path / "boxes.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_csv(tmp_path / "boxes.csv", images, ReadOptions(columns=columns or {}, point_size=point_size))

    return reader


Read = Callable[..., RawLabels]


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        pytest.param(HEADER + "a.jpg,1,2,3,4,rust\n", None, id="our own names"),
        pytest.param("class,y_max,x_max,y_min,x_min,image\nrust,4,3,2,1,a.jpg\n", None, id="another order"),
        pytest.param(
            "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,9,9,rust,1,2,3,4\n", None, id="TensorFlow"
        ),
        pytest.param("File Name;X1;Y1;X2;Y2;Species\na.jpg;1;2;3;4;rust\n", None, id="semicolons, blanks, capitals"),
        pytest.param("slide\tleft\ttop\tright\tbottom\ttaxon\na.jpg\t1\t2\t3\t4\trust\n", None, id="tabs"),
        pytest.param(
            "image_path,bbox.x_min,bbox.y_min,bbox.x_max,bbox.y_max,label\na.jpg,1,2,3,4,rust\n", None, id="dots"
        ),
        pytest.param(
            "image_id,image,x_min,y_min,x_max,y_max,name,class\n17,a.jpg,1,2,3,4,Anna,rust\n",
            None,
            id="the plain word is meant where two columns fit",
        ),
        pytest.param(
            "was,wo,x_min,y_min,x_max,y_max\nrust,a.jpg,1,2,3,4\n",
            {"class": "was", "image": "wo"},
            id="two names given, four guessed",
        ),
        pytest.param(
            "image,file,x_min,y_min,x_max,y_max,class\nb.png,a.jpg,1,2,3,4,rust\n",
            {"image": "file"},
            id="a given name goes before a guess",
        ),
        pytest.param(
            "image,label,species,x1,y1,x2,y2\na.jpg,unsure,rust,1,2,3,4\n",
            {"class": "species"},
            id="a given name settles what is ambiguous",
        ),
        pytest.param("\ufeff" + HEADER + "a.jpg,1,2,3,4,rust\n", None, id="the mark that Excel puts in front"),
        pytest.param(HEADER.strip() + "\r\na.jpg,1,2,3,4,rust\r\n", None, id="line ends of Windows"),
        pytest.param(HEADER + "a.jpg,1,2,3,4,rust", None, id="no line end at the end"),
        pytest.param(HEADER + ' a.jpg ," 1",2 ,3,4,"rust"\n', None, id="blanks and quotes"),
        pytest.param(HEADER + "a.jpg,1.0,2e0,3,4,rust,more,and more\n", None, id="more cells than columns"),
    ],
)
def test_columns(read: Read, content: str, columns: Mapping[str, str] | None) -> None:
    labels = read(content, columns)
    assert labels.problems == []
    assert [(box.image, box.class_name, *box[2:6]) for box in labels.boxes] == [("a.jpg", "rust", 1, 2, 3, 4)]
    assert [(box.line, box.ignored) for box in labels.boxes] == [(2, False)]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        pytest.param(
            "image,label,species,x1,y1,x2,y2", [["class", "label, species"]], id="two columns may be the class"
        ),
        pytest.param("image,class,x1,left,y1,x2,y2", [["x_min", "x1, left"]], id="two columns may be the left"),
        pytest.param("image,x1,y1,x2,y2", [["class", "found only image"]], id="no class"),
        pytest.param("image,class", [["x_min"], ["y_min"], ["x_max"], ["y_max"]], id="four are told at once"),
        pytest.param("", [["image"], ["x_min"], ["y_min"], ["x_max"], ["y_max"], ["class"]], id="an empty file"),
        pytest.param("a.jpg,1,2,3,4,rust", [["image"]] + [["_m"]] * 4 + [["class"]], id="no header"),
    ],
)
def test_columns_that_cannot_be_told(read: Read, header: str, words: list[list[str]]) -> None:
    with pytest.raises(InputProblems, match="--columns") as caught:
        read(header + "\n" if header else "")
    assert len(caught.value.problems) == len(words)
    for problem, expected in zip(caught.value.problems, words, strict=True):
        assert problem.line == 1
        assert all(word in problem.message for word in expected), problem.message


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        pytest.param({"class": "taxon"}, "taxon", id="no such column in the file"),
        pytest.param({"klass": "class"}, "klass", id="no such column of ours"),
    ],
)
def test_given_names_that_do_not_fit(read: Read, columns: Mapping[str, str], word: str) -> None:
    with pytest.raises(UsageError, match=f"found {word}"):
        read(HEADER + "a.jpg,1,2,3,4,rust\n", columns)


def test_names_are_for_csv_only(tmp_path: Path, images: ImageIndex) -> None:
    with pytest.raises(SporeYoloError, match="csv and parquet only"):
        read_labels(tmp_path, images, "voc", ReadOptions(columns={"class": "taxon"}))


@pytest.mark.parametrize("row", ["b.png,,,,,", "b.png", "b.png,  ,,,, "], ids=["empty cells", "no cells", "blanks"])
def test_a_row_with_only_an_image_is_a_negative(read: Read, row: str) -> None:
    labels = read(HEADER + "a.jpg,1,2,3,4,rust\n" + row + "\n")
    assert labels.problems == []
    assert [box.image for box in labels.boxes] == ["a.jpg"]
    assert labels.labelled_images == {"a.jpg", "b.png"}
    assert labels.classes == ["rust"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param("c.jpg,1,2,3,4,rust", "unknown image", id="unknown image"),
        pytest.param(",1,2,3,4,rust", "unknown image", id="no image"),
        pytest.param("a.jpg,1,2,3,4,", "expected a class", id="no class"),
        pytest.param("a.jpg,1,2,,4,rust", "found 1, 2, nothing, 4", id="a number is missing"),
        pytest.param("a.jpg,,,,,rust", "expected four numbers", id="a class without a box"),
        pytest.param("a.jpg,1,2,three,4,rust", "found 1, 2, three, 4", id="a word in place of a number"),
    ],
)
def test_bad_row_is_named_by_its_line(read: Read, tmp_path: Path, row: str, message: str) -> None:
    labels = read(HEADER + "a.jpg,1,2,3,4,rust\n\n" + row + "\na.jpg,5,6,7,8,rust\n")
    assert [box.line for box in labels.boxes] == [2, 5]
    assert [(problem.file, problem.line) for problem in labels.problems] == [(tmp_path / "boxes.csv", 4)]
    assert message in labels.problems[0].message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param("a.jpg,1,2,nan,4,rust", "four numbers", id="not a number"),
        pytest.param("a.jpg,1,2,1,4,rust", "with an area", id="no width"),
        pytest.param("a.jpg,1,2,inf,4,rust", "four numbers", id="infinite"),
        pytest.param("b.png,50,2,70,4,rust", "beyond the border", id="inside a.jpg, but not inside b.png"),
    ],
)
def test_impossible_box_is_named_by_its_line(read: Read, images: ImageIndex, row: str, message: str) -> None:
    checked = check_boxes(read(HEADER + "a.jpg,1,2,3,4,rust\n" + row).boxes, images.sizes)
    assert len(checked.table) == 1
    assert [problem.line for problem in checked.problems] == [3]
    assert message in checked.problems[0].message


def test_commas_in_decimals(read: Read) -> None:
    labels = read("image;x_min;y_min;x_max;y_max;class\na.jpg;1,5;2;3;4;rust\n")
    assert labels.boxes == [], "1,5 must become neither 1 nor 15"
    assert "1,5" in labels.problems[0].message


def test_classes_are_sorted(read: Read) -> None:
    labels = read(HEADER + "a.jpg,1,2,3,4,smut\na.jpg,1,2,3,4,bunt\nb.png,1,2,3,4,smut\n")
    assert labels.classes == ["bunt", "smut"]


def test_boxes_are_on_the_displayed_image(tmp_path: Path, turned: ImageIndex) -> None:
    (tmp_path / "boxes.csv").write_text(HEADER + "t.jpg,0,0,20,60,rust\n")
    checked = check_boxes(read_csv(tmp_path / "boxes.csv", turned).boxes, turned.sizes)
    assert checked.table.iloc[0][["x_min", "y_min", "x_max", "y_max"]].tolist() == [0, 0, 20, 60]


def test_other_encodings_are_refused(read: Read) -> None:
    with pytest.raises(SporeYoloError, match="UTF-8"):
        read((HEADER + "a.jpg,1,2,3,4,Käfer\n").encode("latin-1"))


def test_folder_and_missing_file(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SporeYoloError, match="expected CSV files"):
        read_csv(tmp_path / "empty", images)
    with pytest.raises(SporeYoloError, match="no such file"):
        read_labels(tmp_path / "none.csv", images, "csv")


def test_scores_of_labels_are_not_read(read: Read) -> None:
    labels = read(HEADER.strip() + ",confidence\na.jpg,1,2,3,4,rust,high\n")
    assert ([box.score for box in labels.boxes], labels.problems) == ([None], [])


def test_names_of_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file;left;taxon\n1;2;3\n", encoding="utf-8-sig")
    assert csv_header(tmp_path / "a.csv") == ["file", "left", "taxon"]
    (tmp_path / "empty.csv").touch()
    assert csv_header(tmp_path / "empty.csv") == []
    assert csv_header(tmp_path) == ["file", "left", "taxon"], "that of the first file"


@pytest.mark.parametrize(
    ("header", "row", "note"),
    [
        pytest.param("image,class,x_center,y_center,width,height", "a.jpg,rust,20,30,10,20", "", id="centre and size"),
        pytest.param("image,class,cx,cy,w,h", "a.jpg,rust,20,30,10,20", "", id="centre and size in short"),
        pytest.param("image,class,left,top,width,height", "a.jpg,rust,15,20,10,20", "", id="top left and size"),
        pytest.param("image,class,x_min,y_min,w,h", "a.jpg,rust,15,20,10,20", "", id="minimum and size"),
        pytest.param(
            "image,class,x,y,w,h",
            "a.jpg,rust,15,20,10,20",
            "--columns x_center=x,y_center=y,width=w,height=h",
            id="plain x and y are the top left, and that is said",
        ),
        pytest.param("image,class,bbox_x,bbox_y,bbox_width,bbox_height", "a.jpg,rust,15,20,10,20", "top left", id="x"),
        pytest.param(
            "image,width,height,bbox,class", 'a.jpg,100,80,"[15.0, 20, 10, 20]",rust', "as in COCO", id="one column"
        ),
        pytest.param(
            "image,class,xmin,ymin,xmax,ymax,bbox_width", "a.jpg,rust,15,20,25,40,10", "", id="corners go first"
        ),
    ],
)
def test_layouts(read: Read, header: str, row: str, note: str) -> None:
    labels = read(f"{header}\n{row}\n")
    assert [box[:6] for box in labels.boxes] == [("a.jpg", "rust", 15, 20, 25, 40)]
    assert bool(labels.notes) == bool(note)
    assert all(note in text for text in labels.notes)


def test_plain_names_may_be_said_to_be_the_centre_or_not(read: Read) -> None:
    text = "image,class,x,y,w,h\na.jpg,rust,20,30,10,20\n"
    labels = read(text, {"x_center": "x", "y_center": "y", "width": "w", "height": "h"})
    assert ([box[2:6] for box in labels.boxes], labels.notes) == ([(15, 20, 25, 40)], [])
    labels = read(text, {"x_min": "x", "y_min": "y"})
    assert ([box[2:6] for box in labels.boxes], labels.notes) == ([(20, 30, 30, 50)], [])


@pytest.mark.parametrize(
    ("header", "row", "size"),
    [
        pytest.param(
            "filename,width,height,class,xmin,ymin,xmax,ymax", "a.jpg,9,8,rust,1,2,3,4", (9, 8), id="TensorFlow"
        ),
        pytest.param("image,class,x1,y1,x2,y2,image_width,image_height", "a.jpg,rust,1,2,3,4,9,8", (9, 8), id="said"),
        pytest.param("image,class,left,top,w,h,img_w,img_h", "a.jpg,rust,1,2,2,2,9,8", (9, 8), id="beside a size"),
        pytest.param("image,class,left,top,width,height", "a.jpg,rust,1,2,2,2", None, id="the size of the box"),
        pytest.param("image,class,x1,y1,x2,y2,width,height", "a.jpg,rust,1,2,3,4,2,2", None, id="of the box once more"),
        pytest.param("image,class,x1,y1,x2,y2,width,height", "a.jpg,rust,1,2,3,4,,", None, id="empty"),
    ],
)
def test_size_of_the_image_and_of_the_box(read: Read, header: str, row: str, size: tuple[int, int] | None) -> None:
    labels = read(f"{header}\n{row}\n")
    assert [(box[2:6], box.stated_size) for box in labels.boxes] == [((1, 2, 3, 4), size)]
    assert labels.stated_sizes == ({} if size is None else {"a.jpg": size})


class TestFractions:
    def test_of_known_images(self, read: Read) -> None:
        labels = read(HEADER + "a.jpg,.1,.25,.5,1,rust\nb.png,0,0,1,1,rust\n")
        assert [box[2:6] for box in labels.boxes] == [(10, 20, 50, 80), (0, 0, 60, 40)]
        assert any("taken for fractions" in note for note in labels.notes)

    def test_centre_and_size(self, read: Read) -> None:
        labels = read("image,class,xc,yc,w,h\na.jpg,rust,.5,.5,.1,.5\n")
        assert [box[2:6] for box in labels.boxes] == [pytest.approx((45, 20, 55, 60))]

    def test_whole_numbers_are_pixels(self, read: Read) -> None:
        assert [box[2:6] for box in read(HEADER + "a.jpg,0,0,1,1,rust\n").boxes] == [(0, 0, 1, 1)]

    def test_a_file_with_pixels_is_pixels(self, read: Read) -> None:
        labels = read(HEADER + "a.jpg,.1,.2,.5,1,rust\na.jpg,5,5,9,9,rust\n")
        assert [box[2:6] for box in labels.boxes] == [(0.1, 0.2, 0.5, 1), (5, 5, 9, 9)]

    def test_one_box_beyond_does_not_make_a_file_pixels(self, read: Read, images: ImageIndex) -> None:
        labels = read(HEADER + "a.jpg,.1,.2,.5,1,rust\n" * 19 + "a.jpg,.9,.2,1.2,1,rust\n")
        checked = check_boxes(labels.boxes, images.sizes)
        assert (len(checked.table), [problem.code for problem in checked.problems]) == (19, ["SPR015"])

    def test_of_the_size_that_the_file_states(self, tmp_path: Path) -> None:
        text = HEADER.strip() + ",image_width,image_height\na.jpg,.1,.25,.5,1,rust,200,100\nb.jpg,.1,.1,.2,.2,rust,,\n"
        (tmp_path / "f.csv").write_text(text)
        labels = read_csv(tmp_path / "f.csv", NamedImages(tmp_path / "f.csv"))
        assert [box[2:6] for box in labels.boxes] == [(20, 25, 100, 100)]
        (problem,) = labels.problems
        assert (problem.line, problem.code) == (3, "SPR001")
        assert "fractions of b.jpg, whose size nobody knows" in problem.message


class TestPoints:
    @pytest.mark.parametrize("header", ["image,class,x,y", "image,class,x_center,y_center"])
    def test_squares(self, read: Read, header: str) -> None:
        labels = read(f"{header}\na.jpg,rust,50,40\na.jpg,rust,3,40\nb.png,,,\n", None, 20)
        assert [box[2:6] for box in labels.boxes] == [(40, 30, 60, 50), (0, 30, 13, 50)]
        assert labels.labelled_images == {"a.jpg", "b.png"}
        assert "1 squares round points near the border were clipped" in labels.notes

    def test_fractions(self, read: Read) -> None:
        assert [box[2:6] for box in read("image,class,x,y\na.jpg,rust,.5,.5\n", None, 20).boxes] == [(40, 30, 60, 50)]

    def test_size_has_to_be_said(self, read: Read) -> None:
        with pytest.raises(UsageError, match="--point-size"):
            read("image,class,x,y\na.jpg,rust,50,40\n")

    def test_size_is_not_for_boxes(self, read: Read) -> None:
        labels = read(HEADER + "a.jpg,1,2,3,4,rust\n", None, 20)
        assert [box[2:6] for box in labels.boxes] == [(1, 2, 3, 4)]
        assert any("--point-size changes nothing" in note for note in labels.notes)

    def test_a_word_in_place_of_a_number(self, read: Read) -> None:
        labels = read("image,class,x,y\na.jpg,rust,50,q\n", None, 20)
        assert ["two numbers, found 50, q" in problem.message for problem in labels.problems] == [True]


@pytest.mark.parametrize("word", ["True", "1", "yes", "False", "0", ""])
def test_ignored(read: Read, word: str) -> None:
    (box,) = read(HEADER.strip() + f",ignored\na.jpg,1,2,3,4,rust,{word}\n").boxes
    assert box.ignored == (word in ("True", "1", "yes"))


def test_ignored_with_another_word(read: Read) -> None:
    labels = read(HEADER.strip() + ",ignored\na.jpg,1,2,3,4,rust,perhaps\n")
    assert labels.boxes == []
    assert "expected yes or no" in labels.problems[0].message


def test_images_without_their_suffix(read: Read) -> None:
    labels = read("ImageID,LabelName,XMin,XMax,YMin,YMax\na,rust,0.1,0.5,0.25,1\n")
    assert [(box.image, box[2:6]) for box in labels.boxes] == [("a.jpg", (10, 20, 50, 80))]


def test_every_problem_has_a_code(read: Read) -> None:
    labels = read(HEADER + "z.jpg,1,2,3,4,rust\na.jpg,1,2,3,4,\na.jpg,1,2,3,q,rust\n")
    assert [problem.code for problem in labels.problems] == ["SPR002", "SPR001", "SPR001"]


def test_names_that_are_too_long(read: Read) -> None:
    labels = read(HEADER + f"{'a' * 9000},1,2,3,4,rust\na.jpg,1,2,3,4,{'r' * 9000}\n")
    assert labels.boxes == []
    assert [len(problem.message) < 200 for problem in labels.problems] == [True, True]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        pytest.param(HEADER + 'a.jpg,1,2,3,4,rust\n"a.jpg,1,2,3,4,rust\n\n', 3, "a quote that opens here", id="quote"),
        pytest.param(HEADER + 'a.jpg,"' + "9\n" * 200_000, 2, "a quote that opens here", id="a long quote"),
        pytest.param(HEADER + "a.jpg," + "9" * 200_000 + ",2,3,4,rust\n", 2, "field larger", id="a long cell"),
        pytest.param(HEADER + "a.jpg,1,2,3,4,ru\0st\n", 2, "NUL", id="NUL"),
        pytest.param(HEADER + 'a.jpg,"1"7,2,3,4,rust\n', 2, "row of a CSV file", id="letters behind a quote"),
    ],
)
def test_file_that_is_no_csv(read: Read, tmp_path: Path, content: str, line: int, message: str) -> None:
    with pytest.raises(InputProblems, match=message) as caught:
        read(content)
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [(tmp_path / "boxes.csv", line)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(read: Read, encoding: str, end: str) -> None:
    text = (HEADER + 'a.jpg,1,2,3,4,"Käfer, rot"\na.jpg,1,2,3,4,x\n').replace("\n", end)
    labels = read(text.encode(encoding))
    assert [(box.class_name, box.line) for box in labels.boxes] == [("Käfer, rot", 2), ("x", 3)]


def test_a_folder_of_files(tmp_path: Path, images: ImageIndex) -> None:
    (tmp_path / "l" / "deep").mkdir(parents=True)
    (tmp_path / "l" / "a.csv").write_text("x_min,y_min,x_max,y_max,class\n1,2,3,4,smut\n")
    (tmp_path / "l" / "deep" / "more.csv").write_text(HEADER + "b.png,5,6,7,8,rust\nz.png,5,6,7,8,rust\n")
    labels = read_csv(tmp_path / "l", images)
    assert [(box.image, box.class_name, box[2:6]) for box in labels.boxes] == [
        ("a.jpg", "smut", (1, 2, 3, 4)),
        ("b.png", "rust", (5, 6, 7, 8)),
    ]
    assert labels.classes == ["rust", "smut"]
    assert labels.labelled_images == {"a.jpg", "b.png"}
    assert [problem.file.name for problem in labels.problems if isinstance(problem.file, Path)] == ["more.csv"]


place = st.floats(-200, 200).map(lambda number: round(number, 2))


@given(boxes=st.lists(st.tuples(place, place, place, place), min_size=1, max_size=20))
def test_layouts_say_the_same(boxes: list[tuple[float, float, float, float]]) -> None:
    numbers = np.array(boxes)
    first, last = numbers[:, :2], numbers[:, 2:]
    for layout, written in {
        CORNERS: numbers,
        CENTRE_SIZE: np.hstack([(first + last) / 2, last - first]),
        TOP_LEFT_SIZE: np.hstack([first, last - first]),
    }.items():
        np.testing.assert_allclose(to_corners(written, layout), numbers, atol=1e-9)
