from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.manifest import (
    DEBRIS,
    MANIFEST,
    PAIR_VERSION,
    OperatingPoint,
    PairManifest,
    Verification,
    called,
    read_manifest,
)

POINT = OperatingPoint.model_validate({"detector": 0.3, "class": {"rust": 0.5, "smut": 0.9}})
NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "detector_score", "class_score", "expected"),
    [
        pytest.param("rust", 0.3, 0.5, "rust", id="just passes both"),
        pytest.param("rust", 0.2999, 1.0, DEBRIS, id="the detector is not sure enough"),
        pytest.param("rust", 1.0, 0.4999, DEBRIS, id="the classifier is not sure enough"),
        pytest.param("smut", 1.0, 0.5, DEBRIS, id="each class has a threshold of its own"),
        pytest.param("smut", 1.0, 0.9, "smut", id="which it may reach"),
        pytest.param("mildew", 0.3, 0.0, "mildew", id="a class without a threshold"),
        pytest.param("rust", 0.3, NAN, "rust", id="no classifier"),
        pytest.param("rust", 0.1, NAN, DEBRIS, id="no classifier, and the detector is not sure enough"),
        pytest.param(DEBRIS, 1.0, 1.0, DEBRIS, id="debris stays debris"),
    ],
)
def test_called(name: str, detector_score: float, class_score: float, expected: str) -> None:
    assert called([name], np.array([detector_score]), np.array([class_score]), POINT).tolist() == [expected]


scores = st.floats(0, 1, width=16)


@given(
    st.lists(st.tuples(st.sampled_from(["rust", "smut", "mildew", DEBRIS]), scores, scores | st.just(NAN)), max_size=9),
    scores,
    st.dictionaries(st.sampled_from(["rust", "smut"]), scores),
)
def test_called_goes_row_by_row(
    rows: list[tuple[str, float, float]], detector: float, thresholds: dict[str, float]
) -> None:
    point = OperatingPoint.model_validate({"detector": detector, "class": thresholds})
    names = np.array([row[0] for row in rows], dtype=object)
    final = called(names, np.array([row[1] for row in rows]), np.array([row[2] for row in rows]), point)
    expected = []
    for name, detector_score, class_score in rows:
        sure = np.isnan(class_score) or class_score >= thresholds.get(name, 0)
        expected.append(name if detector_score >= detector and sure else DEBRIS)
    assert final.tolist() == expected
    assert names.tolist() == [row[0] for row in rows], "the names given are left as they were"


VERSION_1: dict[str, Any] = {
    "pair_version": 1,
    "classes": ["rust", "smut"],
    "targets": ["smut"],
    "detector": {
        "file": "detector.pt",
        "sha256": "0" * 64,
        "model": "yolov8n",
        "one_class": False,
        "tile_size": 640,
        "scale": 1.0,
        "largest_box": 47.0,
        "nms_iou": 0.7,
        "max_detections_per_tile": 300,
    },
    "classifier": None,
    "um_per_px": 0.25,
    "operating_point": {"detector": 0.31, "class": {}},
    "figures": {"recall": 0.9},
    "made": {"dataset": "toy", "dataset_fingerprint": "f" * 64},
}
VERSION_2: dict[str, Any] = {
    **VERSION_1,
    "pair_version": 2,
    "detector": {**VERSION_1["detector"], "classes": ["spore"], "one_class": True},
    "classifier": {
        "file": "classifier.pt",
        "sha256": "1" * 64,
        "model": "yolov8n-cls",
        "classes": ["debris", "rust", "smut"],
        "crop_size": 64,
        "margin": 0.25,
        "temperature": 1.3,
        "debris_from": 0.9,
    },
    "operating_point": {"detector": 0.1, "class": {"rust": 0.4, "smut": 0.2}},
}


