"""The training flow with real trainings at toy scale: beside the single commands, on S3, and killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from spore_yolo.cli.main import main
from tests.lake_server import Bucket
from tests.pipeline.processes import run_script

pytestmark = pytest.mark.slow

SCRIPT = """
import os, signal

from spore_yolo.experiments import classifier_run
from spore_yolo.pipeline.training_flow import TrainingFlow

if "DIES" in os.environ:
    classifier_run.train_classifier = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    TrainingFlow()
"""
"""The flow, whose classifier's training may be killed in the middle of its step, as a machine that goes away does."""

DETECTOR = {"weights": "sample", "epochs": 1, "tile_size": 320, "scale": 0.5, "one_class": True}
CLASSIFIER = {"weights": "sample", "epochs": 1, "margin": 0.25, "crop_size": 64}
FIELDS, SEED = 12, 3


def options(settings: dict[str, Any]) -> list[str]:
    """A recipe's options as words of a command line."""
    words = []
    for key, value in settings.items():
        words += [f"--{key.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


@pytest.fixture(scope="module")
def by_commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the single commands were typed."""
    folder = tmp_path_factory.mktemp("commands")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for words in (
            ["sample", "--output", "drawn", "--fields", str(FIELDS)],
            [
                *("import", "toy", "--images", "drawn/images", "--labels", "drawn/labels.json", "--format", "coco"),
                *("--group-by", "drawn/groups.csv", "--targets", "Cladosporium", "--um-per-px", "0.4"),
            ],
            ["train-detector", "--dataset", "toy", "--seed", str(SEED), *options(DETECTOR)],
            ["train-classifier", "--run", "runs/toy", "--seed", str(SEED), *options(CLASSIFIER)],
            ["evaluate", "--run", "runs/toy", "--dataset", "toy"],
        ):
            assert main(words) == 0, words
    finally:
        os.chdir(before)
    return folder


def write_flow(folder: Path, **changes: Any) -> None:
    configuration = {
        "name": "toy",
        "data": {"sample": {"fields": FIELDS}, "targets": ["Cladosporium"]},
        "recipes": {"quick": {"detector": DETECTOR, "classifier": CLASSIFIER}},
        "seeds": [SEED],
        "calibration": None,
        "tracking": {"stores": ["mlflow"]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pipeline.yaml").write_text(yaml.safe_dump({**configuration, **changes}))
    (folder / "flow.py").write_text(SCRIPT)


def run_flow(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_script(folder / "flow.py", words, folder, **environment)


def figures(text: str | bytes) -> dict[str, Any]:
    """What was measured, but for when and where the pair was made."""
    metrics = json.loads(text)
    return {key: value for key, value in metrics.items() if key != "pair"}


def commands_figures(by_commands: Path) -> dict[str, Any]:
    return figures((by_commands / "runs/toy/evaluation/toy-test/metrics.json").read_text())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_flow_gives_the_figures_of_the_single_commands(
    by_commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "cache"))
    write_flow(tmp_path)
    done = run_flow(tmp_path, "run", "--run-id-file", "id")
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / f"toy-{(tmp_path / 'id').read_text()}"
    mine = figures((run / "evaluation/toy-test/metrics.json").read_text())
    assert mine == commands_figures(by_commands)
    assert mine["overall"]["tp"] > 0
    # The version that it names is that of the files, by their own hashes.
    version = json.loads((run / "dataset_version.json").read_text())["images"]
    drawn = tmp_path / f"data/drawn-{FIELDS}-0/images"
    assert {name: file["sha256"] for name, file in version["files"].items()} == {
        path.relative_to(drawn).as_posix(): sha256(path) for path in drawn.rglob("*.jpg")
    }
    # MLflow's own client reads the figures back.
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("spore-yolo")
    kept = [found.data.metrics for found in client.search_runs([experiment.experiment_id])]
    recall = mine["overall"]["recall"]["value"]
    assert any(value == pytest.approx(recall) for one in kept for key, value in one.items() if "recall" in key)
    cards = list((tmp_path / ".metaflow/mf.cards").rglob("*.html"))
    assert sorted({re.match(r"blank-([a-z]+)-", path.name)[1] for path in cards}) == [  # type: ignore[index]
        "branches",
        "conclusion",
        "dataset",
        "evaluation",
        "failures",
        "training",
    ]
    assert not any("could not be drawn" in path.read_text() for path in cards)


def test_on_s3_killed_and_resumed_on_another_machine_the_figures_are_the_same(
    by_commands: Path, tmp_path: Path, s3: Bucket
) -> None:
    drawn = by_commands / "drawn"
    for path in [*(drawn / "images").rglob("*.jpg"), drawn / "labels.json", drawn / "groups.csv"]:
        s3.put(f"slides/{path.relative_to(drawn).as_posix()}", path.read_bytes())
    write_flow(
        tmp_path,
        data={
            "images": f"{s3.address}/slides/images",
            "labels": f"{s3.address}/slides/labels.json",
            "format": "coco",
            "group_by": f"{s3.address}/slides/groups.csv",
            "targets": ["Cladosporium"],
            "um_per_px": 0.4,
        },
        datasets=f"{s3.address}/register/datasets.yaml",
        imports=f"{s3.address}/register/data",
        runs=f"{s3.address}/runs",
    )
    metaflow = {"METAFLOW_DEFAULT_DATASTORE": "s3", "METAFLOW_DATASTORE_SYSROOT_S3": f"{s3.address}/metaflow"}
    killed = run_flow(tmp_path, "run", "--run-id-file", "id", DIES="1", **metaflow)
    assert killed.returncode != 0
    number = (tmp_path / "id").read_text()
    run = f"runs/toy-{number}"
    before = s3.etags(f"{run}/pair/") | s3.etags(f"{run}/detector/")
    assert f"{run}/pair/detector.pt" in before and f"{run}/pair/classifier.pt" not in before
    written = s3.client.head_object(Bucket=s3.name, Key=f"{run}/pair/detector.pt")["LastModified"]
    # Another machine: of the first one's mirror nothing is left.
    done = run_flow(
        tmp_path, "resume", "--origin-run-id", number, SPORE_YOLO_CACHE=str(tmp_path / "elsewhere"), **metaflow
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Metaflow prints these lines from several threads, so what stands before a message may be another line's.
    assert f"Cloning previously run task {number}/train_detector/" in done.stdout
    assert not re.search(r"train_detector/\d+ \(pid", done.stdout)
    after = s3.etags(f"{run}/")
    assert {key: after[key] for key in before if "pair.yaml" not in key and "trained_on" not in key} == {
        key: etag for key, etag in before.items() if "pair.yaml" not in key and "trained_on" not in key
    }
    assert s3.client.head_object(Bucket=s3.name, Key=f"{run}/pair/detector.pt")["LastModified"] == written
    assert figures(s3.get(f"{run}/evaluation/toy-test/metrics.json")) == commands_figures(by_commands)
    assert not [key for key in after if "/tiles/" in key or "/crops/" in key]
