"""Faults of every kind in a small drawn set: each is found, and the clean set has no errors."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spore_yolo.dataset.checks import CHECKS


def benchmark() -> ModuleType:
    """``benchmarks/label_faults.py``, which is no part of the package."""
    path = Path(__file__).parents[2] / "benchmarks" / "label_faults.py"
    spec = importlib.util.spec_from_file_location("label_faults", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def draw(folder: Path, count: int = 14) -> None:
    """Slides with dark spores of two classes, and their labels as CSV."""
    rng = np.random.default_rng(0)
    (folder / "slides").mkdir()
    rows = ["image,class,x_min,y_min,x_max,y_max"]
    for number in range(count):
        pixels = rng.normal(190, 5, (240, 320, 3))
        for place in rng.permutation(12)[:6]:
            x, y = (
                int(value) for value in np.array([place % 4 * 75 + 15, place // 4 * 75 + 15]) + rng.integers(0, 20, 2)
            )
            w, h = (int(value) for value in rng.integers(20, 30, 2))
            pixels[y : y + h, x : x + w] -= 110
            rows.append(f"{number}.jpg,{'rust' if place % 2 else 'smut'},{x},{y},{x + w},{y + h}")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "slides" / f"{number}.jpg")
    (folder / "labels.csv").write_text("\n".join(rows))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict[str, Any]], list[Any]]:
    folder = tmp_path_factory.mktemp("faults")
    draw(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPORE_YOLO_CACHE", str(folder / "cache"))
        faults = benchmark()
        clean = faults.clean_set(folder / "slides", folder / "labels.csv", "csv", folder, seed=0, most=None)
        rows, errors = faults.measure(clean, 3, list(faults.KINDS))
    return {row["code"]: row for row in rows}, errors


def test_the_clean_set_has_no_errors(measured: tuple[dict[str, dict[str, Any]], list[Any]]) -> None:
    assert measured[1] == []


@pytest.mark.parametrize("code", [check.code for check in CHECKS])
def test_every_fault_is_found(measured: tuple[dict[str, dict[str, Any]], list[Any]], code: str) -> None:
    row = measured[0][code]
    assert row["found"] == row["injected"] > 0
    assert row["other findings"] == 0
