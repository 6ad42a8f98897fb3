from __future__ import annotations

from typing import Any

import pytest

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.manifest import OperatingPoint, PairManifest, PromisedPoint
from spore_yolo.prediction.point import chosen_point, point_note, what_breaks
from tests.conftest import spot_manifest

PROMISED: dict[str, Any] = {
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
IN_FLOAT32 = "it was made in float32, and this was computed in"
BROKEN = "warning: what recall-0.95 promises does not hold here: "


@pytest.mark.parametrize(
    ("name", "at", "how", "note"),
    [
        (None, None, {}, None),
        (None, 0.3, {"precisions": ["int8"], "skip_empty": True}, None),
        ("recall-0.95", None, {}, HOLDS),
        ("recall-0.95", 0.1, {}, HOLDS),
        ("recall-0.95", 0.2, {}, HOLDS),
        ("recall-0.95", 0.3, {}, BROKEN + "--at 0.3 is above its 0.2"),
        *(
            ("recall-0.95", None, {"precisions": ["float32", other]}, f"{BROKEN}{IN_FLOAT32} {other}")
            for other in ("bfloat16", "float16", "int8")
        ),
        ("recall-0.95", None, {"skip_empty": True}, BROKEN + "it was made without --skip-empty"),
        ("recall-0.95", 0.3, {"skip_empty": True}, BROKEN + "--at 0.3 is above its 0.2; it was made without"),
    ],
)
def test_what_is_said_of_a_promise(
    manifest: PairManifest, name: str | None, at: float | None, how: dict[str, Any], note: str | None
) -> None:
    told = point_note(manifest, name, at, **{"precisions": ["float32"], **how})
    assert told is None if note is None else (told or "").startswith(note)
    if note and note.startswith(BROKEN):
        assert "confidence" not in (told or "")


@pytest.mark.parametrize(
    ("made_in", "precisions", "broken"),
    [
        ("float16", ["float16"], []),
        ("float16", ["float32"], ["it was made in float16, and this was computed in float32"]),
        (
            "float32",
            ["float16", "float32", "int8"],
            [f"{IN_FLOAT32} float16 and int8"],
        ),
    ],
)
def test_a_promise_holds_for_the_precision_that_it_was_made_in(
    made_in: str, precisions: list[str], broken: list[str]
) -> None:
    content = {**PROMISED, "promise": {**PROMISED["promise"], "precision": made_in}}
    assert what_breaks(PromisedPoint.model_validate(content), None, precisions) == broken
