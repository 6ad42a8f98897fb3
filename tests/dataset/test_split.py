from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spore_yolo.dataset.split import SPLITS, given_split, parse_shares, read_split, split_groups
from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError

Counts = dict[str, list[float]]
SHARES = [(60, 20, 20), (80, 10, 10), (34, 33, 33), (40, 20, 20, 20), (50, 15, 20, 15)]


@st.composite
def groups(draw: st.DrawFn, min_groups: int = 4, max_groups: int = 12) -> Counts:
    """Groups with a number of images and boxes of up to three classes; most boxes are rare, as in life."""
    classes = draw(st.integers(1, 3))
    boxes = st.lists(st.one_of(st.just(0), st.integers(0, 30)), min_size=classes, max_size=classes)
    rows = draw(st.lists(st.tuples(st.integers(1, 9), boxes), min_size=min_groups, max_size=max_groups))
    return {f"g{number}": [float(images), *map(float, found)] for number, (images, found) in enumerate(rows)}


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        pytest.param("60,20,20", (60, 20, 20), id="three"),
        pytest.param("50,15,20,15", (50, 15, 20, 15), id="four with a calibration part"),
        pytest.param(" 60, 20 ,20", (60, 20, 20), id="blanks"),
        pytest.param("98,1,1", (98, 1, 1), id="the least"),
    ],
)
def test_parse_shares(text: str, shares: tuple[int, ...]) -> None:
    assert parse_shares(text) == shares


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("80,20", id="no test part"),
        pytest.param("20,20,20,20,20", id="five parts"),
        pytest.param("60,20,10", id="not 100"),
        pytest.param("100,0,0", id="an empty part"),
        pytest.param("120,-10,-10", id="negative"),
        pytest.param("33.3,33.3,33.4", id="not whole"),
        pytest.param("", id="nothing"),
        pytest.param("60;20;20", id="other separator"),
    ],
)
def test_parse_shares__refused(text: str) -> None:
    with pytest.raises(UsageError, match="--split"):
        parse_shares(text)


@given(groups(), st.sampled_from(SHARES), st.integers(0, 5), st.data())
@settings(max_examples=40, deadline=None)
def test_split_groups__one_split_each_and_fixed_groups_stay(
    counts: Counts, shares: tuple[int, ...], seed: int, data: st.DataObject
) -> None:
    names = SPLITS[: len(shares)]
    fixed = data.draw(st.dictionaries(st.sampled_from(sorted(counts)), st.sampled_from(names)))
    before = {group: list(row) for group, row in counts.items()}
    dealt = split_groups(counts, shares, seed, fixed)
    assert set(dealt) == set(counts)
    assert set(dealt.values()) <= set(names)
    assert {group: dealt[group] for group in fixed} == fixed
    assert counts == before
    turned = dict(reversed(counts.items()))
    assert split_groups(turned, shares, seed, fixed) == dealt, "the same seed gives the same split in any order"


def test_split_groups__fixed_groups_that_are_gone_are_left_out() -> None:
    counts = {f"g{number}": [1.0] for number in range(6)}
    dealt = split_groups(counts, (60, 20, 20), 0, {"gone": "test", "g0": "val"})
    assert "gone" not in dealt
    assert dealt["g0"] == "val"


def test_split_groups__new_groups_fill_what_fixed_ones_lack() -> None:
    counts = {f"g{number}": [1.0] for number in range(10)}
    fixed = {f"g{number}": "train" for number in range(6)}
    assert Counter(split_groups(counts, (60, 20, 20), 0, fixed).values()) == {"train": 6, "val": 2, "test": 2}


def test_split_groups__another_seed_deals_equal_groups_otherwise() -> None:
    counts = {f"g{number}": [1.0] for number in range(20)}
    assert len({tuple(split_groups(counts, (60, 20, 20), seed).values()) for seed in range(5)}) > 1


