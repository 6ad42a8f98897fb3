"""A YOLOv8 classifier that names crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.backends.runner import Runner, pool_for
from spore_yolo.inference.backends.torch_runner import TorchRunner
from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import DEBRIS, ClassifierPart

Floats = npt.NDArray[np.float64]


class Classifier:
    """A classifier, ready to run.

    Args:
        runner: What runs it.
        names: Its classes in the order of their numbers.
    """

    def __init__(self, runner: Runner, names: list[str]) -> None:
        self.runner = runner
        self.names = names

    @classmethod
    def load(cls, checkpoint: Path, device: str | None = None) -> Classifier:
        """Loads a checkpoint by torch, which runs code in it: point it only at files that you trust.

        Args:
            checkpoint: The ``.pt`` file.
            device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.

        Raises:
            SporeYoloError: The file is missing or is no classifier.
        """
        runner = TorchRunner(checkpoint, "classify", device)
        return cls(runner, runner.names)

    def log_probabilities(self, crops: npt.NDArray[np.uint8]) -> Floats:
        """The classifier's own, uncalibrated opinion of crops.

        Args:
            crops: ``(N, size, size, 3)``, RGB.

        Returns:
            ``(N, C)``, natural logarithms of probabilities.
        """
        from scipy.special import log_softmax

        with pool_for(self.runner) as pool:
            outputs = pool.map(self.runner, self._batches(crops))
            logits = np.concatenate([np.zeros((0, len(self.names))), *outputs])
        return np.asarray(log_softmax(logits, axis=1), dtype=np.float64) if len(logits) else logits

    def features(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """What the classifier sees in crops before it names them: the input of its last linear layer.

        Args:
            crops: ``(N, size, size, 3)``, RGB.

        Returns:
            ``(N, D)``; D is 1280 for every YOLOv8-cls.

        Raises:
            UsageError: The backend is not torch; others show only their outputs.
        """
        import torch

        if not isinstance(self.runner, TorchRunner):
            raise UsageError(f"the backend {self.runner.backend} shows no features; use torch")
        last = [layer for layer in self.runner.network.modules() if isinstance(layer, torch.nn.Linear)][-1]
        parts = [np.zeros((0, last.in_features), dtype=np.float32)]
        hook = last.register_forward_pre_hook(lambda _, given: parts.append(given[0].float().cpu().numpy()))
        try:
            for batch in self._batches(crops):
                self.runner(batch)
        finally:
            hook.remove()
        return np.concatenate(parts)

    def _batches(self, crops: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
        return [crops[begin : begin + self.runner.batch] for begin in range(0, len(crops), self.runner.batch)]


def calibrated(log_probabilities: Floats, temperature: float) -> Floats:
    """Probabilities softened by a temperature (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        log_probabilities: ``(N, C)``; logits serve as well, since a constant a row makes no difference.
        temperature: Above 1 softens, below 1 sharpens; the order of the classes stays.

    Returns:
        ``(N, C)``; rows add up to 1.
    """
    scaled = np.asarray(log_probabilities, dtype=np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True, initial=-np.inf) if len(scaled) else 0.0
    exponentials = np.exp(scaled)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class CropNamer:
    """A classifier with all that is needed to name boxes on slides: how to cut, and how sure it may be.

    Attributes:
        classifier: The classifier.
        part: Its part of the manifest.
    """

    classifier: Classifier
    part: ClassifierPart

    def classify(self, pixels: npt.NDArray[np.uint8], boxes: Floats) -> tuple[npt.NDArray[np.str_], Floats]:
        """What the classifier says of boxes, wherever they come from.

        Args:
            pixels: The slide, RGB ``(height, width, 3)``.
            boxes: ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide.

        Returns:
            What each box is named, which may be debris, and the calibrated probability of that, class_score.
        """
        return self.name(self.probabilities(pixels, boxes))

    def probabilities(self, pixels: npt.NDArray[np.uint8], boxes: Floats) -> Floats:
        """The calibrated probabilities of all classes, ``(N, C)`` in the order of the part's classes."""
        crops = cut_crops(pixels, boxes, self.part.margin, self.part.crop_size)
        return calibrated(self.classifier.log_probabilities(crops), self.part.temperature)

    def probabilities_of_crops(self, crops: npt.NDArray[np.uint8]) -> Floats:
        """The same of crops, in one forward pass, ``(N, C)``."""
        return calibrated(self.classifier.runner(crops).astype(np.float64), self.part.temperature)

    def features(self, pixels: npt.NDArray[np.uint8], boxes: Floats) -> npt.NDArray[np.float32]:
        """What the classifier sees in boxes before it names them, ``(N, D)``; see :meth:`Classifier.features`."""
        return self.classifier.features(cut_crops(pixels, boxes, self.part.margin, self.part.crop_size))

    def name(self, probabilities: Floats) -> tuple[npt.NDArray[np.str_], Floats]:
        """The names that probabilities ``(N, C)`` give, and how probable each is; see ``debris_from`` of the part."""
        best = probabilities.argmax(axis=1)
        if DEBRIS in self.part.classes and len(self.part.classes) > 1:
            debris = self.part.classes.index(DEBRIS)
            unsure = (best == debris) & (probabilities[:, debris] < self.part.debris_from)
            others = np.where(np.arange(probabilities.shape[1]) == debris, -1.0, probabilities)
            best = np.where(unsure, others.argmax(axis=1), best)
        return np.array(self.part.classes, dtype=str)[best], probabilities[np.arange(len(best)), best]
