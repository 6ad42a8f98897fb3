"""The chain round the classifier's training, in whose place stands something quicker."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from spore_yolo.files.hashes import sha256_file
from spore_yolo.inference.manifest import DEBRIS
from spore_yolo.labels.table import COORDINATES
from tests.conftest import shape_opinions
from tests.evaluation.hand_worked import values

Run = Callable[..., tuple[int, str, str]]
Counts = dict[str, dict[str, int]]

CLASSES = [DEBRIS, "rust", "smut"]
AS_IS = ["--margin", "0.25", "--crop-size", "32"]
"""How the spots were cut when they got their names; so no try is needed, and the stand-in is never wrong."""


def test_a_pair_is_completed(
    toy: Run,
    detector_run: Path,
    shape_classifier: None,
    trainings: Any,
    counts: Counts,
    tmp_path: Path,
) -> None:
    before = sha256_file(detector_run / "pair" / "detector.pt")
    code, out, err = toy("train-classifier", "--run", "runs/toy", *AS_IS, "--seed", "5", "dropout=0.1")
    assert code == 0, err
    train, val = counts["train"], counts["val"]
    (settings,) = trainings.settings
    assert (settings.crop_size, settings.seed, settings.extra) == (32, 5, {"dropout": 0.1})
    assert trainings.crops == [{"debris": train[DEBRIS], "rust": 2 * train["rust"], "smut": 2 * train["smut"]}]
    assert f"\n{train[DEBRIS]:,} crops of debris" in out

    # Always right with a probability of 0.8, which is 0.2 too modest.
    total = sum(val.values())
    assert f"ECE 0.200 before, 0.000 after, on {total} crops of validation" in out
    assert "trained from a stand-in: 1,234 crops seen in 1.5 minutes" in out
    assert re.search(rf"^rust +{val['rust']} +1\.000 +1\.000$", out, re.MULTILINE)

    content = yaml.safe_load((detector_run / "pair" / "pair.yaml").read_text())
    assert content["classes"] == ["rust", "smut"]
    assert content["targets"] == ["smut"]
    assert content["um_per_px"] == 0.5
    assert content["detector"]["sha256"] == before
    part = content["classifier"]
    assert (part["classes"], part["crop_size"], part["margin"]) == (CLASSES, 32, 0.25)
    assert part["temperature"] == pytest.approx(0.05, abs=0.02)
    assert part["debris_from"] == 0.0, "where nothing is gained, the plain most probable class stands"
    assert "debris is named only from" not in out
    assert part["sha256"] == sha256_file(detector_run / "pair" / "classifier.pt")
    point = content["operating_point"]
    assert set(point["class"]) == {"rust", "smut"}
    assert all(0.8 < threshold <= 1 for threshold in point["class"].values())
    # Every spot has this score, so no lower threshold finds more.
    assert point["detector"] == pytest.approx(0.9, abs=1e-4)
    figures = content["figures"]
    assert (figures["split"], figures["slides"]) == ("val", 2)
    assert values(figures, "recall", "precision") == (1.0, 1.0)
    assert figures["per_class"]["smut"]["specificity_crops"] == {"value": 1.0, "n": val["rust"] + val[DEBRIS]}
    assert figures["detector_alone"] == {"threshold": 0.5}
    assert figures["classifier"]["calibration"]["ece_before"] == pytest.approx(0.2)
    assert figures["classifier"]["calibration"]["n"] == total
    assert figures["classifier"]["crops"] == trainings.crops[0]
    assert figures["classifier"]["tried"] == []
    assert content["made"]["detector"]["seed"] == 3
    made = content["made"]["classifier"]
    assert (made["seed"], made["crops_seen"], made["minutes"], made["start"]) == (5, 1234, 1.5, "a stand-in")
    assert made["settings"]["ultralytics"] == {"dropout": 0.1}
    assert str(tmp_path) not in (detector_run / "pair" / "pair.yaml").read_text()

    # The slides that chose anything are remembered, and nothing but the run's curves is left beside the pair.
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    seen = images.loc[images["split"].isin(["train", "val"]), "sha256"]
    assert (detector_run / "pair" / "trained_on.txt").read_text().split() == sorted(seen)
    assert [path.name for path in (detector_run / "classifier").iterdir()] == ["training"]
    assert "next: spore-yolo evaluate --run runs/toy --dataset toy --split test" in out

    # What was promised on validation holds when the pair is loaded and looks again.
    code, out, err = toy("evaluate", "--run", "runs/toy", "--dataset", "toy", "--split", "val")
    assert code == 0, err
    metrics = json.loads((detector_run / "evaluation" / "toy-val" / "metrics.json").read_text())
    assert values(metrics["overall"], "recall", "precision") == (1.0, 1.0)
    assert metrics["detector_alone"]["threshold"] == 0.5


def test_another_training_replaces_the_classifier(
    toy: Run, detector_run: Path, shape_classifier: None, trainings: Any
) -> None:
    """And nothing else: the same slides, detector and classifier give the same pair again."""
    pairs = []
    for _ in range(2):
        assert toy("train-classifier", "--run", "runs/toy", *AS_IS)[0] == 0
        pairs.append(yaml.safe_load((detector_run / "pair" / "pair.yaml").read_text()))
        pairs[-1]["made"]["classifier"].pop("date")
        pairs[-1]["classifier"].pop("sha256")  # the checkpoint bears its date
    assert pairs[0] == pairs[1]
    assert trainings.crops[0] == trainings.crops[1]


def test_size_and_margin_are_tried(toy: Run, detector_run: Path, shape_classifier: None, trainings: Any) -> None:
    code, out, err = toy("train-classifier", "--run", "runs/toy", "--epochs", "20")
    assert code == 0, err
    # The median window has some 34 pixels: its own size up to a multiple of 32, and twice that; then two more margins.
    tries = [(settings.crop_size, settings.epochs) for settings in trainings.settings]
    assert tries[:2] == [(64, 5), (96, 5)]
    assert len(tries) == 5
    assert tries[-1][1] == 20
    best = tries[-1][0]
    assert tries[2:4] == [(best, 5)] * 2
    content = yaml.safe_load((detector_run / "pair" / "pair.yaml").read_text())
    tried = content["figures"]["classifier"]["tried"]
    assert [(one["crop_size"], one["margin"]) for one in tried] == [(64, 0.25), (96, 0.25), (best, 0.1), (best, 0.5)]
    taken = min(tried, key=lambda one: (one["loss"], one["crop_size"]))
    assert taken["loss"] < max(one["loss"] for one in tried)
    assert content["classifier"]["crop_size"] == taken["crop_size"]
    assert content["classifier"]["margin"] == taken["margin"]
    assert out.count("trying crops of ") == 4
    (line,) = [line for line in out.splitlines() if line.endswith("taken")]
    assert line.split()[:2] == [str(taken["crop_size"]), f"{taken['margin']:g}"]


@pytest.mark.parametrize(
    ("given", "tries"),
    [
        pytest.param(["--crop-size", "64"], [(64, 0.25), (64, 0.1), (64, 0.5)], id="the size is given"),
        pytest.param(["--margin", "0.3"], [(64, 0.3), (96, 0.3)], id="the margin is given"),
    ],
)
def test_what_is_given_is_not_tried(
    toy: Run,
    detector_run: Path,
    shape_classifier: None,
    trainings: Any,
    given: list[str],
    tries: list[tuple[int, float]],
) -> None:
    assert toy("train-classifier", "--run", "runs/toy", *given, "--minutes", "2")[0] == 0
    content = yaml.safe_load((detector_run / "pair" / "pair.yaml").read_text())
    tried = content["figures"]["classifier"]["tried"]
    assert [(one["crop_size"], one["margin"]) for one in tried] == tries
    assert [settings.minutes for settings in trainings.settings] == [*[0.2] * len(tries), 2.0]


@pytest.mark.parametrize(
    ("sides", "margin", "expected"),
    [
        pytest.param([20, 20, 20], 0.0, [32, 64], id="its own size, up to a multiple of 32"),
        pytest.param([40, 40, 900], 0.25, [64, 128], id="the median window has 60 pixels"),
        pytest.param([4, 4, 4], 0.1, [32], id="never below 32"),
        pytest.param([64, 64], 0.25, [96, 192], id="96 pixels are not large yet"),
        pytest.param([100, 100], 0.25, [96, 160], id="150 are: half of it instead"),
        pytest.param([500, 500], 0.25, [224], id="never above 224"),
    ],
)
def test_sizes_worth_a_try(sides: list[int], margin: float, expected: list[int]) -> None:
    from spore_yolo.experiments.classifier_run import usual_crop_sizes

    boxes = pd.DataFrame([(10, 10, 10 + side, 10 + side // 2) for side in sides], columns=COORDINATES)
    assert usual_crop_sizes(boxes, margin) == expected


def test_a_classifier_alone(toy: Run, trainings: Any, counts: Counts, tmp_path: Path) -> None:
    from spore_yolo.inference.classifier import Classifier

    arguments = ["train-classifier", "--dataset", "toy", "--name", "alone", *AS_IS]
    code, out, err = toy(*arguments)
    assert code == 0, err
    folder = tmp_path / "runs" / "alone"
    train, val = counts["train"], counts["val"]
    assert trainings.crops == [{name: train[name] for name in ("rust", "smut")}]
    assert "debris" not in out
    assert f"on {val['rust'] + val['smut']} crops of validation" in out
    assert sorted(path.name for path in folder.iterdir()) == [
        *("classifier", "classifier.pt", "classifier.yaml", "trained_on.txt")
    ]
    content = yaml.safe_load((folder / "classifier.yaml").read_text())
    assert content["classifier"]["classes"] == Classifier.load(folder / "classifier.pt").names == ["rust", "smut"]
    assert content["classifier"]["sha256"] == sha256_file(folder / "classifier.pt")
    assert content["made"]["dataset"] == "toy"
    assert content["figures"]["calibration"]["n"] == val["rust"] + val["smut"]
    # What it prints as the next command works as it stands.
    following = out.split("next: spore-yolo ")[1].split()
    assert toy(*following)[0] == 0

    code, _, err = toy(*arguments)
    assert code == 2
    assert f"{Path('runs/alone')} exists; take another --name, or replace it with --force" in err
    assert len(trainings.settings) == 1
    assert toy(*arguments, "--force")[0] == 0
    assert len(trainings.settings) == 2


def test_nothing_of_a_failed_training_stands_in_the_way(
    toy: Run, trainings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.experiments import classifier_run
    from spore_yolo.files.errors import UsageError

    def refuse(*arguments: object, **options: object) -> None:
        raise UsageError("Ultralytics refuses to train: colour")

    with monkeypatch.context() as patch:
        patch.setattr(classifier_run, "train_classifier", refuse)
        code, _, err = toy("train-classifier", "--dataset", "toy", *AS_IS, "colour=blue")
        assert code == 2
        assert "refuses to train" in err
        assert not (tmp_path / "runs" / "toy").exists()
    assert toy("train-classifier", "--dataset", "toy", *AS_IS)[0] == 0


def test_a_failed_training_leaves_the_pair_as_it_was(
    toy: Run, detector_run: Path, trainings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.experiments import classifier_run

    before = {path.name: sha256_file(path) for path in (detector_run / "pair").iterdir()}

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier_run, "train_classifier", interrupt)
    code, _, err = toy("train-classifier", "--run", "runs/toy", *AS_IS)
    assert code == 1
    assert "interrupted; nothing half done was left" in err
    assert {path.name: sha256_file(path) for path in (detector_run / "pair").iterdir()} == before
    assert not (detector_run / "classifier").exists()


def test_spores_that_look_like_debris_are_not_thrown_away(
    toy: Run, detector_run: Path, trainings: Any, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where most smut looks a little more like debris, only what is surely debris may be thrown out."""
    from spore_yolo.inference.classifier import Classifier

    shares = np.array([[0.96, 0.02, 0.02], [0.02, 0.96, 0.02], [0.55, 0.05, 0.4]])
    monkeypatch.setattr(
        Classifier, "log_probabilities", lambda self, crops: np.log(shares[shape_opinions(crops).argmax(axis=1)])
    )
    code, out, err = toy("train-classifier", "--run", "runs/toy", *AS_IS)
    assert code == 0, err
    content = yaml.safe_load((detector_run / "pair" / "pair.yaml").read_text())
    # Alone it calls all smut debris; the pair does not.
    assert re.search(rf"^smut +{counts['val']['smut']} +0\.000 +-$", out, re.MULTILINE)
    assert content["classifier"]["debris_from"] == 0.7
    assert "debris is named only from a probability of 0.7 on" in out
    for name in ("rust", "smut"):
        figures = content["figures"]["per_class"][name]
        assert (figures["recall"]["value"], figures["precision"]["value"]) == (1.0, 1.0)
    assert content["operating_point"]["class"]["smut"] < 0.5
