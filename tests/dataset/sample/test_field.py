from __future__ import annotations

import numpy as np
import pytest

from spore_yolo.dataset.sample.field import Field, draw_field
from spore_yolo.dataset.sample.plan import pretraining_rng
from spore_yolo.dataset.sample.styles import Style, random_scene
from spore_yolo.dataset.sample.taxa import SAMPLE_TAXA, TARGET

TWO_EACH = {taxon.name: 2 for taxon in SAMPLE_TAXA}


@pytest.fixture(scope="module")
def field() -> Field:
    return draw_field(
        np.random.default_rng(20260501),
        SAMPLE_TAXA,
        width=400,
        height=300,
        counts=TWO_EACH,
        touching={TARGET: 1.0},
    )


def test_the_drawing_has_not_changed(field: Field) -> None:
    """Figures measured on the sample hold only as long as it stays what it is; the tolerance is for rounding."""
    boxes = {
        "Alternaria": [(57, 219, 163, 277), (328, 166, 385, 300)],
        "Fusarium": [(157, 57, 257, 103), (231, 129, 315, 167)],
        "Puccinia": [(187, 111, 245, 173), (45, 177, 98, 240)],
        "Epicoccum": [(172, 243, 222, 293), (40, 10, 83, 53)],
        "Cladosporium": [(55, 140, 79, 155), (23, 180, 48, 196)],
    }
    for name, expected in boxes.items():
        found = [spore.box for spore in field.spores if spore.kind == name]
        assert np.allclose(found, expected, atol=2), name
    assert np.allclose(field.pixels.mean(axis=(0, 1)), (196.87, 193.73, 183.49), atol=0.3)
    assert np.allclose(field.pixels.std(axis=(0, 1)), (22.83, 28.69, 37.54), atol=0.3)


def test_boxes_are_tight_round_the_masks(field: Field) -> None:
    assert field.pixels.shape == (300, 400, 3) and field.pixels.dtype == np.uint8
    assert field.labels.shape == (300, 400) and field.labels.dtype == np.uint16
    for spore in field.spores:
        rows, columns = np.nonzero(field.mask(spore))
        x_min, y_min, x_max, y_max = spore.box
        # What lies on top may hide a rim, never add one.
        assert x_min <= columns.min() and columns.max() < x_max and y_min <= rows.min() and rows.max() < y_max
        assert spore.area * 0.85 <= len(rows) <= spore.area
    assert set(np.unique(field.labels)) == {0, *(spore.id for spore in field.spores)}


def test_spores_come_first_and_ids_are_one_row(field: Field) -> None:
    assert [placed.id for placed in field.objects] == list(range(1, len(field.objects) + 1))
    labelled = [placed.labelled for placed in field.objects]
    assert labelled == sorted(labelled, reverse=True) and sum(labelled) == 10


def test_spores_darken_or_brighten_the_field_where_they_are(field: Field) -> None:
    ground = np.median(field.pixels[field.labels == 0], axis=0)
    for spore in field.spores:
        inside = field.pixels[field.mask(spore)].astype(float)
        assert np.abs(inside - ground).mean() > 8, spore.kind


def test_the_same_numbers_draw_the_same_field(field: Field) -> None:
    first, again, other = (
        draw_field(np.random.default_rng(seed), SAMPLE_TAXA, width=200, height=160) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.pixels, again.pixels) and first.objects == again.objects
    assert not np.array_equal(first.pixels, other.pixels)


def test_targets_are_laid_against_clumps() -> None:
    touching, wanted = 0, 0
    for seed in range(6):
        style = Style(clutter={"soil": 6.0})
        drawn = draw_field(
            np.random.default_rng(seed),
            SAMPLE_TAXA,
            width=900,
            height=700,
            style=style,
            counts={TARGET: 3},
            touching={TARGET: 1.0},
        )
        if any(placed.kind == "soil" and placed.area > 3000 for placed in drawn.objects):
            touching += sum(spore.touches_clump for spore in drawn.spores)
            wanted += 3
    assert wanted >= 9
    assert touching >= 0.6 * wanted


def test_without_clutter_nothing_touches_and_only_spores_are_there() -> None:
    drawn = draw_field(
        np.random.default_rng(0), SAMPLE_TAXA, width=500, height=400, style=Style(clutter={}), counts={TARGET: 2}
    )
    assert [placed.kind for placed in drawn.objects] == [TARGET, TARGET]
    assert not any(placed.touches_clump for placed in drawn.objects)


def test_noise_is_that_of_the_style() -> None:
    spread = []
    for noise in (2.0, 6.0):
        style = Style(clutter={}, bands=0, vignette=0, unevenness=0, noise=noise)
        pixels = draw_field(np.random.default_rng(5), [], width=300, height=200, style=style).pixels.astype(float)
        spread.append(float(np.diff(pixels, axis=1).std()))
    assert 2 < spread[1] / spread[0] < 4


@pytest.mark.parametrize(("width", "height"), [(1, 1), (40, 40), (64, 700), (641, 333)])
def test_any_size(width: int, height: int) -> None:
    drawn = draw_field(np.random.default_rng(0), SAMPLE_TAXA, width=width, height=height)
    assert drawn.pixels.shape == (height, width, 3)
    for placed in drawn.objects:
        x_min, y_min, x_max, y_max = placed.box
        assert 0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height


def test_tiles_to_pretrain_on() -> None:
    """Every scene can be drawn; some are crowded, some nearly empty."""
    numbers = []
    for number in range(25):
        rng = pretraining_rng(0, number)
        taxa, style = random_scene(rng)
        drawn = draw_field(rng, taxa, width=320, height=320, style=style)
        names = {taxon.name for taxon in taxa}
        assert {spore.kind for spore in drawn.spores} <= names
        numbers.append(len(drawn.spores))
    assert max(numbers) > 25 and min(numbers) < 5
