from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spore_yolo.evaluation.comparing import (
    BETTER,
    FIGURES,
    SAME,
    VERDICTS,
    WORSE,
    changed_slides,
    check_comparable,
    compare,
)
from spore_yolo.evaluation.reading import ALL, About, Evaluated, read_evaluation
from spore_yolo.evaluation.report import evaluate_candidates, write_evaluation
from spore_yolo.files.errors import SporeYoloError
from tests.evaluation import hand_worked
from tests.evaluation.written_runs import NINE, Counts, edit, run_of, write_run


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Evaluated]]:
    """Writes evaluations and reads them back, under the names a, b, c …"""

    def make(*runs: Counts, **about: Any) -> list[Evaluated]:
        names = "abcdef"[: len(runs)]
        return [
            read_evaluation(write_run(tmp_path / name, run, **about), name)
            for name, run in zip(names, runs, strict=True)
        ]

    return make


def row_of(table: pd.DataFrame, figure: str, run: str = "b", name: str = "rust") -> pd.Series:
    rows = table[(table["figure"] == figure) & (table["run"] == run) & (table["class"] == name)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_recall_of_equal_groups_is_a_paired_t_test(read: Callable[..., list[Evaluated]]) -> None:
    """With as many labels in each group the difference of recalls is the mean of the groups' differences."""
    before, after = [18, 12, 20, 9, 15, 11, 17, 14, 10], [17, 10, 20, 8, 11, 11, 14, 14, 6]
    a, b = read(run_of(before), run_of(after))
    row = row_of(compare(a, [b]), "recall")
    paired = stats.ttest_rel(np.array(after) / 20, np.array(before) / 20)
    expected = paired.confidence_interval(0.95)
    assert row["difference"] == pytest.approx((111 - 126) / 180)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((expected.low, expected.high))
    assert row["verdict"] == WORSE
    assert paired.pvalue < 0.05
    # Not paired, the same runs would show nothing: groups differ among each other more than the runs do.
    assert stats.ttest_ind(after, before).pvalue > 0.05


def test_precision_of_unequal_groups_agrees_with_leaving_out_a_group_at_a_time(
    read: Callable[..., list[Evaluated]],
) -> None:
    rng = np.random.default_rng(3)
    size = rng.integers(60, 100, 40)
    found_a, found_b = rng.binomial(size, 0.8), rng.binomial(size, 0.75)
    false_a, false_b = rng.poisson(20, 40), rng.poisson(14, 40)

    def counts(found: Any, false: Any) -> Counts:
        return [(f"{i}.jpg", f"g{i}", "rust", int(size[i]), int(found[i]), int(false[i])) for i in range(40)]

    a, b = read(counts(found_a, false_a), counts(found_b, false_b))
    row = row_of(compare(a, [b]), "precision")

    def difference(kept: Any) -> float:
        of_a = found_a[kept].sum() / (found_a + false_a)[kept].sum()
        return float(found_b[kept].sum() / (found_b + false_b)[kept].sum() - of_a)

    without = np.array([difference(np.arange(40) != group) for group in range(40)])
    reach = stats.t.ppf(0.975, 39) * np.sqrt(39 / 40 * np.sum((without - without.mean()) ** 2))
    whole = difference(np.arange(40) >= 0)
    assert row["difference"] == pytest.approx(whole)
    assert row["difference_low"] == pytest.approx(whole - reach, abs=0.05 * reach)
    assert row["difference_high"] == pytest.approx(whole + reach, abs=0.05 * reach)


def test_figures_worked_out_by_hand(read: Callable[..., list[Evaluated]]) -> None:
    """Two slides a group, smut on the first of each only, in 8 groups.

    a finds 3 of 4 smuts on each first slide and has a false alarm on each second; b finds all, and has two false alarms
    on each first slide.
    """
    one, other = [], []
    for group in range(8):
        first, second, own = f"{group}-1.jpg", f"{group}-2.jpg", f"g{group}"
        one += [(first, own, "smut", 4, 3, 0), (second, own, "smut", 0, 0, 1)]
        other += [(first, own, "smut", 4, 4, 2), (second, own, "smut", 0, 0, 0)]
    table = compare(*_split(read(one, other)))
    expected = {
        # figure: a, b, verdict
        "recall": (0.75, 1.0, BETTER),
        "precision": (24 / 32, 32 / 48, WORSE),
        "false_alarms_per_slide": (0.5, 1.0, WORSE),
        "false_alarms_per_megapixel": (0.25, 0.5, WORSE),
        "recall_slides": (1.0, 1.0, SAME),
        "specificity_slides": (0.0, 1.0, BETTER),
    }
    for figure, (a, b, verdict) in expected.items():
        before, row = row_of(table, figure, "a", "smut"), row_of(table, figure, "b", "smut")
        assert (before["value"], row["value"]) == pytest.approx((a, b)), figure
        assert row["difference"] == pytest.approx(b - a), figure
        # All groups differ alike.
        assert (row["difference_low"], row["difference_high"]) == pytest.approx((b - a, b - a)), figure
        assert (before["verdict"], row["verdict"]) == ("baseline", verdict), figure
    assert (row_of(table, "recall", name="smut")["n"], row_of(table, "specificity_slides", name="smut")["n"]) == (32, 8)


def _split(runs: list[Evaluated]) -> tuple[Evaluated, list[Evaluated]]:
    return runs[0], runs[1:]


def test_slides_of_unknown_truth_count_for_the_run_that_knows_them(
    tmp_path: Path, read: Callable[..., list[Evaluated]]
) -> None:
    """All that a reports on the last slide lies on ignored boxes, so nobody knows whether that was right."""
    counts = [(f"{i}.jpg", f"g{i}", "rust", 0, 0, i % 2) for i in range(10)]
    a = read_evaluation(write_run(tmp_path / "unknown", counts, unknown=[("9.jpg", "rust")]), "a")
    b = read_evaluation(write_run(tmp_path / "known", counts), "b")
    table = compare(a, [b])
    of_a, of_b = row_of(table, "specificity_slides", "a"), row_of(table, "specificity_slides", "b")
    assert (of_a["value"], of_a["n"]) == (pytest.approx(5 / 9), 9)
    assert (of_b["value"], of_b["n"]) == (0.5, 10)


def test_all_classes_are_summed_and_slides_counted_once_for_rates(read: Callable[..., list[Evaluated]]) -> None:
    counts = [row for i in range(8) for row in ((f"{i}", f"g{i}", "rust", 2, 1, 1), (f"{i}", f"g{i}", "smut", 6, 6, 2))]
    a, b = read(counts, counts, targets=["smut"])
    assert (a.headline, list(a.classes)) == (["smut"], ["smut", "rust", ALL])
    table = compare(a, [b])
    assert list(table["class"].unique()) == ["smut", "rust", ALL]
    assert row_of(table, "recall", name=ALL)["value"] == pytest.approx(7 / 8)
    assert row_of(table, "false_alarms_per_slide", name=ALL)["value"] == pytest.approx(3)
    assert row_of(table, "false_alarms_per_megapixel", name=ALL)["value"] == pytest.approx(1.5)
    assert row_of(table, "recall_slides", name=ALL)["n"] == 16
    # Only rust has a threshold on class_score.
    assert row_of(table, "recall", name="rust")["class_threshold"] == 0.4
    assert np.isnan(row_of(table, "recall", name="smut")["class_threshold"])


def test_a_class_that_is_called_all_is_not_mistaken_for_the_sum(read: Callable[..., list[Evaluated]]) -> None:
    counts = [row for i in range(8) for row in ((f"{i}", f"g{i}", ALL, 2, 1, 0), (f"{i}", f"g{i}", "smut", 6, 6, 0))]
    a, b = read(counts, counts)
    table = compare(a, [b])
    assert row_of(table, "recall", name=ALL)["value"] == 0.5
    assert len(table["class"].unique()) == 2


groups = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 5), st.integers(0, 5)),
    min_size=8,
    max_size=14,
)


