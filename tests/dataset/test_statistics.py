from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.dataset.statistics import HEAT, PER_FIELD, Spread, spread, statistics_of
from spore_yolo.dataset.store import Dataset

Make = Callable[..., Dataset]

IMAGES = {
    "a.png": ("train", "farm 1", "a", 100, 100),
    "b.png": ("train", "farm 1", "b", 100, 200),
    "c.png": ("train", "farm 2", "c", 100, 100),
    "d.png": ("test", "farm 3", "d", 100, 100),
    "d2.png": ("spare", "farm 3", "d", 100, 100),
}
BOXES = [
    ("a.png", "Alternaria", 0, 0, 10, 20),
    ("a.png", "Alternaria", 0, 10, 10, 30),  # shares a third with the one above
    ("a.png", "Botrytis", 50, 50, 80, 60),
    ("b.png", "Alternaria", 0, 0, 40, 40),
    ("c.png", "Botrytis", 0, 0, 9, 9, True),
    ("d.png", "Alternaria", 90, 90, 100, 100),
    ("d2.png", "Botrytis", 0, 0, 9, 9),
]


@pytest.fixture
def dataset(make_dataset: Make) -> Dataset:
    return make_dataset(IMAGES, BOXES)


def test_counts_worked_out_by_hand(dataset: Dataset) -> None:
    found = statistics_of(dataset)
    whole = found.whole
    assert (whole.images, whole.groups, whole.sources, whole.boxes, whole.empty) == (4, 3, 4, 5, 0)
    assert whole.megapixels == pytest.approx(0.05)
    assert (found.imbalance, found.ignored, found.spare) == (4.0, 1, 1)
    assert found.variants == {1: 3, 2: 1}
    assert list(found.splits) == ["train", "test"]
    assert found.splits["train"].per_image == spread([3, 1, 0])
    assert found.splits["train"].per_megapixel == spread([300, 50, 0])
    alternaria, botrytis = found.classes
    assert alternaria.boxes == {"train": 3, "test": 1}
    assert alternaria.groups == {"train": 1, "test": 1}
    assert alternaria.slides == {"train": 2, "test": 1}
    assert (botrytis.total, botrytis.ignored) == (1, 1), "an ignored box, and one on a spare variant, are not counted"
    assert [(group.name, group.split, group.images, group.boxes) for group in found.groups] == [
        ("farm 1", "train", 2, {"Alternaria": 3, "Botrytis": 1}),
        ("farm 3", "test", 1, {"Alternaria": 1}),
        ("farm 2", "train", 1, {}),
    ]


def test_sizes_and_crowding(dataset: Dataset) -> None:
    found = statistics_of(dataset)
    alternaria, botrytis = found.classes
    assert alternaria.longer_px == spread([20, 20, 40, 10])
    assert alternaria.shorter_px == spread([10, 10, 40, 10])
    assert botrytis.aspect == spread([3.0])
    assert alternaria.crowded == 0.5
    assert (found.crowded, found.touching) == (2 / 5, 2 / 5)


def test_micrometres_only_where_the_scale_is_known(dataset: Dataset) -> None:
    assert statistics_of(dataset).classes[0].longer_um is None
    assert statistics_of(dataset).whole.per_mm2 is None
    scale = [0.5, np.nan, np.nan, 0.25, np.nan]
    found = statistics_of(replace(dataset, images=dataset.images.assign(um_per_px=scale)))
    assert found.classes[0].longer_um == spread([10, 10, 2.5])
    assert found.classes[1].longer_um == spread([15])
    assert (found.scaled, found.um_per_px) == (2, (0.25, 0.5))
    # 100 pixels are 50 and 25 micrometres.
    assert found.whole.mm2 == pytest.approx(0.05**2 + 0.025**2)
    assert found.whole.per_mm2 is not None
    assert found.whole.per_mm2.least == pytest.approx(3 / 0.05**2)
    assert found.whole.per_mm2.largest == pytest.approx(1 / 0.025**2)


def test_a_class_without_boxes_and_a_dataset_without_any(make_dataset: Make) -> None:
    found = statistics_of(make_dataset(IMAGES, []))
    assert (found.whole.boxes, found.whole.empty, found.whole.empty_share) == (0, 4, 1.0)
    assert (found.imbalance, found.crowded, found.touching) == (None, None, None)
    assert [figures.longer_px for figures in found.classes] == [None, None]
    json.dumps(found.content(), allow_nan=False)


def test_empty_is_a_slide_without_ignored_boxes_too(dataset: Dataset) -> None:
    none_on_c = replace(dataset, boxes=dataset.boxes[dataset.boxes["image"] != "c.png"])
    assert (statistics_of(dataset).splits["train"].empty, statistics_of(none_on_c).splits["train"].empty) == (0, 1)


def test_heat_tells_top_from_left(make_dataset: Make) -> None:
    heat = statistics_of(make_dataset(IMAGES, [("a.png", "Alternaria", 80, 0, 90, 10)])).heat
    assert len(heat) == HEAT[0], "few boxes have few fields"
    assert heat[0][-1] == 1.0
    many = [("a.png", "Alternaria", 0, 0, 1, 1)] * (PER_FIELD * 36)
    assert len(statistics_of(make_dataset(IMAGES, many)).heat) == 6


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_spread_is_in_order_and_holds_all(values: list[float]) -> None:
    found = spread([*values, float("nan")])
    assert found is not None
    numbers = [found.least, found.p5, found.p25, found.median, found.p75, found.p95, found.largest]
    assert numbers == sorted(numbers)
    assert (found.least, found.largest) == (min(values), max(values))
    assert found.median == pytest.approx(float(np.median(values)))


def test_spread_of_nothing() -> None:
    assert spread([]) is None
    assert spread([float("nan")]) is None
    assert spread([3.0]) == Spread(*[3.0] * 7)
