from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spore_yolo.dataset.sample.optics import DEPTH_OF_FIELD_UM, blur_of, draw_spore
from spore_yolo.dataset.sample.taxa import SAMPLE_TAXA, Taxon

PLAIN = Taxon("plain", "oval", 80, 0.6, (0.2, 0.6, 1.2), 0.8, spread=0.0, glass=0.0, texture=0.0)


def test_blur_grows_with_the_distance_from_the_focal_plane() -> None:
    assert blur_of(0, 0.9) == pytest.approx(0.9)
    assert blur_of(DEPTH_OF_FIELD_UM, 0.9) == pytest.approx(0.9 * 2**0.5)
    assert blur_of(-5, 0.9) == blur_of(5, 0.9) > blur_of(4, 0.9)


def test_light_is_lost_inside_by_colour_and_untouched_far_off() -> None:
    drawn = draw_spore(np.random.default_rng(0), PLAIN, scale=1, focus=0, sharpness=0.9)
    assert drawn.light.shape == (*drawn.mask.shape, 3)
    red, green, blue = drawn.light[drawn.mask].mean(axis=0)
    assert red > green > blue and blue < 0.6
    assert np.allclose(drawn.light[:2], 1, atol=0.02) and np.allclose(drawn.light[:, -2:], 1, atol=0.02)


def test_glass_is_brighter_than_the_ground_somewhere() -> None:
    clear = draw_spore(np.random.default_rng(0), replace(PLAIN, glass=0.6, density=0.05), scale=1, focus=1, sharpness=1)
    dull = draw_spore(np.random.default_rng(0), PLAIN, scale=1, focus=1, sharpness=1)
    assert clear.light.max() > 1.1 > dull.light.max()


def test_the_bright_fringe_changes_sides_with_the_focus() -> None:
    """The Becke line: outside the rim on one side of the focal plane, a dark line there on the other."""
    fringes = []
    for focus in (4.0, -4.0):
        glassy = replace(PLAIN, glass=0.6)
        drawn = draw_spore(np.random.default_rng(0), glassy, scale=1, focus=focus, sharpness=0.8)
        fringes.append(drawn.light[~drawn.mask].mean())
    assert fringes[0] > 1 > fringes[1]


def test_out_of_focus_edges_are_softer() -> None:
    steepest = []
    for focus in (0.0, 8.0):
        drawn = draw_spore(np.random.default_rng(3), PLAIN, scale=1, focus=focus, sharpness=0.8)
        steepest.append(np.abs(np.diff(drawn.light[:, :, 2], axis=0)).max())
    assert steepest[1] < 0.6 * steepest[0]


@pytest.mark.parametrize("taxon", SAMPLE_TAXA, ids=lambda taxon: taxon.name)
def test_every_taxon_of_the_sample_stands_out(taxon: Taxon) -> None:
    """Against the strongest noise of the sample, 4.5 of 200 grey levels a pixel; out of focus, by its many pixels."""
    for seed in range(4):
        sharp, soft = (
            draw_spore(np.random.default_rng(seed), taxon, scale=1, focus=focus, sharpness=1.1) for focus in (0.0, 3.0)
        )
        contrast = [float(np.abs(drawn.light[drawn.mask] - 1).mean()) * 200 for drawn in (sharp, soft)]
        assert contrast[0] > 2 * 4.5
        assert contrast[1] * soft.mask.sum() ** 0.5 > 20 * 4.5
