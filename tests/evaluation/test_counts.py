from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from spore_yolo.evaluation.counts import count_figures
from spore_yolo.evaluation.intervals import jackknife_interval, mean_interval


def counted(labelled: list[int], detected: list[int], groups: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"group": groups, "labelled": labelled, "detected": detected, "class": "rust"})
    other = table.assign(labelled=7, detected=70, **{"class": "smut"})
    return pd.concat([table, other], ignore_index=True)


def drawn(slides: int, groups: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, slides)
    labelled = rng.poisson(20, slides)
    detected = np.maximum(0, labelled + group % 4 + rng.integers(-3, 3, slides))
    return counted(labelled.tolist(), detected.tolist(), [f"g{number}" for number in group])


def test_bias_and_limits_by_hand() -> None:
    figures = count_figures(counted([10, 20, 30], [12, 20, 34], ["a", "b", "c"]), "rust")
    assert figures["bias"] == {"value": 2.0, "n": 3, "groups": 3, "interval": None, "more_groups": 5}
    assert figures["sd"] == pytest.approx(2.0)  # differences 2, 0, 4
    assert figures["limits_of_agreement"] == pytest.approx([2 - 1.96 * 2, 2 + 1.96 * 2])
    assert figures["r2"]["value"] == pytest.approx(1 - 20 / 200)
    assert figures["n"] == 3


def test_slides_of_a_group_are_alike() -> None:
    # Groups differ by 10, slides within them by 2: differences 0, 2 and 10, 12. Mean squares: between 100, within 2,
    # two slides a group, so the variance is 2 + (100 - 2) / 2.
    figures = count_figures(counted([5, 5, 5, 9], [5, 7, 15, 21], ["a", "a", "b", "b"]), "rust")
    assert figures["sd"] == pytest.approx(51**0.5)
    assert figures["sd"] > np.std([0, 2, 10, 12], ddof=1)


def test_groups_that_do_not_differ_leave_the_variance_within() -> None:
    # Both groups have 0, 2, 4: nothing between them, 4 within.
    figures = count_figures(counted([1, 2, 3] * 2, [1, 4, 7] * 2, ["a"] * 3 + ["b"] * 3), "rust")
    assert figures["sd"] == pytest.approx(2.0)


def test_the_sd_is_that_which_was_put_in() -> None:
    """Groups of 1 to 5 slides whose differences vary by 3 between groups and by 4 within: 5 in all."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(3000), rng.integers(1, 6, 3000))
    difference = np.round(rng.normal(0, 3, 3000)[group] + rng.normal(0, 4, len(group))).astype(int)
    table = counted([100] * len(group), (100 + difference).tolist(), [f"g{number}" for number in group])
    figures = count_figures(table, "rust")
    assert figures["sd"] == pytest.approx(5, rel=0.03)
    low, high = figures["limits_of_agreement"]
    assert np.mean((difference > low) & (difference < high)) == pytest.approx(0.95, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.sampled_from("abcdefghij")), min_size=2))
def test_figures_are_those_of_scikit_learn_and_numpy(rows: list[tuple[int, int, str]]) -> None:
    labelled, detected, groups = (list(column) for column in zip(*rows, strict=True))
    figures = count_figures(counted(labelled, detected, groups), "rust")
    assert figures["bias"]["value"] == pytest.approx(np.mean(np.subtract(detected, labelled)))
    assert figures["bias"]["groups"] == len(set(groups))
    if len(set(labelled)) > 1:
        assert figures["r2"]["value"] == pytest.approx(r2_score(labelled, detected))
    else:
        assert figures["r2"]["value"] is None


def test_intervals_take_groups_as_units() -> None:
    table = drawn(120, 12)
    rows = table[table["class"] == "rust"]
    figures = count_figures(table, "rust")
    difference = (rows["detected"] - rows["labelled"]).groupby(rows["group"])
    bias = mean_interval(difference.sum().to_numpy(float), difference.count().to_numpy(float))
    left = [rows[rows["group"] != group] for group in rows["group"].unique()]
    without = np.array([r2_score(part["labelled"], part["detected"]) for part in left])
    r2 = jackknife_interval(figures["r2"]["value"], without, "plain")
    assert bias is not None and r2 is not None
    assert figures["bias"]["interval"] == pytest.approx(list(bias))
    assert figures["r2"]["interval"] == pytest.approx(list(r2))
    assert figures["bias"]["groups"] == figures["r2"]["groups"] == 12


def test_r2_is_never_said_to_be_above_1() -> None:
    rng = np.random.default_rng(0)
    labelled = rng.poisson(30, 40)
    detected = labelled + np.where(np.arange(40) == 3, 9, 0)
    figures = count_figures(counted(labelled.tolist(), detected.tolist(), [f"g{n % 10}" for n in range(40)]), "rust")
    assert figures["r2"]["interval"][1] == 1.0
    assert figures["r2"]["interval"][0] < figures["r2"]["value"] < 1


def test_the_interval_of_r2_is_unknown_where_one_group_makes_all_the_difference() -> None:
    labelled = [0] * 18 + [5, 5]
    figures = count_figures(counted(labelled, labelled, [f"g{n // 2}" for n in range(20)]), "rust")
    assert figures["r2"]["value"] == 1.0
    assert figures["r2"]["interval"] is None


@pytest.mark.parametrize(
    ("labelled", "detected", "groups", "bias", "sd", "r2"),
    [
        pytest.param([], [], [], None, None, None, id="no slides"),
        pytest.param([3], [5], ["a"], 2.0, None, None, id="one slide"),
        pytest.param([4, 4], [4, 6], ["a", "a"], 1.0, 2**0.5, None, id="one group, all of the same number"),
        pytest.param([1, 3], [1, 3], ["a", "b"], 0.0, 0.0, 1.0, id="all right"),
        pytest.param([0, 2], [2, 0], ["a", "b"], 0.0, 8**0.5, -3.0, id="worse than the mean"),
    ],
)
def test_few_slides(
    labelled: list[int],
    detected: list[int],
    groups: list[str],
    bias: float | None,
    sd: float | None,
    r2: float | None,
) -> None:
    figures = count_figures(counted(labelled, detected, groups), "rust")
    assert (figures["bias"]["value"], figures["r2"]["value"]) == (bias, r2)
    assert figures["sd"] == (None if sd is None else pytest.approx(sd))
    assert (figures["limits_of_agreement"] is None) == (sd is None)
    assert figures["n"] == figures["bias"]["n"] == figures["r2"]["n"] == len(labelled)
