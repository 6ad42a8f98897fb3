from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from spore_yolo.evaluation.promise import highest_promise
from spore_yolo.inference.manifest import PromisedPoint, read_manifest

Run = Callable[..., tuple[int, str, str]]
# Drawn slides are few, so little is promised: one group without a miss is enough for this.
LITTLE = ["--recall", "0.3", "--confidence", "0.5"]


@pytest.fixture
def imported(spore_yolo: Run, drawn: Any) -> Run:
    """The dataset ``toy`` with a calibration part."""
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "30,20,20,30"]
    code, _, err = spore_yolo("import", "toy", *options)
    assert code == 0, err
    return spore_yolo


@pytest.fixture
def without_part(spore_yolo: Run, drawn: Any) -> Run:
    """The dataset ``toy`` without one."""
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "20,60,20"]
    code, _, err = spore_yolo("import", "toy", *options)
    assert code == 0, err
    return spore_yolo


def images_of(tmp_path: Path, split: str) -> pd.DataFrame:
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    return images[images["split"] == split]


def stored(pair: Path, name: str) -> PromisedPoint:
    return read_manifest(pair).operating_points[name]


def test_a_promise_is_stored_and_used(imported: Run, spot_pair: Path, drawn: Any, tmp_path: Path) -> None:
    before = read_manifest(spot_pair)
    code, out, err = imported("calibrate", "--run", "runs/spots", "--dataset", "toy", *LITTLE)
    assert code == 0, err
    promised = stored(spot_pair, "recall-0.3")
    # Every spot has a detector_score of 0.9, and no other threshold than the lowest and that one is tried.
    assert promised.point.detector in (0.01, 0.9, 0.89999)
    assert promised.point.class_ == {}
    promise = promised.promise
    calibrating = images_of(tmp_path, "calibration")
    held = [name for name in calibrating["image"] if drawn.boxes[name]]
    assert promise.groups == {"spore": len(held)}
    assert (promise.recall, promise.confidence, promise.targets) == (0.3, 0.5, ["spore"])
    assert (promise.dataset, promise.split, promise.bound) == ("toy", "calibration", "betting")
    assert promise.dataset_fingerprint == json.loads((tmp_path / "data/toy/manifest.json").read_text())["fingerprint"]
    assert promise.miss_rate_seen == {"spore": 0.0}
    assert 0.3 <= promise.highest_promise < 1
    # All that the detector proposes is a spore, so that there is nothing to be wrong about.
    assert promise.specificity == promise.stored_point_specificity == {"spore": None}
    assert promise.notes == [
        "the pair does not say which slides it was trained on; make sure that these are none of them"
    ]
    assert read_manifest(spot_pair).model_copy(update={"operating_points": {}}) == before
    assert "toy, calibration: a recall of 0.3 is promised with confidence 0.5" in out
    assert "averaged over groups and not over" in out
    assert f"{promise.highest_promise:.3f}" in out
    assert out.splitlines()[-1].startswith(f"next: spore-yolo predict --pair {Path('runs/spots/pair')}")
    assert "--operating-point recall-0.3" in out.splitlines()[-1]

    slide = drawn.folder / "slide_0.png"
    options = ["--pair", spot_pair, "--source", slide, "--output", "found", "--operating-point", "recall-0.3"]
    code, out, err = imported("predict", *options)
    assert code == 0, err
    about = json.loads((tmp_path / "found" / "prediction.json").read_text())
    assert about["operating_point"] == promised.point.model_dump(by_alias=True)
    assert "operating point recall-0.3: a recall of 0.3 of spore on groups like those of toy, calibration" in out


def test_a_pair_with_a_classifier(imported: Run, whole_pair: Path) -> None:
    # It takes nearly square spots for debris and names the others by their shape, which says nothing of the label.
    code, out, err = imported(
        *("calibrate", "--pair", whole_pair, "--dataset", "toy", "--recall", "0.05", "--confidence", "0.2"),
        *("--targets", "rust", "--name", "low"),
    )
    assert code == 0, err
    promised = stored(whole_pair, "low")
    assert promised.promise.targets == ["rust"]
    assert promised.point.class_["smut"] == 0.5, "other classes stay"
    assert promised.point.class_["rust"] < 0.9
    (seen,) = promised.promise.miss_rate_seen.values()
    assert 0 < seen < 0.95
    (specificity,) = promised.promise.specificity.values()
    assert specificity is not None
    assert 0 < specificity < 1
    row = next(line for line in out.splitlines() if line.startswith("rust"))
    assert f"{1 - seen:.3f}" in row
    assert f"{specificity:.4f}" in row


