from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.inference.emptiness import (
    MARGIN,
    Emptiness,
    box_contrasts,
    contrast_map,
    patch_contrasts,
    reduction_for,
    threshold_for,
)
from spore_yolo.inference.merging import speaks_for
from spore_yolo.inference.pair import load, tiling_of
from spore_yolo.inference.scanning import Candidates, scan
from spore_yolo.inference.slides import ArraySlide
from tests.conftest import GROUND, SPOT, spot_manifest

SIDE = 640
LOOK = Emptiness(reduction=4, threshold=0.06)


def photograph(light: Any, noise: float = 3.0, seed: int = 0) -> np.ndarray:
    """Grey levels ``(h, w)`` as a camera gives them."""
    rng = np.random.default_rng(seed)
    colours = np.repeat(np.asarray(light, dtype=np.float64)[:, :, None], 3, axis=2)
    return np.clip(colours + rng.normal(0, noise, colours.shape), 0, 255).round().astype(np.uint8)


def ground(level: float = 200, side: int = SIDE) -> np.ndarray:
    return np.full((side, side), level)


def with_spore(light: np.ndarray, depth: float, at: tuple[int, int] = (300, 310), size: int = 20) -> np.ndarray:
    """A round spore that takes away a share of the light."""
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    body = np.hypot(x - at[0], y - at[1]) <= size / 2
    return np.where(body, light * (1 - depth), light)


def vignetted(light: np.ndarray) -> np.ndarray:
    """A fifth of the light is missing in the corners."""
    axis = np.linspace(-1, 1, len(light))
    return light * (1 - 0.1 * (axis[:, None] ** 2 + axis[None, :] ** 2))


def sloping(light: np.ndarray) -> np.ndarray:
    return light * np.linspace(0.85, 1.1, light.shape[1])[None, :]


def even(light: np.ndarray) -> np.ndarray:
    return light


GROUNDS = [even, vignetted, sloping]


@pytest.mark.parametrize("uneven", GROUNDS)
@pytest.mark.parametrize("level", [200, 100])
def test_a_bare_tile_is_empty_whatever_its_light(uneven: Any, level: float) -> None:
    # The noise of photons falls with the root of the light, so at half the light it is larger beside it.
    noise = 3 * (level / 200) ** 0.5
    assert LOOK.is_empty(photograph(uneven(ground(level)), noise), 1.0)


@pytest.mark.parametrize("uneven", GROUNDS)
@pytest.mark.parametrize("at", [(300, 310), (12, 320), (628, 628), (322, 1)])
def test_a_faint_spore_anywhere_is_looked_at(uneven: Any, at: tuple[int, int]) -> None:
    assert not LOOK.is_empty(photograph(with_spore(uneven(ground()), 0.12, at)), 1.0)


def test_a_bright_spore_is_looked_at() -> None:
    assert not LOOK.is_empty(photograph(with_spore(ground(), -0.12)), 1.0)


def test_a_spore_of_another_colour_but_as_bright_is_looked_at() -> None:
    plain = photograph(ground())
    body = with_spore(ground(), 1.0) == 0
    coloured = plain.astype(int)
    coloured[body] += np.array([20, 0, -20])
    assert LOOK.is_empty(plain, 1.0)
    assert not LOOK.is_empty(coloured.astype(np.uint8), 1.0)


@pytest.mark.parametrize("depth", [0.1, 0.2, 0.4])
def test_contrast_is_the_share_of_light_that_a_spore_takes_however_bright_the_lamp(depth: float) -> None:
    for level in (220, 110):
        contrast = contrast_map(photograph(with_spore(ground(level), depth, size=40), noise=0), 1.0, 4)
        assert contrast.max() == pytest.approx(depth, abs=0.02)


@pytest.mark.parametrize("times", [0.5, 2, 3])
def test_the_same_slide_at_another_magnification_looks_the_same(times: float) -> None:
    light = cv2.GaussianBlur(with_spore(vignetted(ground()), 0.3, size=36), (0, 0), 2)
    tile = photograph(light, noise=0)
    size = round(SIDE * times)
    interpolation = cv2.INTER_AREA if times < 1 else cv2.INTER_LINEAR
    other = np.asarray(cv2.resize(tile, (size, size), interpolation=interpolation), dtype=np.uint8)
    one, same = contrast_map(tile, 1.0, 4), contrast_map(other, 1 / times, 4)
    assert one.shape == same.shape == (160, 160)
    assert np.abs(one - same).max() < 0.04
    assert one.max() > 0.25


