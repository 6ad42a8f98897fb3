"""The chain round the classifier's training; the training itself is stood in for, see tests/training/test_classifier."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from spore_yolo.files.hashes import sha256_file
from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import DEBRIS
from spore_yolo.labels.table import COORDINATES
from tests.conftest import shape_opinions, spot_manifest

Run = Callable[..., tuple[int, str, str]]

CLASSES = [DEBRIS, "rust", "smut"]
AS_IS = ["--margin", "0.25", "--crop-size", "32"]
"""How the spots were cut when they got their names; so no try is needed, and the stand-in is never wrong."""


@dataclass
class Trainings:
    """What the stand-in for the training was asked for."""

    settings: list[Any] = field(default_factory=list)
    crops: list[dict[str, int]] = field(default_factory=list)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trainings:
    """In place of a training an untrained checkpoint with as many classes as there are folders."""
    from spore_yolo.cli import classifier_run
    from spore_yolo.inference.ultralytics_setup import import_ultralytics
    from spore_yolo.training.classifier import TrainedClassifier

    import_ultralytics()
    import torch
    from ultralytics.nn.tasks import ClassificationModel

    seen = Trainings()

    def train(settings: Any, crops: Any, folder: Path, quiet: bool = False) -> TrainedClassifier:
        folders = sorted(path for path in (crops.path / "train").iterdir() if path.is_dir())
        seen.settings.append(settings)
        seen.crops.append({path.name: len(list(path.iterdir())) for path in folders})
        torch.manual_seed(0)
        model = ClassificationModel("yolov8n-cls.yaml", nc=len(folders), verbose=False)
        (folder / "weights").mkdir(parents=True)
        path = folder / "weights" / "last.pt"
        torch.save({"model": model, "train_args": {}, "epoch": -1, "date": None, "version": "0"}, path)
        return TrainedClassifier(path, "a stand-in", 1234, 90.0)

    monkeypatch.setattr(classifier_run, "train_classifier", train)
    return seen


@pytest.fixture
def labelled(drawn: Any) -> pd.DataFrame:
    """What is really on the slides; the labels name it by the stand-in's own rule, and leave debris out."""
    rows = []
    for name, boxes in drawn.boxes.items():
        pixels = np.array(Image.open(drawn.folder / name))
        crops = cut_crops(pixels, np.array(boxes, dtype=np.float64).reshape(-1, 4), 0.25, 32)
        names = [CLASSES[place] for place in shape_opinions(crops).argmax(axis=1)]
        rows += [(name, *box, kind) for box, kind in zip(boxes, names, strict=True)]
    table = pd.DataFrame(rows, columns=["image", *COORDINATES, "class"])
    assert set(table["class"]) == set(CLASSES)
    spores = table[table["class"] != DEBRIS]
    empty = pd.DataFrame({"image": [name for name in drawn.boxes if name not in set(spores["image"])]})
    pd.concat([spores, empty]).to_csv(drawn.labels, index=False)
    return table


@pytest.fixture
def imported(spore_yolo: Run, drawn: Any, labelled: pd.DataFrame) -> Run:
    """The slides as the dataset ``toy``, whose target is smut."""
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--targets", "smut"]
    code, _, err = spore_yolo("import", "toy", *options)
    assert code == 0, err
    return spore_yolo


@pytest.fixture
def run_folder(imported: Run, tmp_path: Path, untrained_checkpoint: Path, spot_detector: None) -> Path:
    """A run of train-detector whose detector finds every dark spot."""
    from spore_yolo.inference.pair import write_pair

    fingerprint = json.loads((tmp_path / "data" / "toy" / "manifest.json").read_text())["fingerprint"]
    folder = tmp_path / "runs" / "toy"
    made = {"detector": {"dataset": "toy", "dataset_fingerprint": fingerprint, "seed": 3}}
    write_pair(folder / "pair", spot_manifest(um_per_px=0.5, made=made), untrained_checkpoint)
    options = {"dataset": "toy", "datasets": "datasets.yaml"}
    (folder / "run.json").write_text(json.dumps({"options": options, "dataset_fingerprint": fingerprint}))
    return folder


def of_split(tmp_path: Path, labelled: pd.DataFrame, split: str) -> dict[str, int]:
    """How many spots of each kind are on the slides of a split."""
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    names = images.loc[images["split"] == split, "image"]
    counts = labelled.loc[labelled["image"].isin(names), "class"].value_counts()
    return {name: int(counts.get(name, 0)) for name in CLASSES}