def evaluated(name: str, counts: Counts) -> Evaluated:
    """An evaluation without files."""

    table = pd.DataFrame(counts, columns=["slide", "group", "class", "labelled", "tp", "fp"])
    table = table.assign(
        width=1000,
        height=1000,
        fn=table["labelled"] - table["tp"],
        detected=table["tp"] + table["fp"],
        present=table["labelled"] > 0,
        known=True,
    )
    figures = {"tp": 0, "fp": 0, "fn": 0}
    about = {"dataset": "d", "split": "test", "iou": 0.5, "targets": [], "overall": figures}
    counts_table = table.assign(reported=table["detected"] > 0)
    return Evaluated(name, Path(name), About.model_validate(about | {"per_class": {"rust": figures}}), counts_table)


def pair_of(rows: Sequence[tuple[int, int, int, int, int]]) -> tuple[Evaluated, Evaluated]:
    one = [(f"{i}", f"g{i // 2}", "rust", n, min(x, n), f) for i, (n, x, _, f, _) in enumerate(rows * 2)]
    other = [(f"{i}", f"g{i // 2}", "rust", n, min(y, n), f) for i, (n, _, y, _, f) in enumerate(rows * 2)]
    return evaluated("a", one), evaluated("b", other)


@settings(max_examples=25)
@given(groups)
def test_the_other_way_round_signs_and_verdicts_are_reversed(rows: list[tuple[int, int, int, int, int]]) -> None:
    a, b = pair_of(rows)
    there, back = compare(a, [b]), compare(b, [a])
    reversed_verdict = {BETTER: WORSE, WORSE: BETTER}
    for figure in there["figure"].unique():
        one, other = row_of(there, figure, "b"), row_of(back, figure, "a")
        assert one["difference"] == pytest.approx(-other["difference"], nan_ok=True)
        assert one["difference_low"] == pytest.approx(-other["difference_high"], abs=1e-12, nan_ok=True)
        assert one["verdict"] == reversed_verdict.get(other["verdict"], other["verdict"])


