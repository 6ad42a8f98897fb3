"""Runs a YOLOv8 classifier over crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import DEBRIS, ClassifierPart
from spore_yolo.inference.network import load_network

Floats = npt.NDArray[np.float64]

BATCH = 128
"""Crops a forward pass; they are small."""


class Classifier:
    """A YOLOv8-cls classifier, loaded once.

    Loading a checkpoint runs code in it: point it only at files that you trust.

    Args:
        checkpoint: The ``.pt`` file.
        device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.

    Raises:
        SporeYoloError: The file is missing or is no classifier.
    """

    def __init__(self, checkpoint: Path, device: str | None = None) -> None:
        self._network, self._device, self.names = load_network(checkpoint, "classify", device)

    def log_probabilities(self, crops: npt.NDArray[np.uint8]) -> Floats:
        """The classifier's own, uncalibrated opinion of crops.

        Args:
            crops: ``(N, size, size, 3)``, RGB.

        Returns:
            ``(N, C)``, natural logarithms of probabilities.
        """
        import torch

        parts = [np.zeros((0, len(self.names)))]
        with torch.inference_mode():
            for output in self._outputs(crops):
                # Ultralytics gives (probabilities, logits); the logits keep what rounds to 0 and 1.
                logits = output[1] if isinstance(output, list | tuple) else output.clamp_min(1e-30).log()
                parts.append(torch.log_softmax(logits.double(), dim=1).cpu().numpy())
        return np.concatenate(parts)

    def features(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """What the classifier sees in crops before it names them: the input of its last linear layer.

        Args:
            crops: ``(N, size, size, 3)``, RGB.

        Returns:
            ``(N, D)``; D is 1280 for every YOLOv8-cls.
        """
        import torch

        last = [layer for layer in self._network.modules() if isinstance(layer, torch.nn.Linear)][-1]
        parts = [np.zeros((0, last.in_features), dtype=np.float32)]
        hook = last.register_forward_pre_hook(lambda _, given: parts.append(given[0].float().cpu().numpy()))
        try:
            with torch.inference_mode():
                for _ in self._outputs(crops):
                    pass
        finally:
            hook.remove()
        return np.concatenate(parts)

    def _outputs(self, crops: npt.NDArray[np.uint8]) -> Iterator[Any]:
        """What the network gives, batch by batch."""
        import torch

        for begin in range(0, len(crops), BATCH):
            batch = torch.from_numpy(crops[begin : begin + BATCH]).to(self._device)
            yield self._network(batch.permute(0, 3, 1, 2).float() / 255)


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
