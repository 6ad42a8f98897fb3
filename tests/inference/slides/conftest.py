"""Pixels that writers other than this program put into slides."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest


def scene(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth colours, without any symmetry, with noise in the last bits: ``(height, width, 3)``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 256, (height // 24 + 2, width // 24 + 2, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(smooth + rng.integers(-4, 5, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def colours() -> npt.NDArray[np.uint8]:
    """A small slide, of a size that no tile divides."""
    pixels = scene(301, 419)
    pixels.flags.writeable = False
    return pixels
