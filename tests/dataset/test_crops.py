from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.dataset import crops as module
from spore_yolo.dataset.crops import (
    CROP_COLUMNS,
    CropFolder,
    class_folders,
    detected_crops,
    labelled_crops,
    training_crops,
    write_crops,
)
from spore_yolo.dataset.store import Dataset
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import read_image
from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import DEBRIS
from spore_yolo.labels.table import COORDINATES, boxes_table


def labels(*rows: Sequence[Any]) -> pd.DataFrame:
    """A boxes table of rows ``(image, class, 4 corners[, ignored])``."""
    return boxes_table((*row[:6], bool(row[6]) if len(row) > 6 else False, "labels.csv", None) for row in rows)


def proposals(*rows: Sequence[Any]) -> pd.DataFrame:
    """What a detector proposes, rows ``(slide, detector_score, 4 corners)``, as it comes from a pair."""
    table = pd.DataFrame(rows, columns=["slide", "detector_score", *COORDINATES])
    table = table.astype({"slide": "str"} | dict.fromkeys(["detector_score", *COORDINATES], "float64"))
    return table.assign(**{"class": "spore", "detector_class": "spore", "class_score": np.nan})


LABELS = labels(
    ("a.png", "Alternaria", 0, 0, 20, 20),
    ("a.png", "Botrytis", 100, 0, 120, 20),
    ("a.png", "Botrytis", 200, 0, 240, 40, True),
    ("b.png", "Botrytis", 0, 0, 20, 20),
)


def test_labelled_boxes_are_crops_and_ignored_ones_are_not() -> None:
    crops = labelled_crops(LABELS)
    assert crops.columns.tolist() == CROP_COLUMNS
    assert crops[["slide", "class", *COORDINATES]].to_numpy().tolist() == [
        ["a.png", "Alternaria", 0, 0, 20, 20],
        ["a.png", "Botrytis", 100, 0, 120, 20],
        ["b.png", "Botrytis", 0, 0, 20, 20],
    ]
    assert set(crops["origin"]) == {"label"}
    assert crops["detector_score"].isna().all()


def test_what_the_detectors_boxes_show() -> None:
    found = proposals(
        ("b.png", 0.3, 0, 0, 20, 19),
        ("a.png", 0.9, 1, 0, 21, 20),
        ("a.png", 0.8, 100, 0, 120, 18),
        ("a.png", 0.7, 101, 0, 121, 20),  # the same label again
        ("a.png", 0.6, 0, 12, 20, 32),  # too much of a label for debris, too little for its class
        ("a.png", 0.5, 205, 5, 215, 15),  # on the ignored box
        ("a.png", 0.4, 50, 50, 60, 60),
        ("c.png", 0.2, 0, 0, 20, 20),  # a slide without labels
    )
    crops = detected_crops(found, LABELS)
    assert crops.columns.tolist() == CROP_COLUMNS
    assert crops[["slide", "class", "detector_score"]].to_numpy().tolist() == [
        ["a.png", "Alternaria", 0.9],
        ["a.png", "Botrytis", 0.8],
        ["a.png", "Botrytis", 0.7],
        ["a.png", DEBRIS, 0.4],
        ["b.png", "Botrytis", 0.3],
        ["c.png", DEBRIS, 0.2],
    ]
    assert set(crops["origin"]) == {"detector"}
    # The crop is cut round the detector's own box, not round the label.
    assert crops.loc[0, COORDINATES].tolist() == [1, 0, 21, 20]


@pytest.mark.parametrize("boxes", [LABELS, labels()], ids=["labels", "no labels"])
def test_a_detector_that_finds_nothing(boxes: pd.DataFrame) -> None:
    crops = detected_crops(proposals(), boxes)
    assert crops.columns.tolist() == CROP_COLUMNS
    assert crops.empty
    assert training_crops(proposals(), boxes)["class"].tolist() == labelled_crops(boxes)["class"].tolist()


def test_training_takes_both_kinds() -> None:
    crops = training_crops(proposals(("a.png", 0.9, 0, 0, 20, 20), ("a.png", 0.4, 50, 50, 60, 60)), LABELS)
    assert crops.groupby(["class", "origin"]).size().to_dict() == {
        ("Alternaria", "detector"): 1,
        ("Alternaria", "label"): 1,
        ("Botrytis", "label"): 2,
        (DEBRIS, "detector"): 1,
    }
    assert crops.index.tolist() == list(range(5))