def test_on_a_black_ground_noise_counts_and_nothing_is_left_out() -> None:
    # A ground darker than the darkest that differences are taken from: two grey levels are an eighth of that.
    assert not LOOK.is_empty(photograph(ground(3), noise=2), 1.0)
    assert LOOK.is_empty(np.zeros((SIDE, SIDE, 3), dtype=np.uint8), 1.0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (5, 3), (33, 640)])
def test_tiles_of_any_size(shape: tuple[int, int]) -> None:
    plain = np.full((*shape, 3), 200, dtype=np.uint8)
    for scale in (0.3, 1.0, 4.0):
        assert contrast_map(plain, scale, 8).max() == 0
        assert LOOK.is_empty(plain, scale)


def test_box_contrasts_are_of_the_boxes() -> None:
    light = with_spore(with_spore(ground(), 0.2, (100, 100)), 0.4, (400, 500))
    contrast = contrast_map(photograph(light, noise=0), 1.0, 4)
    boxes = np.array([[90, 90, 110, 110], [390, 490, 410, 510], [200, 200, 220, 220], [700, 700, 720, 720.0]])
    faint, strong, nothing, outside = box_contrasts(contrast, boxes, (SIDE, SIDE))
    assert faint == pytest.approx(0.2, abs=0.02)
    assert strong == pytest.approx(0.4, abs=0.02)
    assert nothing == outside == 0
    assert box_contrasts(contrast, np.zeros((0, 4)), (SIDE, SIDE)).shape == (0,)


def test_patches_show_what_is_bare() -> None:
    contrast = contrast_map(photograph(with_spore(ground(), 0.4, (100, 100))), 1.0, 4)
    patches = patch_contrasts(contrast, 4)
    assert len(patches) == 100
    assert ((patches > 0.1).sum(), (patches < 0.06).sum()) == (1, 99)
    assert patch_contrasts(contrast[:3, :5], 4).tolist() == [contrast[:3, :5].max()]


def test_the_reduction_follows_the_small_spores() -> None:
    def boxes(*sides: float) -> np.ndarray:
        return np.array([[0, 0, 100, side] for side in sides])

    assert reduction_for(boxes(9, 40), 1.0) == 4
    assert reduction_for(boxes(9, 40), 0.5) == reduction_for(boxes(1), 1.0) == 2
    assert reduction_for(boxes(90), 1.0) == 8
    assert reduction_for(boxes(0.5, *[12.0] * 299), 1.0) == 4, "one slip of the mouse among hundreds"


@given(
    st.lists(st.floats(0.001, 1), min_size=1, max_size=30),
    st.lists(st.integers(0, 5), min_size=30, max_size=30),
    st.floats(0.05, 1),
)
def test_no_spore_that_the_threshold_was_chosen_on_is_lost(
    contrasts: list[float], tile_of: list[int], margin: float
) -> None:
    threshold = threshold_for(np.array(contrasts), margin)
    tiles: dict[int, float] = {}
    for contrast, tile in zip(contrasts, tile_of, strict=False):
        tiles[tile] = max(contrast, tiles.get(tile, 0.0))
    assert not any(tile < threshold for tile in tiles.values())
    assert not any(contrast < threshold for contrast in contrasts), "nor if each lay alone"
    assert threshold == pytest.approx(margin * min(contrasts))


