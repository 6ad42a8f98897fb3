from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.evaluation.crops import crop_figures, crops_table
from spore_yolo.evaluation.promise import (
    Bound,
    LabelledPart,
    Losses,
    Specificity,
    betting,
    bound_for,
    choose_promised,
    efficient_path,
    fixed_order,
    fixed_sequence,
    groups_needed,
    halves,
    highest_promise,
    hoeffding_bentkus,
    p_value,
)
from spore_yolo.evaluation.scoring import detections_of
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint
from spore_yolo.inference.proposals import CANDIDATE_SCORE
from spore_yolo.labels.matching import Floats, match_boxes
from spore_yolo.labels.table import COORDINATES, boxes_table
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS

Table = pd.DataFrame
BOUNDS: list[Bound] = ["betting", "hoeffding-bentkus"]
losses = st.lists(st.floats(0, 1), min_size=1, max_size=60).map(np.array)
allowed = st.floats(0.01, 0.99)
deltas = st.floats(0.01, 0.5)


# The bounds


@pytest.mark.parametrize(("miss_rate", "groups"), [(0.0, 45), (0.01, 94), (0.02, 190)])
def test_how_many_groups_hoeffding_bentkus_needs(miss_rate: float, groups: int) -> None:
    assert [hoeffding_bentkus(miss_rate, number, 0.05) <= 0.1 for number in (groups - 1, groups)] == [False, True]
    # Plain Hoeffding: exp(-2 n (0.05 - miss_rate)^2).
    assert math.log(10) / 2 / (0.05 - miss_rate) ** 2 > 6 * groups
    assert groups_needed(np.array([miss_rate]), 0.05, 0.1, "hoeffding-bentkus") == groups


@pytest.mark.parametrize(("miss_rate", "groups"), [(0.0, 48), (0.01, 60), (0.02, 80)])
def test_how_many_groups_betting_needs_where_all_miss_alike(miss_rate: float, groups: int) -> None:
    enough = [betting(np.full(number, miss_rate), 0.05, 0.1) <= 0.1 for number in (groups - 1, groups)]
    assert enough == [False, True]
    assert groups_needed(np.array([miss_rate]), 0.05, 0.1, "betting") == groups


def test_hoeffding_bentkus_is_that_of_mapie() -> None:
    mapie = pytest.importorskip("mapie.risk_control.methods")
    for groups in (1, 7, 45, 94, 190):
        for risk in (0.02, 0.05, 0.15, 0.5):
            # None of them makes a whole number of misses, which a rounding error of theirs takes for the next.
            rates = np.append(0, np.linspace(0.0013, 0.9713, 40))
            theirs = mapie.compute_hoeffding_bentkus_p_value(rates, groups, risk)[:, 0]
            ours = [hoeffding_bentkus(rate, groups, risk) for rate in rates]
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-300)


@given(losses, allowed, deltas)
def test_betting_by_the_book(seen: Floats, risk: float, delta: float) -> None:
    """The capital of arXiv:2101.02703, bet by bet."""
    capital, highest, before = 1.0, 1.0, [0.25]
    for number, loss in enumerate(seen, start=1):
        stake = min(1.0, math.sqrt(2 * math.log(1 / delta) / (len(seen) * before[-1])))
        capital *= 1 - stake * (loss - risk)
        highest = max(highest, capital)
        means = [(0.5 + seen[:i].sum()) / (i + 1) for i in range(1, number + 1)]
        before.append((0.25 + sum((x - mean) ** 2 for x, mean in zip(seen, means, strict=False))) / (number + 1))
    assert betting(seen, risk, delta) == pytest.approx(1 / highest)


def yes_or_no(rng: np.random.Generator, risk: float, shape: tuple[int, int]) -> Floats:
    return (rng.random(shape) < risk).astype(np.float64)


def of_many_boxes(rng: np.random.Generator, risk: float, shape: tuple[int, int]) -> Floats:
    """Ten boxes a group, and groups that differ."""
    return rng.binomial(10, rng.beta(5 * risk, 5 * (1 - risk), shape)) / 10


def all_or_a_little(rng: np.random.Generator, risk: float, shape: tuple[int, int]) -> Floats:
    """Few groups miss all, the others half of what is allowed."""
    lost = risk / 2 / (1 - risk / 2)
    return np.where(rng.random(shape) < lost, 1.0, risk / 2)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("draw", [yes_or_no, of_many_boxes, all_or_a_little])
