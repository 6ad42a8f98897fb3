from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

import spore_yolo
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.images import read_image
from spore_yolo.inference.manifest import PAIR_VERSION, OperatingPoint, read_manifest
from spore_yolo.inference.pair import Pair, tiling_of, write_pair
from spore_yolo.inference.proposals import proposals
from spore_yolo.inference.slides import ArraySlide


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


def _edit_classifier(pair: Path, **fields: object) -> None:
    content = yaml.safe_load((pair / "pair.yaml").read_text())
    _edit(pair, classifier=content["classifier"] | fields)


def _no_classifier(pair: Path) -> None:
    (pair / "classifier.pt").unlink()


def _cut_classifier(pair: Path) -> None:
    (pair / "classifier.pt").write_bytes((pair / "classifier.pt").read_bytes()[:1000])


def _classifier_of_another_pair(pair: Path) -> None:
    shutil.copy(pair / "detector.pt", pair / "classifier.pt")


def _detector_as_classifier(pair: Path) -> None:
    _edit_classifier(pair, file="detector.pt", sha256=read_manifest(pair).detector.sha256)


def _other_names(pair: Path) -> None:
    _edit_classifier(pair, classes=["debris", "smut", "rust"])


def _no_temperature(pair: Path) -> None:
    _edit_classifier(pair, temperature=0)


def _other_classes(pair: Path) -> None:
    _edit(pair, classes=["rust", "mildew"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_no_classifier, "lacks its classifier", id="no classifier"),
        pytest.param(_cut_classifier, r"classifier\.pt: not the file.*SHA-256 differs", id="half a classifier"),
        pytest.param(_classifier_of_another_pair, r"classifier\.pt: not the file", id="a file of another pair"),
        pytest.param(
            _detector_as_classifier, "expected a classifier, found a model for the task 'detect'", id="swapped"
        ),
        pytest.param(_other_names, r"classifier\.pt: finds .*says", id="class names in another order"),
        pytest.param(_no_temperature, r"classifier\.temperature", id="a temperature that divides by nothing"),
        pytest.param(_other_classes, "but classes says", id="classes that the classifier does not know"),
        pytest.param(_cut_detector, r"detector\.pt: not the file", id="half a detector"),
        pytest.param(_no_detector, "lacks its detector", id="no detector"),
    ],
)
def test_damage_of_a_whole_pair_is_named(whole_pair: Path, damage, message: str) -> None:
    damage(whole_pair)
    with pytest.raises(SporeYoloError, match=message):
        spore_yolo.load(whole_pair)


def _by_shape(box: tuple[int, int, int, int]) -> str:
    width, height = box[2] - box[0], box[3] - box[1]
    return "debris" if width == height else "rust" if width > height else "smut"


def test_candidates_are_named_and_debris_is_no_detection(whole_pair: Path, drawn) -> None:
    pair = spore_yolo.load(whole_pair)
    for name, boxes in drawn.boxes.items():
        candidates = pair.candidates(drawn.folder / name)
        assert len(candidates) == len(boxes)
        # A crop of 32 pixels cannot tell an almost square spot from a square one.
        clear = {box: _by_shape(box) for box in boxes if abs(box[2] - box[0] - box[3] + box[1]) not in range(1, 6)}
        found = dict(
            zip(map(tuple, candidates.xyxy.round().astype(int).tolist()), candidates.data["class_name"], strict=True)
        )
        assert {box: str(found[box]) for box in clear} == clear
        assert candidates.confidence == pytest.approx(
            candidates.data["detector_score"] * candidates.data["class_score"]
        )
        detections = pair.detections(candidates)
        assert set(detections.data["class_name"]) <= {"rust", "smut"}
        assert len(detections) == sum(candidates.data["class_name"] != "debris")


def test_a_class_score_below_its_threshold_is_debris(whole_pair: Path, drawn) -> None:
    pair = spore_yolo.load(whole_pair)
    candidates = pair.candidates(drawn.folder / "slide_0.png")
    strict = OperatingPoint(detector=0.5, class_={"rust": 0.5, "smut": 0.81})
    assert set(pair.detections(candidates, strict).data["class_name"]) == {"rust"}
    assert set(pair.detections(candidates).data["class_name"]) == {"rust", "smut"}


