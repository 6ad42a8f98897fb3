from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from spore_yolo.dataset.sample.clutter import KINDS, draw_debris, mineral_grain, plant_hair, soil_clump
from spore_yolo.dataset.sample.styles import AIR_CLUTTER
from spore_yolo.dataset.sample.taxa import SAMPLE_TAXA


def test_every_kind_is_used_and_none_bears_a_taxon_s_name() -> None:
    assert set(AIR_CLUTTER) == set(KINDS)
    assert not set(KINDS) & {taxon.name for taxon in SAMPLE_TAXA}


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_lies_within_its_patch_and_shows(kind: str) -> None:
    for seed in range(4):
        drawn = draw_debris(np.random.default_rng(seed), kind, scale=1.0, sharpness=0.9)
        assert drawn.light.shape == (*drawn.mask.shape, 3) and drawn.light.dtype == np.float32
        assert drawn.mask.any() and np.isfinite(drawn.light).all() and drawn.light.min() >= 0
        border = np.concatenate([drawn.light[0], drawn.light[-1], drawn.light[:, 0], drawn.light[:, -1]])
        assert np.abs(border - 1).max() < 0.05, "a straight cut would show"
        assert np.abs(drawn.light - 1).max() > 0.03
        high, wide = drawn.mask.shape
        assert max(high, wide) <= 1.35 * KINDS[kind][2] + 80


def test_soil_is_brown_uneven_and_ragged() -> None:
    drawn = soil_clump(np.random.default_rng(1), 500, 0.9)
    red, green, blue = drawn.light[drawn.mask].mean(axis=0)
    assert 0.8 > red > green > blue
    assert drawn.light[drawn.mask].std() > 0.1
    outline = drawn.mask & ~ndimage.binary_erosion(drawn.mask)
    # A disc's perimeter squared over its area is 12.6 at most; a fractal one is far longer.
    assert outline.sum() ** 2 / drawn.mask.sum() > 25


def test_minerals_have_dark_rims_and_clear_middles() -> None:
    for seed in range(4):
        drawn = mineral_grain(np.random.default_rng(seed), 100, 0.9)
        depth = ndimage.distance_transform_edt(drawn.mask)
        rim, middle = (drawn.light[where].mean() for where in ((depth > 1) & (depth < 5), depth > 0.6 * depth.max()))
        assert rim < 0.75 * middle and middle > 0.8


def test_hairs_taper_like_the_target_but_have_no_cross_walls() -> None:
    drawn = plant_hair(np.random.default_rng(2), 140, 0.9)
    assert drawn.length > 3 * drawn.width
    assert drawn.light[drawn.mask].mean(axis=0)[0] > 0.7  # paler than the target
