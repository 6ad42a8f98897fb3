"""Stores to track into, and a run that tells all there is to tell."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spore_yolo.experiments.tracking import Tracking, TrackingSettings

Content = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without any run; making one takes seconds, copying it none."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def no_store_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def runs(tmp_path: Path, empty_store: Path) -> Path:
    """A folder of runs with an empty MLflow store."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "results.png"
    Image.new("RGB", (20, 10), (200, 30, 30)).save(path)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    folder = tmp_path / "made" / "pair"
    (folder / "more").mkdir(parents=True)
    (folder / "pair.yaml").write_text("pair_version: 4\n")
    (folder / "more" / "detector.pt").write_bytes(b"weights")
    return folder


def tell(tracking: Tracking, picture: Path, pair: Path, epochs: int = 3) -> None:
    """Tells all there is to tell: a run with two parts."""
    tracking.describe({"dataset": "toy", "classes": ["rust", "smut"]}, {"pipeline": "nightly"})
    with tracking.part("detector") as part:
        part.parameters({"epochs": epochs, "ultralytics": {"mosaic": 0.5}, "device": None})
        part.dataset("toy", "0a" * 32, "training", "1b" * 32)
        for epoch in range(1, epochs + 1):
            part.epoch(epoch, {"train/box_loss": 1 / epoch, "metrics/mAP50": epoch / 10})
        part.metrics({"validation": {"recall": {"value": 0.5, "interval": [0.25, 0.75], "n": 8}, "ap": None}})
        part.figure(picture)
        part.artifact(pair, "pair")
    with tracking.part("evaluation", "toy-test") as part:
        part.tags({"warnings": "few groups"})
        part.metrics({"per_class": {"Puccinia (rust) 100%": {"tp": 3}}, "per_group": [1, 2.5], "merged": False})


def told_run(folder: Path, picture: Path, pair: Path, stores: tuple[Any, ...] = ()) -> Tracking:
    """A run that has told all, to the journal alone unless stores are named."""
    tracking = Tracking(folder, TrackingSettings(stores=stores))
    tell(tracking, picture, pair)
    return tracking


def content_of(uri: str, tmp_path: Path) -> Content:
    """Everything that MLflow's own client reads of an experiment, without what each run has of its own."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("spore-yolo")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    names = {run.info.run_id: run.info.run_name for run in found}
    content: Content = {}
    for run in found:
        artifacts = tmp_path / run.info.run_id
        artifacts.mkdir()
        client.download_artifacts(run.info.run_id, "", str(artifacts))
        parent = run.data.tags.get("mlflow.parentRunId")
        assert run.info.run_name not in content, "a run is there twice"
        content[run.info.run_name] = {
            "status": run.info.status,
            "times": (run.info.start_time, run.info.end_time),
            "parameters": run.data.params,
            "tags": {**run.data.tags, "mlflow.parentRunId": parent and names[parent]},
            "metrics": {
                name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            },
            "datasets": [
                (one.dataset.name, one.dataset.digest, one.tags[0].value) for one in run.inputs.dataset_inputs
            ],
            "artifacts": {
                path.relative_to(artifacts).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(artifacts.rglob("*"))
                if path.is_file()
            },
        }
        shutil.rmtree(artifacts)
    return content


@pytest.fixture
def mlflow_content(tmp_path: Path) -> Callable[[str | Path], Content]:
    """Reads a store by its URI, or the store of a folder of runs."""
    place = tmp_path / "downloads"

    def read(store: str | Path) -> Content:
        uri = f"sqlite:///{store / 'mlflow.db'}" if isinstance(store, Path) else store
        place.mkdir(exist_ok=True)
        return content_of(uri, place)

    return read
