from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from spore_yolo.dataset.sample.shapes import cloud, measure, spore_body
from spore_yolo.dataset.sample.taxa import FAMILIES, SAMPLE_TAXA, Taxon


def circle(radius: float) -> np.ndarray:
    angles = np.linspace(0, 2 * math.pi, 400, endpoint=False)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    cell=st.floats(1, 200),
    octaves=st.integers(1, 6),
    seed=st.integers(0, 9),
)
def test_clouds_have_any_shape(height: int, width: int, cell: float, octaves: int, seed: int) -> None:
    noise = cloud(np.random.default_rng(seed), (height, width), cell, octaves)
    assert noise.shape == (height, width) and noise.dtype == np.float32
    assert np.isfinite(noise).all() and np.abs(noise).max() < 12


def test_clouds_are_noise_of_the_stated_coarseness() -> None:
    rng = np.random.default_rng(0)
    fine, coarse = cloud(rng, (400, 400), 4), cloud(rng, (400, 400), 40)
    for noise in (fine, coarse, cloud(rng, (400, 400), 40, 5, 0.7)):
        assert abs(noise.mean()) < 0.3 and 0.7 < noise.std() < 1.4

    def step(noise: np.ndarray) -> float:
        return float(np.abs(np.diff(noise, axis=1)).mean() / noise.std())

    assert 6 < step(fine) / step(coarse) < 15


@pytest.mark.parametrize(
    ("radius", "tolerance"),
    [
        pytest.param(3.0, 0.6, id="measured on a four times finer grid"),
        pytest.param(12.0, 0.6, id="the same, larger"),
        pytest.param(50.0, 1.0, id="on a grid twice as fine"),
        pytest.param(130.0, 2.0, id="on the pixels themselves"),
    ],
)
def test_the_distance_from_a_circle_is_known(radius: float, tolerance: float) -> None:
    body = measure([circle(radius)], [], 8, 1.0, 2 * radius, 2 * radius)
    height, width = body.depth.shape
    y, x = np.mgrid[:height, :width]
    expected = radius - np.hypot(x - (width - 1) / 2, y - (height - 1) / 2)
    near = np.abs(expected) < 6
    assert np.abs(body.depth - expected)[near].max() < tolerance
    assert body.depth[0].max() < -6  # the margin


def test_lines_are_where_they_were_drawn() -> None:
    body = measure([circle(30)], [np.array([[0.0, -20], [0, 20]])], 5, 2.0, 60, 60)
    middle = body.septa.shape[1] // 2
    columns = body.septa.sum(axis=0)
    assert columns[middle - 1 : middle + 2].sum() > 0.9 * columns.sum()
    assert 30 < (body.septa > 0.3).any(axis=1).sum() < 46


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_draws_one_body_of_its_size(family: str) -> None:
    rng = np.random.default_rng(5)
    taxon = Taxon("any", family, 80, 0.5, (1, 1, 1), 1.0, spread=0.05, septa=(2, 4), curve=0.3)
    for _ in range(5):
        body = spore_body(rng, taxon, 1.0, margin=6)
        inside = body.depth > 0
        assert ndimage.label(inside)[1] == 1
        # The greatest extent over all directions is the length, give or take the bend and the bumps.
        points = np.argwhere(inside)
        angles = np.linspace(0, math.pi, 90)
        across = points @ np.stack([np.sin(angles), np.cos(angles)])
        assert 0.75 * body.length < np.ptp(across, axis=0).max() < 1.3 * body.length
        assert not inside[[0, -1]].any() and not inside[:, [0, -1]].any()


def test_scale_magnifies() -> None:
    areas = []
    for scale in (0.5, 1.0, 2.0):
        rng = np.random.default_rng(6)
        areas.append((spore_body(rng, replace(SAMPLE_TAXA[-1], spread=0.0), scale, margin=4).depth > 0).sum())
    assert areas[1] / areas[0] == pytest.approx(4, rel=0.1) and areas[2] / areas[1] == pytest.approx(4, rel=0.1)


def test_the_target_is_a_beaked_club_with_cross_walls() -> None:
    """Wide at one end, a narrow beak at the other: the width along the axis falls to under a third."""
    rng = np.random.default_rng(7)
    for _ in range(6):
        body = spore_body(rng, SAMPLE_TAXA[-1], 1.0, margin=4)
        points = np.argwhere(body.depth > 0).astype(float)
        points -= points.mean(axis=0)
        axis = np.linalg.svd(points, full_matrices=False)[2]
        along, across = (points @ axis.T).T
        edges = np.linspace(along.min(), along.max(), 11)
        widths = [np.ptp(across[(along >= low) & (along <= high)]) for low, high in pairwise(edges)]
        ends = sorted([np.mean(widths[:3]), np.mean(widths[-3:])])
        assert ends[0] < 0.45 * ends[1]
        assert body.septa.sum() > 100
