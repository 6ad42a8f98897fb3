from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from spore_yolo.cli.options import add_operating_point, add_pair, candidate_score, chosen_point, inner_share, point_note
from spore_yolo.files.errors import UsageError
from spore_yolo.inference.manifest import OperatingPoint, PairManifest
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


def parsed(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_operating_point(parser)
    parser.add_argument("--at", type=candidate_score)
    return parser.parse_args(options)


@pytest.mark.parametrize(
    ("options", "point"),
    [
        pytest.param([], OperatingPoint(detector=0.5), id="the pair's own"),
        pytest.param(["--at", "0.3"], OperatingPoint(detector=0.3), id="the pair's own, moved"),
        pytest.param(
            ["--operating-point", "recall-0.95"],
            OperatingPoint(detector=0.2, class_={"rust": 0.1}),
            id="a promised one",
        ),
        pytest.param(
            ["--operating-point", "recall-0.95", "--at", "0.3"],
            OperatingPoint(detector=0.3, class_={"rust": 0.1}),
            id="a promised one, moved",
        ),
    ],
)
def test_chosen_point(manifest: PairManifest, options: list[str], point: OperatingPoint) -> None:
    assert chosen_point(manifest, parsed(*options)) == point


def test_an_operating_point_that_the_pair_does_not_have(manifest: PairManifest) -> None:
    with pytest.raises(UsageError, match=r"stored with the pair \(recall-0.95\), found 'recall-0.9'"):
        chosen_point(manifest, parsed("--operating-point", "recall-0.9"))
    with pytest.raises(UsageError, match=r"\(none\), found 'x'; make one: spore-yolo calibrate"):
        chosen_point(spot_manifest(), parsed("--operating-point", "x"))


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ([], None),
        (["--at", "0.3"], None),
        (["--operating-point", "recall-0.95"], "a recall of 0.95 of rust, smut on groups like those of toy"),
        (["--operating-point", "recall-0.95", "--at", "0.1"], "a recall of 0.95 of rust, smut"),
        (["--operating-point", "recall-0.95", "--at", "0.3"], "--at 0.3 is above the 0.2 of recall-0.95"),
    ],
)
def test_what_is_said_of_a_promise(manifest: PairManifest, options: list[str], note: str | None) -> None:
    told = point_note(manifest, parsed(*options))
    assert told is None if note is None else note in (told or "")


@pytest.mark.parametrize("text", ["0", "1", "1.5", "-0.1"])
def test_inner_share(text: str) -> None:
    assert inner_share("0.95") == 0.95
    with pytest.raises(argparse.ArgumentTypeError):
        inner_share(text)


def test_a_pair_may_be_left_out_where_there_is_another_way(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_pair(parser, required=False)
    assert parser.parse_args([]).pair is None
    assert parser.parse_args(["--pair", "p"]).pair == Path("p")
    parser = argparse.ArgumentParser()
    add_pair(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "one of the arguments --pair --run is required" in capsys.readouterr().err
