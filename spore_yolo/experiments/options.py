"""What a training is asked for: the options of the train commands, which a recipe states too."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spore_yolo.training.classifier import ClassifierSettings
    from spore_yolo.training.detector import TrainingSettings


@dataclass(frozen=True)
class DetectorOptions:
    """What the user asked for; see ``spore-yolo train-detector --help``."""

    dataset: str
    datasets: Path = Path("datasets.yaml")
    model: str = "yolov8n"
    weights: str | None = None
    epochs: int = 100
    minutes: float | None = None
    tile_size: int = 640
    scale: float = 1.0
    one_class: bool = False
    empty_share: float = 0.1
    nms_iou: float | None = None
    batch: int = 8
    device: str | None = None
    seed: int = 0
    ultralytics: dict[str, Any] = field(default_factory=dict)

    def training(self) -> TrainingSettings:
        """The part that the training needs."""
        from spore_yolo.training.detector import TrainingSettings

        return TrainingSettings(
            self.model,
            self.weights,
            self.tile_size,
            self.epochs,
            self.minutes,
            self.batch,
            self.device,
            self.seed,
            self.ultralytics,
        )


@dataclass(frozen=True)
class ClassifierOptions:
    """What the user asked for; see ``spore-yolo train-classifier --help``."""

    dataset: str
    datasets: Path = Path("datasets.yaml")
    model: str = "yolov8n-cls"
    weights: str | None = None
    epochs: int = 30
    minutes: float | None = None
    margin: float | None = None
    crop_size: int | None = None
    batch: int = 64
    device: str | None = None
    seed: int = 0
    ultralytics: dict[str, Any] = field(default_factory=dict)

    def training(self, crop_size: int) -> ClassifierSettings:
        """The part that the training needs."""
        from spore_yolo.training.classifier import ClassifierSettings

        return ClassifierSettings(
            model=self.model,
            weights=self.weights,
            crop_size=crop_size,
            epochs=self.epochs,
            minutes=self.minutes,
            batch=self.batch,
            device=self.device,
            seed=self.seed,
            extra=self.ultralytics,
        )
