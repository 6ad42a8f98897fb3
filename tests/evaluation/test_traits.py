from __future__ import annotations

import time
from collections.abc import Callable
from math import hypot, inf, sqrt

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from spore_yolo.dataset.sample.plan import draw_sample_field, plan_sample
from spore_yolo.evaluation import traits
from spore_yolo.evaluation.traits import STRATA, TRAITS, border_distance, box_traits, sharpness_of
from spore_yolo.labels.table import COORDINATES, boxes_table

Make = Callable[..., pd.DataFrame]
Pixels = npt.NDArray[np.uint8]


def by_hand(corners: np.ndarray) -> list[float]:
    """The least distance of each box to another, one pair after the other."""
    distances = []
    for one in corners:
        others = [other for other in corners if other is not one]
        gaps = [
            (max(one[0] - other[2], other[0] - one[2], 0), max(one[1] - other[3], other[1] - one[3], 0))
            for other in others
        ]
        distances.append(min((hypot(*gap) for gap in gaps), default=inf))
    return distances


@st.composite
def fields_of_boxes(draw: st.DrawFn) -> np.ndarray:
    """Up to 40 boxes that may touch, lie in each other or be the same, and now and then one that is much larger."""
    numbers, sides = st.integers(0, 300), st.one_of(st.integers(1, 30), st.integers(1, 250))
    boxes = draw(st.lists(st.tuples(numbers, numbers, sides, sides), max_size=40))
    return np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], dtype=np.float64).reshape(-1, 4)


@given(fields_of_boxes())
def test_distances_are_those_of_all_pairs(corners: np.ndarray) -> None:
    assert border_distance(corners) == pytest.approx(by_hand(list(corners)))  # type: ignore[arg-type]


@pytest.mark.parametrize("pairs", [pytest.param(1, id="row by row"), pytest.param(4_000_000, id="at once")])
def test_a_large_box_whose_centre_is_far_off_is_the_nearest(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traits, "PAIRS", pairs)
    small = [(x, y, x + 4, y + 4) for x in range(0, 60, 20) for y in range(0, 80, 20)]
    corners = np.array([*small, (47, -3000, 6000, 3000)], dtype=np.float64)
    distances = border_distance(corners)
    assert distances == pytest.approx(by_hand(list(corners)))
    assert distances[len(small) - 1] == 3.0 and distances[0] == 16.0


def test_traits_by_hand(make_images: Make, make_boxes: Make) -> None:
    boxes = make_boxes(
        [
            ("a.jpg", "rust", 0, 0, 10, 40),
            ("a.jpg", "smut", 13, 44, 33, 64),  # 3 across and 4 down from the first
            ("a.jpg", "rust", 33, 64, 43, 74),  # touches the second with its corner
            ("b.jpg", "rust", 0, 0, 9, 9),
        ]
    )
    images = make_images({"a.jpg": "g", "b.jpg": "g", "empty.jpg": "h"}).assign(um_per_px=[0.5, np.nan, 0.5])
    table = box_traits(boxes, images)
    assert table["side_px"].tolist() == [20, 20, 10, 9]
    assert table["side_um"].tolist()[:3] == [10, 10, 5] and np.isnan(table["side_um"].iloc[3])
    assert table["density"].tolist() == [6, 6, 6, 2]  # slides of 1000 x 500
    assert table["neighbour"].tolist() == [5 / 20, 0, 0, inf]


def test_ignored_boxes_have_traits_and_are_neighbours(make_images: Make, make_boxes: Make) -> None:
    boxes = make_boxes([("a.jpg", "rust", 0, 0, 10, 10), ("a.jpg", "rust", 15, 0, 25, 10)], ignored=(1,))
    table = box_traits(boxes, make_images({"a.jpg": "g"}))
    assert table["neighbour"].tolist() == [0.5, 0.5]
    assert table["density"].tolist() == [4, 4]


def test_rows_keep_their_index_in_any_order(make_images: Make, make_boxes: Make) -> None:
    rng = np.random.default_rng(3)
    places = rng.uniform(0, 400, (60, 2))
    boxes = make_boxes([(f"{i % 4}.jpg", "rust", x, y, x + 9, y + 12) for i, (x, y) in enumerate(places)])
    images = make_images({f"{i}.jpg": "g" for i in range(4)})
    shuffled = boxes.sample(frac=1, random_state=1)
    table = box_traits(shuffled, images)
    assert table.index.tolist() == shuffled.index.tolist()
    pd.testing.assert_frame_equal(table.sort_index(), box_traits(boxes, images))


def test_what_is_not_known_is_nan(make_images: Make, make_boxes: Make) -> None:
    boxes = make_boxes(
        [("a.jpg", "rust", 0, 0, 10, 10), ("b.jpg", "rust", 0, 0, 10, 10), ("c.jpg", "rust", 0, 0, 8, 8)]
    )
    images = make_images({"a.jpg": "g", "b.jpg": "g"}).assign(width=[np.nan, 0])
    table = box_traits(boxes, images)
    assert table["density"].isna().all() and table["side_um"].isna().all()
    assert table["side_px"].tolist() == [10, 10, 8]


def test_without_boxes(make_images: Make) -> None:
    table = box_traits(boxes_table(), make_images({"a.jpg": "g"}))
    assert len(table) == 0 and set(table) == set(TRAITS) - {"sharpness"}
    assert box_traits(boxes_table(), make_images({})).empty
    assert len(sharpness_of(np.zeros((9, 9, 3), np.uint8), np.zeros((0, 4)))) == 0


