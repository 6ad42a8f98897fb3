from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spore_yolo.dataset.crops import CropFolder
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.training.classifier import ClassifierSettings, TrainedClassifier, check_settings, train_classifier

SETTINGS = ClassifierSettings(weights="scratch", crop_size=32, epochs=1, batch=16, device="cpu")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        pytest.param(ClassifierSettings(model="yolov8n"), UsageError, "--model: .* one of yolov8n-cls", id="model"),
        pytest.param(ClassifierSettings(crop_size=100), UsageError, "--crop-size: .* multiple of 32", id="crop size"),
        pytest.param(ClassifierSettings(weights="none.pt"), SporeYoloError, "--weights: none.pt", id="weights"),
        pytest.param(ClassifierSettings(device="7"), UsageError, "--device", id="device"),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_is_written(
    settings: ClassifierSettings, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_settings(settings)


def test_what_can_be_trained_passes() -> None:
    check_settings(SETTINGS)
    check_settings(replace(SETTINGS, weights="sample", model="yolov8x-cls", crop_size=224))


def draw_crops(folder: Path, count: int) -> CropFolder:
    """Dark crops and light ones, in both splits."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("dark", "light"):
            (folder / split / name).mkdir(parents=True)
        for number in range(count):
            name, grey = (("dark", 60), ("light", 190))[number % 2]
            pixels = np.clip(rng.normal(grey, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return CropFolder(folder, ["dark", "light"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedClassifier:
    """One epoch over 33 of 49 crops: two batches of 16, and one crop that would be left alone."""
    root = tmp_path_factory.mktemp("classifier")
    settings = replace(SETTINGS, most_drawn=33)
    return train_classifier(settings, draw_crops(root / "crops", 49), root / "run" / "training", quiet=True)


def test_a_real_training(trained: TrainedClassifier) -> None:
    assert trained.start == "scratch"
    assert trained.crops_seen == 32
    assert 0 < trained.seconds < 120
    assert trained.checkpoint.parent.parent.name == "training"


def test_its_checkpoint_runs(trained: TrainedClassifier) -> None:
    from spore_yolo.inference.classifier import Classifier

    classifier = Classifier.load(trained.checkpoint, "cpu")
    assert classifier.names == ["dark", "light"]
    opinions = classifier.log_probabilities(np.full((3, 32, 32, 3), 120, np.uint8))
    assert opinions.shape == (3, 2)
    assert np.exp(opinions).sum(axis=1) == pytest.approx(1)


def test_the_run_goes_where_it_should(trained: TrainedClassifier, tmp_path_factory: pytest.TempPathFactory) -> None:
    run = trained.checkpoint.parent.parent
    assert (run / "results.csv").exists()
    assert sorted(path.name for path in run.parent.iterdir()) == ["training"]
    assert not list(run.glob("*.jpg")), "quiet draws no plots"


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Ultralytics refuses to train: .*colour"):
        train_classifier(
            replace(SETTINGS, extra={"colour": "blue"}), draw_crops(tmp_path / "crops", 4), tmp_path / "run", quiet=True
        )


def test_a_training_that_breaks_off_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spore_yolo.training.crop_trainer import CropTrainer

    def out_of_memory(self: object, batch: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(CropTrainer, "preprocess_batch", out_of_memory)
    with pytest.raises(SporeYoloError, match="allocate memory.* use a smaller --batch or --crop-size"):
        train_classifier(SETTINGS, draw_crops(tmp_path / "crops", 8), tmp_path / "run", quiet=True)
