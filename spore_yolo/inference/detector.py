"""A YOLOv8 detector that goes over slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spore_yolo.inference.backends.runner import Runner
from spore_yolo.inference.backends.torch_runner import TorchRunner
from spore_yolo.inference.scanning import Candidates, scan
from spore_yolo.inference.slides import ArraySlide
from spore_yolo.inference.tiling import TilingSettings

Pixels = npt.NDArray[np.uint8]


class Detector:
    """A detector, ready to run.

    Args:
        runner: What runs it.
        names: Its classes in the order of their numbers.
    """

    def __init__(self, runner: Runner, names: list[str]) -> None:
        self.runner = runner
        self.names = names

    @classmethod
    def load(cls, checkpoint: Path, device: str | None = None) -> Detector:
        """Loads a checkpoint by torch, which runs code in it: point it only at files that you trust.

        Args:
            checkpoint: The ``.pt`` file.
            device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.

        Raises:
            SporeYoloError: The file is missing or is no detector.
        """
        runner = TorchRunner(checkpoint, "detect", device)
        return cls(runner, runner.names)

    def slide(self, pixels: Pixels, settings: TilingSettings, *, one_class: bool = False) -> Candidates:
        """Detects on a whole slide, each spore once.

        Args:
            pixels: RGB array ``(height, width, 3)`` of the whole slide.
            settings: How to tile.
            one_class: Whether candidates of different classes in one place are one.
        """
        return scan(ArraySlide(pixels), self.runner, settings, one_class=one_class)[0]

    def slide_at(self, pixels: Pixels, settings: TilingSettings, nms_ious: Sequence[float]) -> list[Candidates]:
        """As :meth:`slide`, for several NMS thresholds at the price of one; ``settings.nms_iou`` is not used."""
        return scan(ArraySlide(pixels), self.runner, settings, nms_ious=nms_ious)
