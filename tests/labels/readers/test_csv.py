"""CSV with a row a box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError
from spore_yolo.labels.image_index import ImageIndex
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.csv import csv_header, read_csv
from spore_yolo.labels.table import RawLabels, check_boxes

HEADER = "image,x_min,y_min,x_max,y_max,class\n"


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Callable[..., RawLabels]:
    """Reads a CSV file with the text given."""

    def reader(content: str | bytes, columns: Mapping[str, str] | None = None) -> RawLabels:
        (tmp_path / "boxes.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_csv(tmp_path / "boxes.csv", images, ReadOptions(columns=columns or {}))

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
        pytest.param("image,class,x,y,w,h", [["x_min"], ["y_min"], ["x_max"], ["y_max"]], id="four are told at once"),
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
    with pytest.raises(SporeYoloError, match="csv only"):
        read_labels(tmp_path, images, "voc", {"class": "taxon"})


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
    with pytest.raises(SporeYoloError, match="found a folder"):
        read_csv(tmp_path, images)
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
    with pytest.raises(SporeYoloError, match="found a folder"):
        csv_header(tmp_path)
