"""The drawn slides as a dataset with debris, a run whose detector finds all, and a stand-in for the training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import DEBRIS
from spore_yolo.labels.table import COORDINATES
from tests.conftest import Drawn, shape_opinions, spot_manifest

Run = Callable[..., tuple[int, str, str]]

CLASSES = [DEBRIS, "rust", "smut"]


@dataclass
class Trainings:
    """What the stand-in for the training was asked for."""

    settings: list[Any] = field(default_factory=list)
    crops: list[dict[str, int]] = field(default_factory=list)


def classifiers_are_not_trained(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    """In place of a training an untrained checkpoint with as many classes as there are folders."""
    from spore_yolo.experiments import classifier_run
    from spore_yolo.inference.ultralytics_setup import import_ultralytics
    from spore_yolo.training.classifier import TrainedClassifier

    import_ultralytics()
    import torch
    from ultralytics.nn.tasks import ClassificationModel

    seen = Trainings()

    def train(settings: Any, crops: Any, folder: Path, quiet: bool = False, **_: Any) -> TrainedClassifier:
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
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    """In place of a training an untrained checkpoint with as many classes as there are folders."""
    return classifiers_are_not_trained(monkeypatch)


@pytest.fixture
def labelled(drawn: Drawn) -> pd.DataFrame:
    """What is on the slides: the stand-in of a classifier is never wrong on it, and debris has no label.

    The crops that decide have 32 pixels and a margin of 0.25.
    """
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
def toy(spore_yolo: Run, drawn: Drawn, labelled: pd.DataFrame) -> Run:
    """Runs the program where the slides are the dataset ``toy``, whose target is smut."""
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--targets", "smut"]
    code, _, err = spore_yolo("import", "toy", *options)
    assert code == 0, err
    return spore_yolo


@pytest.fixture
def counts(toy: Run, labelled: pd.DataFrame, tmp_path: Path) -> dict[str, dict[str, int]]:
    """How many spots of each kind are on the slides of each split; there are some everywhere."""
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    table = labelled.merge(images[["image", "split"]], on="image")
    found = {
        split: {name: int((part["class"] == name).sum()) for name in CLASSES} for split, part in table.groupby("split")
    }
    assert min(min(of_split.values()) for of_split in found.values()) > 0
    return found


@pytest.fixture
def detector_run(toy: Run, tmp_path: Path, untrained_checkpoint: Path, spot_detector: None) -> Path:
    """A run of train-detector whose detector finds every dark spot."""
    from spore_yolo.inference.pair import write_pair

    fingerprint = json.loads((tmp_path / "data" / "toy" / "manifest.json").read_text())["fingerprint"]
    folder = tmp_path / "runs" / "toy"
    made = {"detector": {"dataset": "toy", "dataset_fingerprint": fingerprint, "seed": 3}}
    write_pair(folder / "pair", spot_manifest(um_per_px=0.5, made=made), untrained_checkpoint)
    options = {"dataset": "toy", "datasets": "datasets.yaml"}
    (folder / "run.json").write_text(json.dumps({"options": options, "dataset_fingerprint": fingerprint}))
    return folder
