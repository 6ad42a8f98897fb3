"""The training flow's steps on drawn slides, where stand-ins train and find: everything else is real."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.pipeline.beginning import Branch, begin, branches
from spore_yolo.pipeline.configuration import TrainingConfiguration
from spore_yolo.pipeline.loading import Loaded, load, split
from tests.conftest import Drawn

CLASSIFIER = {"margin": 0.25, "crop_size": 32, "weights": "scratch"}
DETECTOR = {"tile_size": 96, "one_class": True, "weights": "scratch", "epochs": 3}


def configuration(drawn: Drawn, **changes: Any) -> TrainingConfiguration:
    """What the flow is asked for: the drawn slides, with smut as the target."""
    content: dict[str, Any] = {
        "name": "toy",
        "data": {"images": str(drawn.folder), "labels": str(drawn.labels), "format": "csv", "targets": ["smut"]},
        "recipes": {"quick": {"detector": DETECTOR, "classifier": CLASSIFIER}},
        "tracking": None,
    }
    return TrainingConfiguration.model_validate({**content, **changes})


@dataclass
class DetectorTrainings:
    """What the stand-in for the detector's training was asked for.

    Attributes:
        resumed: Whether it was to go on, for each training.
        dies: Raised in the next training, once its first checkpoint is written.
    """

    resumed: list[bool] = field(default_factory=list)
    dies: BaseException | None = None


@pytest.fixture
def detector_trainings(monkeypatch: pytest.MonkeyPatch, untrained_checkpoint: Path) -> DetectorTrainings:
    """In place of a training the untrained checkpoint, and the files that Ultralytics leaves."""
    return detectors_are_not_trained(monkeypatch, untrained_checkpoint)


def detectors_are_not_trained(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> DetectorTrainings:
    """In place of a training the untrained checkpoint, and the files that Ultralytics leaves."""
    from spore_yolo.experiments import detector_run
    from spore_yolo.training.detector import TrainedDetector

    seen = DetectorTrainings()

    def train(
        settings: Any, tiles: Any, folder: Path, resume: bool, on_epoch: Any, after_epoch: Any
    ) -> TrainedDetector:
        seen.resumed.append(resume)
        weights = folder / "detector" / "weights"
        weights.mkdir(parents=True, exist_ok=True)
        for name in ("last.pt", "best.pt"):
            shutil.copy(checkpoint, weights / name)
        (folder / "training.json").write_text('{"start": "a stand-in", "seconds": 60, "images_seen": 12}')
        (folder / "detector" / "results.csv").write_text(
            "epoch,train/box_loss,val/box_loss,metrics/recall(B)\n1,2.0,0,0\n2,1.5,1.25,0.5\n3,1.0,1.125,0.75\n"
        )
        on_epoch(1, {"train/box_loss": 2.0})
        if after_epoch is not None:
            after_epoch()
        if seen.dies is not None:
            error, seen.dies = seen.dies, None
            raise error
        return TrainedDetector(weights / "best.pt", "a stand-in", 12, 60.0, 3)

    monkeypatch.setattr(detector_run, "train_detector", train)
    return seen


@dataclass
class ToyFlow:
    """A flow that came as far as its branches."""

    configuration: TrainingConfiguration
    about: dict[str, Any]
    loaded: Loaded
    dataset: dict[str, Any]
    branches: list[Branch]

    @property
    def branch(self) -> Branch:
        return self.branches[0]


def begun(configured: TrainingConfiguration, run_id: str = "1") -> ToyFlow:
    about = begin(configured, run_id)
    loaded = load(configured)
    dataset = split(configured, loaded)
    loaded = loaded.imported_as(dataset["fingerprint"])
    return ToyFlow(configured, about, loaded, dataset, branches(configured, about["name"]))


@pytest.fixture
def toy_flow(
    labelled: pd.DataFrame,
    drawn: Drawn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    detector_trainings: DetectorTrainings,
    trainings: Any,
    spot_detector: None,
    shape_classifier: None,
) -> ToyFlow:
    """The drawn slides, split and ready to be trained on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "cache"))
    return begun(configuration(drawn))


def run_branch(flow: ToyFlow, branch: Branch | None = None) -> dict[str, Any]:
    """Goes all steps of a branch; gives what each gave, by its artifact's name."""
    from spore_yolo.pipeline import training_steps as steps

    branch = branch or flow.branch
    given = (flow.configuration, branch, flow.loaded)
    return {
        "detector": steps.train_detector(*given, flow.about),
        "crops": steps.mine_crops(*given),
        "classifier": steps.train_classifier(*given),
        "calibration": steps.calibrate(*given),
        "evaluation": steps.evaluate(*given),
    }
