from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import spore_yolo
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.pair import read_manifest


def test_each_spore_once_on_a_slide_of_many_tiles(spot_pair: Path, drawn) -> None:
    pair = spore_yolo.load(spot_pair)
    for name, boxes in drawn.boxes.items():
        found = pair.predict(drawn.folder / name)
        assert sorted(map(tuple, found.xyxy.round().astype(int).tolist())) == sorted(boxes)


def test_detections_carry_what_the_files_carry(spot_pair: Path, drawn) -> None:
    found = spore_yolo.load(spot_pair).predict(np.array(Image.open(drawn.folder / "slide_0.png")))
    assert set(found.data["class_name"]) == {"spore"}
    assert found.confidence is not None
    assert found.data["detector_score"].tolist() == found.confidence.tolist()
    assert np.isnan(found.data["class_score"]).all()
    assert found.metadata["width"] == 300
    assert np.all(np.diff(found.confidence) <= 0)


def test_run_folder_means_its_pair(spot_pair: Path) -> None:
    assert spore_yolo.load(spot_pair.parent).folder == spot_pair


def test_pair_works_elsewhere(spot_pair: Path, tmp_path: Path, drawn) -> None:
    moved = tmp_path / "another user" / "my pair"
    shutil.copytree(spot_pair, moved)
    shutil.rmtree(spot_pair)
    assert len(spore_yolo.load(moved).predict(drawn.folder / "slide_0.png")) == len(drawn.boxes["slide_0.png"])


def test_manifest_is_readable_without_this_program(spot_pair: Path) -> None:
    content = yaml.safe_load((spot_pair / "pair.yaml").read_text())
    assert content["classifier"] is None
    assert content["operating_point"] == {"detector": 0.5, "class": {}}
    assert content["detector"]["file"] == "detector.pt"


def _edit(pair: Path, **fields: object) -> None:
    content = yaml.safe_load((pair / "pair.yaml").read_text())
    (pair / "pair.yaml").write_text(yaml.safe_dump(content | fields))


def _no_detector(pair: Path) -> None:
    (pair / "detector.pt").unlink()


def _cut_detector(pair: Path) -> None:
    (pair / "detector.pt").write_bytes((pair / "detector.pt").read_bytes()[:1000])


def _no_manifest(pair: Path) -> None:
    (pair / "pair.yaml").unlink()


def _not_yaml(pair: Path) -> None:
    (pair / "pair.yaml").write_text("classes: [a\n")


def _from_the_future(pair: Path) -> None:
    _edit(pair, pair_version=99)


def _foreign_field(pair: Path) -> None:
    _edit(pair, colour="blue")


def _foreign_classes(pair: Path) -> None:
    _edit(pair, classes=["rust", "smut"])


def _path_outside(pair: Path) -> None:
    content = yaml.safe_load((pair / "pair.yaml").read_text())
    content["detector"]["file"] = "../detector.pt"
    shutil.copy(pair / "detector.pt", pair.parent / "detector.pt")
    (pair / "pair.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_no_detector, "lacks its detector", id="no detector"),
        pytest.param(_cut_detector, "SHA-256 differs", id="half a detector"),
        pytest.param(_no_manifest, "holds no finished pair", id="no manifest"),
        pytest.param(_not_yaml, r"pair\.yaml:\d+:", id="a manifest that is not YAML"),
        pytest.param(_from_the_future, "pair_version", id="a manifest of a later version"),
        pytest.param(_foreign_field, "colour", id="an unknown field"),
        pytest.param(_foreign_classes, "finds .*spore.*says", id="classes of another detector"),
        pytest.param(_path_outside, "expected a file name, found a path", id="a detector outside of the folder"),
    ],
)
def test_damage_is_named(spot_pair: Path, damage, message: str) -> None:
    damage(spot_pair)
    with pytest.raises(SporeYoloError, match=message):
        spore_yolo.load(spot_pair)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        spore_yolo.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.zeros((10, 10), dtype=np.uint8), id="grey"),
        pytest.param(np.zeros((10, 10, 3), dtype=np.float32), id="not 8 bit"),
        pytest.param(np.zeros((0, 10, 3), dtype=np.uint8), id="empty"),
    ],
)
def test_arrays_that_are_no_slides(spot_pair: Path, pixels: np.ndarray) -> None:
    with pytest.raises(SporeYoloError, match="expected an RGB image"):
        spore_yolo.load(spot_pair).predict(pixels)


def test_reading_a_manifest_needs_no_torch(spot_pair: Path) -> None:
    assert read_manifest(spot_pair).classes == ["spore"]