def row_of(text: str, name: str) -> list[str]:
    """The cells of the first row of a table that begins with a name."""
    match = re.search(rf"^{name} .*$", text, re.MULTILINE)
    assert match is not None, text
    return match.group().split()


def test_a_pair_is_completed(
    imported: Run,
    run_folder: Path,
    shape_classifier: None,
    trainings: Trainings,
    labelled: pd.DataFrame,
    tmp_path: Path,
) -> None:
    before = sha256_file(run_folder / "pair" / "detector.pt")
    code, out, err = imported("train-classifier", "--run", "runs/toy", *AS_IS, "--seed", "5", "dropout=0.1")
    assert code == 0, err
    train, val = of_split(tmp_path, labelled, "train"), of_split(tmp_path, labelled, "val")
    assert min(train.values()) > 0, "the drawn slides must hold some of each"
    assert min(val.values()) > 0

    # The crops: each labelled spot once as labelled and once as found, and what is found and not labelled.
    (settings,) = trainings.settings
    assert (settings.crop_size, settings.seed, settings.extra) == (32, 5, {"dropout": 0.1})
    assert trainings.crops == [{"debris": train[DEBRIS], "rust": 2 * train["rust"], "smut": 2 * train["smut"]}]
    assert f"{train[DEBRIS]:,} crops of debris: what the detector proposes on training slides and nobody labelled" in out
    for name in ("rust", "smut"):
        # Validation is looked at through the detector's boxes only.
        assert row_of(out, name) == [name, str(train[name]), str(train[name]), "0", str(val[name])]
    assert row_of(out, DEBRIS) == [DEBRIS, "0", str(train[DEBRIS]), "0", str(val[DEBRIS])]

    # Always right with a probability of 0.8, which is 0.2 too modest.
    total = sum(val.values())
    assert f"ECE 0.200 before, 0.000 after, on {total} crops of validation" in out
    assert "trained from a stand-in: 1,234 crops seen in 1.5 minutes" in out
    assert re.search(rf"^rust +{val['rust']} +1\.000 +1\.000$", out, re.MULTILINE)

    content = yaml.safe_load((run_folder / "pair" / "pair.yaml").read_text())
    assert content["classes"] == ["rust", "smut"]
    assert content["targets"] == ["smut"]
    assert content["um_per_px"] == 0.5
    assert content["detector"]["sha256"] == before
    part = content["classifier"]
    assert (part["classes"], part["crop_size"], part["margin"]) == (CLASSES, 32, 0.25)
    assert part["temperature"] == pytest.approx(0.05, abs=0.02)
    assert part["sha256"] == sha256_file(run_folder / "pair" / "classifier.pt")
    point = content["operating_point"]
    assert set(point["class"]) == {"rust", "smut"}
    assert all(0.8 < threshold <= 1 for threshold in point["class"].values())
    # Every spot has this score, so no lower threshold finds more.
    assert point["detector"] == pytest.approx(0.9, abs=1e-4)
    figures = content["figures"]
    assert (figures["split"], figures["slides"], figures["recall"], figures["precision"]) == ("val", 2, 1.0, 1.0)
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
    assert str(tmp_path) not in (run_folder / "pair" / "pair.yaml").read_text()

    # The slides that chose anything are remembered, and nothing but the run's curves is left beside the pair.
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    seen = images.loc[images["split"].isin(["train", "val"]), "sha256"]
    assert (run_folder / "pair" / "trained_on.txt").read_text().split() == sorted(seen)
    assert [path.name for path in (run_folder / "classifier").iterdir()] == ["training"]
    assert "next: spore-yolo evaluate --run runs/toy --dataset toy --split test" in out

    # What was promised on validation holds when the pair is loaded and looks again.
    code, out, err = imported("evaluate", "--run", "runs/toy", "--dataset", "toy", "--split", "val")
    assert code == 0, err
    metrics = json.loads((run_folder / "evaluation" / "toy-val" / "metrics.json").read_text())
    assert (metrics["overall"]["recall"], metrics["overall"]["precision"]) == (1.0, 1.0)
    assert metrics["detector_alone"]["threshold"] == 0.5


