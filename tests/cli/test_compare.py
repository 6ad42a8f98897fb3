from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.test_comparing import Counts, write_run

Run = Callable[..., tuple[int, str, str]]


def found_by_group(found: int, false: int = 0, groups: int = 9, wobble: int = 1) -> Counts:
    """Rust, 20 labels a group of two slides, the second of which has none; smut is found everywhere."""
    rows = []
    for number in range(groups):
        first, second, group = f"{number}-1.jpg", f"{number}-2.jpg", f"g{number}"
        rows += [(first, group, "rust", 20, found + wobble * (number % 3 - 1), false)]
        rows += [
            (second, group, "rust", 0, 0, number % 2),
            (first, group, "smut", 5, 5, 0),
            (second, group, "smut", 5, 5, 0),
        ]
    return rows


@pytest.fixture
def runs(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run's evaluation of leaves, test; gives the run's folder."""

    def make(name: str, counts: Counts, **about: object) -> Path:
        about = {"targets": ["rust"]} | about
        return write_run(tmp_path / "runs" / name / "evaluation" / "leaves-test", counts, **about).parent.parent

    return make


def words(text: str) -> str:
    return " ".join(text.split())


def test_three_runs_in_one_table(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    runs("one", found_by_group(15))
    runs("two", found_by_group(15))
    (runs("three", found_by_group(11, false=2), operating_point={"detector": 0.7, "class": {}}) / "pair").mkdir()
    code, out, err = spore_yolo("compare", "runs/one", "runs/two", "runs/three")
    assert code == 0, err
    assert "leaves, test: 18 slides in 9 groups, IoU >= 0.5" in out
    assert "baseline: one" in out
    head, one, two, three = out.split("\nrust\n")[1].split("\n---")[:4]
    assert words(head) == "run recall precision false/slide slides: specificity"
    assert "one 0.750 [" in words(one)
    assert "det. >= 0.3" in one and "class >= 0.4" in one
    assert words(two).count("no difference shown") == 4
    assert "+0.000 [+0.000, +0.000]" in two
    assert "three 0.550 [" in words(three) and "det. >= 0.7" in three
    assert "-0.200 [-0.200, -0.200]" in three and "+1.00 [+1.00, +1.00]" in three
    assert "class >=" not in three
    assert words(three.split("\n\n")[0]).endswith("worse worse worse no difference shown")
    assert "8 comparisons: were" in out and "one in twenty" in out
    assert "smut" not in out
    assert "spore-yolo browse --run runs/three --dataset leaves --split test" in out
    assert max(len(line) for line in out.splitlines()) <= 120


def test_all_classes_and_figures_on_demand(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    places = [runs("one", found_by_group(15)), runs("two", found_by_group(17))]
    code, out, err = spore_yolo("compare", *places, "--per-class")
    assert code == 0, err
    parts = [out.index(f"\n{name}: everything\n") for name in ("rust", "smut", "all classes")]
    assert parts == sorted(parts)
    rust, smut = words(out[parts[0] : parts[1]]), words(out[parts[1] : parts[2]])
    assert "recall two 0.850 [" in rust and "+0.100 [+0.100, +0.100] better" in rust
    assert "AP50 two 0.800 [0.700, 0.900] -" in rust
    # Smut is on every slide, so nobody knows its specificity.
    assert "slides: specificity two - - " in smut
    verdicts = sum(out[parts[0] :].count(verdict) for verdict in (" better\n", " worse\n", " no difference shown\n"))
    assert f"{verdicts} comparisons" in out
    assert max(len(line) for line in out.splitlines()) <= 120


def test_too_few_groups(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    places = [runs("one", found_by_group(15, groups=4)), runs("two", found_by_group(2, groups=4))]
    code, out, err = spore_yolo("compare", *places, "--per-class")
    assert code == 0, err
    assert "-0.650" in out
    assert "too few groups to tell (4 of 8)" in out
    assert "worse" not in out
    assert "no verdicts" in out


def test_without_targets_the_summary_is_of_all_classes(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    places = [runs(name, found_by_group(15), targets=[]) for name in ("one", "two")]
    code, out, err = spore_yolo("compare", *places)
    assert code == 0, err
    assert "\nall classes\n" in out
    # 20 labels of rust, 15 found, and 10 of smut, all found.
    assert "0.833 [" in out


def test_another_baseline_and_names(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    places = [runs("one", found_by_group(15)), runs("two", found_by_group(17))]
    code, out, err = spore_yolo("compare", *places, "--names", "old, new", "--baseline", "new")
    assert code == 0, err
    assert "baseline: new" in out
    assert out.index("\nnew ") < out.index("\nold ")
    assert "-0.100 [-0.100, -0.100]" in out


def test_slides_to_look_at(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    one, two = found_by_group(15, groups=12), found_by_group(15, groups=12)
    # Eleven slides change; the one that changes least is not among the ten.
    for number in range(11):
        slide, group, name, labelled, found, false = two[4 * number]
        two[4 * number] = (slide, group, name, labelled, found - (1 if number == 5 else 3 + number % 2), false)
    two[0] = (*two[0][:4], 18, 0)
    places = [runs("one", one), runs("two", two), runs("same", one)]
    code, out, err = spore_yolo("compare", *places, "--slides")
    assert code == 0, err
    lines = [line.split() for line in out.split("misses differ most (rust):")[1].splitlines()]
    rows = [line for line in lines if line and line[0] in ("two", "same")]
    assert len(rows) == 10
    assert rows[:2] == [["two", "0-1.jpg", "20", "6", "2", "-4"], ["two", "1-1.jpg", "20", "5", "9", "+4"]]
    assert "5-1.jpg" not in {row[1] for row in rows}
    assert [abs(int(row[-1])) for row in rows] == [4] * 5 + [3] * 5


def test_runs_that_miss_alike_have_no_such_slides(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    places = [runs("one", found_by_group(15)), runs("two", found_by_group(15))]
    assert "none: every run misses as many on every slide" in spore_yolo("compare", *places, "--slides")[1]


def test_everything_as_a_file(spore_yolo: Run, runs: Callable[..., Path], tmp_path: Path) -> None:
    places = [runs("one", found_by_group(15)), runs("a|b", found_by_group(17)), runs("three", found_by_group(15))]
    for suffix in ("csv", "json", "md"):
        code, out, err = spore_yolo("compare", *places, "--output", f"reports/all.{suffix}")
        assert code == 0, err
        assert f"reports/all.{suffix}: 63 rows" in out
    table = pd.read_csv(tmp_path / "reports" / "all.csv").fillna({"verdict": ""})
    assert len(table) == 3 * 7 * 3  # classes and all, figures, runs
    row = table[(table["class"] == "rust") & (table["figure"] == "recall") & (table["run"] == "a|b")].iloc[0]
    assert (row["difference"], row["difference_low"], row["verdict"]) == (
        pytest.approx(0.1),
        pytest.approx(0.1),
        "better",
    )
    assert (row["n"], row["groups"]) == (180, 9)
    content = json.loads((tmp_path / "reports" / "all.json").read_text())
    assert content["baseline"] == "one"
    assert content["runs"]["three"]["operating_point"] == {"detector": 0.3, "class": {"rust": 0.4}}
    assert content["comparisons"] == int(table["verdict"].isin(["better", "worse", "no difference shown"]).sum())
    rows = pd.DataFrame(content["rows"]).astype(table.dtypes.to_dict())
    pd.testing.assert_frame_equal(rows.round(6), table)
    markdown = (tmp_path / "reports" / "all.md").read_text().splitlines()
    cells = [line for line in markdown if line.startswith("| ")]
    assert len(cells) == 1 + 63
    assert {line.replace("\\|", "").count("|") for line in cells} == {15}
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["all.csv", "all.json", "all.md"]


def test_a_refusal_writes_nothing(spore_yolo: Run, runs: Callable[..., Path], tmp_path: Path) -> None:
    places = [runs("one", found_by_group(15)), runs("two", found_by_group(15), dataset_fingerprint="0" * 64)]
    code, out, err = spore_yolo("compare", *places, "--output", "all.csv")
    assert code == 1
    assert "one and two cannot be compared: they were evaluated on leaves" in err
    assert out == ""
    assert not (tmp_path / "all.csv").exists()


def test_an_evaluation_of_an_older_program(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    places = [runs("one", found_by_group(15)), runs("two", found_by_group(15))]
    (places[1] / "evaluation" / "leaves-test" / "slides.csv").unlink()
    code, _, err = spore_yolo("compare", *places)
    assert code == 1
    assert "runs/two/evaluation/leaves-test/slides.csv: no such file" in err and "evaluate again" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["runs/one"], "at least two RUNs", id="one run"),
        pytest.param(["runs/one", "runs/two", "--output", "all.xlsx"], "ends in .csv, .json, .md", id="suffix"),
        pytest.param(["runs/one", "runs/two", "--names", "a"], "expected 2 different names, found a", id="names"),
        pytest.param(["runs/one", "runs/two", "--names", "a,a"], "2 different names, found a,a", id="one name twice"),
        pytest.param(["runs/one", "runs/two", "--names", "a,"], "2 different names, found a,", id="empty name"),
        pytest.param(["runs/one", "runs/two", "--baseline", "a"], "expected one of one, two, found a", id="baseline"),
    ],
)
def test_wrong_usage(spore_yolo: Run, runs: Callable[..., Path], options: list[str], message: str) -> None:
    for name in ("one", "two"):
        runs(name, found_by_group(15))
    code, _, err = spore_yolo("compare", *options)
    assert code == 2
    assert message in err


def test_chooses_among_evaluations(spore_yolo: Run, runs: Callable[..., Path]) -> None:
    places = [runs("one", found_by_group(15)), runs("two", found_by_group(15))]
    write_run(places[0] / "evaluation" / "stems-test", found_by_group(15))
    code, _, err = spore_yolo("compare", *places)
    assert code == 2
    assert "leaves-test, stems-test; choose with --dataset" in err
    assert spore_yolo("compare", *places, "--dataset", "leaves")[0] == 0
