from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from spore_yolo.dataset.sample.taxa import (
    FAMILIES,
    NEAREST,
    SAMPLE_TAXA,
    TARGET,
    Taxon,
    chamber_taxa,
    distance,
    is_new,
    random_taxa,
    smear_taxa,
)


def invented(number: int) -> list[Taxon]:
    rng = np.random.default_rng(1)
    return [taxon for _ in range(number) for taxon in random_taxa(rng, 5)]


def test_five_taxa_of_different_shape_with_the_club_as_target() -> None:
    assert len({taxon.family for taxon in SAMPLE_TAXA}) == len({taxon.name for taxon in SAMPLE_TAXA}) == 5
    assert {taxon.name: taxon.family for taxon in SAMPLE_TAXA}[TARGET] == "club"
    lengths = sorted(taxon.length for taxon in SAMPLE_TAXA)
    assert all(larger > 1.2 * smaller for smaller, larger in pairwise(lengths))


def test_distance_is_a_distance() -> None:
    one, two, three = invented(1)[:3]
    assert distance(one, one) == 0
    assert distance(one, two) == pytest.approx(distance(two, one))
    assert distance(one, three) <= distance(one, two) + distance(two, three) + 1e-12


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"name": "other", "spread": 0.3, "curve": 1.0}, 0, id="what no part looks at"),
        pytest.param({"family": "oval"}, 1, id="another shape"),
        pytest.param({"length": 250}, 1, id="twice the length"),
        pytest.param({"length": 62.5}, 1, id="half the length"),
        pytest.param({"septa": (0, 0)}, math.log2(7.5), id="no cross walls"),
        pytest.param({"family": "oval", "length": 250}, math.sqrt(2), id="two parts"),
    ],
)
def test_distance_has_the_stated_parts(change: dict[str, object], expected: float) -> None:
    target = SAMPLE_TAXA[-1]
    other: Taxon = replace(target, **change)  # type: ignore[arg-type]
    assert distance(target, other) == pytest.approx(expected)


def test_colour_counts_as_it_is_seen() -> None:
    clear = replace(SAMPLE_TAXA[-1], density=0.0)
    dark = replace(SAMPLE_TAXA[-1], density=50.0)
    assert distance(clear, dark) == pytest.approx(4.0, rel=1e-3)  # white against black, in steps of 0.25
    assert distance(clear, replace(clear, colour=(1.0, 0.1, 0.1))) == pytest.approx(0)  # nobody sees a clear colour


def test_no_invented_taxon_is_one_of_the_sample() -> None:
    taxa = invented(200)
    assert all(distance(taxon, known) >= NEAREST for taxon in taxa for known in SAMPLE_TAXA)
    near = replace(SAMPLE_TAXA[-1], name="taxon", length=140.0, septa=(4, 6))
    assert not is_new(near)


def test_the_filter_has_work_to_do() -> None:
    """Without it, taxa like those of the sample would turn up."""
    from spore_yolo.dataset.sample.taxa import _invent

    rng = np.random.default_rng(2)
    assert any(not is_new(_invent(rng, "taxon")) for _ in range(3000))


def test_invented_taxa_cover_the_range() -> None:
    taxa = invented(200)
    assert {taxon.family for taxon in taxa} == set(FAMILIES)
    lengths = np.array([taxon.length for taxon in taxa])
    assert 8 <= lengths.min() < 14 and 120 < lengths.max() <= 150
    density = np.array([taxon.density for taxon in taxa])
    assert density.min() < 0.08 and density.max() > 1.3
    assert max(taxon.septa[1] for taxon in taxa) > 4 and min(taxon.septa[1] for taxon in taxa) == 0


def test_chambers_and_smears_hold_no_taxon_of_the_sample_either() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        assert all(is_new(taxon) for taxon in [*chamber_taxa(rng), *smear_taxa(rng)])
    cell, nucleated, dot = smear_taxa(rng)
    assert 60 <= cell.length <= 110 and dot.length < cell.length / 3
    assert nucleated.nucleus > 0 == cell.nucleus


def test_the_number_of_taxa() -> None:
    rng = np.random.default_rng(4)
    assert len(random_taxa(rng, 7)) == 7
    assert {len(random_taxa(rng)) for _ in range(60)} == {1, 2, 3, 4, 5}