PROMISE: dict[str, Any] = {
    "recall": 0.95,
    "confidence": 0.9,
    "targets": ["smut"],
    "groups": {"smut": 60},
    "bound": "betting",
    "dataset": "toy",
    "dataset_fingerprint": "f" * 64,
    "split": "calibration",
    "miss_rate_seen": {"smut": 0.01},
    "highest_promise": 0.962,
    "specificity": {"smut": 0.91},
    "stored_point_specificity": {"smut": None},
    "notes": ["small"],
    "precision": "float32",
    "date": "2026-11-24T12:00:00+00:00",
}
VERSION_3: dict[str, Any] = {
    **VERSION_2,
    "pair_version": 3,
    "operating_points": {
        "recall-0.95": {"point": {"detector": 0.02, "class": {"rust": 0.4, "smut": 0.1}}, "promise": PROMISE}
    },
}
FIGURES = {"ap50": 0.9, "recall": 0.8, "precision": 0.75, "candidates": 900, "detections": 100}
VERIFICATION: dict[str, Any] = {
    "machine": {"cpu": "Some CPU", "features": ["avx2"], "cores": 2, "system": "Linux x86_64", "gpu": None},
    "versions": {"openvino": "2026.4.1"},
    "dataset": "toy",
    "dataset_fingerprint": "f" * 64,
    "split": "val",
    "slides": 4,
    "torch": FIGURES,
    "backend": FIGURES,
    "difference": {
        "score": 0.01,
        "class_score": 0.02,
        "box": 0.5,
        "named_otherwise": 1,
        "only_torch": 2,
        "only_backend": 3,
        "highest_alone": 0.02,
    },
    "ms_per_tile": {"torch": {"1": 100.0}, "backend": {"1": 50.0, "2": 40.0}},
    "batch": 2,
    "workers": 2,
    "date": "2026-11-24T12:00:00+00:00",
}
VERSION_4: dict[str, Any] = {
    **VERSION_3,
    "pair_version": 4,
    "backends": {
        "openvino": {
            "detector": "detector.onnx",
            "classifier": "classifier.onnx",
            "files": {"detector.onnx": "2" * 64, "classifier.onnx": "3" * 64},
            "made_from": {"detector": "0" * 64, "classifier": "1" * 64},
            "made": {"date": "2026-11-24T12:00:00+00:00"},
            "verified": [VERIFICATION],
        }
    },
    "empty": {
        "reduction": 8,
        "threshold": 3.5,
        "margin": 0.5,
        "faintest": 7.0,
        "dataset": "toy",
        "dataset_fingerprint": "f" * 64,
        "figures": {},
        "date": "2026-11-24T12:00:00+00:00",
    },
}


def written(folder: Path, content: object) -> Path:
    (folder / MANIFEST).write_text(yaml.safe_dump(content))
    return folder


def changed(place: str, value: object) -> dict[str, Any]:
    """The manifest of version 4 with one field set, such as ``detector.scale``."""
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(VERSION_4))
    *parents, last = place.split(".")
    part = content
    for name in parents:
        part = part[name]
    part[last] = value
    return content


def test_version_1_is_read_as_a_pair_without_a_classifier(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, VERSION_1))
    assert manifest.pair_version == PAIR_VERSION == 4
    assert manifest.detector.classes == manifest.classes == ["rust", "smut"]
    assert manifest.classifier is None
    assert manifest.operating_point == OperatingPoint(detector=0.31)
    assert (manifest.targets, manifest.um_per_px) == (["smut"], 0.25)
    assert manifest.made == VERSION_1["made"]
    assert manifest.operating_points == {}


def test_version_2_has_no_further_operating_points(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, VERSION_2))
    assert (manifest.pair_version, manifest.operating_points) == (4, {})
    dumped = manifest.model_dump(by_alias=True, mode="json")
    assert dumped == {**VERSION_2, "pair_version": 4, "operating_points": {}, "backends": {}, "empty": None}


def test_version_3_has_no_backends(tmp_path: Path) -> None:
    dumped = read_manifest(written(tmp_path, VERSION_3)).model_dump(by_alias=True, mode="json")
    assert dumped == {**VERSION_3, "pair_version": 4, "backends": {}, "empty": None}


def test_a_promise_that_does_not_note_its_precision_was_made_in_32_bits(tmp_path: Path) -> None:
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(VERSION_4))
    del content["operating_points"]["recall-0.95"]["promise"]["precision"]
    assert read_manifest(written(tmp_path, content)).operating_points["recall-0.95"].promise.precision == "float32"


