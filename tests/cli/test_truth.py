"""What predictions are compared with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from spore_yolo.cli.truth import truth_of_dataset, truth_of_files
from spore_yolo.dataset.store import IMAGE_COLUMNS
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import UNKNOWN_SIZE

HEADER = "image,x_min,y_min,x_max,y_max,class\n"
VOC = (
    "<annotation><filename>{name}</filename><size><width>100</width><height>80</height></size><object><name>rust</name>"
    "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """The folder of a.png, b.png and c.png, 100 x 80 pixels."""
    (tmp_path / "slides").mkdir()
    for name in "abc":
        Image.new("L", (100, 80)).save(tmp_path / "slides" / f"{name}.png")
    return tmp_path / "slides"


def write(folder: Path, label_format: str) -> Path:
    """Labels with a box on a.png and none on b.png; yolo and csv do not name b.png."""
    path = folder / f"labels-{label_format}"
    if label_format == "csv":
        path.write_text(HEADER + "a.png,1,2,9,9,rust\n")
    elif label_format == "coco":
        images = [
            {"id": number, "file_name": name, "width": 100, "height": 80}
            for number, name in enumerate(["a.png", "b.png"])
        ]
        boxes = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 8, 7]}]
        content: dict[str, Any] = {"images": images, "categories": [{"id": 1, "name": "rust"}], "annotations": boxes}
        path.write_text(json.dumps(content))
    else:
        path.mkdir()
        if label_format == "voc":
            (path / "a.xml").write_text(VOC.format(name="a.png"))
            (path / "b.xml").write_text(VOC.format(name="b.png").split("<object>")[0] + "</annotation>")
        elif label_format == "yolo":
            (path / "a.txt").write_text("0 .05 .06875 .08 .0875\n")
            (path / "classes.txt").write_text("rust\n")
        else:
            for name in ("a.png", "b.png"):
                box = [{"name": "rust", "bounding_box": {"x": 1, "y": 2, "w": 8, "h": 7}}] if name == "a.png" else []
                item = {"name": name, "path": "/", "slots": [{"type": "image", "width": 100, "height": 80}]}
                content = {"version": "2.0", "item": item, "annotations": box}
                (path / f"{name}.json").write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("label_format", ["coco", "voc", "csv", "darwin"])
def test_without_images_the_labels_say_which_there_are(tmp_path: Path, label_format: str) -> None:
    path = write(tmp_path, label_format)
    truth = truth_of_files(path, label_format, None, None)
    named = ["a.png"] if label_format == "csv" else ["a.png", "b.png"]
    size = UNKNOWN_SIZE if label_format == "csv" else ImageSize(100, 80)
    assert truth.known.sizes == dict.fromkeys(named, size)
    assert truth.images["image"].tolist() == named
    assert truth.images["width"].isna().all() == (label_format == "csv")
    assert [box[2:6] for box in truth.labels.boxes] == [(1, 2, 9, 9)]
    assert any("nobody knows the size of 1 images" in note for note in truth.notes) == (label_format == "csv")
    assert (truth.problems, truth.folder, truth.split) == ([], None, None)


def test_yolo_needs_the_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--images"):
        truth_of_files(write(tmp_path, "yolo"), "yolo", None, None)


@pytest.mark.parametrize(
    ("label_format", "images", "note"),
    [
        pytest.param("coco", "ab", "1 images are not named by the labels and were left out", id="coco"),
        pytest.param("voc", "ab", "1 images are not named by the labels and were left out", id="voc"),
        pytest.param("darwin", "ab", "1 images are not named by the labels and were left out", id="darwin"),
        pytest.param("yolo", "abc", "2 images are not named by the labels and count as empty", id="yolo"),
        pytest.param("csv", "abc", "2 images are not named by the labels and count as empty", id="csv"),
    ],
)
def test_images_that_the_labels_do_not_name(
    tmp_path: Path, slides: Path, label_format: str, images: str, note: str
) -> None:
    truth = truth_of_files(write(tmp_path, label_format), label_format, slides, None)
    assert truth.images["image"].tolist() == [f"{name}.png" for name in images]
    assert note in truth.notes
    assert truth.folder == slides
    assert [truth.known.find(f"{name}.png") for name in images] == truth.images["image"].tolist()


def test_the_images_table_is_that_of_a_dataset(tmp_path: Path, slides: Path) -> None:
    images = truth_of_files(write(tmp_path, "coco"), "coco", slides, r"(.)\.png").images
    assert list(images.columns) == IMAGE_COLUMNS
    assert images.drop(columns=["um_per_px"]).to_numpy().tolist() == [
        ["a.png", 100, 80, "a", "a", "", ""],
        ["b.png", 100, 80, "b", "b", "", ""],
    ]
    assert images["um_per_px"].isna().all()


def test_groups_are_the_sources_unless_they_are_given(tmp_path: Path) -> None:
    names = ["f_png.rf.0123456789.jpg", "f_png.rf.9876543210.jpg", "g.jpg"]
    path = tmp_path / "labels.csv"
    path.write_text(HEADER + "".join(f"{name},1,2,9,9,rust\n" for name in names))
    truth = truth_of_files(path, "csv", None, None)
    assert truth.images["group"].tolist() == ["f_png", "f_png", "g"]
    assert any("every image counts as its own group" in note for note in truth.notes)
    truth = truth_of_files(path, "csv", None, "([fg])")
    assert truth.images["group"].tolist() == ["f", "f", "g"]
    assert not any("own group" in note for note in truth.notes)
    with pytest.raises(SporeYoloError, match="cannot be grouped"):
        truth_of_files(path, "csv", None, "(f)")


def test_unreadable_image_is_a_problem_if_the_labels_name_it(tmp_path: Path, slides: Path) -> None:
    (slides / "c.png").write_text("no image")
    assert truth_of_files(write(tmp_path, "coco"), "coco", slides, None).problems == []
    (slides / "b.png").write_text("no image")
    problems = truth_of_files(tmp_path / "labels-coco", "coco", slides, None).problems
    assert [problem.file for problem in problems] == [slides / "b.png"]
    problems = truth_of_files(write(tmp_path, "csv"), "csv", slides, None).problems
    assert [problem.file for problem in problems] == [slides / "b.png", slides / "c.png"]


def test_bad_labels_are_problems(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(HEADER + "a.png,1,2,x,9,rust\n")
    truth = truth_of_files(tmp_path / "labels.csv", "csv", None, None)
    assert [problem.line for problem in truth.problems] == [2]
    assert "--skip-bad" in truth.advice


def test_labels_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(HEADER)
    with pytest.raises(SporeYoloError, match="labels of at least one image"):
        truth_of_files(tmp_path / "labels.csv", "csv", None, None)


def test_numbers_that_predictions_may_mean(tmp_path: Path, slides: Path) -> None:
    truth = truth_of_files(write(tmp_path, "yolo"), "yolo", slides, None)
    assert (truth.class_names, truth.ids_file) == ({0: "rust"}, None)
    path = write(tmp_path, "coco")
    truth = truth_of_files(path, "coco", slides, None)
    assert (truth.class_names, truth.ids_file) == ({}, path)


def test_split_of_a_dataset(spore_yolo: Callable[..., Any], drawn: Any, tmp_path: Path) -> None:
    code, _, err = spore_yolo(
        "import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--targets", "smut"
    )
    assert code == 0, err
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    own = images.loc[images["split"] == "val", "image"].tolist()
    truth = truth_of_dataset("toy", "val", tmp_path / "datasets.yaml")
    assert truth.known.sizes == dict.fromkeys(own, ImageSize(300, 220))
    boxes = sorted((box.image, *box[2:6], box.ignored) for box in truth.labels.boxes)
    assert boxes == sorted((name, *map(float, corners), False) for name in own for corners in drawn.boxes[name])
    assert all(box.line is not None for box in truth.labels.boxes)
    assert (truth.name, truth.split, truth.targets) == ("toy", "val", ["smut"])
    assert (truth.class_names, truth.ids_file) == ({0: "rust", 1: "smut"}, None)
    assert truth.about["format"] == "csv"
    assert truth.folder is not None
    assert (truth.folder / own[0]).is_file()
    other = images.loc[images["split"] == "train", "image"].iloc[0]
    with pytest.raises(LookupError, match="in toy, split val"):
        truth.known.find(other)


def test_auto(tmp_path: Path, slides: Path) -> None:
    truth = truth_of_files(write(tmp_path, "coco"), "auto", slides, None)
    assert truth.about["format"] == "coco"
    assert truth.ids_file == tmp_path / "labels-coco"


def test_points(tmp_path: Path, slides: Path) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "a.txt").write_text("50 40 0\n")
    truth = truth_of_files(tmp_path / "points", "points", slides, None, ReadOptions(point_size=20))
    assert [box[2:6] for box in truth.labels.boxes] == [(40, 30, 60, 50)]
    assert "2 images are not named by the labels and count as empty" in truth.notes