@settings(max_examples=25)
@given(groups)
def test_a_run_does_not_differ_from_itself(rows: list[tuple[int, int, int, int, int]]) -> None:
    a, _ = pair_of(rows)
    table = compare(
        a, [evaluated("b", a.counts[["slide", "group", "class", "labelled", "tp", "fp"]].to_numpy().tolist())]
    )
    found = table[(table["run"] == "b") & table["difference"].notna()]
    assert (found[["difference"]] == 0).all(axis=None)
    known = found[found["difference_low"].notna()]
    assert (known[["difference_low", "difference_high"]] == 0).all(axis=None)
    assert set(known["verdict"]) <= {SAME}
    assert not set(table["verdict"]) & {BETTER, WORSE}


def test_a_known_loss_is_worse_and_chance_is_not(read: Callable[..., list[Evaluated]]) -> None:
    rng = np.random.default_rng(1)
    rates = rng.uniform(0.6, 0.95, 30)

    def run(loss: float) -> Counts:
        return run_of([int(n) for n in rng.binomial(50, rates - loss)], labelled=50)

    table = compare(*_split(read(run(0), run(0), run(0.15))))
    assert row_of(table, "recall", "b")["verdict"] == SAME
    lost = row_of(table, "recall", "c")
    assert lost["verdict"] == WORSE
    assert lost["difference_low"] < -0.15 < lost["difference_high"]