PLACES = [(x, y) for x in range(14, 600, 62) for y in range(9, 380, 62)]


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.integers(12, 26), st.floats(0.08, 0.8)),
        min_size=1,
        max_size=12,
        unique_by=lambda spore: spore[0],
    ),
    st.integers(0, 99),
)
def test_each_spore_is_looked_at_also_if_it_lies_alone(
    spores: list[tuple[tuple[int, int], int, float]], seed: int
) -> None:
    boxes = np.array([[x, y, x + size, y + size] for (x, y), size, _ in spores], dtype=np.float64)
    tiles = tiling_settings().grid(610, 420).tiles

    def drawn(some: list[tuple[tuple[int, int], int, float]]) -> np.ndarray:
        light = np.full((420, 610), 200.0)
        for (x, y), size, depth in some:
            light[y : y + size, x : x + size] *= 1 - depth
        return photograph(light, seed=seed)

    together, contrasts = drawn(spores), []
    for tile in tiles:
        window = together[tile.y_min : tile.y_max, tile.x_min : tile.x_max]
        near = boxes[speaks_for(boxes, tile)] - np.tile([tile.x_min, tile.y_min], 2)
        contrasts.append(box_contrasts(contrast_map(window, 1.0, 3), near, window.shape))
    look = Emptiness(3, threshold_for(np.concatenate(contrasts), MARGIN))
    for spore, box in zip(spores, boxes, strict=True):
        alone = drawn([spore])
        for tile in tiles:
            if speaks_for(box[None], tile).any():
                assert not look.is_empty(alone[tile.y_min : tile.y_max, tile.x_min : tile.x_max], 1.0)


def tiling_settings() -> Any:
    return tiling_of(spot_manifest().detector)


def sparse_slide() -> np.ndarray:
    """Spots in two corners, one of them across the border of tiles, and nothing between."""
    pixels = photograph(np.full((500, 700), float(GROUND)), seed=3)
    for x, y in [(10, 12), (60, 40), (84, 20), (660, 470)]:
        pixels[y : y + 20, x : x + 16] = SPOT
    return pixels


def scanned(pair: Any, pixels: np.ndarray, **options: Any) -> Candidates:
    return scan(ArraySlide(pixels), pair.detector.runner, tiling_of(pair.manifest.detector), **options)[0]


@pytest.mark.parametrize("batch", [1, 3])
def test_leaving_out_empty_tiles_changes_nothing_but_the_work(spot_pair: Path, batch: int) -> None:
    pair = load(spot_pair)
    pixels = sparse_slide()
    looked_at: list[int] = []
    runner: Any = pair.detector.runner
    network = runner._run

    def counting(images: Any) -> Any:
        looked_at.append(len(images))
        return network(images)

    runner._run = counting
    every = scanned(pair, pixels, batch=batch)
    all_tiles, looked_at[:] = sum(looked_at), []
    told: list[float] = []
    some = scanned(pair, pixels, batch=batch, skip=LOOK, progress=told.append)
    assert every.skipped_tiles == 0
    assert 0 < some.skipped_tiles == all_tiles - sum(looked_at)
    assert some.skipped_tiles > all_tiles / 2
    assert len(some.boxes) == 4
    assert some.boxes.tolist() == every.boxes.tolist()
    assert some.scores.tolist() == every.scores.tolist()
    assert sum(told) == pytest.approx(500 * 700)


def test_exactly_the_tiles_that_are_told_empty_are_left_out(spot_pair: Path) -> None:
    pair = load(spot_pair)
    pixels = sparse_slide()
    tiling = tiling_of(pair.manifest.detector)
    empty = [
        LOOK.is_empty(pixels[tile.y_min : tile.y_max, tile.x_min : tile.x_max], 1.0)
        for tile in tiling.grid(700, 500).tiles
    ]
    assert scanned(pair, pixels, skip=LOOK).skipped_tiles == sum(empty)
    nothing = scanned(pair, pixels, skip=replace(LOOK, threshold=0.0))
    assert nothing.skipped_tiles == 0


def test_a_slide_that_is_empty_all_over(whole_pair: Path) -> None:
    pair = load(whole_pair)
    told: list[float] = []
    pixels = photograph(np.full((300, 400), float(GROUND)))
    found = scanned(pair, pixels, skip=LOOK, progress=told.append, namer=pair.namer)
    assert found.boxes.shape == (0, 4)
    assert found.probabilities is not None
    assert found.probabilities.shape == (0, 3)
    assert found.skipped_tiles == len(tiling_of(pair.manifest.detector).grid(400, 300).tiles)
    assert sum(told) == pytest.approx(300 * 400)