def test_cannot_promise(imported: Run, spot_pair: Path, tmp_path: Path, drawn: Any) -> None:
    before = (spot_pair / "pair.yaml").read_bytes()
    code, out, err = imported("calibrate", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    groups = sum(bool(drawn.boxes[name]) for name in images_of(tmp_path, "calibration")["image"])
    assert "cannot promise a recall of 0.95 with confidence 0.9 on toy, calibration" in err
    highest = float(err.split("groups can promise: ")[1].split()[0])
    assert highest == highest_promise(np.zeros(groups), 0.1, "betting") < 0.95
    # Betting needs 48 groups where nothing is missed.
    assert f"spore: {groups} groups, recall seen 1.000: at that, about {48 - groups} more groups are needed, 48" in err
    assert (spot_pair / "pair.yaml").read_bytes() == before
    assert "next:" not in out


def test_a_pair_that_misses_too_much(imported: Run, whole_pair: Path) -> None:
    code, _, err = imported("calibrate", "--pair", whole_pair, "--dataset", "toy", "--targets", "rust,smut")
    assert code == 1
    assert err.count("no number of groups would do, since more is missed than may be; it takes a better pair") == 2


def test_no_group_has_the_target(imported: Run, spot_pair: Path, tmp_path: Path, drawn: Any) -> None:
    calibrating = images_of(tmp_path, "calibration")["image"]
    rows = pd.read_csv(drawn.labels)
    rows = rows[~rows["image"].isin(calibrating)]
    empty = pd.DataFrame({"image": list(calibrating)})
    pd.concat([rows, empty]).to_csv(drawn.labels, index=False)
    groups = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")[["group", "split"]].drop_duplicates()
    groups.to_csv(tmp_path / "split.csv", index=False)
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "split.csv", "--force"]
    code, _, err = imported("import", "toy", *options)
    assert code == 0, err
    code, _, err = imported("calibrate", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert "groups can promise: 0.000" in err
    assert "no group has a labelled box of it; at least 48 are needed, if nothing is missed in them" in err


def test_without_a_calibration_part(without_part: Run, spot_pair: Path, tmp_path: Path) -> None:
    validation = images_of(tmp_path, "val")
    (spot_pair / "trained_on.txt").write_text("\n".join(validation["sha256"]))
    code, out, err = without_part("calibrate", "--pair", spot_pair, "--dataset", "toy", *LITTLE)
    assert code == 0, err
    promise = stored(spot_pair, "recall-0.3").promise
    assert promise.split == "val (half)"
    assert promise.groups["spore"] <= len(validation) / 2
    (note,) = promise.notes
    assert "They also chose the epoch, the settings and the temperature of this pair" in note
    assert f"note: {note}" in out
    # The same halves again, from what the pair is remembered to have found.
    code, again, _ = without_part("calibrate", "--pair", spot_pair, "--dataset", "toy", *LITTLE, "--force")
    assert code == 0
    assert again == out


def test_validation_of_slides_that_the_pair_never_saw(without_part: Run, spot_pair: Path) -> None:
    (spot_pair / "trained_on.txt").write_text("0" * 64)
    code, _, err = without_part("calibrate", "--pair", spot_pair, "--dataset", "toy", *LITTLE)
    assert code == 0, err
    assert stored(spot_pair, "recall-0.3").promise.notes == []


def test_slides_that_the_pair_was_trained_on_are_refused(imported: Run, spot_pair: Path, tmp_path: Path) -> None:
    digest = images_of(tmp_path, "calibration")["sha256"].iloc[0]
    (spot_pair / "trained_on.txt").write_text(f"{digest}\n")
    code, _, err = imported("calibrate", "--pair", spot_pair, "--dataset", "toy", *LITTLE)
    assert code == 1
    assert "1 of the 3 slides of toy, calibration, were in the pair's own train or validation split" in err
    assert read_manifest(spot_pair).operating_points == {}


def test_a_name_that_is_taken(imported: Run, spot_pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["calibrate", "--pair", spot_pair, "--dataset", "toy", "--confidence", "0.5", "--name", "mine"]
    assert imported(*command, "--recall", "0.3")[0] == 0
    # What was found is remembered; no model is asked again.
    monkeypatch.setattr("spore_yolo.inference.pair.load", lambda *_: pytest.fail("looked again"))
    code, _, err = imported(*command, "--recall", "0.2")
    assert code == 2
    assert "the pair has an operating point mine already; take another, or add --force" in err
    assert stored(spot_pair, "mine").promise.recall == 0.3
    assert imported(*command, "--recall", "0.25", "--name", "other")[0] == 0
    assert imported(*command, "--recall", "0.2", "--force")[0] == 0
    manifest = read_manifest(spot_pair)
    assert {name: point.promise.recall for name, point in manifest.operating_points.items()} == {
        "mine": 0.2,
        "other": 0.25,
    }


def test_a_pair_that_was_trained_anew_meanwhile(
    imported: Run, spot_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.experiments import calibration_run

    original = calibration_run.choose_promised

    def choose(*arguments: Any) -> Any:
        content = yaml.safe_load((spot_pair / "pair.yaml").read_text())
        content["detector"]["sha256"] = "0" * 64
        (spot_pair / "pair.yaml").write_text(yaml.safe_dump(content))
        return original(*arguments)

    monkeypatch.setattr(calibration_run, "choose_promised", choose)
    code, _, err = imported("calibrate", "--pair", spot_pair, "--dataset", "toy", *LITTLE)
    assert code == 1
    assert "the pair was trained anew meanwhile; calibrate it again" in err
    assert read_manifest(spot_pair).operating_points == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recall", "1"], "expected a number above 0 and below 1, found 1"),
        (["--recall", "0"], "expected a number above 0 and below 1, found 0"),
        (["--confidence", "1"], "expected a number above 0 and below 1, found 1"),
        (["--targets", "rust"], "--targets: expected classes of the pair (spore), each once, found 'rust'"),
        (["--targets", "spore,spore"], "each once"),
        (["--name", "my point"], "--name: expected letters, digits, dots, hyphens and underscores, found 'my point'"),
        (["--dataset", "other"], "unknown dataset 'other'"),
    ],
)
def test_wrong_options(imported: Run, spot_pair: Path, options: list[str], message: str) -> None:
    code, _, err = imported("calibrate", "--pair", spot_pair, "--dataset", "toy", *options)
    assert code == 2
    assert message in err


def test_nobody_names_a_target(imported: Run, whole_pair: Path) -> None:
    content = yaml.safe_load((whole_pair / "pair.yaml").read_text())
    (whole_pair / "pair.yaml").write_text(yaml.safe_dump(content | {"targets": []}))
    code, _, err = imported("calibrate", "--pair", whole_pair, "--dataset", "toy")
    assert code == 2
    assert "neither toy nor the pair names a target; say which classes to promise for: rust, smut" in err
