"""The steps of the training flow, one after the other, as the flow calls them; stand-ins train."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.pipeline import training_steps as steps
from spore_yolo.pipeline.beginning import Branch
from tests.lake_server import Bucket
from tests.pipeline.toy_flow import DETECTOR, DetectorTrainings, ToyFlow, begun, configuration, run_branch


def train(flow: ToyFlow) -> None:
    """The first step of a branch alone."""
    steps.train_detector(flow.configuration, flow.branch, flow.loaded, flow.about)


def metrics_of(run: Path) -> dict[str, Any]:
    """What was measured, but for the hashes of stand-ins and when they were made."""
    metrics = json.loads((run / "evaluation" / "toy-test" / "metrics.json").read_text())
    return {key: value for key, value in metrics.items() if key != "pair"}


def test_a_branch_gives_a_complete_pair_and_its_figures(toy_flow: ToyFlow, tmp_path: Path) -> None:
    gave = run_branch(toy_flow)
    run = tmp_path / "runs" / "toy-1"
    assert (run / "pair" / "classifier.pt").exists() and not (run / "tiles").exists()
    assert gave["detector"]["curves"]["train/box_loss"] == [2.0, 1.5, 1.0]
    assert gave["crops"]["train"]["debris"]["detector"] > 0
    metrics = metrics_of(run)
    for name in ("rust", "smut"):
        assert gave["evaluation"]["figures"]["per_class"][name]["recall"] == metrics["per_class"][name]["recall"]
    assert gave["evaluation"]["figures"]["targets"] == ["smut"]


@pytest.mark.slow
def test_the_figures_are_those_of_the_single_commands(toy_flow: ToyFlow, tmp_path: Path, spore_yolo: Any) -> None:
    run_branch(toy_flow)
    options = ["--weights", "scratch", "--runs", "by-hand"]
    for words in (
        ["train-detector", "--dataset", "toy", "--tile-size", 96, "--one-class", "--epochs", 3, *options],
        ["train-classifier", "--run", "by-hand/toy", "--margin", 0.25, "--crop-size", 32, "--weights", "scratch"],
        ["evaluate", "--run", "by-hand/toy", "--dataset", "toy"],
    ):
        code, _, err = spore_yolo(*words)
        assert code == 0, err
    assert metrics_of(tmp_path / "runs" / "toy-1") == metrics_of(tmp_path / "by-hand" / "toy")


def test_a_step_that_is_run_again_does_not_train_again(
    toy_flow: ToyFlow, detector_trainings: DetectorTrainings, trainings: Any
) -> None:
    first = run_branch(toy_flow)
    second = run_branch(toy_flow)
    assert detector_trainings.resumed == [False]
    assert len(trainings.settings) == 1
    assert second["evaluation"]["figures"] == first["evaluation"]["figures"]


def test_a_training_that_broke_off_goes_on_from_its_checkpoint(
    toy_flow: ToyFlow, detector_trainings: DetectorTrainings
) -> None:
    detector_trainings.dies = SporeYoloError("the power went")
    with pytest.raises(SporeYoloError, match="the power went"):
        train(toy_flow)
    train(toy_flow)
    assert detector_trainings.resumed == [False, True]


def test_a_machine_that_dies_before_the_first_epoch_leaves_no_second_run_behind(
    toy_flow: ToyFlow, drawn: Any, detector_trainings: DetectorTrainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.experiments import detector_run
    from spore_yolo.experiments.tracking.journal import Journal

    flow = replace(toy_flow, configuration=configuration(drawn, tracking={"stores": []}))
    run, died = Path(flow.branch.run), Path("died")
    real = detector_run.train_detector

    def dies(settings: Any, tiles: Any, folder: Path, *_: Any) -> Any:
        shutil.copytree(folder, died)  # nobody tidies up after a machine that is gone
        raise SporeYoloError("the power went")

    monkeypatch.setattr(detector_run, "train_detector", dies)
    with pytest.raises(SporeYoloError, match="the power went"):
        train(flow)
    assert not run.exists()
    died.rename(run)
    monkeypatch.setattr(detector_run, "train_detector", real)
    train(flow)
    events = Journal(run).read()
    assert [event.kind for event in events].count("begin") == 1
    starts = [event for event in events if event.kind == "start" and event.part == "detector"]
    assert [event.payload["again"] for event in starts] == [None, starts[0].number]
    assert detector_trainings.resumed == [False]


def test_a_dataset_that_another_run_imported_anew_stops_the_branch(toy_flow: ToyFlow, drawn: Any) -> None:
    train(toy_flow)
    with drawn.labels.open("a") as stream:
        stream.write("slide_1.png,5,5,25,25,rust\n")
    begun(configuration(drawn), "2")
    for step in (steps.mine_crops, steps.train_classifier, steps.calibrate, steps.evaluate):
        asked = configuration(drawn, calibration={"recall": 0.2, "confidence": 0.3})
        with pytest.raises(SporeYoloError, match="another run imported it anew since"):
            step(asked, toy_flow.branch, toy_flow.loaded)


def test_a_recipe_that_changed_meanwhile_is_trained_anew(
    toy_flow: ToyFlow, drawn: Any, detector_trainings: DetectorTrainings
) -> None:
    train(toy_flow)
    train(
        replace(
            toy_flow, configuration=configuration(drawn, recipes={"quick": {"detector": {**DETECTOR, "epochs": 4}}})
        )
    )
    assert detector_trainings.resumed == [False, False]


def test_a_run_says_which_flow_made_it_and_which_files_it_saw(toy_flow: ToyFlow, drawn: Any, tmp_path: Path) -> None:
    train(toy_flow)
    run = tmp_path / "runs" / "toy-1"
    about = json.loads((run / "pipeline.json").read_text())
    assert (about["name"], about["recipe"], about["seed"]) == ("toy-1", "quick", 0)
    versions = json.loads((run / "dataset_version.json").read_text())
    assert set(versions["images"]["files"]) == {path.name for path in drawn.folder.iterdir()}
    assert versions["labels"]["version"] == toy_flow.loaded.version("labels")


def test_nothing_to_promise_is_an_outcome_and_a_promise_that_can_be_kept_is_stored_with_the_pair(
    toy_flow: ToyFlow, drawn: Any, tmp_path: Path
) -> None:
    from spore_yolo.inference.manifest import read_manifest

    gave = run_branch(toy_flow)
    assert gave["calibration"]["promise"] is None
    assert "groups" in gave["calibration"]["why"]
    asked_nothing = configuration(drawn, calibration=None)
    skipped = steps.calibrate(asked_nothing, toy_flow.branch, toy_flow.loaded)
    assert skipped["promise"] is None and "calibration: null" in skipped["why"]
    modest = configuration(drawn, calibration={"recall": 0.2, "confidence": 0.3})
    for _ in range(2):  # a step that is run again replaces it
        gave = steps.calibrate(modest, toy_flow.branch, toy_flow.loaded)
        assert gave["promise"]["recall"] == 0.2 and gave["promise"]["targets"] == ["smut"]
    stored = read_manifest(tmp_path / "runs" / "toy-1" / "pair").operating_points
    assert list(stored) == [gave["name"]] == ["recall-0.2"]


@pytest.mark.slow
def test_on_s3_the_figures_are_the_same_and_nothing_temporary_goes_there(
    toy_flow: ToyFlow, drawn: Any, s3: Bucket, tmp_path: Path
) -> None:
    run_branch(toy_flow)
    for path in drawn.folder.iterdir():
        s3.put(f"slides/{path.name}", path.read_bytes())
    s3.put("labels.csv", drawn.labels.read_bytes())
    data = {
        "images": f"{s3.address}/slides",
        "labels": f"{s3.address}/labels.csv",
        "format": "csv",
        "targets": ["smut"],
    }
    places = {key: f"{s3.address}/{key}" for key in ("imports", "runs")}
    remote = begun(configuration(drawn, data=data, datasets=f"{s3.address}/datasets.yaml", **places), "2")
    assert remote.dataset["fingerprint"] == toy_flow.dataset["fingerprint"]
    assert remote.loaded.version("images") == toy_flow.loaded.version("images")
    gave = run_branch(remote)
    content = json.loads(s3.get("runs/toy-2/evaluation/toy-test/metrics.json"))
    assert {key: value for key, value in content.items() if key != "pair"} == metrics_of(tmp_path / "runs" / "toy-1")
    assert gave["evaluation"]["folder"] == "evaluation/toy-test"
    keys = list(s3.etags("runs/"))
    assert "runs/toy-2/pair/classifier.pt" in keys and "runs/toy-2/dataset_version.json" in keys
    assert not [key for key in keys if "/tiles/" in key or "/crops/" in key]


@pytest.mark.slow
def test_on_s3_a_machine_that_is_gone_leaves_its_checkpoint_to_the_next(
    toy_flow: ToyFlow,
    drawn: Any,
    s3: Bucket,
    tmp_path: Path,
    detector_trainings: DetectorTrainings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flow = begun(configuration(drawn, runs=f"{s3.address}/runs"), "3")
    detector_trainings.dies = SporeYoloError("the machine is wanted elsewhere")
    with pytest.raises(SporeYoloError, match="wanted elsewhere"):
        run_branch(flow)
    assert "runs/toy-3/detector/weights/last.pt" in s3.etags()
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "another machine"))
    run_branch(flow)
    assert detector_trainings.resumed == [False, True]


def test_a_checkpoint_is_on_s3_while_the_training_goes_on(
    toy_flow: ToyFlow, drawn: Any, s3: Bucket, detector_trainings: DetectorTrainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.pipeline import travelling, workplace

    monkeypatch.setattr(travelling, "MINUTES_BETWEEN", 0.0)
    monkeypatch.setattr(workplace, "_lasting", lambda name: False)  # what is there came on the way
    flow = begun(configuration(drawn, runs=f"{s3.address}/runs"), "4")
    detector_trainings.dies = SporeYoloError("gone")
    with pytest.raises(SporeYoloError, match="gone"):
        train(flow)
    there = s3.etags()
    assert {"runs/toy-4/detector/weights/last.pt", "runs/toy-4/training.json", "runs/toy-4/run.json"} <= set(there)


@pytest.mark.slow
def test_two_branches_of_one_dataset_do_not_get_in_each_others_way(
    toy_flow: ToyFlow, drawn: Any, tmp_path: Path
) -> None:
    flow = begun(configuration(drawn, seeds=[0, 1]), "5")
    assert [branch.run for branch in flow.branches] == ["runs/toy-5-s0", "runs/toy-5-s1"]
    for branch in flow.branches:
        assert isinstance(branch, Branch)
        run_branch(flow, branch)
        assert (tmp_path / branch.run / "pair" / "classifier.pt").exists()
