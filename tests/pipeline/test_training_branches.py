"""Branches side by side: which is the best, how far seeds differ, what may be said."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.pipeline.beginning import Branch
from spore_yolo.pipeline.branches import best_of, spread_over_seeds
from spore_yolo.pipeline.configuration import TrainingConfiguration
from spore_yolo.pipeline.ending import branches_text, conclude, joined, outcome


def figure(value: float | None, interval: list[float] | None = None, groups: int = 3) -> dict[str, Any]:
    return {"value": value, "n": 10, "groups": groups, "interval": interval, "more_groups": 0 if interval else 5}


def of_class(recall: float, precision: float, test_recall: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """A class on validation and on test."""
    validation = {"boxes": 10, "recall": figure(recall), "precision": figure(precision)}
    test = {
        **validation,
        "recall": figure(test_recall),
        "tp": round(10 * test_recall),
        "fp": 1,
        "fn": 10 - round(10 * test_recall),
        "specificity_slides": figure(0.9),
        "specificity_crops": figure(0.95),
        "ap50": figure(0.5),
        "false_alarms_per_slide": figure(0.1),
    }
    return validation, test


def result(
    recipe: str = "a",
    seed: int = 0,
    target: tuple[float, float, float] = (0.8, 0.9, 0.8),
    other: tuple[float, float, float] = (0.8, 0.9, 0.8),
    targets: tuple[str, ...] = ("Alternaria",),
) -> dict[str, Any]:
    """A branch with figures of a target and another class: recall and precision on validation, recall on test."""
    classes = {"Alternaria": of_class(*target), "Puccinia": of_class(*other)}
    test = {name: of_test for name, (_, of_test) in classes.items()}
    return {
        "recipe": recipe,
        "seed": seed,
        "run": f"runs/x-{recipe}-s{seed}",
        "failed": None,
        "seconds": {"start": 6.0, "train_detector": 3600.0, "evaluate": 60.0},
        "detector": {},
        "crops": {},
        "classifier": {},
        "calibration": {"promise": None, "name": None, "why": "too few groups\n  details"},
        "evaluation": {
            "folder": "evaluation/x-test",
            "figures": {
                "dataset": "x",
                "split": "test",
                "slides": 12,
                "groups": 3,
                "targets": list(targets),
                "per_class": test,
                "overall": test["Puccinia"],
                "warnings": [],
            },
            "validation": {"slides": 9, "groups": 3, "per_class": {name: val for name, (val, _) in classes.items()}},
            "not_delivered": [],
        },
    }


@pytest.mark.parametrize(
    ("results", "best"),
    [
        pytest.param([result(target=(0.7, 0.9, 0)), result(target=(0.8, 0.9, 0))], 1, id="recall on validation"),
        pytest.param([result(target=(0.7, 0.9, 1)), result(target=(0.8, 0.9, 0))], 1, id="test has no say"),
        pytest.param([result(target=(0.9, 0.1, 0)), result(target=(0.6, 0.8, 0))], 1, id="precision first"),
        pytest.param([result(target=(0.5, 0.1, 0)), result(target=(0.6, 0.1, 0))], 1, id="where none is precise"),
        pytest.param([result(target=(0.8, 0.8, 0)), result(target=(0.8, 0.9, 0))], 1, id="then by precision"),
        pytest.param([result(), result()], 0, id="then by order"),
        pytest.param([result(other=(0, 0, 0)), result(target=(0.7, 0.9, 0))], 0, id="other classes have no say"),
        pytest.param(
            [result(other=(0.76, 0.9, 0), targets=()), result(other=(0.9, 0.9, 0), targets=())],
            1,
            id="without targets all classes have",
        ),
    ],
)
def test_the_best_is_chosen_on_validation(results: list[dict[str, Any]], best: int) -> None:
    assert best_of(results) == best


def test_seeds_of_a_recipe_have_a_mean_and_a_spread() -> None:
    results = [result(seed=seed, target=(0.8, 0.9, test)) for seed, test in enumerate((0.6, 0.7, 0.8))]
    rows = spread_over_seeds([*results, result("b")])
    [recall] = [row for row in rows if row["figure"] == "recall"]
    assert (recall["recipe"], recall["class"], recall["seeds"]) == ("a", "Alternaria", 3)
    assert recall["mean"] == pytest.approx(0.7) and recall["deviation"] == pytest.approx(0.1)
    assert (recall["least"], recall["largest"]) == (0.6, 0.8)


def configured(**changes: Any) -> TrainingConfiguration:
    return TrainingConfiguration.model_validate({"name": "x", "data": {"sample": {}}, **changes})


def failed(step: str, why: str) -> Any:
    """What a branch leaves that failed in a step before the last."""
    return SimpleNamespace(failed={"step": step, "why": why}, failure=None, seconds={"train_detector": 60.0})


def test_the_outcome_of_a_branch_is_what_its_steps_gave_or_why_it_failed() -> None:
    branch = Branch("a", 0, "runs/x")
    good = outcome(branch, SimpleNamespace(failed=None, failure=None, seconds={}, evaluation={"folder": "e"}))
    assert good["failed"] is None and good["evaluation"] == {"folder": "e"} and good["detector"] is None
    early = outcome(branch, failed("train_detector", "memory ran out"))
    assert early["failed"] == {"step": "train_detector", "why": "memory ran out"}
    last = outcome(branch, SimpleNamespace(failed=None, failure=SimpleNamespace(exception="no split test"), seconds={}))
    assert last["failed"] == {"step": "evaluate", "why": "no split test"}


def test_branches_that_failed_are_listed_and_the_others_written(tmp_path: Path, capsys: Any) -> None:
    lost = outcome(Branch("b", 1, "runs/x-b-s1"), failed("train_classifier", "memory ran out"))
    together = joined(configured(runs=str(tmp_path)), {"name": "x-1"}, [lost, result()])
    assert [one["recipe"] for one in together["failed"]] == ["b"] and together["best"] == 0
    written = json.loads((tmp_path / "x-1" / "branches.json").read_text())
    assert written["done"][0]["evaluation"]["figures"]["per_class"]["Alternaria"]["recall"]["value"] == 0.8
    assert "failed: b, seed 1, in train_classifier: memory ran out" in capsys.readouterr().out


def test_where_all_branches_failed_the_flow_fails_and_says_why(tmp_path: Path) -> None:
    lost = [
        outcome(Branch("a", seed, "runs/x"), failed("train_detector", why))
        for seed, why in enumerate(("memory ran out", "the disk is full"))
    ]
    with pytest.raises(SporeYoloError) as caught:
        joined(configured(runs=str(tmp_path)), {"name": "x-1"}, lost)
    assert str(caught.value).splitlines() == [
        "no branch came to its end:",
        "  a, seed 0, in train_detector: memory ran out",
        "  a, seed 1, in train_detector: the disk is full",
    ]
    assert not list(tmp_path.iterdir())


def test_the_table_leads_with_the_targets_and_marks_the_best(tmp_path: Path) -> None:
    together = joined(configured(runs=str(tmp_path)), {"name": "x"}, [result(), result("b", target=(0.9, 0.9, 0.7))])
    lines = branches_text(together).splitlines()
    assert "Puccinia" not in "\n".join(lines)
    assert [line.endswith("best") for line in lines[2:]] == [False, True]


DATASET = {"name": "x", "warnings": ["too few groups in test"]}


def test_what_cannot_be_said_is_said_so(tmp_path: Path) -> None:
    together = joined(configured(runs=str(tmp_path)), {"name": "x"}, [result(), result("b")])
    conclusion = conclude(configured(runs=str(tmp_path)), DATASET, together)
    assert conclusion["can_say"] == [
        "Alternaria: 8 of 10 labelled spores of test were found, recall 0.800; 0.900 of the slides without it raise no"
        " alarm; 0.100 false alarms a slide."
    ]
    told = "\n".join(conclusion["cannot_say"])
    for part in (
        "come from 3 groups of test",
        "No recall is promised: too few groups.",
        "best of 2 pairs",
        DATASET["warnings"][0],
    ):
        assert part in told
    assert "label slides of more groups that hold Alternaria (5 more in test)" in conclusion["next"][0]


def test_a_promise_is_stated_with_its_confidence(tmp_path: Path) -> None:
    promised = result()
    promise = {
        "recall": 0.9,
        "confidence": 0.8,
        "targets": ["Alternaria"],
        "notes": ["half of validation took its place"],
    }
    promised["calibration"] = {"promise": promise, "name": "recall-0.9", "why": None}
    together = joined(configured(runs=str(tmp_path)), {"name": "x"}, [promised])
    conclusion = conclude(configured(runs=str(tmp_path)), {**DATASET, "warnings": []}, together)
    assert "A recall of 0.9 is promised for Alternaria" in conclusion["can_say"][1]
    assert "confidence 0.8" in conclusion["can_say"][1]
    assert "Of the promise: half of validation took its place." in conclusion["cannot_say"]


def test_time_and_cost_are_told_step_by_step(tmp_path: Path) -> None:
    prices = {"default": 0.6, "train_detector": 3.0}
    priced = configured(runs=str(tmp_path), prices_per_hour=prices, currency="CHF")
    together = joined(priced, {"name": "x"}, [result(), result("b")])
    conclusion = conclude(priced, DATASET, together)
    by_step = {row["step"]: (row["tasks"], row["minutes"], row["cost"]) for row in conclusion["steps"]}
    assert by_step["start"] == (1, pytest.approx(0.1), pytest.approx(0.001))  # before the branches: once
    assert by_step["train_detector"] == (2, pytest.approx(120), pytest.approx(6.0))
    assert conclusion["cost"] == pytest.approx(0.001 + 6.0 + 0.02)
    unpriced = conclude(configured(runs=str(tmp_path)), DATASET, together)
    assert unpriced["cost"] is None and unpriced["steps"][0]["cost"] is None
