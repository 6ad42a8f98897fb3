from __future__ import annotations

import pytest

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.manifest import OperatingPoint, PairManifest
from spore_yolo.prediction.point import chosen_point, point_note
from tests.conftest import spot_manifest


@pytest.fixture
def manifest() -> PairManifest:
    promise = {
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
    }
    point = {"detector": 0.2, "class": {"rust": 0.1}}
    manifest: PairManifest = spot_manifest(operating_points={"recall-0.95": {"point": point, "promise": promise}})
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


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ((None, None), None),
        ((None, 0.3), None),
        (("recall-0.95", None), "a recall of 0.95 of rust, smut on groups like those of toy"),
        (("recall-0.95", 0.1), "a recall of 0.95 of rust, smut"),
        (("recall-0.95", 0.3), "--at 0.3 is above the 0.2 of recall-0.95"),
    ],
)
def test_what_is_said_of_a_promise(
    manifest: PairManifest, options: tuple[str | None, float | None], note: str | None
) -> None:
    told = point_note(manifest, *options)
    assert told is None if note is None else note in (told or "")
