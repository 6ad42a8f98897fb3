from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from spore_yolo.dataset.groups import groups_of, sources_of
from spore_yolo.dataset.sample.plan import draw_sample_field, plan_sample, pretraining_rng
from spore_yolo.dataset.sample.taxa import SAMPLE_TAXA, TARGET


@pytest.mark.parametrize("seed", [0, 1, 99])
@pytest.mark.parametrize("fields", [1, 2, 3, 4, 5, 9, 11, 20, 60, 137])
def test_shares_are_exact(fields: int, seed: int) -> None:
    plans = plan_sample(fields, seed)
    assert [plan.number for plan in plans] == list(range(fields))
    targets = [plan.counts[TARGET] for plan in plans]
    assert sum(number > 0 for number in targets) == round(0.6 * fields)
    assert set(targets) <= {0, 1, 2, 3}
    assert sum(sum(plan.counts.values()) == 0 for plan in plans) == round(0.15 * fields)


@pytest.mark.parametrize("seed", range(4))
def test_fifty_to_one(seed: int) -> None:
    plans = plan_sample(60, seed)
    totals = Counter[str]()
    for plan in plans:
        totals.update(plan.counts)
    assert totals.most_common()[0][0] == SAMPLE_TAXA[0].name
    assert totals.most_common()[-1][0] == TARGET
    assert totals[SAMPLE_TAXA[0].name] / totals[TARGET] == pytest.approx(50, rel=0.02)
    assert totals[TARGET] >= 40
    held = sorted(sum(plan.counts.values()) for plan in plans if sum(plan.counts.values()))
    assert held[len(held) // 2] < 60 < held[-1]  # most fields are sparse, a few dense


@pytest.mark.parametrize("fields", [4, 7, 9, 23, 60, 301])
def test_groups_of_four_to_eight(fields: int) -> None:
    plans = plan_sample(fields, 0)
    sizes = Counter(plan.group for plan in plans)
    assert all(4 <= size <= 8 for size in sizes.values())
    assert len({plan.image for plan in plans}) == fields
    assert all(re.fullmatch(r"trap\d_2\d{3}-\d\d-\d\d/field_\d\d\.jpg", plan.image) for plan in plans)
    styles = {(plan.group, plan.style.ground, plan.style.noise) for plan in plans}
    assert len(styles) == len(sizes)  # one light a group


def test_the_import_groups_by_a_simple_rule() -> None:
    plans = plan_sample(30, 0)
    groups = groups_of(sources_of(plan.image for plan in plans), "(trap[^/]+)/")
    assert groups == {plan.image: plan.group for plan in plans}


def test_fields_do_not_depend_on_what_was_drawn_before() -> None:
    plans = plan_sample(5, 3)
    alone = draw_sample_field(plans[4], 3)
    draw_sample_field(plans[1], 3)
    again = draw_sample_field(plans[4], 3)
    assert np.array_equal(alone.pixels, again.pixels)
    assert np.array_equal(alone.labels, again.labels)


def test_what_was_planned_is_drawn() -> None:
    plan = max(plan_sample(10, 0), key=lambda plan: sum(plan.counts.values()))
    drawn = Counter(spore.kind for spore in draw_sample_field(plan, 0).spores)
    assert drawn == Counter({name: number for name, number in plan.counts.items() if number})


def test_pretraining_has_its_own_random_numbers() -> None:
    plans = plan_sample(5, 0)
    numbers = {
        tuple(np.random.default_rng([int.from_bytes(b"sample", "big"), 0, plan.number]).integers(0, 1 << 40, 4))
        for plan in plans
    }
    tiles = {tuple(pretraining_rng(0, number).integers(0, 1 << 40, 4)) for number in range(5)}
    assert len(tiles) == 5 and not numbers & tiles
    assert pretraining_rng(1, 2).random() == pretraining_rng(1, 2).random() != pretraining_rng(2, 1).random()
