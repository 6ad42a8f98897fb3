"""YOLO text files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.labels.image_index import ImageIndex
from spore_yolo.labels.readers.yolo import read_yolo
from spore_yolo.labels.table import COORDINATES, RawLabels, check_boxes

SaveImage = Callable[..., Path]


@pytest.fixture
def read(tmp_path: Path, images: ImageIndex) -> Callable[..., RawLabels]:
    """Reads labels/a.txt with the text given; more files by their path beside the labels folder."""

    def reader(content: str | bytes, **files: str) -> RawLabels:
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels" / "a.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return read_yolo(tmp_path / "labels", images)

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
        pytest.param("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "found 9", id="an outline, as in segmentation"),
        pytest.param("rust 0.5 0.5 0.1 0.1", "rust", id="a name in place of a number"),
        pytest.param("0 0.5 0.5 0.1 wide", "wide", id="a word in place of a fraction"),
        pytest.param("0,0.5,0.5,0.1,0.1", "found 1", id="commas"),
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