@pytest.mark.parametrize("shares", SHARES, ids=str)
@pytest.mark.parametrize("number", [50, 210], ids=["with swaps", "too many groups for swaps"])
def test_split_groups__shares_close_to_the_aim(shares: tuple[int, ...], number: int) -> None:
    rng = np.random.default_rng(3)
    counts = {f"g{i}": [float(rng.integers(1, 5)), float(rng.poisson(4)), float(rng.poisson(1))] for i in range(number)}
    dealt = split_groups(counts, shares, 1)
    totals = np.sum(list(counts.values()), axis=0)
    for name, share in zip(SPLITS, shares, strict=False):
        got = np.sum([row for group, row in counts.items() if dealt[group] == name], axis=0) / totals
        assert got == pytest.approx(np.full(3, share / 100), abs=0.02), name


def test_split_groups__a_huge_group_goes_to_train() -> None:
    counts = {"huge": [60.0, 600.0]} | {f"g{number}": [1.0, 10.0] for number in range(40)}
    for seed in range(3):
        assert split_groups(counts, (60, 20, 20), seed)["huge"] == "train"


def _absent(counts: Counts, where: dict[str, str], names: tuple[str, ...]) -> int:
    """How many pairs of split and column lack each other although enough groups hold the column."""
    table = np.array([counts[group] for group in where])
    splits = np.array(list(where.values()))
    spread = (table > 0).sum(axis=0) >= len(names)
    return sum(int((table[splits == name].sum(axis=0)[spread] <= 0).sum()) for name in names)


@given(groups(min_groups=3), st.sampled_from(SHARES[:3]), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
@example({"a": [1.0, 0.0, 0.0], "b": [1.0, 0.0, 1.0], "c": [1.0, 1.0, 0.0]}, (80, 10, 10), 0)
def test_split_groups__no_split_is_left_without_images(counts: Counts, shares: tuple[int, ...], seed: int) -> None:
    assert set(split_groups(counts, shares, seed).values()) == set(SPLITS[: len(shares)])


@given(groups(min_groups=3, max_groups=7), st.sampled_from(SHARES[:3]), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
@example({"a": [1, 9, 0], "b": [1, 9, 0], "c": [1, 9, 9], "d": [1, 0, 9], "e": [1, 0, 9]}, (60, 20, 20), 0)
def test_split_groups__no_class_is_absent_where_brute_force_finds_a_way(
    counts: Counts, shares: tuple[int, ...], seed: int
) -> None:
    names = SPLITS[: len(shares)]
    possible = min(
        _absent(counts, dict(zip(counts, deal, strict=True)), names)
        for deal in itertools.product(names, repeat=len(counts))
    )
    assert _absent(counts, split_groups(counts, shares, seed), names) == possible


@pytest.mark.parametrize("shares", [(60, 20, 20), (40, 20, 20, 20)], ids=["three splits", "four splits"])
def test_split_groups__too_few_groups(shares: tuple[int, ...]) -> None:
    counts = {f"slide_{number}": [1.0] for number in range(len(shares) - 1)}
    with pytest.raises(UsageError, match=f"at least {len(shares)} groups .* found {len(shares) - 1} .*slide_0"):
        split_groups(counts, shares, 0)
    whole = counts | {"one_more": [1.0]}
    assert sorted(split_groups(whole, shares, 0).values()) == sorted(SPLITS[: len(shares)])


def test_read_split__given_splits_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("group,split\na,train\nb,test\nb,test\n")
    assert read_split(path) == {"a": "train", "b": "test"}
    assert given_split(["b"], read_split(path), path) == {"b": "test"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "group,split\na,train\na,test\n", ":3: group a is in test and in train", id="a group in two splits"
        ),
        pytest.param(
            "group,split\na,training\n",
            ": expected the splits train, val, test, calibration, found training",
            id="unknown split",
        ),
        pytest.param("name,split\na,train\n", ":1: expected the columns group,split, found name,split", id="columns"),
        pytest.param("", "expected the columns", id="an empty file"),
    ],
)
def test_read_split__faults_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(SporeYoloError, match=re.escape(message)):
        read_split(path)


def test_given_split__must_name_every_group(tmp_path: Path) -> None:
    with pytest.raises(InputProblems, match="does not name group c"):
        given_split(["a", "c"], {"a": "train"}, tmp_path / "split.csv")
