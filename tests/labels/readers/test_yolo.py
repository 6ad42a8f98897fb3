"""YOLO text files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.labels.codes import UNKNOWN_CLASS, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import ImageIndex, KnownImages
from spore_yolo.labels.readers import values, yolo
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.readers.yolo import names_of_classes, read_yolo
from spore_yolo.labels.table import COORDINATES, UNKNOWN_SIZE, RawLabels, check_boxes

SaveImage = Callable[..., Path]


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Callable[..., RawLabels]:
    """Reads labels/a.txt with the text given; more files by their path beside the labels folder."""

    def reader(content: str | bytes, scores: bool = False, **files: str) -> RawLabels:
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / "a.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return read_yolo(tmp_path / "labels", images, ReadOptions(scores=scores))

    return reader


Read = Callable[..., RawLabels]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # a.jpg is 100 wide and 80 high.
        pytest.param("0 0.5 0.5 1 1", (0, 0, 100, 80), id="the whole image"),
        pytest.param("0 0.25 0.25 0.5 0.5", (0, 0, 50, 40), id="the upper left quarter"),
        pytest.param("0 0.75 0.25 0.1 0.5", (70, 0, 80, 40), id="centre, then size; width, then height"),
        pytest.param("  0\t0.5  0.5 1 1  ", (0, 0, 100, 80), id="blanks and tabs"),
        pytest.param("\ufeff0 0.5 0.5 1 1", (0, 0, 100, 80), id="the mark of Windows in front"),
        pytest.param("0 5e-1 .5 1. 1.0", (0, 0, 100, 80), id="other ways to write numbers"),
        pytest.param("0.0 0.5 0.5 1 1", (0, 0, 100, 80), id="a class as a float"),
        pytest.param("0 0.5 0.5 1 1\r", (0, 0, 100, 80), id="line ends of Windows"),
    ],
)
def test_fractions_become_pixels(read: Read, images: ImageIndex, line: str, expected: tuple[float, ...]) -> None:
    labels = read(line + "\n")
    assert labels.problems == []
    assert [box[2:6] for box in labels.boxes] == [pytest.approx(expected)]
    assert len(check_boxes(labels.boxes, images.sizes).table) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("0 0.5 0.5 0.1", "found 4", id="a column is missing"),
        pytest.param("0 0.5 0.5 0.1 0.1 0.9", "found 6", id="a confidence, as in predictions"),
        pytest.param("rust 0.5 0.5 0.1 0.1", "rust", id="a name in place of a number"),
        pytest.param("0 0.5 0.5 0.1 wide", "wide", id="a word in place of a fraction"),
        pytest.param("0,0.5,0.5,0.1,0.1", "found 1", id="commas"),
        pytest.param("0 0.5 0.5 0.1 1_0", "1_0", id="a number of Python"),
        pytest.param("0 0.5 0.5 0.1 \uff11", "\uff11", id="a wide digit"),
        pytest.param("1_0 0.5 0.5 0.1 0.1", "1_0", id="a class of Python"),
        pytest.param("0.5 0.5 0.5 0.1 0.1", "a class number", id="half a class"),
        pytest.param("1e0 0.5 0.5 0.1 0.1", "a class number", id="a class with an exponent"),
        pytest.param("9" * 5000 + " 0.5 0.5 0.1 0.1", "a class number", id="a class of thousands of digits"),
        pytest.param("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1", "kpt_shape", id="half a point"),
        pytest.param("0 0.1 0.1 0.2 0.1 0.2 x", "expected 7 numbers", id="a polygon with a letter"),
        pytest.param("2 0.5 0.5 0.1 0.1", "unknown class 2.*0 rust, 1 smut", id="a class that is not in the list"),
        pytest.param("-1 0.5 0.5 0.1 0.1", "unknown class -1", id="a negative class"),
    ],
)
def test_bad_line(read: Read, tmp_path: Path, line: str, message: str) -> None:
    good = "1 0.5 0.5 0.1 0.1\n"
    labels = read(f"{good}\n{line}\n{good}", **{"data.yaml": "names: [rust, smut]"})
    assert [(box.class_name, box.line) for box in labels.boxes] == [("smut", 1), ("smut", 4)]
    assert [(problem.file, problem.line) for problem in labels.problems] == [(tmp_path / "labels" / "a.txt", 3)]
    assert re.search(message, labels.problems[0].message)
    assert labels.problems[0].code == (UNKNOWN_CLASS if message.startswith("unknown class") else UNREADABLE_LABEL)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("0 nan 0.5 0.1 0.1", "four numbers", id="not a number"),
        pytest.param("0 0.5 0.5 inf 0.1", "four numbers", id="infinite"),
        pytest.param("0 0.5 0.5 0 0.1", "with an area", id="no width"),
        pytest.param("0 0.5 0.5 0.1 -0.1", "with an area", id="negative height"),
        pytest.param("0 1.5 0.5 0.1 0.1", "outside", id="outside"),
        pytest.param("0 50 40 10 10", "outside", id="pixels in place of fractions"),
        pytest.param("0 0.98 0.5 0.1 0.1", "beyond the border", id="three pixels beyond the right"),
    ],
)
def test_impossible_box_is_named_by_its_line(read: Read, images: ImageIndex, line: str, message: str) -> None:
    checked = check_boxes(read(f"0 0.5 0.5 0.1 0.1\n{line}\n").boxes, images.sizes)
    assert len(checked.table) == 1
    assert [problem.line for problem in checked.problems] == [2]
    assert message in checked.problems[0].message


@pytest.mark.parametrize(
    ("files", "classes", "used"),
    [
        pytest.param({"data.yaml": "names: [rust, smut, bunt]"}, ["rust", "smut", "bunt"], "smut", id="a list"),
        pytest.param({"data.yaml": "names: {0: rust, 1: smut}"}, ["rust", "smut"], "smut", id="numbered names"),
        pytest.param({"data.yaml": "names: {1: smut, 7: bunt}"}, ["smut", "bunt"], "smut", id="numbers with gaps"),
        pytest.param({"data.yml": "names: [rust, smut]"}, ["rust", "smut"], "smut", id="the short suffix"),
        pytest.param({"data.yaml": "nc: 2\nnames: [7, 8]"}, ["7", "8"], "8", id="numbers as names"),
        pytest.param({"obj.names": "rust\nsmut\n"}, ["rust", "smut"], "smut", id="a list of Darknet"),
        pytest.param({"data.yaml": "\ufeffnames: [rust, smut]"}, ["rust", "smut"], "smut", id="the mark of Windows"),
        pytest.param(
            {"data.yaml": "names: [rust, smut, rust]"}, ["rust", "smut"], "smut", id="a name that comes twice"
        ),
        pytest.param({"labels/data.yaml": "names: [a, b]"}, ["a", "b"], "b", id="beside the labels"),
        pytest.param({"images/data.yaml": "names: [a, b]"}, ["a", "b"], "b", id="beside the images"),
        pytest.param({"classes.txt": "rust\nsmut spore\n"}, ["rust", "smut spore"], "smut spore", id="classes.txt"),
        pytest.param(
            {"labels/classes.txt": "rust\r\nsmut\r\n\r\n"}, ["rust", "smut"], "smut", id="line ends of Windows"
        ),
        pytest.param({"classes.txt": "rust\n\nsmut\n"}, None, None, id="a line left empty keeps its number"),
        pytest.param(
            {"labels/classes.txt": "near\nby", "data.yaml": "names: [far, away]"},
            ["near", "by"],
            "by",
            id="the list nearest to the labels wins",
        ),
        pytest.param({}, ["1"], "1", id="no list: the class is named by its number"),
    ],
)
def test_class_names(read: Read, files: dict[str, str], classes: list[str] | None, used: str | None) -> None:
    labels = read("1 0.5 0.5 0.1 0.1\n", **files)
    if classes is None:
        # Number 1 is the empty line: whatever happens, the box must not be called by the name of number 2.
        assert "smut" not in [box.class_name for box in labels.boxes]
        return
    assert labels.problems == []
    assert labels.classes == classes
    assert [box.class_name for box in labels.boxes] == [used]


def test_classes_without_a_list_are_in_the_order_of_their_numbers(read: Read) -> None:
    lines = [f"{number} 0.5 0.5 0.1 0.1" for number in (10, 2, 0, 2)]
    assert read("\n".join(lines)).classes == ["0", "2", "10"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("nc: 2\n", "found None", id="no names"),
        pytest.param("names: rust\n", "found 'rust'", id="one word"),
        pytest.param("names: {rust: 0}\n", "numbered names", id="names and numbers exchanged"),
        pytest.param("- rust\n", "expected 'names:'", id="a bare list"),
        pytest.param("names: [rust\n", "data.yaml:2", id="not YAML"),
        pytest.param("names: [[a, b], [c]]\n", "found other things", id="lists in the list"),
        pytest.param("names: {0: rust, true: smut}\n", "found other things", id="true as a number"),
    ],
)
def test_class_list_that_cannot_be_read(read: Read, content: str, message: str) -> None:
    with pytest.raises(InputProblems, match=message):
        read("0 0.5 0.5 0.1 0.1\n", **{"data.yaml": content})


def test_an_empty_file_is_a_negative(read: Read) -> None:
    labels = read("")
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"a.jpg"})


def test_other_bytes(read: Read) -> None:
    labels = read(b"\xff\xd8\xff\xe0")
    assert labels.boxes == []
    assert ["other bytes" in problem.message for problem in labels.problems] == [True]


def test_unknown_image_and_texts_that_are_no_labels(read: Read, tmp_path: Path) -> None:
    (tmp_path / "c.txt").touch()
    labels = read(
        "0 0.5 0.5 0.1 0.1\n",
        **{
            "labels/c.txt": "0 0.5 0.5 0.1 0.1",
            "labels/README.roboflow.txt": "Exported with love",
            "labels/.a.txt": "a half copied file",
        },
    )
    assert [box.image for box in labels.boxes] == ["a.jpg"]
    assert [problem.file for problem in labels.problems] == [tmp_path / "labels" / "c.txt"]
    assert "unknown image" in labels.problems[0].message
    assert labels.problems[0].code == UNKNOWN_IMAGE


@pytest.mark.parametrize("labels_of", ["{split}/labels/a.txt", "labels/{split}/a.txt"], ids=["Roboflow", "Ultralytics"])
def test_folders_of_splits(tmp_path: Path, save_image: SaveImage, labels_of: str) -> None:
    (tmp_path / "data.yaml").write_text("names: [rust, smut]\ntrain: ../train/images\n")
    (tmp_path / "README.roboflow.txt").touch()
    for number, split in enumerate(["train", "valid"]):
        label = tmp_path / labels_of.format(split=split)
        save_image(Path(str(label).replace("labels", "images")).with_suffix(".jpg"), 100, 80 + number * 20)
        label.parent.mkdir(parents=True)
        label.write_text(f"{number} 0.5 0.5 0.1 0.1\n")
    index = ImageIndex(tmp_path)
    labels = read_yolo(tmp_path, index)
    assert labels.problems == []
    assert labels.classes == ["rust", "smut"]
    found = {box.class_name: (box.image, box.y_min) for box in labels.boxes}
    assert found["rust"] == (
        labels_of.format(split="train").replace("labels", "images")[:-4] + ".jpg",
        pytest.approx(36),
    )
    assert found["smut"] == (
        labels_of.format(split="valid").replace("labels", "images")[:-4] + ".jpg",
        pytest.approx(45),
    )


def test_fractions_are_of_the_displayed_image(tmp_path: Path, turned: ImageIndex) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "t.txt").write_text("0 0.25 0.5 0.5 1\n")
    checked = check_boxes(read_yolo(tmp_path / "labels", turned).boxes, turned.sizes)
    assert checked.table.iloc[0][COORDINATES].tolist() == [0, 0, 20, 60]


def test_labels_of_an_unreadable_image_are_left_to_the_image(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "a.jpg")
    (tmp_path / "bad.jpg").touch()
    (tmp_path / "bad.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    labels = read_yolo(tmp_path, ImageIndex(tmp_path))
    assert (labels.boxes, labels.problems, labels.labelled_images) == ([], [], {"bad.jpg"})


@pytest.mark.parametrize(
    ("name", "message"), [("empty", "found none"), ("a.txt", "found a file")], ids=["an empty folder", "a file"]
)
def test_no_files(tmp_path: Path, images: ImageIndex, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(SporeYoloError, match=message):
        read_yolo(tmp_path / name, images)


@pytest.mark.parametrize(
    ("line", "expected", "note"),
    [
        pytest.param("0 0.1 0.1 0.2 0.1 0.2 0.3", (10, 8, 20, 24), "polygons", id="a triangle"),
        pytest.param(
            "0 0.1 0.2 0.2 0.1 0.3 0.2 0.2 0.3",
            (10, 8, 30, 24),
            "rotated boxes or polygons of four points",
            id="a rotated box",
        ),
        pytest.param("0 " + "0.1 0.2 " * 50 + "0.5 0.5", (10, 16, 50, 40), "polygons", id="many points"),
    ],
)
def test_polygons_become_the_box_round_them(read: Read, line: str, expected: tuple[float, ...], note: str) -> None:
    labels = read(line)
    assert labels.problems == []
    assert [box[2:6] for box in labels.boxes] == [pytest.approx(expected)]
    assert labels.notes == [f"1 {note} were turned into the boxes round them"]


def test_nan_in_a_polygon_goes_to_the_table(read: Read, images: ImageIndex) -> None:
    checked = check_boxes(read("0 0.1 0.1 nan 0.1 0.2 0.3").boxes, images.sizes)
    assert (len(checked.table), len(checked.problems)) == (0, 1)


@pytest.mark.parametrize(
    ("line", "score", "box"),
    [
        pytest.param("0 0.5 0.5 1 1 0.25", 0.25, (0, 0, 100, 80), id="a box with a score"),
        pytest.param("0 0.5 0.5 1 1", None, (0, 0, 100, 80), id="a box without"),
        pytest.param("0 0.1 0.1 0.2 0.1 0.2 0.3", None, (10, 8, 20, 24), id="a triangle without"),
        pytest.param("0 0.1 0.1 0.2 0.1 0.2 0.3 0.5", 0.5, (10, 8, 20, 24), id="a triangle with a score"),
        pytest.param("0 0.1 0.2 0.2 0.1 0.3 0.2 0.2 0.3 1", 1, (10, 8, 30, 24), id="a rotated box with a score"),
    ],
)
def test_scores(read: Read, line: str, score: float | None, box: tuple[float, ...]) -> None:
    labels = read(line, scores=True)
    assert labels.problems == []
    assert [(found.score, found[2:6]) for found in labels.boxes] == [(score, pytest.approx(box))]


@pytest.mark.parametrize("score", ["1.5", "nan", "high", "0_5"])
def test_score_that_is_none(read: Read, score: str) -> None:
    labels = read(f"0 0.5 0.5 1 1 0.5\n0 0.5 0.5 1 1 {score}", scores=True)
    assert len(labels.boxes) == 1
    assert [(problem.line, problem.code) for problem in labels.problems] == [(2, UNREADABLE_LABEL)]


@pytest.mark.parametrize(
    ("line", "scores", "score"),
    [
        pytest.param("0 0.5 0.5 1 1 0.1 0.1 2 0.9 0.9 1", False, None, id="two points with how visible they are"),
        pytest.param("0 0.5 0.5 1 1 0.1 0.1 2 0.9 0.9 1 0.25", True, 0.25, id="with a score"),
        pytest.param("0 0.5 0.5 1 1", False, None, id="without points"),
    ],
)
def test_keypoints_are_left_out_where_the_shape_is_told(
    read: Read, line: str, scores: bool, score: float | None
) -> None:
    labels = read(line, scores=scores, **{"data.yaml": "names: [rust]\nkpt_shape: [2, 3]"})
    assert labels.problems == []
    assert [(found.score, found[2:6]) for found in labels.boxes] == [(score, pytest.approx((0, 0, 100, 80)))]
    keypoints = "annotations that are no boxes were left out: 1 sets of keypoints"
    assert labels.notes == ([keypoints] if len(line) > 20 else [])


def test_names_that_are_not_as_many_as_said(read: Read, tmp_path: Path) -> None:
    labels = read("0 0.5 0.5 1 1", **{"data.yaml": "nc: 3\nnames: [rust, smut]"})
    assert len(labels.boxes) == 1
    assert [(problem.file, problem.code) for problem in labels.problems] == [(tmp_path / "data.yaml", UNREADABLE_LABEL)]
    assert "found 2 names and nc: 3" in labels.problems[0].message


def test_a_thousand_classes_do_not_fill_the_message(read: Read) -> None:
    labels = read("5000 0.5 0.5 1 1", **{"classes.txt": "\n".join(f"class {number}" for number in range(1000))})
    assert len(labels.problems[0].message) < 300
    assert "0 class 0, 1 class 1" in labels.problems[0].message


def test_names_of_classes(tmp_path: Path) -> None:
    assert names_of_classes(tmp_path / "labels", tmp_path / "images") == {}
    (tmp_path / "data.yaml").write_text("names: {3: rust}")
    assert names_of_classes(tmp_path / "labels", tmp_path / "images") == {3: "rust"}


def test_images_that_share_a_stem(tmp_path: Path, save_image: SaveImage) -> None:
    for name in ("a.jpg", "a.png"):
        save_image(tmp_path / "images" / name)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{name}.txt").write_text("0 0.5 0.5 1 1")
    labels = read_yolo(tmp_path / "labels", ImageIndex(tmp_path / "images"))
    assert labels.problems == []
    assert [box.image for box in labels.boxes] == ["a.jpg", "a.png"]


def test_unknown_size_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 1 1\n0 0.5 0.5 1 1\n")
    labels = read_yolo(tmp_path, KnownImages({"a.jpg": UNKNOWN_SIZE}, tmp_path, ""))
    assert labels.boxes == []
    assert [(problem.line, problem.code) for problem in labels.problems] == [(1, UNREADABLE_LABEL)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_encodings(read: Read, encoding: str) -> None:
    labels = read("0 0.5 0.5 1 1\n0 0.5 0.5 1 1".encode(encoding))
    assert ([box.line for box in labels.boxes], labels.problems) == ([1, 2], [])


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        pytest.param("0 0.5 0.5 1 1\n" * 51, None, "at most 50 lines, found 51", id="many lines"),
        pytest.param("0 0.5 0.5 1 1\n" + "1 " * 600, 2, "at most 1,000 letters, found 1,200", id="a long line"),
        pytest.param(" " * 3000, None, "found 0 MB", id="a large file"),
    ],
)
def test_files_that_would_take_too_much(
    read: Read, monkeypatch: pytest.MonkeyPatch, content: str, line: int | None, message: str
) -> None:
    monkeypatch.setattr(yolo, "MAX_LINES", 50)
    monkeypatch.setattr(yolo, "MAX_LETTERS", 1000)
    monkeypatch.setattr(values, "MAX_BYTES", 2000)
    labels = read(content)
    assert [(problem.line, problem.code) for problem in labels.problems] == [(line, UNREADABLE_LABEL)]
    assert message in labels.problems[0].message


def test_links_in_a_circle(tmp_path: Path, images: ImageIndex) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "a.txt").symlink_to(folder / "a.txt")
    labels = read_yolo(folder, images)
    assert labels.boxes == []
    assert ["found no file" in problem.message for problem in labels.problems] == [True]


WIDTH, HEIGHT = 640, 417


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, save_image: SaveImage) -> ImageIndex:
    """One image, a.png, and a folder in which its labels can be written again and again."""
    folder = tmp_path_factory.mktemp("scene")
    save_image(folder / "a.png", WIDTH, HEIGHT)
    return ImageIndex(folder)


@given(
    x=st.tuples(st.floats(0, WIDTH), st.floats(0, WIDTH)).map(sorted),
    y=st.tuples(st.floats(0, HEIGHT), st.floats(0, HEIGHT)).map(sorted),
    digits=st.integers(6, 17),
)
@settings(max_examples=100, deadline=None)
def test_round_trip(scene: ImageIndex, x: list[float], y: list[float], digits: int) -> None:
    # Thinner boxes may lose their area to the rounding of six digits, as any writer's would.
    (x_min, x_max), (y_min, y_max) = x, y
    if x_max - x_min < 0.01 or y_max - y_min < 0.01:
        x_min, x_max, y_min, y_max = x_min / 2, x_max / 2 + 1, y_min / 2, y_max / 2 + 1
    fractions = [
        (x_min + x_max) / 2 / WIDTH,
        (y_min + y_max) / 2 / HEIGHT,
        (x_max - x_min) / WIDTH,
        (y_max - y_min) / HEIGHT,
    ]
    (scene.root / "a.txt").write_text("3 " + " ".join(f"{value:.{digits}f}" for value in fractions))

    checked = check_boxes(read_yolo(scene.root, scene).boxes, scene.sizes)

    assert checked.problems == []
    # Each of the two numbers that make up a corner is rounded by at most half of its last digit.
    error = WIDTH * 10.0**-digits + 5.1e-5  # the table keeps four decimals
    assert checked.table.iloc[0][COORDINATES].tolist() == pytest.approx([x_min, y_min, x_max, y_max], rel=0, abs=error)
    assert checked.table["class"].tolist() == ["3"]