def test_a_spore_that_the_detector_names_twice_counts_once(
    spot_pair: Path, whole_pair: Path, drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one tile and across the border of two: a classifier gives both the same name."""
    from spore_yolo.inference import scanning

    def named_twice(raw: np.ndarray, iou: float, most: int) -> np.ndarray:
        once = proposals(raw, iou, most)
        again = once + np.array([1, 0, 1, 0, -0.2, 1])  # a pixel beside it, less sure, of another class
        return np.concatenate([once, again])

    monkeypatch.setattr(scanning, "proposals", named_twice)
    slide = drawn.folder / "slide_0.png"
    detector = spore_yolo.load(spot_pair).detector
    alone = detector.slide(read_image(slide), tiling_of(read_manifest(spot_pair).detector))
    assert len(alone.boxes) == 2 * len(drawn.boxes[slide.name])
    candidates = spore_yolo.load(whole_pair).candidates(slide)
    assert sorted(map(tuple, candidates.xyxy.round().astype(int).tolist())) == sorted(drawn.boxes[slide.name])


def test_classify_takes_any_boxes(whole_pair: Path, drawn) -> None:
    pair = spore_yolo.load(whole_pair)
    pixels = np.array(Image.open(drawn.folder / "slide_0.png"))
    boxes = np.array(drawn.boxes["slide_0.png"], dtype=np.float64)
    names, scores = pair.classify(pixels, boxes)
    assert len(names) == len(scores) == len(boxes)
    assert scores == pytest.approx(0.8)
    nothing, _ = pair.classify(pixels, np.zeros((0, 4)))
    assert len(nothing) == 0


def test_classify_needs_a_classifier(spot_pair: Path, drawn) -> None:
    with pytest.raises(SporeYoloError, match="no classifier"):
        spore_yolo.load(spot_pair).classify(np.zeros((9, 9, 3), np.uint8), np.zeros((0, 4)))


def test_a_whole_pair_works_elsewhere(whole_pair: Path, tmp_path: Path, drawn) -> None:
    moved = tmp_path / "another user" / "my pair"
    before = spore_yolo.load(whole_pair).predict(drawn.folder / "slide_0.png")
    shutil.copytree(whole_pair, moved)
    shutil.rmtree(whole_pair)
    after = spore_yolo.load(moved).predict(drawn.folder / "slide_0.png")
    assert after.xyxy.tolist() == before.xyxy.tolist()
    assert after.data["class_name"].tolist() == before.data["class_name"].tolist()


def test_a_pair_may_be_written_over_itself(whole_pair: Path) -> None:
    manifest = read_manifest(whole_pair)
    write_pair(whole_pair, manifest, whole_pair / "detector.pt", whole_pair / "classifier.pt", ["b", "a"])
    assert read_manifest(whole_pair) == manifest
    assert (whole_pair / "trained_on.txt").read_text() == "a\nb\n"


def test_a_pair_of_the_first_version_is_read(spot_pair: Path) -> None:
    content = yaml.safe_load((spot_pair / "pair.yaml").read_text())
    del content["detector"]["classes"]
    (spot_pair / "pair.yaml").write_text(yaml.safe_dump(content | {"pair_version": 1}))
    manifest = read_manifest(spot_pair)
    assert manifest.pair_version == PAIR_VERSION
    assert manifest.detector.classes == ["spore"]


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


# Scale


def enlarged(slide: np.ndarray, factor: float) -> np.ndarray:
    size = (round(slide.shape[1] * factor), round(slide.shape[0] * factor))
    return np.asarray(cv2.resize(slide, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


@pytest.fixture
def scaled_pair(spot_pair: Path) -> Pair:
    """The pair of spots, trained at half a micrometre per pixel."""
    _edit(spot_pair, um_per_px=0.5)
    return spore_yolo.load(spot_pair)


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_a_slide_of_another_scale_is_brought_to_the_pairs(scaled_pair: Pair, drawn, factor: float) -> None:
    name = "slide_0.png"
    slide = enlarged(read_image(drawn.folder / name), factor)
    found = scaled_pair.candidates(slide, um_per_px=0.5 / factor)
    assert found.metadata["resampled"] == pytest.approx(1 / factor)
    assert (found.metadata["width"], found.metadata["height"]) == (slide.shape[1], slide.shape[0])
    expected = np.array(sorted(drawn.boxes[name])) * factor
    order = np.lexsort(found.xyxy.T[::-1].round())
    assert len(found) == len(expected)
    assert np.abs(np.sort(found.xyxy[order], axis=0) - np.sort(expected, axis=0)).max() <= 2 * max(1, factor)


def test_what_nobody_knows_the_scale_of_is_left_as_it_is(scaled_pair: Pair, spot_pair: Path, drawn) -> None:
    slide = read_image(drawn.folder / "slide_0.png")
    assert scaled_pair.candidates(slide).metadata["resampled"] == 1.0
    assert scaled_pair.candidates(slide, um_per_px=0.2, resample=False).metadata["resampled"] == 1.0
    assert scaled_pair.candidates(slide, um_per_px=0.505).metadata["resampled"] == 1.0  # hardly another scale
    _edit(spot_pair, um_per_px=None)
    assert spore_yolo.load(spot_pair).candidates(slide, um_per_px=0.2).metadata["resampled"] == 1.0


def test_a_much_finer_slide_is_read_at_a_level_of_its_own(scaled_pair: Pair, drawn) -> None:
    fine = enlarged(read_image(drawn.folder / "slide_0.png"), 4)
    levels: list[int] = []

    class Pyramid(ArraySlide):
        def __init__(self) -> None:
            super().__init__(fine)
            self.downsamples = (1.0, 2.0, 4.0, 8.0)

        def read(self, window: tuple[int, int, int, int], level: int = 0) -> np.ndarray:
            levels.append(level)
            factor = int(self.downsamples[level])
            x_min, y_min, x_max, y_max = window
            return fine[::factor, ::factor][y_min:y_max, x_min:x_max]

    told: list[float] = []
    found = scaled_pair.candidates(Pyramid(), um_per_px=0.125, progress=told.append)
    assert set(levels) == {2}
    assert sum(told) == pytest.approx(fine.shape[0] * fine.shape[1])
    expected = sorted(drawn.boxes["slide_0.png"])
    assert sorted(map(tuple, (found.xyxy / 4).round().astype(int).tolist())) == expected
