from __future__ import annotations

from dataclasses import replace

import numpy as np

from spore_yolo.dataset.sample.styles import Style, empty_ground, group_style, random_scene
from spore_yolo.dataset.sample.taxa import is_new


def test_the_ground_has_its_colour_and_faint_horizontal_bands() -> None:
    style = Style(ground=(200, 190, 180), bands=0.02, vignette=0.0, unevenness=0.0)
    ground = empty_ground(np.random.default_rng(0), style, 600, 480)
    assert ground.shape == (480, 600, 3) and ground.dtype == np.float32
    assert np.allclose(ground.mean(axis=(0, 1)), (200, 190, 180), atol=8)
    levelled = ground[:, :, 1] / np.poly1d(np.polyfit(range(600), ground[:, :, 1].mean(axis=0), 1))(range(600))
    down, across = levelled.mean(axis=1).std(), levelled.mean(axis=0).std()
    assert down > 3 * across and down > 0.006


def test_the_vignette_darkens_corners() -> None:
    style = Style(bands=0.0, vignette=0.3, unevenness=0.0)
    ground = empty_ground(np.random.default_rng(1), style, 400, 300)
    corners = ground[[0, 0, -1, -1], [0, -1, 0, -1]].mean()
    assert corners < 0.9 * ground[150, 200].mean()


def test_grid_lines_are_ruled_at_their_spacing() -> None:
    plain = Style(bands=0.0, vignette=0.0, unevenness=0.0)
    rng = np.random.default_rng(3)
    smooth = empty_ground(np.random.default_rng(3), plain, 600, 500)
    ruled = empty_ground(rng, replace(plain, grid=150), 600, 500)
    changed = np.abs(ruled / smooth - 1).mean(axis=(0, 2)) > 0.03
    starts = np.flatnonzero(np.diff(changed.astype(int)) == 1)
    assert 3 <= len(starts) <= 10
    assert any(abs(step - 150) <= 2 for step in (starts[:, None] - starts[None, :]).ravel())


def test_groups_differ_in_light_and_noise() -> None:
    styles = [group_style(np.random.default_rng(seed)) for seed in range(8)]
    assert len({style.ground for style in styles}) == len({style.noise for style in styles}) == 8
    assert all(170 < value < 235 for style in styles for value in style.ground)  # pale grey


def test_scenes_are_new_to_the_sample_and_of_all_kinds() -> None:
    rng = np.random.default_rng(4)
    scenes = [random_scene(rng) for _ in range(80)]
    assert all(is_new(taxon) for taxa, _ in scenes for taxon in taxa)
    names = {taxa[0].name for taxa, _ in scenes}
    assert names == {"conidium", "cell", "taxon_0"}
    assert any(style.grid for _, style in scenes) and not all(style.grid for _, style in scenes)
    density = [style.density for _, style in scenes]
    assert min(density) < 15 and max(density) > 300
