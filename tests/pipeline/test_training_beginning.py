"""What the first step of the training flow finds wrong, before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.errors import InputProblems
from spore_yolo.pipeline.beginning import begin, branches
from spore_yolo.pipeline.configuration import TrainingConfiguration
from tests.conftest import Drawn
from tests.lake_server import Bucket
from tests.pipeline.toy_flow import configuration


def test_what_can_be_done_is_noted_with_commit_and_versions(drawn: Drawn) -> None:
    about = begin(configuration(drawn), "17")
    assert about["name"] == "toy-17"
    assert about["versions"]["torch"] and "commit" in about
    # The configuration as it was is kept whole, and is one again.
    assert TrainingConfiguration.model_validate(about["configuration"]) == configuration(drawn)


def test_all_that_is_wrong_is_told_at_once(drawn: Drawn, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("group,split\na,training\n")
    data = {
        "images": str(tmp_path / "nowhere"),
        "labels": str(drawn.labels),
        "format": "csv",
        "group_by": "trap[0-9]+",
        "split": str(tmp_path / "split.csv"),
        "classes": str(tmp_path / "classes.yaml"),
        "allow": ["SPR999"],
    }
    recipes: dict[str, Any] = {
        "a": {"detector": {"model": "yolov9", "ultralytics": {"mosiac": 0.5}}},
        "b": {"classifier": {"weights": "gone.pt"}, "detector": {"tile_size": 100}},
    }
    with pytest.raises(InputProblems) as caught:
        begin(configuration(drawn, data=data, recipes=recipes), "1")
    told = [problem.message for problem in caught.value.problems]
    for part in (
        "data.images: ",
        "data.classes: ",
        "data.group_by: expected a bracket",
        "data.split: ",
        "data.allow: expected codes",
        "recipes.a.detector: --model: expected one of",
        "recipes.a.detector.ultralytics: expected settings of Ultralytics, found mosiac",
        "recipes.b.detector: --tile-size: expected a multiple of 32",
        "recipes.b.classifier.weights: gone.pt: no such file",
    ):
        assert sum(part in message for message in told) == 1, (part, told)
    assert len(told) == 9


def test_an_address_without_anything_is_told_and_one_with_something_is_not(drawn: Drawn, s3: Bucket) -> None:
    s3.put("slides/a.png", b"x")
    data = {"images": f"{s3.address}/slides", "labels": f"{s3.address}/labels.csv", "format": "csv"}
    with pytest.raises(InputProblems) as caught:
        begin(configuration(drawn, data=data), "1")
    assert [problem.message for problem in caught.value.problems] == [
        f"data.labels: {s3.address}/labels.csv: no such file or folder in the bucket"
    ]


def test_what_other_machines_do_not_see_is_told(drawn: Drawn, s3: Bucket, tmp_path: Path) -> None:
    s3.put("slides/a.png", b"x")
    s3.put("labels.csv", b"x")
    (tmp_path / "groups.csv").write_text("image,group\n")
    places = {key: f"{s3.address}/{key}" for key in ("imports", "runs", "datasets")}
    data = {"images": f"{s3.address}/slides", "labels": f"{s3.address}/labels.csv", "format": "csv"}
    elsewhere = configuration(
        drawn, compute="batch", image="x", data={**data, "group_by": str(tmp_path / "groups.csv")}, **places
    )
    with pytest.raises(InputProblems, match=r"data\.group_by: expected an s3:// address.*do not see this one's disk"):
        begin(elsewhere, "1")


@pytest.mark.parametrize(
    ("recipes", "seeds", "runs"),
    [
        pytest.param(["a"], [0], ["runs/x"], id="one needs no name of its own"),
        pytest.param(["a"], [0, 1], ["runs/x-s0", "runs/x-s1"], id="seeds tell them apart"),
        pytest.param(["a", "b"], [5], ["runs/x-a", "runs/x-b"], id="recipes tell them apart"),
        pytest.param(["a", "b"], [0, 1], ["runs/x-a-s0", "runs/x-a-s1", "runs/x-b-s0", "runs/x-b-s1"], id="both"),
    ],
)
def test_each_branch_has_a_folder_of_its_own(
    drawn: Drawn, recipes: list[str], seeds: list[int], runs: list[str]
) -> None:
    configured = configuration(drawn, recipes={name: {} for name in recipes}, seeds=seeds)
    assert [branch.run for branch in branches(configured, "x")] == runs


def test_addresses_of_runs_in_the_lake_stay_addresses(drawn: Drawn) -> None:
    configured = configuration(drawn, runs="s3://bucket/runs/")
    assert [branch.run for branch in branches(configured, "x")] == ["s3://bucket/runs/x"]