def test_figures_are_those_of_the_evaluation(tmp_path: Path) -> None:
    """The case that is worked out on paper, as the program itself writes it."""
    evaluation = evaluate_candidates(
        hand_worked.candidates(),
        hand_worked.boxes(),
        hand_worked.images(),
        hand_worked.CLASSES,
        hand_worked.point(),
    )
    about = {"dataset": "paper", "split": "test", "slides": 5, "groups": 5, "megapixels": None, "warnings": []}
    about |= {"iou": 0.5, "targets": hand_worked.TARGETS, "pair": None, "classes_merged_to_spore": False}
    about |= {"operating_point": hand_worked.point().model_dump(by_alias=True)}
    metrics = about | evaluation.metrics
    for name in ("one", "two"):
        write_evaluation(tmp_path / name, evaluation, hand_worked.candidates(), metrics, "paper")
    one, two = (read_evaluation(tmp_path / name, name) for name in ("one", "two"))
    check_comparable([one, two])
    table = compare(one, [two])
    for name in hand_worked.CLASSES:
        for figure, stated in metrics["per_class"][name].items():
            if figure in {*FIGURES, "ap50"}:
                row = row_of(table, figure, "two", name)
                assert row["value"] == pytest.approx(
                    np.nan if stated["value"] is None else stated["value"], nan_ok=True
                )
                assert (row["n"], row["groups"]) == (pytest.approx(stated["n"]), stated["groups"])
    for figure in ("recall", "precision", "false_alarms_per_slide", "false_alarms_per_megapixel", "ap50"):
        assert row_of(table, figure, "two", ALL)["value"] == pytest.approx(metrics["overall"][figure]["value"])


def test_predictions_of_another_program_have_the_fingerprint_elsewhere(tmp_path: Path) -> None:
    a = read_evaluation(write_run(tmp_path / "a", NINE), "a")
    truth = {"path": "labels.json", "dataset_fingerprint": "f" * 64}
    b = read_evaluation(write_run(tmp_path / "b", NINE, dataset_fingerprint=None, truth=truth), "b")
    check_comparable([a, b])
    assert (a.about.fingerprint, a.about.title) == ("f" * 64, "leaves, test")


def test_slides_of_unknown_size(tmp_path: Path) -> None:
    runs = []
    for name in "ab":
        folder = write_run(tmp_path / name, NINE, dataset_fingerprint=None, split=None)
        edit("slides.csv", ",2000,1000,", ",,,")(folder)
        runs.append(read_evaluation(folder, name))
    check_comparable(runs)
    table = compare(runs[0], runs[1:])
    assert np.isnan(row_of(table, "false_alarms_per_megapixel")["value"])
    assert row_of(table, "false_alarms_per_megapixel")["verdict"] == ""
    assert row_of(table, "false_alarms_per_slide")["value"] == 0
    sized = read_evaluation(write_run(tmp_path / "c", NINE, dataset_fingerprint=None, split=None), "c")
    with pytest.raises(SporeYoloError, match="slide 0.jpg has other width, nan and 2000"):
        check_comparable([runs[0], sized])
    assert runs[0].about.title == "leaves"


def test_below_8_groups_there_is_no_verdict(read: Callable[..., list[Evaluated]]) -> None:
    table = compare(*_split(read(run_of([20] * 7), run_of([2] * 7))))
    row = row_of(table, "recall")
    assert row["difference"] == pytest.approx(-0.9)
    assert row["verdict"] == "too few groups to tell (7 of 8)"
    assert np.isnan(row["difference_low"])
    assert not table["verdict"].isin(VERDICTS).any()


def test_what_nothing_is_known_of_has_no_verdict(read: Callable[..., list[Evaluated]]) -> None:
    """The second run finds nothing, so it has no precision; and there is no slide without rust."""
    table = compare(*_split(read(run_of([20] * 9), run_of([0] * 9))))
    for figure in ("precision", "specificity_slides"):
        row = row_of(table, figure)
        assert np.isnan(row["value"]) and np.isnan(row["difference"])
        assert row["verdict"] == ""
    assert row_of(table, "recall_slides")["verdict"] == WORSE