@pytest.mark.parametrize(("risk", "groups"), [(0.05, 60), (0.15, 40), (0.4, 12)])
def test_p_values_are_valid(bound: Bound, draw: Callable[..., Floats], risk: float, groups: int) -> None:
    """With a miss rate just as allowed no more than delta of the draws are refuted, but for the chance of the draws."""
    draws = 1000
    drawn = draw(np.random.default_rng(5), risk, (draws, groups))
    assert drawn.mean() == pytest.approx(risk, rel=0.05)
    for delta in (0.05, 0.1, 0.3):
        refuted = np.mean([p_value(seen, risk, delta, bound) <= delta for seen in drawn])
        assert refuted <= delta + 3 * math.sqrt(delta * (1 - delta) / draws)


def test_betting_refutes_more_where_groups_have_many_boxes() -> None:
    drawn = of_many_boxes(np.random.default_rng(1), 0.02, (300, 100))
    share = {bound: np.mean([p_value(seen, 0.05, 0.1, bound) <= 0.1 for seen in drawn]) for bound in BOUNDS}
    assert share["betting"] > 0.6 > 0.3 > share["hoeffding-bentkus"]


@given(losses, deltas, st.sampled_from(BOUNDS))
def test_the_highest_promise_can_be_kept_and_no_higher_one(seen: Floats, delta: float, bound: Bound) -> None:
    recall = highest_promise(seen, delta, bound)
    assert 0 <= recall <= 1
    if recall > 0:
        assert p_value(seen, 1 - recall, delta, bound) <= delta
    if recall < 0.998:
        assert p_value(seen, 1 - recall - 0.0011, delta, bound) > delta


@given(losses, allowed, deltas, st.sampled_from(BOUNDS))
def test_groups_needed_carry_the_promise(seen: Floats, risk: float, delta: float, bound: Bound) -> None:
    seen = seen[: 1 + len(seen) // 4]
    needed = groups_needed(seen, risk, delta, bound)
    if seen.mean() >= risk:
        assert needed is None
    elif needed is not None and p_value(seen, risk, delta, bound) > delta:
        assert needed > len(seen)
        # The same groups again and again: their mean is the one seen where all come equally often.
        many = np.resize(seen, needed)
        of_many = many.mean() if bound == "betting" else seen.mean()
        value = betting(many, risk, delta) if bound == "betting" else hoeffding_bentkus(of_many, needed, risk)
        assert value <= delta


@pytest.mark.parametrize("bound", BOUNDS)
def test_without_groups_nothing_is_promised(bound: Bound) -> None:
    assert highest_promise(np.zeros(0), 0.1, bound) == 0
    assert p_value(np.zeros(0), 0.5, 0.1, bound) == 1
    assert groups_needed(np.zeros(0), 0.05, 0.1, bound) == {"betting": 48, "hoeffding-bentkus": 45}[bound]


def test_so_close_that_nobody_has_so_many_groups() -> None:
    assert groups_needed(np.array([0.0499]), 0.05, 0.1, "hoeffding-bentkus") is None


@pytest.mark.parametrize(
    ("labelled", "bound"),
    [
        ({"rust": [1, 1, 1, 2]}, "hoeffding-bentkus"),
        ({"rust": [1, 4, 9]}, "betting"),
        ({"rust": [1, 1], "smut": [5, 6]}, "betting"),
        ({"rust": [1, 1], "smut": []}, "hoeffding-bentkus"),
        ({"rust": []}, "betting"),
    ],
)
def test_bound_for(labelled: dict[str, list[int]], bound: Bound) -> None:
    assert bound_for({name: np.array(counts, dtype=np.float64) for name, counts in labelled.items()}) == bound


# The order of the tests


@pytest.mark.parametrize(
    ("p_values", "passed"),
    [([], 0), ([0.2], 0), ([0.1], 1), ([0.01, 0.09, 0.11, 0.01], 2), ([0.05, 0.05], 2), ([0.3, 0.01], 0)],
)
def test_fixed_sequence(p_values: list[float], passed: int) -> None:
    assert fixed_sequence(p_values, 0.1) == passed


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), deltas)
def test_fixed_sequence_is_that_of_mapie(p_values: list[float], delta: float) -> None:
    mapie = pytest.importorskip("mapie.risk_control.fwer_control")
    refuted = mapie.control_fwer(np.array(p_values), delta, "fixed_sequence")
    assert list(refuted) == list(range(fixed_sequence(p_values, delta)))