def test_a_second_training_need_not_look_again(
    imported: Run, run_folder: Path, shape_classifier: None, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.inference.detector import Detector

    looked: list[int] = []
    slide = Detector.slide

    def counted(self: Detector, *arguments: Any) -> Any:
        looked.append(1)
        return slide(self, *arguments)

    monkeypatch.setattr(Detector, "slide", counted)
    assert imported("train-classifier", "--run", "runs/toy", *AS_IS)[0] == 0
    assert len(looked) == 8  # six slides to train on, two of validation
    first = yaml.safe_load((run_folder / "pair" / "pair.yaml").read_text())
    # The pair has a classifier now; it is replaced, and nothing else changes.
    assert imported("train-classifier", "--run", "runs/toy", *AS_IS)[0] == 0
    assert len(looked) == 8
    second = yaml.safe_load((run_folder / "pair" / "pair.yaml").read_text())
    for content in (first, second):
        content["made"]["classifier"].pop("date")
        content["classifier"].pop("sha256")  # the checkpoint bears its date
    assert second == first
    assert trainings.crops[0] == trainings.crops[1]


def test_proposals_of_another_detector_are_not_used(
    imported: Run, run_folder: Path, shape_classifier: None, trainings: Trainings
) -> None:
    assert imported("train-classifier", "--run", "runs/toy", *AS_IS)[0] == 0
    mark = run_folder / "proposals-train.json"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "detector": "0" * 64}))
    table = pd.read_csv(run_folder / "proposals-train.csv")
    table.iloc[:0].to_csv(run_folder / "proposals-train.csv", index=False)
    assert imported("train-classifier", "--run", "runs/toy", *AS_IS)[0] == 0
    assert trainings.crops[0] == trainings.crops[1]
    pd.testing.assert_frame_equal(pd.read_csv(run_folder / "proposals-train.csv"), table)


def test_size_and_margin_are_tried(
    imported: Run, run_folder: Path, shape_classifier: None, trainings: Trainings, labelled: pd.DataFrame
) -> None:
    code, out, err = imported("train-classifier", "--run", "runs/toy", "--epochs", "20")
    assert code == 0, err
    # The median window has some 34 pixels: its own size up to a multiple of 32, and twice that; then two more margins.
    tries = [(settings.crop_size, settings.epochs) for settings in trainings.settings]
    assert tries[:2] == [(64, 5), (96, 5)]
    assert len(tries) == 5
    assert tries[-1][1] == 20
    best = tries[-1][0]
    assert tries[2:4] == [(best, 5)] * 2
    content = yaml.safe_load((run_folder / "pair" / "pair.yaml").read_text())
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
    imported: Run,
    run_folder: Path,
    shape_classifier: None,
    trainings: Trainings,
    given: list[str],
    tries: list[tuple[int, float]],
) -> None:
    assert imported("train-classifier", "--run", "runs/toy", *given, "--minutes", "2")[0] == 0
    content = yaml.safe_load((run_folder / "pair" / "pair.yaml").read_text())
    tried = content["figures"]["classifier"]["tried"]
    assert [(one["crop_size"], one["margin"]) for one in tried] == tries
    assert [settings.minutes for settings in trainings.settings] == [*[0.2] * len(tries), 2.0]