def test_every_trait_has_strata() -> None:
    assert list(STRATA) == TRAITS
    for strata in STRATA.values():
        parts = len(strata.edges) + 1 if strata.edges else strata.parts
        assert len(strata.names) in (0, parts) and (strata.names or strata.unit)


def test_a_large_split_takes_seconds() -> None:
    rng = np.random.default_rng(0)
    slides, boxes = 500, 200
    corner = rng.uniform(0, 3000, (slides * boxes, 2))
    table = pd.DataFrame(np.hstack([corner, corner + rng.uniform(10, 40, corner.shape)]), columns=COORDINATES)
    table = table.assign(image=np.repeat([f"{number}.jpg" for number in range(slides)], boxes))
    images = pd.DataFrame({"image": table["image"].unique(), "width": 3000, "height": 3000})
    start = time.process_time()
    box_traits(table, images)
    assert time.process_time() - start < 3  # 0.3 on one slow core


def spore(blur: float, contrast: float = 1.0, ground: float = 180, noise: float = 1.5, size: int = 80) -> Pixels:
    """An oval spore with a dark wall and grains in it, out of focus by ``blur`` pixels."""
    plane = np.full((size, size), 0.0, dtype=np.float32)
    middle = (size // 2, size // 2)
    cv2.ellipse(plane, middle, (14, 8), 30, 0, 360, -45, -1, cv2.LINE_AA)
    cv2.ellipse(plane, middle, (14, 8), 30, 0, 360, -100, 2, cv2.LINE_AA)
    cv2.circle(plane, (size // 2 + 3, size // 2), 2, -90, -1, cv2.LINE_AA)
    if blur:
        plane = cv2.GaussianBlur(plane, (0, 0), blur)
    seen = ground + contrast * plane + np.random.default_rng(0).normal(0, noise, plane.shape)
    return np.repeat(np.clip(seen, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


BOX = np.array([[25.0, 28.0, 55.0, 52.0]])


def test_blur_lowers_sharpness_whatever_the_stain() -> None:
    levels = [0.0, 1.0, 1.5, 2.0, 3.0, 4.5]
    looks = [(1.0, 180), (0.5, 180), (0.5, 110), (1.2, 220)]
    values = np.array([[sharpness_of(spore(blur, *look), BOX)[0] for blur in levels] for look in looks])
    assert (np.diff(values, axis=1) < 0).all()
    # A pale spore in focus is sharper than a dark one that is a little out of it, on any slide.
    assert values[:, 0].min() > values[:, 2].max()


def test_what_lies_beside_the_box_does_not_count() -> None:
    pixels = spore(2.0)
    beside = pixels.copy()
    beside[:, 70:] = np.random.default_rng(1).integers(0, 255, (80, 10, 3), dtype=np.uint8)
    assert sharpness_of(beside, BOX) == pytest.approx(sharpness_of(pixels, BOX))


def test_the_border_of_the_slide_is_no_edge() -> None:
    pixels = spore(3.0)
    cut = np.ascontiguousarray(pixels[:, 40:])  # through the middle of the spore
    half, same = np.array([[-9.0, 28, 15, 52]]), np.array([[43.0, 28, 55, 52]])
    assert sharpness_of(cut, half) == pytest.approx(sharpness_of(pixels, same), rel=0.05)


def test_single_bright_pixels_do_not_make_a_box_sharp() -> None:
    pixels = spore(3.0)
    specked = pixels.copy()
    specked[30, 30] = specked[45, 50] = specked[40, 33] = 255
    assert sharpness_of(specked, BOX)[0] < 1.2 * sharpness_of(pixels, BOX)[0]
    assert sharpness_of(specked, BOX)[0] < sharpness_of(spore(1.5), BOX)[0]


def test_an_empty_box_is_not_sharp() -> None:
    noise = spore(0, contrast=0)
    assert sharpness_of(noise, BOX)[0] < sharpness_of(spore(2.0), BOX)[0]
    assert sharpness_of(np.full((80, 80, 3), 90, np.uint8), BOX)[0] == 0


def test_boxes_at_the_border_and_beyond() -> None:
    pixels = spore(1.0)
    corners = np.array([[-5, -5, 20, 20], [70, 70, 90, 90], [200, 0, 220, 20], [10, 10, 12, 40], [0, 0, 5, 20]])
    values = sharpness_of(pixels, corners)
    assert np.isfinite(values[:2]).all()
    assert np.isnan(values[2:]).all()  # outside, too thin, or all but outside


def test_sharpness_ranks_drawn_spores_by_their_focus() -> None:
    field = draw_sample_field(plan_sample(12, 0)[4], 0)
    focus = np.array([abs(placed.focus) for placed in field.spores])
    values = sharpness_of(field.pixels, np.array([placed.box for placed in field.spores], dtype=np.float64))
    assert len(focus) > 50
    assert spearmanr(values, -focus).statistic > 0.75  # 0.65 to 0.85 in groups of drawn slides, 0.7 over all of them


def test_the_side_is_that_of_a_square_of_the_same_area(make_images: Make, make_boxes: Make) -> None:
    table = box_traits(make_boxes([("a.jpg", "rust", 1, 2, 4, 9)]), make_images({"a.jpg": "g"}))
    assert table["side_px"].iloc[0] == pytest.approx(sqrt(21))
