from __future__ import annotations

from math import inf, nan

import numpy as np
import pandas as pd
import pytest

from spore_yolo.evaluation.intervals import share_figure
from spore_yolo.evaluation.strata import recall_by

TERCILES = ["blurred third", "middle third", "sharp third"]


def labelled(count: int, seed: int = 0) -> pd.DataFrame:
    """Labelled boxes on slides of 10 groups, whose recall falls with the crowd."""
    rng = np.random.default_rng(seed)
    slide = rng.integers(0, 20, count)
    neighbour = np.where(rng.random(count) < 0.3, 0.0, rng.exponential(1.0, count))
    return pd.DataFrame(
        {
            "slide": [f"{number}.jpg" for number in slide],
            "group": [f"g{number // 2}" for number in slide],
            "class": "rust",
            "found": rng.random(count) < np.where(neighbour == 0, 0.5, 0.9),
            "side_px": rng.uniform(8, 40, count),
            "side_um": nan,
            "density": slide * 3.0,
            "neighbour": neighbour,
            "sharpness": rng.gamma(4, 0.1, count),
        }
    )


def test_every_box_is_in_one_bin_and_the_figures_are_those_of_its_rows() -> None:
    truth = labelled(3000)
    bins = recall_by(truth)
    assert list(bins) == ["side_px", "density", "neighbour", "sharpness"]
    for trait, rows in bins.items():
        assert sum(row["n"] for row in rows) == len(truth)
        for row in rows:
            low = -inf if row["low"] is None else row["low"]
            high = inf if row["high"] is None else row["high"]
            inside = truth[(truth[trait] > low) & (truth[trait] <= high)]
            by_group = inside.groupby("group")["found"]
            assert {key: row[key] for key in row if key not in ("bin", "low", "high")} == share_figure(
                by_group.sum().to_numpy(float), by_group.count().to_numpy(float)
            )
            assert trait == "density" or (row["groups"] == 10 and row["interval"] is not None)


def test_crowded_boxes_by_hand() -> None:
    truth = pd.DataFrame(
        {
            "slide": "a.jpg",
            "group": "g",
            "found": [False, True, True, False, True],
            "neighbour": [0.0, 0.0, 1.0, 1.001, inf],
        }
    )
    rows = recall_by(truth)["neighbour"]
    assert [(row["bin"], row["low"], row["high"], row["n"], row["value"]) for row in rows] == [
        ("touching", None, 0.0, 2, 0.5),
        ("closer than its own size", 0.0, 1.0, 1, 1.0),
        ("farther", 1.0, None, 2, 0.5),
    ]
    assert rows[0]["interval"] is None and rows[0]["more_groups"] == 7


def test_sizes_are_quarters_at_readable_numbers() -> None:
    rows = recall_by(labelled(3000))["side_px"]
    assert [row["bin"] for row in rows] == ["up to 16 px", "16 to 24 px", "24 to 32 px", "over 32 px"]
    assert [(row["low"], row["high"]) for row in rows] == [(None, 16), (16, 24), (24, 32), (32, None)]
    assert all(row["n"] == pytest.approx(750, rel=0.15) for row in rows)


def test_edges_have_as_many_digits_as_tell_them_apart() -> None:
    truth = labelled(400).assign(side_px=np.linspace(100.1, 100.9, 400))
    rows = recall_by(truth)["side_px"]
    assert [row["bin"] for row in rows] == ["up to 100.3 px", "100.3 to 100.5 px", "100.5 to 100.7 px", "over 100.7 px"]


def test_size_is_in_micrometres_where_the_scale_of_all_is_known() -> None:
    truth = labelled(500)
    scaled = truth.assign(side_um=truth["side_px"] / 2)
    assert [row["bin"].split()[-1] for row in recall_by(scaled)["side_um"]] == ["µm"] * 4
    assert "side_px" not in recall_by(scaled)
    scaled.loc[0, "side_um"] = nan
    assert "side_px" in recall_by(scaled) and "side_um" not in recall_by(scaled)


def test_thirds_of_density_hold_as_many_slides_not_boxes() -> None:
    # Nine slides; the densest holds most boxes.
    number = np.repeat(np.arange(9), [2] * 8 + [200])
    truth = pd.DataFrame(
        {"slide": number.astype(str), "group": number.astype(str), "found": True, "density": (number + 1) * 10.0}
    )
    rows = recall_by(truth)["density"]
    assert [row["bin"] for row in rows] == ["up to 37 a megapixel", "37 to 63 a megapixel", "over 63 a megapixel"]
    assert [row["groups"] for row in rows] == [3, 3, 3]
    assert [row["n"] for row in rows] == [6, 6, 204]


def test_thirds_of_sharpness_hold_as_many_boxes() -> None:
    rows = recall_by(labelled(900))["sharpness"]
    assert [(row["bin"], row["n"]) for row in rows] == [(name, 300) for name in TERCILES]


def test_boxes_whose_trait_is_not_known_are_a_bin_of_their_own() -> None:
    truth = labelled(300)
    truth.loc[truth["slide"].isin(["0.jpg", "1.jpg"]), "sharpness"] = nan
    rows = recall_by(truth)["sharpness"]
    assert [row["bin"] for row in rows] == [*TERCILES, "unknown"]
    assert (rows[-1]["low"], rows[-1]["high"]) == (None, None)
    assert rows[-1]["n"] == truth["sharpness"].isna().sum() and rows[-1]["groups"] == 1


@pytest.mark.parametrize(
    "truth",
    [
        pytest.param(labelled(0), id="no boxes"),
        pytest.param(labelled(50)[["slide", "group", "found"]], id="no traits"),
        pytest.param(labelled(50).assign(side_px=nan, density=nan, neighbour=nan, sharpness=nan), id="none known"),
        pytest.param(
            labelled(50).assign(side_px=20.0, density=3.0, neighbour=nan, sharpness=0.2), id="all alike: no parts"
        ),
    ],
)
def test_traits_that_tell_nothing_are_left_out(truth: pd.DataFrame) -> None:
    assert recall_by(truth) == {}


def test_one_box() -> None:
    bins = recall_by(labelled(1))
    assert list(bins) == ["neighbour"]
    assert [row["n"] for row in bins["neighbour"]] == [1]


def test_bins_without_boxes_are_left_out() -> None:
    rows = recall_by(labelled(50).assign(neighbour=2.0))["neighbour"]
    assert [(row["bin"], row["n"]) for row in rows] == [("farther", 50)]
    # Most boxes are of one size, so two of the edges are the same.
    truth = labelled(100).assign(side_px=[10.0] * 60 + list(range(20, 60)))
    rows = recall_by(truth)["side_px"]
    assert [row["bin"] for row in rows] == ["up to 10 px", "10 to 34 px", "over 34 px"]
    assert sum(row["n"] for row in rows) == 100
