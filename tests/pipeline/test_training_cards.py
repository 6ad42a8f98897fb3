"""The cards of the training flow: what they hold, and that names out of data do nothing there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup
from metaflow.cards import Image, Markdown, Table, VegaChart

from spore_yolo.pipeline import cards
from spore_yolo.pipeline.card_parts import NOTHING, curves, escaped, spoken
from spore_yolo.pipeline.ending import conclude, joined, outcome
from spore_yolo.pipeline.loading import check
from tests.pipeline.toy_flow import ToyFlow, run_branch


def content(components: list[Any]) -> list[dict[str, Any]]:
    """What Metaflow makes of components."""
    rendered = [component.render() for component in components]
    assert all(isinstance(one, dict) for one in rendered)
    return rendered


def text(components: list[Any]) -> str:
    whole = json.dumps(content(components), ensure_ascii=False)
    assert "RENDER FAIL" not in whole
    return whole


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        pytest.param("Alternaria_alternata (tap-root) >= 3", "Alternaria_alternata (tap-root) >= 3", id="as it is"),
        pytest.param("*x*", "\u2217x\u2217", id="no emphasis"),
        pytest.param("<script>", f"<{NOTHING}script>", id="no tag"),
        pytest.param("[a](http://b)", f"[a]{NOTHING}(http://b)", id="no link"),
        pytest.param("`a`", "\u2019a\u2019", id="no code"),
        pytest.param("# a", f"{NOTHING}# a", id="no heading"),
        pytest.param("1. a", f"{NOTHING}1. a", id="no list"),
        pytest.param("_a_", "\uff3fa\uff3f", id="no emphasis by lines"),
        pytest.param("a\nb", "a b", id="one line"),
    ],
)
def test_text_out_of_data_does_nothing(given: str, shown: str) -> None:
    assert escaped(given) == shown


def test_a_sentence_of_the_report_keeps_what_is_strong() -> None:
    sentence = Markup("Of 100 {} spores <strong>93</strong> (between 88 and 96) were found.").format("<bdi>")
    assert spoken(sentence) == f"Of 100 <{NOTHING}bdi> spores **93** (between 88 and 96) were found."


def test_curves_leave_out_epochs_that_were_not_validated() -> None:
    columns = {"epoch": [1, 2, 3], "train/box_loss": [3.0, 2.0, 1.0], "val/box_loss": [0.0, 1.5, 1.25]}
    heading, chart = curves("Losses", columns, {"train/box_loss": "training", "val/box_loss": "validation"}, "loss")
    assert isinstance(heading, Markdown) and isinstance(chart, VegaChart)
    [values] = [spec["data"]["values"] for spec in [chart.render()["spec"]]]
    told = {(value["curve"], value["epoch"]): value["value"] for value in values}
    assert told == {
        ("training", 1): 3.0,
        ("training", 2): 2.0,
        ("training", 3): 1.0,
        ("validation", 2): 1.5,
        ("validation", 3): 1.25,
    }


def test_one_epoch_is_no_curve() -> None:
    assert curves("Losses", {"epoch": [1], "train/loss": [1.0]}, {"train/loss": "training"}, "loss") == []
    assert curves("Losses", {}, {"train/loss": "training"}, "loss") == []


@pytest.fixture
def gave(toy_flow: ToyFlow) -> dict[str, Any]:
    return run_branch(toy_flow)


def test_each_card_shows_what_its_step_gave(toy_flow: ToyFlow, gave: dict[str, Any], tmp_path: Path) -> None:
    flow, branch = toy_flow, toy_flow.branch
    dataset = cards.dataset(flow.configuration, flow.loaded, flow.dataset, check(flow.loaded))
    shown = text(dataset)
    assert "10 slides in 10 groups" in shown and flow.loaded.version("images") in shown
    assert flow.dataset["fingerprint"] in shown and "boxes: smut" in shown
    assert any(isinstance(component, Image) for component in dataset)

    detector = text(cards.detector(branch, gave["detector"]))
    assert "3 epochs" in detector and "a stand-in" in detector and '"curve": "box, training"' in detector

    classifier = text(cards.classifier(branch, gave["classifier"], gave["crops"]))
    assert "1,234 crops seen" in classifier and "debris" in classifier

    of_evaluation = cards.evaluation(branch, gave["evaluation"])
    evaluation = text(of_evaluation)
    assert "smut (target)" in evaluation and "Not enough to tell" in evaluation
    metrics = json.loads((tmp_path / "runs/toy-1/evaluation/toy-test/metrics.json").read_text())
    assert f"{metrics['per_class']['smut']['recall']['value']:.3f}" in evaluation
    plots = [component.render()["src"] for component in of_evaluation if isinstance(component, Image)]
    assert len(plots) == 2 and all(plot.startswith("data:image/png;base64,") for plot in plots)

    failures = cards.failures(flow.configuration, flow.loaded, branch, gave["evaluation"])
    wrong = metrics["overall"]["fn"] + metrics["overall"]["fp"]
    assert f"**{metrics['overall']['fn']:,}** labelled spores were missed" in text(failures)
    if wrong:
        assert any(isinstance(component, Table) for component in failures)

    class Task:
        failed, failure, seconds = None, None, {"train_detector": 60.0}

    for name, value in gave.items():
        setattr(Task, name, value)
    result = joined(flow.configuration, flow.about, [outcome(branch, Task)])
    assert "1 pair on test" in text(cards.branches(result))
    conclusion = conclude(flow.configuration, flow.dataset, result)
    last = text(cards.conclusion(conclusion, result))
    assert "What cannot be said" in last and "runs/toy-1" in last and "1.0 minutes" in last


def test_findings_are_on_the_card_of_the_dataset_with_how_to_mend_them(toy_flow: ToyFlow) -> None:
    row = {
        "code": "SPR016",
        "title": "absurd size",
        "counts": {"error": 0, "warning": 3, "note": 0},
        "effect": "teaches",
        "mend": "Look at the box",
        "examples": ["a.csv:3: <b>tiny</b>"],
    }
    findings = {"images": 10, "boxes": 57, "findings": [row], "notes": []}
    shown = text(cards.dataset(toy_flow.configuration, toy_flow.loaded, toy_flow.dataset, findings))
    assert "SPR016" in shown and "Look at the box" in shown and f"<{NOTHING}b>tiny" in shown