def test_version_4_comes_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, VERSION_4))
    assert manifest.classifier is not None
    assert (manifest.classifier.temperature, manifest.classifier.debris_from) == (1.3, 0.9)
    assert manifest.operating_point.class_ == {"rust": 0.4, "smut": 0.2}
    promised = manifest.operating_points["recall-0.95"]
    assert promised.point == OperatingPoint(detector=0.02, class_={"rust": 0.4, "smut": 0.1})
    assert (promised.promise.recall, promised.promise.stored_point_specificity) == (0.95, {"smut": None})
    assert manifest.model_dump(by_alias=True, mode="json") == VERSION_4
    assert PairManifest.model_validate(manifest.model_dump(by_alias=True)) == manifest


@pytest.mark.parametrize(
    ("ap50", "recall", "holds"),
    [
        pytest.param(0.9, 0.8, True, id="the same"),
        pytest.param(0.8951, 0.7951, True, id="both a little lower"),
        pytest.param(0.8949, 0.9, False, id="AP50 falls too far"),
        pytest.param(0.95, 0.7949, False, id="recall falls too far"),
        pytest.param(None, 0.8, False, id="nothing is left of AP50"),
    ],
)
def test_a_backend_may_not_fall_far_below_torch(ap50: float | None, recall: float, holds: bool) -> None:
    backend = {**FIGURES, "ap50": ap50, "recall": recall}
    assert Verification.model_validate({**VERIFICATION, "backend": backend}).holds is holds


def test_a_classifier_that_says_nothing_of_debris_goes_by_the_most_probable_class(tmp_path: Path) -> None:
    content = changed("um_per_px", None)
    del content["classifier"]["debris_from"]
    manifest = read_manifest(written(tmp_path, content))
    assert manifest.classifier is not None
    assert manifest.classifier.debris_from == 0.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(changed("colour", "blue"), "colour", id="an unknown field"),
        pytest.param(changed("detector.colour", "blue"), r"detector\.colour", id="an unknown field of the detector"),
        pytest.param(changed("classifier.imgsz", 64), r"classifier\.imgsz", id="an unknown field of the classifier"),
        pytest.param(changed("operating_point.nms", 1), r"operating_point\.nms", id="one of the operating point"),
        pytest.param(changed("operating_point.detector", 1.5), r"operating_point\.detector", id="no score"),
        pytest.param(changed("detector.scale", 0), r"detector\.scale", id="a scale of nothing"),
        pytest.param(changed("classifier.crop_size", 0), r"classifier\.crop_size", id="crops of nothing"),
        pytest.param(changed("classifier.margin", -0.1), r"classifier\.margin", id="a margin inwards"),
        pytest.param(changed("classifier.debris_from", 1.1), r"classifier\.debris_from", id="surer than sure"),
        pytest.param(changed("classifier.temperature", 0), r"classifier\.temperature", id="no temperature"),
        pytest.param(changed("pair_version", 5), r"newer spore-yolo \(pair_version 5, .* upgrade", id="newer"),
        pytest.param(changed("pair_version", 0), "pair_version", id="a version that never was"),
        pytest.param(changed("pair_version", "two"), "pair_version", id="a version in words"),
        pytest.param(
            changed("operating_points", {"x": {"point": {"detector": 0.1}}}),
            r"operating_points\.x\.promise",
            id="no promise",
        ),
        pytest.param(
            changed("operating_points", {"x": {"point": {"detector": 0.1}, "promise": {**PROMISE, "sure": True}}}),
            r"operating_points\.x\.promise\.sure",
            id="an unknown field of a promise",
        ),
        pytest.param(
            changed("operating_points", {"x": {"point": {"detector": 0.1}, "promise": {**PROMISE, "bound": "luck"}}}),
            r"operating_points\.x\.promise\.bound",
            id="no bound that there is",
        ),
        pytest.param({**VERSION_1, "pair_version": 2}, r"detector\.classes", id="version 2 without the new field"),
        pytest.param({**VERSION_1, "detector": "yolo"}, "detector", id="version 1 with a detector that is none"),
        pytest.param(["rust"], MANIFEST, id="a list"),
        pytest.param(None, MANIFEST, id="nothing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(SporeYoloError, match=message) as error:
        read_manifest(written(tmp_path, content))
    assert str(tmp_path / MANIFEST) in str(error.value)


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(SporeYoloError, match="holds no finished pair"):
        read_manifest(tmp_path)
