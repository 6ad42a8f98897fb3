"""What any model found: the same boxes in four formats, and everything that can be wrong with them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.formats import PREDICTION_FORMATS
from spore_yolo.labels.image_index import KnownImages
from spore_yolo.labels.predictions import check_predictions
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import COORDINATES, UNKNOWN_SIZE, RawBox, RawLabels
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS

SIZES = {"a.jpg": ImageSize(100, 80), "deep/b.png": ImageSize(60, 40), "c.jpg": ImageSize(30, 30)}
CLASSES = ["smut", "rust"]


class Found(NamedTuple):
    """One prediction."""

    image: str
    name: str
    corners: tuple[float, float, float, float]
    score: float | None


FOUND = [
    Found("a.jpg", "rust", (10, 20, 40.5, 60.25), 0.75),
    Found("a.jpg", "smut", (-5, -7, 12, 9), 0.5),
    Found("a.jpg", "rust", (90, 70, 130, 95), 1.0),
    Found("deep/b.png", "smut", (0, 0, 60, 40), 0.125),
]


@pytest.fixture
def known(tmp_path: Path) -> KnownImages:
    return KnownImages(SIZES, tmp_path / "slides", "among the images of the test")


def write_coco_results(folder: Path, found: Sequence[Found]) -> Path:
    (folder / "truth.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": 10 + number, "file_name": name, "width": size.width, "height": size.height}
                    for number, (name, size) in enumerate(SIZES.items())
                ],
                "categories": [{"id": 7 + number, "name": name} for number, name in enumerate(CLASSES)],
            }
        )
    )
    items = [
        {
            "image_id": 10 + list(SIZES).index(item.image),
            "category_id": 7 + CLASSES.index(item.name),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            **({} if item.score is None else {"score": item.score}),
        }
        for item in found
        for x0, y0, x1, y1 in [item.corners]
    ]
    (folder / "results.json").write_text(json.dumps(items, indent=1))
    return folder / "results.json"


def write_coco_whole(folder: Path, found: Sequence[Found]) -> Path:
    items = json.loads(write_coco_results(folder, found).read_text())
    content = json.loads((folder / "truth.json").read_text()) | {"annotations": items}
    (folder / "whole.json").write_text(json.dumps(content))
    return folder / "whole.json"


def write_yolo(folder: Path, found: Sequence[Found]) -> Path:
    (folder / "yolo" / "deep").mkdir(parents=True)
    (folder / "yolo" / "classes.txt").write_text("\n".join(CLASSES))
    lines: dict[str, list[str]] = {}
    for item in found:
        size = SIZES[item.image]
        x0, y0, x1, y1 = item.corners
        box = [(x0 + x1) / 2 / size.width, (y0 + y1) / 2 / size.height, (x1 - x0) / size.width, (y1 - y0) / size.height]
        numbers = [CLASSES.index(item.name), *box, *([] if item.score is None else [item.score])]
        lines.setdefault(item.image, []).append(" ".join(map(repr, numbers)))
    for image, rows in lines.items():
        (folder / "yolo" / image).with_suffix(".txt").write_text("\n".join(rows))
    if not lines:
        (folder / "yolo" / "a.txt").touch()
    return folder / "yolo"


def write_csv(folder: Path, found: Sequence[Found]) -> Path:
    rows = [
        [item.image, item.name, *item.corners, "" if item.score is None else repr(float(item.score))] for item in found
    ]
    table = pd.DataFrame(rows, columns=["slide", "class", *COORDINATES, "confidence"])
    if all(item.score is None for item in found):
        table = table.drop(columns="confidence")
    table.to_csv(folder / "found.csv", index=False)
    return folder / "found.csv"


def write_darwin(folder: Path, found: Sequence[Found]) -> Path:
    (folder / "darwin").mkdir()
    for number, (image, size) in enumerate(SIZES.items()):
        path = Path(image)
        slot = {"type": "image", "slot_name": "0", "width": size.width, "height": size.height}
        annotations = []
        for item in found:
            if item.image == image:
                x0, y0, x1, y1 = item.corners
                box = {"x": x0, "y": y0, "w": x1 - x0, "h": y1 - y0}
                by = {} if item.score is None else {"inference": {"confidence": item.score}}
                annotations.append({"id": "1", "name": item.name, "bounding_box": box, "slot_names": ["0"], **by})
        content = {
            "version": "2.0",
            "item": {"name": path.name, "path": f"/{path.parent}".rstrip("."), "slots": [slot]},
            "annotations": annotations,
        }
        (folder / "darwin" / f"{number}.json").write_text(json.dumps(content))
    return folder / "darwin"


def write_parquet(folder: Path, found: Sequence[Found]) -> Path:
    names = {"slide": "str", "class": "str"} | dict.fromkeys([*COORDINATES, "confidence"], "float64")
    rows = [[item.image, item.name, *item.corners, item.score] for item in found]
    pd.DataFrame(rows, columns=list(names)).astype(names).to_parquet(folder / "found.parquet")
    return folder / "found.parquet"


WRITERS: dict[str, Callable[[Path, Sequence[Found]], Path]] = {
    "coco results": write_coco_results,
    "coco whole": write_coco_whole,
    "yolo": write_yolo,
    "csv": write_csv,
    "parquet": write_parquet,
    "darwin": write_darwin,
}


def read(path: Path, label_format: str, known: KnownImages) -> RawLabels:
    ids = path.parent / "truth.json" if path.name == "results.json" else None
    return read_predictions(path, known, label_format.split()[0], ids_file=ids)


def read_predictions(path: Path, known: KnownImages, label_format: str, **options: Any) -> RawLabels:
    return read_labels(path, known, label_format, ReadOptions(scores=True, **options))


def test_every_writer_here_is_of_a_format_with_scores() -> None:
    assert {name.split()[0] for name in WRITERS} <= set(PREDICTION_FORMATS)


@pytest.mark.parametrize("label_format", WRITERS)
def test_the_same_boxes_in_each_format(tmp_path: Path, known: KnownImages, label_format: str) -> None:
    labels = read(WRITERS[label_format](tmp_path, FOUND), label_format, known)
    assert (labels.problems, labels.notes) == ([], [])
    predictions = check_predictions(labels.boxes, known.sizes)
    expected = [
        ["a.jpg", "rust", 0.75, "rust", 0.75, math.nan, 10, 20, 40.5, 60.25],
        ["a.jpg", "smut", 0.5, "smut", 0.5, math.nan, 0, 0, 12, 9],
        ["a.jpg", "rust", 1.0, "rust", 1.0, math.nan, 90, 70, 100, 80],
        ["deep/b.png", "smut", 0.125, "smut", 0.125, math.nan, 0, 0, 60, 40],
    ]
    pd.testing.assert_frame_equal(
        predictions.candidates, pd.DataFrame(expected, columns=CANDIDATE_COLUMNS), check_dtype=False
    )
    assert (predictions.scored, predictions.problems, predictions.outside, predictions.empty) == (True, [], 0, 0)


@pytest.mark.parametrize("label_format", WRITERS)
def test_predictions_without_scores(tmp_path: Path, known: KnownImages, label_format: str) -> None:
    path = WRITERS[label_format](tmp_path, [item._replace(score=None) for item in FOUND])
    predictions = check_predictions(read(path, label_format, known).boxes, known.sizes)
    assert predictions.problems == []
    assert not predictions.scored
    assert predictions.candidates[["score", "detector_score", "class_score"]].isna().all(axis=None)
    assert predictions.candidates["class"].tolist() == ["rust", "smut", "rust", "smut"], "in the order of the file"


@pytest.mark.parametrize("label_format", WRITERS)
def test_some_scores_are_an_error_that_says_where(tmp_path: Path, known: KnownImages, label_format: str) -> None:
    path = WRITERS[label_format](tmp_path, [*FOUND[:1], FOUND[1]._replace(score=None), *FOUND[2:]])
    boxes = read(path, label_format, known).boxes
    (problem,) = check_predictions(boxes, known.sizes).problems
    assert "expected a score, since other predictions have one, found none" in problem.message
    without = next(box for box in boxes if box.score is None)
    assert (problem.file, problem.line) == (without.file, without.line)
    assert problem.line is not None


@pytest.mark.parametrize("label_format", WRITERS)
@pytest.mark.parametrize("score", [1.5, -0.25, math.nan, math.inf])
def test_score_that_is_none(tmp_path: Path, known: KnownImages, label_format: str, score: float) -> None:
    if label_format == "parquet" and math.isnan(score):
        return  # pandas writes a missing number for it
    path = WRITERS[label_format](tmp_path, [FOUND[0], FOUND[1]._replace(score=score)])
    labels = read(path, label_format, known)
    assert len(labels.boxes) == 1
    (problem,) = labels.problems
    assert "expected a score from 0 to 1, found" in problem.message
    assert problem.line is not None


@pytest.mark.parametrize("label_format", WRITERS)
def test_nothing_was_found(tmp_path: Path, known: KnownImages, label_format: str) -> None:
    predictions = check_predictions(read(WRITERS[label_format](tmp_path, []), label_format, known).boxes, known.sizes)
    assert list(predictions.candidates.columns) == CANDIDATE_COLUMNS
    assert (len(predictions.candidates), predictions.scored) == (0, False)
    assert predictions.candidates["score"].dtype == np.float64


@pytest.mark.parametrize("label_format", WRITERS)
def test_prediction_for_an_image_that_nobody_knows(tmp_path: Path, label_format: str) -> None:
    path = WRITERS[label_format](tmp_path, FOUND)
    few = KnownImages({"a.jpg": SIZES["a.jpg"], "c.jpg": SIZES["c.jpg"]}, tmp_path, "among the images of the test")
    labels = read(path, label_format, few)
    assert [box.image for box in labels.boxes] == ["a.jpg"] * 3
    (problem,) = labels.problems
    assert "unknown image: no " in problem.message
    assert "among the images of the test" in problem.message


coordinate = st.floats(-50, 250, allow_nan=False).map(lambda value: round(value, 3))
found = st.builds(
    Found,
    image=st.sampled_from(list(SIZES)),
    name=st.sampled_from(CLASSES),
    corners=st.tuples(coordinate, coordinate, st.floats(0.01, 99), st.floats(0.01, 99)).map(
        lambda box: (box[0], box[1], box[0] + round(box[2], 3), box[1] + round(box[3], 3))
    ),
    score=st.floats(0, 1),
)


@given(st.lists(found, max_size=8))
@settings(max_examples=25)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, items: list[Found]) -> None:
    """What each format gives back is what was written, clipped to the image."""
    # A table with nothing but boxes on the first pixel is taken for fractions.
    assume(not items or any(min(item.corners) < 0 or max(item.corners) > 1 for item in items))
    expected: list[list[Any]] = []
    outside = 0
    for image, size in SIZES.items():
        for item in (item for item in items if item.image == image):
            x0, y0, x1, y1 = item.corners
            corners = [max(x0, 0), max(y0, 0), min(x1, size.width), min(y1, size.height)]
            if corners[0] < corners[2] and corners[1] < corners[3]:
                expected.append([image, item.name, item.score, *corners])
            else:
                outside += 1
    sizes = KnownImages(SIZES, Path("slides"), "in the test")
    for label_format, write in WRITERS.items():
        path = write(tmp_path_factory.mktemp("found"), items)
        labels = read(path, label_format, sizes)
        assert labels.problems == []
        predictions = check_predictions(labels.boxes, SIZES)
        assert predictions.problems == []
        # A sliver at the border, thinner than the rounding, may fall to either side.
        thin = [row for row in expected if min(row[5] - row[3], row[6] - row[4]) < 0.001]
        if thin:
            continue
        assert predictions.outside + predictions.empty == outside
        table = predictions.candidates
        assert table[["slide", "class"]].to_numpy().tolist() == [row[:2] for row in expected]
        assert table["score"].tolist() == [row[2] for row in expected]
        np.testing.assert_allclose(
            table[COORDINATES].to_numpy().reshape(-1, 4), np.reshape([row[3:] for row in expected], (-1, 4)), atol=2e-4
        )


def raw(corners: tuple[float, float, float, float], image: str = "a.jpg", **changes: Any) -> RawBox:
    return RawBox(image, "rust", *corners, ignored=False, file=Path("f"), line=3, **changes)


@pytest.mark.parametrize(
    ("corners", "outside", "empty"),
    [
        pytest.param((110, 10, 120, 20), 1, 0, id="right of the image"),
        pytest.param((-9, 10, 0, 20), 1, 0, id="left of it, to its border"),
        pytest.param((10, 80, 20, 90), 1, 0, id="below it, from its border"),
        pytest.param((10, 10, 10, 20), 0, 1, id="no width"),
        pytest.param((10, 20, 20, 10), 0, 1, id="a negative height"),
        pytest.param((10, 10, 10.00001, 20), 0, 1, id="a hundred-thousandth of a pixel"),
    ],
)
def test_boxes_that_show_nothing_are_counted(
    corners: tuple[float, float, float, float], outside: int, empty: int
) -> None:
    predictions = check_predictions([raw(corners), raw((1, 1, 2, 2))], SIZES)
    assert len(predictions.candidates) == 1
    assert (predictions.outside, predictions.empty, predictions.problems) == (outside, empty, [])


def test_box_without_numbers_is_a_problem() -> None:
    predictions = check_predictions([raw((1, 1, math.nan, 2)), raw((1, 1, math.inf, 2))], SIZES)
    assert [str(problem) for problem in predictions.problems] == [
        "f:3: expected a box of four numbers, found 1, 1, nan, 2",
        "f:3: expected a box of four numbers, found 1, 1, inf, 2",
    ]


def test_predictions_for_another_version_of_the_image() -> None:
    predictions = check_predictions([raw((1, 1, 2, 2), stated_size=(50, 40))], SIZES)
    assert len(predictions.candidates) == 0
    assert "another version" in predictions.problems[0].message


def test_size_that_nobody_knows() -> None:
    sizes = {"a.jpg": UNKNOWN_SIZE}
    boxes = [raw((-3, 5, 9000, 20), stated_size=(50, 40)), raw((-3, 5, -1, 20))]
    predictions = check_predictions(boxes, sizes)
    assert predictions.candidates[COORDINATES].to_numpy().tolist() == [[0, 5, 9000, 20]]
    assert (predictions.outside, predictions.problems) == (1, [])


def test_boxes_on_the_stored_pixels_of_a_turned_image() -> None:
    """Stored as 60 x 40 and displayed, turned to the right, as 40 x 60: the top left becomes the top right."""
    predictions = check_predictions(
        [raw((0, 0, 20, 10), "t.jpg", stated_size=(60, 40))], {"t.jpg": ImageSize(40, 60, orientation=6)}
    )
    assert predictions.candidates[COORDINATES].to_numpy().tolist() == [[30, 0, 40, 20]]


def test_slides_come_in_the_order_of_the_images_and_boxes_in_that_of_the_file() -> None:
    boxes = [raw((1, 1, 3, 2), "c.jpg"), raw((1, 1, 9, 2)), raw((1, 1, 4, 2), "c.jpg"), raw((1, 1, 5, 2))]
    table = check_predictions(boxes, SIZES).candidates
    assert list(zip(table["slide"], table["x_max"], strict=True)) == [
        ("a.jpg", 9),
        ("a.jpg", 5),
        ("c.jpg", 3),
        ("c.jpg", 4),
    ]


def test_results_need_the_numbers_of_a_coco_file(tmp_path: Path, known: KnownImages) -> None:
    path = write_coco_results(tmp_path, FOUND)
    with pytest.raises(SporeYoloError, match=r"results\.json: a COCO results list .* by number.*--coco-ids"):
        read_predictions(path, known, "coco")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param({"image_id": 99}, "unknown image id 99", id="unknown image"),
        pytest.param({"category_id": 99}, "unknown class, category id 99; 'categories' has 7 smut, 8 rust", id="class"),
        pytest.param({"image_id": [10]}, "to be numbers", id="a list of images"),
        pytest.param({"bbox": [1, 2, 3]}, "four numbers", id="three numbers"),
        pytest.param({"bbox": [1, 2, 3, 10**400]}, "four numbers", id="a huge number"),
        pytest.param({"score": "high"}, "from 0 to 1, found 'high'", id="a score in words"),
        pytest.param({"score": True}, "from 0 to 1, found True", id="true"),
    ],
)
def test_bad_result_is_named_by_its_line(tmp_path: Path, known: KnownImages, bad: dict[str, Any], message: str) -> None:
    path = write_coco_results(tmp_path, FOUND)
    items = json.loads(path.read_text())
    items[2] = {"mark": 1, **items[2], **bad}
    path.write_text(json.dumps(items, indent=1))
    labels = read(path, "coco results", known)
    assert len(labels.boxes) == 3
    (problem,) = labels.problems
    assert message in problem.message
    before = path.read_text().split('"mark"')[0]
    assert problem.line == before.count("\n"), "the brace stands on the line before the mark"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("[3]", "a list of results", id="a list of numbers"),
        pytest.param('{"annotations": []}', "a list 'images'", id="no images"),
        pytest.param("3", "a list 'images'", id="a number"),
        pytest.param("[" * 200_000, "nested too deeply", id="nested too deeply"),
        pytest.param("[{]", "not valid JSON", id="broken"),
    ],
)
def test_file_that_is_not_coco(tmp_path: Path, known: KnownImages, content: str, message: str) -> None:
    path = write_coco_results(tmp_path, FOUND)
    path.write_text(content)
    with pytest.raises(InputProblems, match=rf"results\.json.*{message}"):
        read(path, "coco results", known)


def test_images_of_a_coco_file_that_nobody_knows_matter_only_with_predictions(tmp_path: Path) -> None:
    few = KnownImages({"a.jpg": SIZES["a.jpg"]}, tmp_path, "in the split")
    labels = read(write_coco_whole(tmp_path, FOUND[:3]), "coco whole", few)
    assert (len(labels.boxes), labels.problems) == (3, [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("0 .5 .5 .1", "5 numbers .* or 6 with a score, found 4", id="four numbers"),
        pytest.param("0 .5 .5 .1 .1 9", "from 0 to 1, found", id="beyond 1"),
        pytest.param("0 .5 .5 .1 .1 90%", "found '90%'", id="percent"),
        pytest.param("0 .5 .5 .1 x .9", "expected 5 numbers", id="a word"),
        pytest.param("2 .5 .5 .1 .1 .9", "unknown class 2", id="unknown class"),
    ],
)
def test_bad_line_of_yolo(tmp_path: Path, known: KnownImages, line: str, message: str) -> None:
    (tmp_path / "classes.txt").write_text("smut\nrust\n")
    (tmp_path / "a.txt").write_text(f"0 .5 .5 .1 .1 .9\n{line}\n")
    labels = read_predictions(tmp_path, known, "yolo")
    assert len(labels.boxes) == 1
    (problem,) = labels.problems
    assert (problem.file, problem.line) == (tmp_path / "a.txt", 2)
    assert re.search(message, problem.message)


def test_class_numbers_of_yolo_without_names_mean_those_of_the_truth(tmp_path: Path, known: KnownImages) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "a.txt").write_text("1 .5 .5 .1 .1 .9\n")
    labels = read_predictions(tmp_path / "found", known, "yolo", class_names={0: "smut", 1: "rust"})
    assert [box.class_name for box in labels.boxes] == ["rust"]
    assert "no data.yaml; its class numbers are taken to mean 0 smut, 1 rust" in labels.notes[0]
    (tmp_path / "found" / "classes.txt").write_text("bunt\nergot\n")
    labels = read_predictions(tmp_path / "found", known, "yolo", class_names={0: "smut", 1: "rust"})
    assert ([box.class_name for box in labels.boxes], labels.notes) == (["ergot"], [])


def test_yolo_needs_sizes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1 .9\n0 .5 .5 .1 .1 .9\n")
    labels = read_predictions(tmp_path, KnownImages({"a.jpg": UNKNOWN_SIZE}, tmp_path, "in it"), "yolo")
    assert labels.boxes == []
    assert ["whose size nobody knows" in problem.message for problem in labels.problems] == [True]


@pytest.mark.parametrize("name", ["score", "confidence", "Conf", "probability", "prob"])
def test_column_of_scores(tmp_path: Path, known: KnownImages, name: str) -> None:
    (tmp_path / "f.csv").write_text(f"image,x_min,y_min,x_max,y_max,class,{name}\na.jpg,1,2,3,4,rust,.25\n")
    assert [box.score for box in read_predictions(tmp_path / "f.csv", known, "csv").boxes] == [0.25]


def test_scores_may_lie_in_any_of_two_columns(tmp_path: Path, known: KnownImages) -> None:
    (tmp_path / "f.csv").write_text("image,x_min,y_min,x_max,y_max,class,conf,prob\na.jpg,1,2,3,4,rust,.25,.5\n")
    with pytest.raises(InputProblems, match="one column that holds score, found conf, prob"):
        read_predictions(tmp_path / "f.csv", known, "csv")
    labels = read_predictions(tmp_path / "f.csv", known, "csv", columns={"score": "prob"})
    assert [box.score for box in labels.boxes] == [0.5]


def test_candidates_of_a_pair(tmp_path: Path, known: KnownImages) -> None:
    row = "a.jpg,rust,0.45,spore,0.5,0.9,1.0,2.0,3.0,4.0"
    (tmp_path / "candidates.csv").write_text(f"{','.join(CANDIDATE_COLUMNS)}\n{row}\n")
    labels = read_predictions(tmp_path / "candidates.csv", known, "csv")
    assert [(box.class_name, box.score, box[2:6]) for box in labels.boxes] == [("rust", 0.45, (1, 2, 3, 4))]


@pytest.mark.parametrize("label_format", PREDICTION_FORMATS)
def test_no_such_path(tmp_path: Path, known: KnownImages, label_format: str) -> None:
    with pytest.raises(SporeYoloError, match=f"no such file or folder; expected predictions in {label_format}"):
        read_predictions(tmp_path / "nowhere", known, label_format)


@pytest.mark.parametrize(
    ("label_format", "name", "message"),
    [
        pytest.param("coco", "folder", "found a folder", id="a folder for COCO"),
        pytest.param("csv", "folder", "expected CSV files .* found none", id="an empty folder for CSV"),
        pytest.param("darwin", "folder", "expected Darwin files", id="an empty folder for Darwin"),
        pytest.param("yolo", "folder", "found none", id="an empty folder for YOLO"),
        pytest.param("yolo", "file", "found a file", id="a file for YOLO"),
    ],
)
def test_wrong_kind_of_path(tmp_path: Path, known: KnownImages, label_format: str, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SporeYoloError, match=message):
        read_predictions(tmp_path / name, known, label_format)
