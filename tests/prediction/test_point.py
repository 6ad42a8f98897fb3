from __future__ import annotations

from typing import Any

import pytest

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.backends import BACKENDS
from spore_yolo.inference.manifest import OperatingPoint, PairManifest
from spore_yolo.prediction.point import EXACT, chosen_point, point_note
from tests.conftest import spot_manifest

PROMISED = {
    "point": {"detector": 0.2, "class": {"rust": 0.1}},
    "promise": {
        "recall": 0.95,
        "confidence": 0.9,
        "targets": ["rust", "smut"],
        "groups": {"rust": 60, "smut": 50},
        "bound": "betting",
        "dataset": "toy",
        "dataset_fingerprint": "f" * 64,
        "split": "calibration",
        "miss_rate_seen": {"rust": 0.01, "smut": 0.0},
        "highest_promise": 0.96,
        "specificity": {"rust": 0.9, "smut": None},
        "stored_point_specificity": {"rust": 0.95, "smut": None},
        "notes": [],
        "date": "2026-01-01T00:00:00+00:00",
    },
}


@pytest.fixture
def manifest() -> PairManifest:
    manifest: PairManifest = spot_manifest(operating_points={"recall-0.95": PROMISED})
    return manifest


@pytest.mark.parametrize(
    ("options", "point"),
    [
        pytest.param((None, None), OperatingPoint(detector=0.5), id="the pair's own"),
        pytest.param((None, 0.3), OperatingPoint(detector=0.3), id="the pair's own, moved"),
        pytest.param(
            ("recall-0.95", None),
            OperatingPoint(detector=0.2, class_={"rust": 0.1}),
            id="a promised one",
        ),
        pytest.param(
            ("recall-0.95", 0.3),
            OperatingPoint(detector=0.3, class_={"rust": 0.1}),
            id="a promised one, moved",
        ),
    ],
)
def test_chosen_point(manifest: PairManifest, options: tuple[str | None, float | None], point: OperatingPoint) -> None:
    assert chosen_point(manifest, *options) == point


def test_an_operating_point_that_the_pair_does_not_have(manifest: PairManifest) -> None:
    with pytest.raises(UsageError, match=r"stored with the pair \(recall-0.95\), found 'recall-0.9'"):
        chosen_point(manifest, "recall-0.9", None)
    with pytest.raises(UsageError, match=r"\(none\), found 'x'; make one: spore-yolo calibrate"):
        chosen_point(spot_manifest(), "x", None)


HOLDS = "operating point recall-0.95: a recall of 0.95 of rust, smut on groups like those of toy, calibration, promised"
BROKEN = "warning: what recall-0.95 promises does not hold here: "


@pytest.mark.parametrize(
    ("name", "at", "how", "note"),
    [
        (None, None, {}, None),
        (None, 0.3, {"backends": ["openvino-int8"], "skip_empty": True}, None),
        ("recall-0.95", None, {}, HOLDS),
        ("recall-0.95", 0.1, {"backends": ["onnxruntime", "openvino", "torch"]}, HOLDS),
        ("recall-0.95", 0.2, {}, HOLDS),
        ("recall-0.95", 0.3, {}, BROKEN + "--at 0.3 is above its 0.2"),
        *(
            ("recall-0.95", None, {"backends": ["torch", name]}, f"{BROKEN}it was made with torch, and {name} computes")
            for name in ("openvino-bf16", "openvino-int8", "tensorrt")
        ),
        ("recall-0.95", None, {"skip_empty": True}, BROKEN + "it was made without --skip-empty"),
        ("recall-0.95", 0.3, {"skip_empty": True}, BROKEN + "--at 0.3 is above its 0.2; it was made without"),
    ],
)
def test_what_is_said_of_a_promise(
    manifest: PairManifest, name: str | None, at: float | None, how: dict[str, Any], note: str | None
) -> None:
    told = point_note(manifest, name, at, **how)
    assert told is None if note is None else (told or "").startswith(note)
    if note and note.startswith(BROKEN):
        assert "confidence" not in (told or "")


def test_every_backend_that_computes_with_as_many_bits_as_torch_is_known() -> None:
    assert set(EXACT) == {name for name in BACKENDS if name not in ("openvino-bf16", "openvino-int8", "tensorrt")}
