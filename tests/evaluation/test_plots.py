from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from spore_yolo.evaluation.operating_point import Curve
from spore_yolo.evaluation.plots import plot_confusion, plot_precision_recall


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.int64)


def coloured(path: Path) -> int:
    """Pixels that are not grey: lines and dots, which the frame is not."""
    image = pixels(path)
    return int((image.max(axis=2) - image.min(axis=2) > 40).sum())


def test_the_operating_point_is_a_dot(tmp_path: Path) -> None:
    curve = Curve(np.array([0.9, 0.5]), np.array([0.2, 0.6]), np.array([1.0, 0.7]), boxes=10)
    plot_precision_recall(tmp_path / "with.png", {"rust": curve}, {"rust": (0.4, 0.4)}, "toy, test")
    plot_precision_recall(tmp_path / "without.png", {"rust": curve}, {"rust": (0.0, None)}, "toy, test")
    assert coloured(tmp_path / "with.png") > coloured(tmp_path / "without.png") > 100


def test_classes_without_boxes_or_candidates_have_no_line(tmp_path: Path) -> None:
    curve = Curve(np.array([0.9]), np.array([0.0]), np.array([0.0]), boxes=0)
    empty = Curve(np.zeros(0), np.zeros(0), np.zeros(0), boxes=3)
    points = {"a": (None, 0.0), "b": (0.0, None)}
    plot_precision_recall(tmp_path / "empty.png", {"a": curve, "b": empty}, points, "toy, test")
    assert coloured(tmp_path / "empty.png") == 0


def test_confusion_matrix_of_many_classes_and_of_nothing(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(12)]
    counts = pd.DataFrame(np.eye(12, dtype=int) * 1000, index=names, columns=names)
    plot_confusion(tmp_path / "many.png", counts, "toy, test")
    plot_confusion(tmp_path / "none.png", counts * 0, "toy, test")
    # The diagonal is dark blue in one, and in the other nothing is but the scale beside it.
    assert coloured(tmp_path / "many.png") > 2 * coloured(tmp_path / "none.png")
