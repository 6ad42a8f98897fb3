from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.dataset.store import load_dataset
from spore_yolo.evaluation.traits import sharpness_of
from spore_yolo.experiments.remembering import FEATURES, LOOKED, Looked, features_of, look_once
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import read_image
from spore_yolo.inference.classifier import Classifier
from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import read_manifest
from spore_yolo.inference.pair import load
from spore_yolo.labels.table import COORDINATES
from spore_yolo.prediction import looking

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many slides were looked at, each time that any were."""
    counts: list[int] = []
    original = looking.look_at

    def look_at(pair: Any, slides: Any, total: int, threshold: float) -> Any:
        counts.append(total)
        return original(pair, slides, total, threshold)

    monkeypatch.setattr(looking, "look_at", look_at)
    return counts


@pytest.fixture
def look(spore_yolo: Run, drawn: Any, tmp_path: Path) -> Callable[..., Looked]:
    """Looks at a split of the drawn slides."""
    arguments = ["import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    assert spore_yolo(*arguments)[0] == 0

    def run(folder: Path, split: str = "test") -> Looked:
        dataset = load_dataset("toy", tmp_path / "datasets.yaml")
        images, _ = dataset.split(split)
        return look_once(folder, read_manifest(folder), dataset, images, split, "cpu")

    return run


def test_the_second_look_is_the_first_exactly(
    look: Callable[..., Looked], spot_pair: Path, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(spot_pair)
    assert first.since is None
    assert first.place == spot_pair.parent / "browse" / "toy-test"
    monkeypatch.setattr("spore_yolo.inference.pair.load", lambda *_: pytest.fail("no model is needed"))
    second = look(spot_pair)
    assert second.since is not None
    assert looks == [2]
    pd.testing.assert_frame_equal(first.candidates, second.candidates, check_exact=True)
    assert len(first.candidates) > 0
    assert first.files == second.files


def test_numbers_are_not_rounded(look: Callable[..., Looked], spot_pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, given = looking.look_at, []

    def look_at(*arguments: Any) -> Any:
        candidates, caps = original(*arguments)
        rng = np.random.default_rng(0)
        for name in ("score", "detector_score", "x_min", "y_max"):
            candidates[name] = rng.random(len(candidates)) * 100 + 1e-13
        candidates.loc[0, "class_score"] = 1 / 3
        given.append(candidates)
        return candidates, caps

    monkeypatch.setattr(looking, "look_at", look_at)
    look(spot_pair)
    again = look(spot_pair).candidates.drop(columns="sharpness")
    pd.testing.assert_frame_equal(again, given[0], check_exact=True)


def test_nothing_found_is_remembered_too(
    look: Callable[..., Looked], spot_pair: Path, drawn: Any, tmp_path: Path, looks: list[int]
) -> None:
    for name in drawn.boxes:
        Image.new("RGB", (300, 220), (200, 200, 200)).save(drawn.folder / name)
    assert len(look(spot_pair).candidates) == 0
    again = look(spot_pair).candidates
    assert looks == [2]
    assert again.dtypes["score"] == "float64"
    assert again.dtypes["slide"] == "str"


def test_another_pair_or_split_is_looked_at_anew(
    look: Callable[..., Looked], spot_pair: Path, looks: list[int]
) -> None:
    look(spot_pair)
    look(spot_pair, "val")
    content = (spot_pair / "pair.yaml").read_text()
    (spot_pair / "pair.yaml").write_text(content.replace("nms_iou: 0.6", "nms_iou: 0.5"))
    look(spot_pair)
    # Another operating point lets through others of the same candidates.
    (spot_pair / "pair.yaml").write_text(
        (spot_pair / "pair.yaml").read_text().replace("detector: 0.5", "detector: 0.4")
    )
    look(spot_pair)
    assert looks == [2, 2, 2]


def test_another_dataset_of_the_same_name_is_looked_at_anew(
    look: Callable[..., Looked], spot_pair: Path, looks: list[int], spore_yolo: Run, drawn: Any
) -> None:
    look(spot_pair)
    text = drawn.labels.read_text().replace("smut", "mildew")
    drawn.labels.write_text(text)
    arguments = ["import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    assert spore_yolo(*arguments)[0] == 0
    look(spot_pair)
    assert looks == [2, 2]


@pytest.mark.parametrize("content", ["", "{", '{"key": "of another pair"}'])
def test_what_is_damaged_is_looked_at_anew(
    look: Callable[..., Looked], spot_pair: Path, looks: list[int], content: str
) -> None:
    place = look(spot_pair).place
    (place / LOOKED).write_text(content)
    assert look(spot_pair).since is None
    assert looks == [2, 2]


def test_an_interrupted_look_leaves_nothing(
    look: Callable[..., Looked], spot_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("spore_yolo.experiments.remembering.copies_for_browser", stopped)
    with pytest.raises(KeyboardInterrupt):
        look(spot_pair)
    assert list((spot_pair.parent / "browse").iterdir()) == []


def test_other_things_in_the_way_stay(look: Callable[..., Looked], spot_pair: Path) -> None:
    place = spot_pair.parent / "browse" / "toy-test"
    place.mkdir(parents=True)
    (place / "thesis.txt").write_text("dear")
    with pytest.raises(SporeYoloError, match="holds other things"):
        look(spot_pair)
    assert (place / "thesis.txt").exists()


def test_a_pair_of_its_own_keeps_it_inside(look: Callable[..., Looked], spot_pair: Path, tmp_path: Path) -> None:
    shutil.copytree(spot_pair, tmp_path / "pairs" / "rust")
    assert look(tmp_path / "pairs" / "rust").place == tmp_path / "pairs" / "rust" / "browse" / "toy-test"


def test_a_pair_that_may_not_be_written_to(
    look: Callable[..., Looked], spot_pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: list[int]
) -> None:
    """A user without rights on the pair's folder, which root always has."""
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(spot_pair.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = look(spot_pair), look(spot_pair)
    assert looks == [2]
    assert first.place == second.place
    assert first.place.parent == tmp_path / "cache" / "spore-yolo" / "browse"


def test_what_browsers_do_not_show_gets_a_copy_upright(
    spore_yolo: Run, drawn: Any, spot_pair: Path, tmp_path: Path
) -> None:
    """A TIFF and a turned JPEG, which some viewers turn and others do not."""
    rows = drawn.labels.read_text().splitlines()
    names = list(drawn.boxes)
    with Image.open(drawn.folder / names[0]) as image:
        image.save(drawn.folder / "slide_0.tif")
    (drawn.folder / names[0]).unlink()
    with Image.open(drawn.folder / names[1]) as image:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter clockwise to be seen as it is
        image.rotate(90, expand=True).save(drawn.folder / "slide_1.jpg", exif=exif, quality=95)
    (drawn.folder / names[1]).unlink()
    text = "\n".join(rows).replace("slide_0.png", "slide_0.tif").replace("slide_1.png", "slide_1.jpg")
    drawn.labels.write_text(text + "\n")
    arguments = ["import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv"]
    assert spore_yolo(*arguments)[0] == 0
    dataset = load_dataset("toy", tmp_path / "datasets.yaml")
    looked = look_once(spot_pair, read_manifest(spot_pair), dataset, dataset.images, "all", "cpu")
    copies = {image: path for image, path in looked.files.items() if path.is_relative_to(looked.place)}
    assert set(copies) == {"slide_0.tif", "slide_1.jpg"}
    for image, path in copies.items():
        with Image.open(path) as copy:
            assert (copy.format, copy.size, copy.getexif().get(0x0112)) == ("JPEG", (300, 220), None)
            grey = np.asarray(copy.convert("L")).astype(float)
        for x0, y0, x1, y1 in drawn.boxes[image.replace(".tif", ".png").replace(".jpg", ".png")]:
            assert grey[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].mean() < 60
    assert looked.files["slide_2.png"] == (drawn.folder / "slide_2.png").absolute()
    assert json.loads((looked.place / LOOKED).read_text())["copies"]["slide_0.tif"].endswith(".jpg")


def test_sharpness_is_that_of_the_pixels(look: Callable[..., Looked], spot_pair: Path, drawn: Any) -> None:
    """Of candidates and of labels, each from its own slide."""
    looked = look(spot_pair)
    labels = [(slide, box) for slide in sorted(set(looked.files)) for box in drawn.boxes[slide]]
    assert looked.sharpness.shape == (len(labels),)
    for (slide, box), sharpness in zip(labels, looked.sharpness, strict=True):
        assert sharpness == sharpness_of(read_image(drawn.folder / slide), np.array([box], dtype=float))
    for row in looked.candidates.itertuples():
        box = np.array([[getattr(row, name) for name in COORDINATES]])
        assert row.sharpness == pytest.approx(sharpness_of(read_image(drawn.folder / row.slide), box)[0], abs=1e-12)
    assert len(set(looked.sharpness)) > 5


def test_a_box_too_small_to_be_sharp_has_no_sharpness(
    look: Callable[..., Looked], spot_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = looking.look_at

    def look_at(*arguments: Any) -> Any:
        candidates, caps = original(*arguments)
        candidates.loc[0, ["x_max", "y_max"]] = candidates.loc[0, ["x_min", "y_min"]].to_numpy() + 1
        return candidates, caps

    monkeypatch.setattr(looking, "look_at", look_at)
    look(spot_pair)
    assert np.isnan(look(spot_pair).candidates["sharpness"]).tolist() == [True] + [False] * 17


@pytest.fixture
def crops_of(look: Callable[..., Looked], whole_pair: Path, tmp_path: Path) -> Callable[[pd.DataFrame], Any]:
    dataset = load_dataset("toy", tmp_path / "datasets.yaml")
    return lambda boxes: features_of(look(whole_pair), whole_pair, dataset, boxes, "cpu")


def test_features_are_those_of_the_crops(
    look: Callable[..., Looked], crops_of: Callable[..., Any], whole_pair: Path, drawn: Any
) -> None:
    """In the order that is asked for, however the slides are mixed, and with a box that is asked for twice."""
    boxes = look(whole_pair).candidates.sample(frac=1, random_state=0).reset_index(drop=True)
    boxes = pd.concat([boxes, boxes.iloc[:1]], ignore_index=True)
    features = crops_of(boxes)
    classifier = load(whole_pair, "cpu").classifier
    assert classifier is not None
    for row, feature in zip(boxes.itertuples(), features, strict=True):
        corners = np.array([[getattr(row, name) for name in COORDINATES]])
        crop = cut_crops(read_image(drawn.folder / row.slide), corners, 0.25, 32)
        np.testing.assert_allclose(feature, classifier.features(crop)[0], rtol=2e-3, atol=1e-3)


def test_features_are_seen_once(
    look: Callable[..., Looked],
    crops_of: Callable[..., Any],
    whole_pair: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More boxes, as another threshold lets in, are added; the others are not looked at again."""
    counts: list[int] = []
    original = Classifier.features

    def features(self: Classifier, crops: Any) -> Any:
        counts.append(len(crops))
        return original(self, crops)

    monkeypatch.setattr(Classifier, "features", features)
    boxes = look(whole_pair).candidates
    first = crops_of(boxes.iloc[:4])
    assert sum(counts) == 4
    everything = crops_of(boxes)
    assert sum(counts) == len(boxes)
    np.testing.assert_array_equal(everything[:4], first)
    monkeypatch.setattr("spore_yolo.inference.pair.load", lambda *_: pytest.fail("no model is needed"))
    np.testing.assert_array_equal(crops_of(boxes), everything)


def test_damaged_features_are_seen_anew(
    look: Callable[..., Looked], crops_of: Callable[..., Any], whole_pair: Path
) -> None:
    looked = look(whole_pair)
    features = crops_of(looked.candidates)
    path = looked.place / FEATURES
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(crops_of(looked.candidates), features)
    path.write_bytes(b"")
    np.testing.assert_array_equal(crops_of(looked.candidates), features)


def test_what_older_versions_kept_is_looked_at_anew(
    look: Callable[..., Looked], spot_pair: Path, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spore_yolo.experiments.remembering.FORM", 1)
    look(spot_pair)
    monkeypatch.undo()
    assert look(spot_pair).since is None
