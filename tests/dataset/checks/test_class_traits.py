from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from spore_yolo.dataset.checks.base import Material
from spore_yolo.dataset.checks.class_traits import LEAST_BOXES, sides, touching, usual

Build = Callable[..., Material]


@pytest.mark.parametrize(
    ("corners", "cut"),
    [
        pytest.param((50, 40, 60, 50), False, id="inside"),
        pytest.param((1, 40, 60, 50), True, id="left"),
        pytest.param((50, 0.5, 60, 50), True, id="top"),
        pytest.param((50, 40, 299, 50), True, id="right"),
        pytest.param((50, 40, 60, 200), True, id="bottom"),
        pytest.param((2, 2, 298, 198), False, id="two pixels from each"),
    ],
)
def test_touching(material: Build, corners: tuple[float, ...], cut: bool) -> None:
    assert touching(material([("a.png", "rust", *corners)], {"a.png": (300, 200)})).tolist() == [cut]


def test_touching__where_nobody_knows_the_size_only_left_and_top_tell(material: Build) -> None:
    boxes = [("a.png", "rust", 50, 40, 60, 50), ("a.png", "rust", 0, 40, 60, 50)]
    assert touching(material(boxes, {"a.png": (0, 0)})).tolist() == [False, True]


def test_usual__is_the_median_and_the_robust_spread_of_each_class(material: Build) -> None:
    widths = np.random.default_rng(0).uniform(10, 30, 2 * LEAST_BOXES)
    names = ["rust", "smut"] * LEAST_BOXES
    boxes = [("a.png", name, 100, 100, 100 + width, 110) for name, width in zip(names, widths, strict=True)]
    looked_at = material(boxes)
    width = sides(looked_at)[:, 0]
    median, spread = usual(looked_at, width, np.ones(len(width), dtype=bool))
    for first in (0, 1):
        own = width[first::2]
        assert median[first::2] == pytest.approx(np.median(own))
        assert spread[first::2] == pytest.approx(stats.median_abs_deviation(own, scale="normal"), rel=1e-4)


def test_usual__says_nothing_of_a_class_of_few_boxes(material: Build) -> None:
    enough = [("a.png", "rust", 100, 100, 110, 110)] * LEAST_BOXES
    ignored = [("a.png", "smut", 100, 100, 110, 110, True)] * 2
    few = [("a.png", "smut", 100, 100, 110, 110)] * (LEAST_BOXES - 1)
    looked_at = material([*enough, *ignored, *few])
    median, _ = usual(looked_at, sides(looked_at)[:, 0], np.ones(len(looked_at.boxes), dtype=bool))
    assert np.isnan(median).tolist() == [False] * LEAST_BOXES + [True] * (LEAST_BOXES + 1)