def test_of_much_debris_the_likeliest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("c.png", 0.01 * number, 30 * number, 0, 30 * number + 20, 20) for number in (5, 90, 20, 80, 30, 70, 40)]
    boxes = labels(("a.png", "Alternaria", 0, 0, 20, 20))

    def kept() -> list[float]:
        crops = training_crops(proposals(*rows, ("a.png", 0.02, 0, 0, 20, 20)), boxes)
        assert (crops["class"] == "Alternaria").sum() == 2, "spores are never thinned"
        return [round(score, 2) for score in crops.loc[crops["class"] == DEBRIS, "detector_score"]]

    assert kept() == [0.05, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4], "little debris is all kept, in its order"
    # Two crops show a spore, so six of debris may stay.
    monkeypatch.setattr(module, "MIN_DEBRIS", 1)
    assert kept() == [0.9, 0.2, 0.8, 0.3, 0.7, 0.4]
    monkeypatch.setattr(module, "DEBRIS_PER_SPORE", 1)
    assert kept() == [0.9, 0.8]
    monkeypatch.setattr(module, "MIN_DEBRIS", 5)
    assert kept() == [0.9, 0.8, 0.3, 0.7, 0.4]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        pytest.param(["Alternaria", "debris"], ["Alternaria", "debris"], id="plain names stay"),
        pytest.param(["P. striiformis", "a/b", "../c"], ["P_striiformis", "a_b", "_c"], id="no paths, no blanks"),
        pytest.param(["Rust", "rust", "RUST"], ["Rust", "rust_2", "RUST_3"], id="case does not count on every disk"),
        pytest.param(["a b", "a_b", "a_b_2"], ["a_b", "a_b_2", "a_b_2_2"], id="made alike by what is replaced"),
        pytest.param(["?", "!", ""], ["_", "__2", "__3"], id="nothing of the name is safe"),
        pytest.param(["Fusarium ährig", "锈菌"], ["Fusarium_ährig", "锈菌"], id="other alphabets are names too"),
        pytest.param(["n01440764", "n0"], ["_n01440764", "_n0"], id="what Ultralytics would rename to a fish"),
    ],
)
def test_folder_names(classes: list[str], expected: list[str]) -> None:
    assert class_folders(classes) == dict(zip(classes, expected, strict=True))


@given(st.lists(st.text(max_size=6) | st.sampled_from(["a", "A", "a_2", "a b", "A_2", "n0", "_n0"]), unique=True))
def test_each_class_has_a_safe_folder_of_its_own(classes: list[str]) -> None:
    folders = class_folders(classes)
    assert list(folders) == classes
    assert len({name.lower() for name in folders.values()}) == len(classes)
    for name in folders.values():
        assert name == Path(name).name
        assert name not in ("", ".", "..")
        assert not name.startswith("n0")


CLASSES = ["b rust", "A rust", DEBRIS, "Never seen"]


@pytest.fixture
def cut(make_dataset: Callable[..., Dataset], paint: Callable[..., Path], tmp_path: Path) -> Callable[[], CropFolder]:
    """Paints two slides with dark spots in a corner and in the middle, and cuts their crops."""
    spots = {"day 1/a.png": [(0, 0, 10, 20), (50, 40, 70, 60)], "v.png": [(60, 50, 80, 60)]}
    images = {"day 1/a.png": ("train", "a", "a", 90, 70), "v.png": ("val", "v", "v", 80, 60)}
    dataset = make_dataset(images, [("v.png", "A rust", 60, 50, 80, 60)], classes=CLASSES)
    for name, boxes in spots.items():
        paint(dataset.path_of(name), boxes, images[name][3:])
    tables = {
        "train": pd.DataFrame(
            [
                ("day 1/a.png", "b rust", "label", np.nan, 0, 0, 10, 20),
                ("day 1/a.png", DEBRIS, "detector", 0.5, 20, 20, 30, 30),
                ("day 1/a.png", "A rust", "detector", 0.9, 50, 40, 70, 60),
                ("day 1/a.png", "A rust", "label", np.nan, 49, 40, 69, 60),
            ],
            columns=CROP_COLUMNS,
            index=[7, 7, 3, 1],  # whatever numbers the rows have
        ),
        "val": pd.DataFrame([("v.png", "A rust", "label", np.nan, 60, 50, 80, 60)], columns=CROP_COLUMNS),
    }

    def _cut() -> CropFolder:
        return write_crops(dataset, tables, CLASSES, tmp_path / "crops", 0.25, 32, quiet=True)

    return _cut


def test_crops_lie_in_a_folder_a_class(cut: Callable[[], CropFolder], tmp_path: Path) -> None:
    folder = cut()
    found = sorted(path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*"))
    assert [name for name in found if name.endswith(".png")] == [
        "train/A_rust/0000002.png",
        "train/A_rust/0000003.png",
        "train/b_rust/0000000.png",
        "train/debris/0000001.png",
        "val/A_rust/0000000.png",
    ]
    # A class without crops has its folder too, or the classes after it would get other numbers.
    for split in ("train", "val"):
        assert [name for name in found if Path(name).parent.as_posix() == split] == [
            f"{split}/{name}" for name in ("A_rust", "Never_seen", "b_rust", "debris")
        ]
    # On disk they are what the pair will cut from the slide.
    pixels = read_image(tmp_path / "slides" / "day 1" / "a.png")
    expected = cut_crops(pixels, np.array([[0, 0, 10, 20]], dtype=np.float64), 0.25, 32)[0]
    assert np.array_equal(read_image(folder.path / "train" / "b_rust" / "0000000.png"), expected)


def test_classes_are_in_the_order_in_which_the_folders_are_numbered(cut: Callable[[], CropFolder]) -> None:
    from torchvision.datasets import ImageFolder

    folder = cut()
    assert folder.classes == ["A rust", "Never seen", "b rust", DEBRIS]
    numbers = ImageFolder(str(folder.path / "train"), allow_empty=True).class_to_idx
    assert [class_folders(CLASSES)[name] for name in folder.classes] == sorted(numbers, key=lambda name: numbers[name])


def test_a_full_disk_is_an_error(cut: Callable[[], CropFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spore_yolo.dataset.crops.cv2.imwrite", lambda *_: False)
    with pytest.raises(OSError, match="disk full") as error:
        cut()
    assert error.value.errno == 28


def test_a_slide_that_went_missing(cut: Callable[[], CropFolder], tmp_path: Path) -> None:
    (tmp_path / "slides" / "v.png").unlink()
    with pytest.raises(SporeYoloError, match=r"v\.png: no such file"):
        cut()