@pytest.mark.parametrize(
    ("sides", "margin", "expected"),
    [
        pytest.param([20, 20, 20], 0.0, [32, 64], id="its own size, up to a multiple of 32"),
        pytest.param([40, 40, 900], 0.25, [64, 128], id="the median window has 60 pixels"),
        pytest.param([4, 4, 4], 0.1, [32], id="never below 32"),
        pytest.param([150, 150], 0.25, [224], id="never above 224"),
        pytest.param([100, 100], 0.25, [160, 224], id="twice that is too much"),
    ],
)
def test_sizes_worth_a_try(sides: list[int], margin: float, expected: list[int]) -> None:
    from spore_yolo.cli.classifier_run import usual_crop_sizes

    boxes = pd.DataFrame([(10, 10, 10 + side, 10 + side // 2) for side in sides], columns=COORDINATES)
    assert usual_crop_sizes(boxes, margin) == expected


def test_a_classifier_alone(imported: Run, trainings: Trainings, labelled: pd.DataFrame, tmp_path: Path) -> None:
    from spore_yolo.inference.classifier import Classifier

    arguments = ["train-classifier", "--dataset", "toy", "--name", "alone", *AS_IS]
    code, out, err = imported(*arguments)
    assert code == 0, err
    folder = tmp_path / "runs" / "alone"
    train, val = of_split(tmp_path, labelled, "train"), of_split(tmp_path, labelled, "val")
    assert trainings.crops == [{name: train[name] for name in ("rust", "smut")}]
    assert row_of(out, "rust") == ["rust", str(train["rust"]), "0", str(val["rust"]), "0"]
    assert "debris" not in out
    assert f"on {val['rust'] + val['smut']} crops of validation" in out
    assert sorted(path.name for path in folder.iterdir()) == [
        *("classifier", "classifier.pt", "classifier.yaml", "trained_on.txt")
    ]
    content = yaml.safe_load((folder / "classifier.yaml").read_text())
    assert content["classifier"]["classes"] == Classifier(folder / "classifier.pt").names == ["rust", "smut"]
    assert content["classifier"]["sha256"] == sha256_file(folder / "classifier.pt")
    assert content["made"]["dataset"] == "toy"
    assert content["figures"]["calibration"]["n"] == val["rust"] + val["smut"]
    # What it prints as the next command works as it stands.
    following = out.split("next: spore-yolo ")[1].split()
    assert imported(*following)[0] == 0

    code, _, err = imported(*arguments)
    assert code == 2
    assert f"{Path('runs/alone')} exists; take another --name, or replace it with --force" in err
    assert len(trainings.settings) == 1
    assert imported(*arguments, "--force")[0] == 0
    assert len(trainings.settings) == 2


def test_force_does_not_replace_what_is_no_classifier(imported: Run, run_folder: Path, trainings: Trainings) -> None:
    code, _, err = imported("train-classifier", "--dataset", "toy", "--force")
    assert code == 2
    assert "--run runs/toy if its detector's boxes are to be classified" in err
    assert (run_folder / "pair" / "pair.yaml").exists()
    assert not trainings.settings


def test_nothing_of_a_failed_training_stands_in_the_way(
    imported: Run, trainings: Trainings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.cli import classifier_run
    from spore_yolo.files.errors import UsageError

    def refuse(*arguments: object, **options: object) -> None:
        raise UsageError("Ultralytics refuses to train: colour")

    with monkeypatch.context() as patch:
        patch.setattr(classifier_run, "train_classifier", refuse)
        code, _, err = imported("train-classifier", "--dataset", "toy", *AS_IS, "colour=blue")
        assert code == 2
        assert "refuses to train" in err
        assert not (tmp_path / "runs" / "toy").exists()
    assert imported("train-classifier", "--dataset", "toy", *AS_IS)[0] == 0


def test_a_failed_training_leaves_the_pair_as_it_was(
    imported: Run, run_folder: Path, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.cli import classifier_run

    before = {path.name: sha256_file(path) for path in (run_folder / "pair").iterdir()}

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier_run, "train_classifier", interrupt)
    code, _, err = imported("train-classifier", "--run", "runs/toy", *AS_IS)
    assert code == 1
    assert "interrupted; nothing half done was left" in err
    assert {path.name: sha256_file(path) for path in (run_folder / "pair").iterdir()} == before
    assert not (run_folder / "classifier").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param([], 2, "expected a dataset's name; registered in datasets.yaml: toy", id="neither run nor dataset"),
        pytest.param(["--dataset", "soy"], 2, "unknown dataset 'soy'", id="unknown dataset"),
        pytest.param(["--run", "runs/toy", "--name", "new"], 2, "leave --name out", id="run and name"),
        pytest.param(["--run", "runs/none"], 2, "runs/none is no run of train-detector", id="no such run"),
        pytest.param(["--run", "runs/none", "--dataset", "toy"], 2, "no such folder", id="no such run of a dataset"),
        pytest.param(["--run", "data", "--dataset", "toy"], 1, "the training in data is not finished", id="no pair"),
        pytest.param(["--run", "runs/toy", "--dataset", "soy"], 2, "unknown dataset 'soy'", id="run, unknown dataset"),
        pytest.param(["--run", "runs/toy", "--model", "yolov8n"], 2, "expected one of yolov8n-cls", id="model"),
        pytest.param(["--run", "runs/toy", "--crop-size", "50"], 2, "multiple of 32", id="crop size"),
        pytest.param(["--run", "runs/toy", "--margin", "-0.1"], 2, "at least 0", id="margin"),
        pytest.param(["--run", "runs/toy", "--epochs", "0"], 2, "at least 1", id="epochs"),
        pytest.param(["--run", "runs/toy", "--epochs", "1", "--minutes", "1"], 2, "not allowed with", id="both lengths"),
        pytest.param(["--run", "runs/toy", "--weights", "none.pt"], 1, "none.pt: no such file", id="weights"),
        pytest.param(["--run", "runs/toy", "--device", "77"], 2, "--device", id="device"),
        pytest.param(["--run", "runs/toy", "imgsz=64"], 2, "say it with --tile-size or --crop-size", id="ours to say"),
    ],
)
def test_wrong_usage(
    imported: Run, run_folder: Path, trainings: Trainings, arguments: list[str], code: int, message: str
) -> None:
    before = sorted(path.name for path in run_folder.iterdir())
    got, _, err = imported("train-classifier", *arguments)
    assert got == code, err
    assert message in err
    assert "Traceback" not in err
    assert sorted(path.name for path in run_folder.iterdir()) == before
    assert not trainings.settings


def test_the_dataset_of_a_run_is_no_more(imported: Run, run_folder: Path, trainings: Trainings, tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").unlink()
    code, _, err = imported("train-classifier", "--run", "runs/toy")
    assert code == 2
    assert "unknown dataset 'toy'; none is registered in datasets.yaml" in err


def test_a_run_that_does_not_say_its_dataset(
    imported: Run, run_folder: Path, shape_classifier: None, trainings: Trainings
) -> None:
    (run_folder / "run.json").unlink()
    code, _, err = imported("train-classifier", "--run", "runs/toy", *AS_IS)
    assert code == 2
    assert "say with --dataset what its detector was trained on" in err
    code, _, err = imported("train-classifier", "--run", "runs/toy", "--dataset", "toy", *AS_IS)
    assert code == 0, err


def test_a_dataset_with_a_class_called_debris_is_refused(
    spore_yolo: Run, drawn: Any, trainings: Trainings, tmp_path: Path
) -> None:
    drawn.labels.write_text(drawn.labels.read_text().replace("smut", "debris"))
    assert spore_yolo("import", "dirt", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")[0] == 0
    code, _, err = spore_yolo("train-classifier", "--dataset", "dirt")
    assert code == 1
    assert "dataset dirt has a class 'debris'" in err
    assert "import it with a class map that drops or renames it" in err
    assert not (tmp_path / "runs").exists()


def test_a_dataset_that_the_detector_does_not_know_is_refused(
    imported: Run, run_folder: Path, trainings: Trainings, drawn: Any
) -> None:
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "50,30,20"]
    assert imported("import", "other", *options)[0] == 0
    code, _, err = imported("train-classifier", "--run", "runs/toy", "--dataset", "other")
    assert code == 1
    assert "was trained on dataset toy as it was then, not on other as it is now" in err
    assert not trainings.settings


def test_one_class_alone_is_nothing_to_tell_apart(
    spore_yolo: Run, drawn: Any, trainings: Trainings, tmp_path: Path
) -> None:
    drawn.labels.write_text(drawn.labels.read_text().replace("smut", "rust"))
    assert spore_yolo("import", "mono", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")[0] == 0
    code, _, err = spore_yolo("train-classifier", "--dataset", "mono")
    assert code == 1
    assert "the crops show only rust; a classifier needs two classes or more (with a detector, --run, debris is one)" in err
    assert not (tmp_path / "runs" / "mono").exists()


def test_a_class_without_crops_is_told(imported: Run, trainings: Trainings, drawn: Any, tmp_path: Path) -> None:
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    images[["group", "split"]].to_csv("split.csv", index=False)
    spores = pd.read_csv(drawn.labels)
    unseen = ~spores["image"].isin(images.loc[images["split"] == "train", "image"])
    spores.loc[unseen & (spores["class"] == "smut"), "class"] = "ergot"
    spores.to_csv(drawn.labels, index=False)
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "split.csv"]
    code, _, err = imported("import", "rare", *options)
    assert code == 0, err
    code, out, err = imported("train-classifier", "--dataset", "rare", *AS_IS)
    assert code == 0, err
    assert "warning: no crop of ergot to train on; the classifier will never name them" in out
    # Its number is kept all the same, or the classes after it would be taken for each other.
    assert trainings.crops[0]["ergot"] == 0
    assert set(trainings.crops[0]) == {"ergot", "rust", "smut"}