def test_the_way_through_a_grid() -> None:
    recall = np.array([[1.0, 1.0, 0.8], [1.0, 1.0, 0.8], [0.9, 0.8, 0.5]])
    specificity = np.array([[0.0, 0.2, 0.6], [0.1, 0.4, 0.7], [0.5, 0.6, 0.9]])
    # (0, 2) and (2, 1) are worse than (1, 2); from there to (2, 2) and from (1, 1) to (2, 0) there is nothing between.
    assert efficient_path(recall, specificity) == [(0, 0), (1, 1), (2, 0), (1, 2), (2, 2)]


def test_a_jump_is_made_in_steps() -> None:
    recall = np.ones((4, 3))
    specificity = np.arange(4)[:, None] + np.arange(3)[None, :].astype(np.float64)
    assert efficient_path(recall, specificity) == [(0, 0), (1, 0), (2, 1), (3, 2)]


def test_of_equal_cells_the_mildest() -> None:
    assert efficient_path(np.ones((3, 3)), np.ones((3, 3))) == [(0, 0)]


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_the_way_leads_from_the_mildest_over_all_efficient_cells(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.integers(0, 3, (2, rows, columns))
    recall = 1 - steps[0].cumsum(0).cumsum(1) / 1000
    specificity = steps[1].cumsum(0).cumsum(1) / 1000
    path = efficient_path(recall, specificity)
    assert path[0] == (0, 0)
    assert len(set(path)) == len(path)
    assert all(recall[before] >= recall[after] for before, after in pairwise(path))
    met = {(recall[cell], specificity[cell]) for cell in path}
    for cell in np.ndindex(rows, columns):
        better = (recall >= recall[cell]) & (specificity > specificity[cell])
        better |= (recall > recall[cell]) & (specificity >= specificity[cell])
        assert better.any() or (recall[cell], specificity[cell]) in met


# Real groups


def drawn_groups(seed: int, groups: int, classes: tuple[str, ...] = ("rust", "smut")) -> tuple[Table, Table, Table]:
    """Two slides a group with labels, a few ignored, most of them found, many named right; and false alarms."""
    rng = np.random.default_rng(seed)
    rows, found, images = [], [], []
    for group in range(groups):
        for slide in (f"g{group}/a.png", f"g{group}/b.png"):
            images.append((slide, f"g{group}", 1000, 1000))
            for place in range(int(rng.integers(0, 9))):
                x, y, side, name = 100.0 * place, rng.uniform(0, 900), 40.0, str(rng.choice(classes))
                rows.append((slide, name, x, y, x + side, y + side, bool(rng.random() < 0.05), "l.csv", 1))
                for _ in range(int(rng.choice([0, 1, 2], p=[0.05, 0.8, 0.15]))):
                    said = name if rng.random() < 0.9 else str(rng.choice([*classes, DEBRIS]))
                    shift = rng.uniform(-5, 5)
                    box = (x + shift, y, x + shift + side, y + side)
                    found.append((slide, said, rng.beta(4, 1), rng.beta(5, 1), *box))
            for _ in range(6):
                x, y = rng.uniform(0, 900, 2)
                said = str(rng.choice([*classes, DEBRIS]))
                found.append((slide, said, rng.beta(1, 4), rng.uniform(0.3, 1), x, y, x + 40, y + 40))
    table = pd.DataFrame(found, columns=["slide", "class", "detector_score", "class_score", *COORDINATES])
    table = table.assign(score=table["detector_score"] * table["class_score"], detector_class="spore")
    columns = ["image", "group", "width", "height"]
    return table[CANDIDATE_COLUMNS], boxes_table(rows), pd.DataFrame(images, columns=columns)


STORED = OperatingPoint(detector=0.3, class_={"rust": 0.5, "smut": 0.6})


@pytest.mark.parametrize("targets", [["rust"], ["smut", "rust"]])
def test_miss_rates_are_those_of_matching_group_by_group(targets: list[str]) -> None:
    candidates, boxes, images = drawn_groups(3, 12)
    part = LabelledPart(candidates, boxes, images, targets)
    for point in (STORED, OperatingPoint(detector=0.7, class_={"rust": 0.9, "smut": 0.0})):
        found = detections_of(candidates, point)
        seen = part.losses(point)
        assert list(seen) == targets
        for target in targets:
            expected = []
            for _, of_group in images.groupby("group"):
                missed = labelled = 0
                for slide in of_group["image"]:
                    truth = boxes[(boxes["image"] == slide) & (boxes["class"] == target) & ~boxes["ignored"]]
                    ours = found[(found["slide"] == slide) & (found["class"] == target)]
                    corners = [table[COORDINATES].to_numpy(dtype=np.float64) for table in (ours, truth)]
                    matching = match_boxes(corners[0], ours["score"].to_numpy(), corners[1], np.zeros((0, 4)))
                    labelled += len(truth)
                    missed += len(truth) - int((matching.truth_of >= 0).sum())
                expected += [(missed / labelled, labelled)] if labelled else []
            assert 0 < np.mean([rate for rate, _ in expected]) < 1
            assert sorted(zip(seen[target], part.labelled[target], strict=True)) == sorted(expected)


def test_specificity_is_that_of_the_evaluation() -> None:
    candidates, boxes, images = drawn_groups(4, 10)
    figures = crop_figures(crops_table(candidates, boxes, images, STORED), ["rust", "smut"])
    expected = {name: figures[name]["specificity"]["value"] for name in figures}
    assert LabelledPart(candidates, boxes, images, ["rust", "smut"]).specificity(STORED) == pytest.approx(expected)


def test_groups_without_a_label_of_the_target_do_not_count() -> None:
    candidates, boxes, images = drawn_groups(12, 9)
    held = boxes[~boxes["ignored"]].assign(group=boxes["image"].str.split("/").str[0]).groupby("class")["group"]
    before = {name: set(groups) for name, groups in held}
    assert {"g2", "g4"} < before["smut"]
    boxes = boxes[~(boxes["image"].str.startswith("g2/") & (boxes["class"] == "smut"))]
    boxes = boxes.assign(ignored=boxes["ignored"] | (boxes["image"].str.startswith("g4/") & (boxes["class"] == "smut")))
    part = LabelledPart(candidates, boxes, images, ["rust", "smut"])
    assert {name: len(seen) for name, seen in part.losses(STORED).items()} == {
        "rust": len(before["rust"]),
        "smut": len(before["smut"]) - 2,
    }


def test_nothing_found_and_nothing_labelled() -> None:
    candidates, boxes, images = drawn_groups(3, 4)
    part = LabelledPart(candidates.iloc[:0], boxes, images, ["rust"])
    assert part.losses(STORED)["rust"].tolist() == [1.0] * 4
    assert part.specificity(STORED) == {"rust": None}
    assert fixed_order(part, STORED, 0.9) == [
        OperatingPoint(detector=CANDIDATE_SCORE, class_={"rust": 0.0, "smut": 0.6})
    ]
    without = LabelledPart(candidates, boxes.iloc[:0], images, ["rust"])
    assert without.losses(STORED)["rust"].tolist() == []
    assert len(fixed_order(without, STORED, 0.9)) == 1


def test_the_order_begins_with_the_most_permissive_point_and_recall_falls() -> None:
    candidates, boxes, images = drawn_groups(7, 12)
    part = LabelledPart(candidates, boxes, images, ["rust"])
    points = fixed_order(part, STORED, 0.8)
    assert len(points) > 8
    assert points[0] == OperatingPoint(detector=CANDIDATE_SCORE, class_={"rust": 0.0, "smut": 0.6})
    assert {point.class_["smut"] for point in points} == {0.6}, "other classes stay"
    recall = [1 - part.losses(point)["rust"].mean() for point in points]
    assert recall == sorted(recall, reverse=True)
    assert recall[0] > recall[-1]


def test_a_pair_without_a_classifier_has_no_class_thresholds() -> None:
    candidates, boxes, images = drawn_groups(8, 12)
    candidates = candidates.assign(class_score=np.nan, score=candidates["detector_score"])
    points = fixed_order(LabelledPart(candidates, boxes, images, ["rust"]), OperatingPoint(detector=0.4), 0.8)
    assert all(point.class_ == {} for point in points)
    thresholds = [point.detector for point in points]
    assert len(points) > 4
    assert thresholds == sorted(thresholds)


def test_the_calibration_groups_have_no_say_in_the_order() -> None:
    candidates, boxes, images = drawn_groups(9, 12)
    order, calibrate = halves(images, boxes, ["rust"])
    points = fixed_order(LabelledPart(candidates, boxes, order, ["rust"]), STORED, 0.8)
    rng = np.random.default_rng(0)
    other = candidates["slide"].isin(calibrate["image"])
    changed = candidates.assign(
        detector_score=np.where(other, rng.random(len(candidates)), candidates["detector_score"]),
        class_score=np.where(other, rng.random(len(candidates)), candidates["class_score"]),
    )
    boxes = boxes[boxes["image"].isin(order["image"]) | (rng.random(len(boxes)) < 0.5)]
    assert fixed_order(LabelledPart(changed, boxes, order, ["rust"]), STORED, 0.8) == points
    ours = LabelledPart(candidates, boxes, calibrate, ["rust"])
    assert fixed_order(ours, STORED, 0.8) != points, "other groups give another order"


def test_halves() -> None:
    _, boxes, images = drawn_groups(10, 21)
    boxes = boxes[~boxes["image"].str.fullmatch("g[0-6]/.*") | (boxes["class"] != "smut")]
    first, second = halves(images, boxes, ["smut"])
    assert sorted([*first["image"], *second["image"]]) == sorted(images["image"])
    assert not set(first["group"]) & set(second["group"])
    with_target = set(images.loc[images["image"].isin(boxes.loc[boxes["class"] == "smut", "image"]), "group"])
    assert 10 < len(with_target) < 21
    for groups in (with_target, set(images["group"])):
        assert abs(len(groups & set(first["group"])) - len(groups & set(second["group"]))) <= 1
    again = halves(images.sample(frac=1, random_state=1), boxes.sample(frac=1, random_state=2), ["smut"])
    assert set(again[1]["group"]) == set(second["group"])


# The choice


@dataclass
class Told:
    """Groups whose figures are given; a point's detector threshold is its place."""

    of_targets: list[Losses]
    specificities: list[Specificity]

    def losses(self, point: OperatingPoint) -> Losses:
        return self.of_targets[round(point.detector * 100)]

    def specificity(self, point: OperatingPoint) -> Specificity:
        return self.specificities[round(point.detector * 100)]

    def finders(self) -> dict[str, Floats]:
        raise AssertionError("the choice does not ask for them")


def points_of(count: int) -> list[OperatingPoint]:
    return [OperatingPoint(detector=place / 100) for place in range(count)]


def all_miss(*rates: float, groups: int = 60) -> list[Losses]:
    return [{"rust": np.full(groups, rate)} for rate in rates]


def test_the_first_failure_ends_the_tests() -> None:
    part = Told(all_miss(0, 0.005, 0.04, 0.0), [{"rust": value} for value in (0.1, 0.5, 0.9, 0.99)])
    choice = choose_promised(part, points_of(4), 0.95, 0.9, "betting")
    assert (choice.passed, choice.point) == (2, OperatingPoint(detector=0.01))
    assert choice.losses["rust"].mean() == pytest.approx(0.005)
    assert choice.specificity == {"rust": 0.5}
    assert choice.most_permissive["rust"].mean() == 0
    assert choice.highest == highest_promise(np.zeros(60), 0.1, "betting")


def test_of_those_that_pass_the_best_specificity_and_of_equals_the_strictest() -> None:
    part = Told(all_miss(0, 0, 0, 0), [{"rust": value} for value in (0.1, 0.6, 0.6, 0.2)])
    assert choose_promised(part, points_of(4), 0.95, 0.9, "betting").point == OperatingPoint(detector=0.02)


def test_every_target_must_pass() -> None:
    both = [{"rust": np.zeros(60), "smut": np.full(60, rate)} for rate in (0, 0.04)]
    part = Told(both, [{"rust": 0.5, "smut": None}, {"rust": 0.9, "smut": None}])
    choice = choose_promised(part, points_of(2), 0.95, 0.9, "betting")
    assert (choice.passed, choice.point) == (1, OperatingPoint(detector=0.0))


def test_nothing_passes() -> None:
    both: Losses = {"rust": np.zeros(60), "smut": np.full(30, 0.01)}
    choice = choose_promised(Told([both], [{"rust": 0.5, "smut": 0.5}]), points_of(1), 0.95, 0.9, "betting")
    assert (choice.point, choice.passed) == (None, 0)
    assert choice.losses is both
    assert 0.8 < choice.highest == highest_promise(np.full(30, 0.01), 0.1, "betting") < 0.95


def test_the_promise_is_kept_as_often_as_stated() -> None:
    """Forty groups, points of rising true risk: a point whose risk is above the allowed 0.15 may be chosen by few."""
    rng, draws = np.random.default_rng(2), 300
    risks = np.linspace(0.05, 0.3, 26)
    broken = chosen = 0
    for _ in range(draws):
        # A group has eight boxes and is as hard at one point as at another.
        level = rng.uniform(0, 1, (40, 1, 8))
        hard = rng.choice([0.2, 1.8], (40, 1, 1))
        seen = (level < hard * risks[None, :, None]).mean(axis=2)
        part = Told([{"rust": row} for row in seen.T], [{"rust": risk} for risk in risks])
        choice = choose_promised(part, points_of(len(risks)), 0.85, 0.9, "betting")
        if choice.point is not None:
            chosen += 1
            broken += risks[round(choice.point.detector * 100)] > 0.15 + 1e-9
    assert chosen > 0.9 * draws
    assert 0 < broken <= 0.1 * draws