def test_ap_stands_as_the_evaluation_states_it(tmp_path: Path) -> None:
    counts = run_of([3] * 8)
    none = {"tp": 24, "fp": 0, "fn": 136, "ap50": None}
    a = read_evaluation(write_run(tmp_path / "a", counts), "a")
    b = read_evaluation(write_run(tmp_path / "b", counts, overall=none, per_class={"rust": none}), "b")
    table = compare(a, [b])
    own = row_of(table, "ap50", "a")
    assert (own["value"], own["low"], own["high"], own["n"], own["groups"]) == (0.8, 0.7, 0.9, 100, 9)
    assert np.isnan(row_of(table, "ap50", "b")["value"])
    assert row_of(table, "ap50", "b")["verdict"] == ""


def test_slides_whose_misses_changed_most(read: Callable[..., list[Evaluated]]) -> None:
    a, b = read(run_of([20, 10, 10, 5]), run_of([20, 12, 3, 2]))
    table = changed_slides(a, b, ["rust"])
    assert table.to_numpy().tolist() == [["2.jpg", 20, 10, 17, 7], ["3.jpg", 20, 15, 18, 3], ["1.jpg", 20, 10, 8, -2]]
    assert list(table.columns) == ["slide", "labelled", "missed_before", "missed", "change"]
    assert list(changed_slides(a, b, ["rust"], most=1)["slide"]) == ["2.jpg"]


@pytest.mark.parametrize(
    ("counts", "about", "message"),
    [
        pytest.param(
            NINE,
            {"dataset_fingerprint": "e" * 64},
            r"leaves \(eeeeeeeeeeee\), which was imported anew in between",
            id="imported anew",
        ),
        pytest.param(
            NINE,
            {"dataset": "stems", "dataset_fingerprint": "e" * 64},
            r"leaves \(fingerprint ffffffffffff\) and stems \(eeeeeeeeeeee\); evaluate both",
            id="other dataset",
        ),
        pytest.param(NINE, {"dataset_fingerprint": None}, r"leaves \(none\)", id="no fingerprint"),
        pytest.param(NINE, {"split": "val"}, "the splits test and val", id="split"),
        pytest.param(NINE, {"iou": 0.3}, "at IoU >= 0.5 and 0.3", id="iou"),
        pytest.param(
            [(slide, group, "spore", *rest) for slide, group, _, *rest in NINE],
            {},
            "the classes rust and spore.*merged to spore",
            id="classes",
        ),
        pytest.param(
            [(slide, group, "smut", *rest) for slide, group, _, *rest in NINE],
            {},
            "the classes rust and smut; evaluate both on the same classes",
            id="classes without spore",
        ),
        pytest.param(NINE[:-1], {}, "1 slides are in one of them only, such as 8.jpg", id="slides"),
        pytest.param(
            [("0.jpg", "g0", "rust", 19, 10, 0), *NINE[1:]],
            {},
            "0.jpg has other labels of rust, 20 and 19",
            id="labels",
        ),
        pytest.param(
            [("0.jpg", "g1", "rust", 20, 10, 0), *NINE[1:]], {}, "0.jpg has other group, g0 and g1", id="group"
        ),
    ],
)
def test_what_would_lie_is_refused(tmp_path: Path, counts: Counts, about: dict[str, Any], message: str) -> None:
    a = read_evaluation(write_run(tmp_path / "a", NINE), "a")
    b = read_evaluation(write_run(tmp_path / "b", counts, **about), "b")
    with pytest.raises(SporeYoloError, match=rf"a and b cannot be compared: .*{message}"):
        check_comparable([a, a, b])


def test_another_operating_point_may_be_compared(tmp_path: Path) -> None:
    a = read_evaluation(write_run(tmp_path / "a", NINE), "a")
    b = read_evaluation(write_run(tmp_path / "b", NINE, operating_point={"detector": 0.9, "class": {}}), "b")
    c = read_evaluation(write_run(tmp_path / "c", NINE, operating_point=None), "c")
    check_comparable([a, b, c])
    thresholds = [row_of(compare(a, [b, c]), "recall", name)["detector_threshold"] for name in "abc"]
    assert thresholds == pytest.approx([0.3, 0.9, np.nan], nan_ok=True)
