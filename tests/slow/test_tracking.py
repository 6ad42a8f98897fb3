"""Tracking of real trainings: each epoch once, also after a kill; and MLflow's own pages on such a store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from tests.experiments.tracking.test_unreachable import free_port
from tests.experiments.tracking.test_wandb import offline_runs
from tests.slow.test_report_in_browser import chromium

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "YOLO_OFFLINE": "true", "SPORE_YOLO_TRACKING": "both"}
TRAIN = ["train-detector", "--dataset", "toy", "--tile-size", "96", "--weights", "sample"]
EPOCHS = 6


def program(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spore_yolo.cli.main", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**ENVIRONMENT, **variables}, timeout=900
    )


def found(root: Path) -> tuple[Any, dict[str, Any]]:
    """MLflow's client on the store of the runs, and by name the runs and the parts of the one called toy."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{root / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("spore-yolo")
    all_runs = client.search_runs([experiment.experiment_id])
    [toy] = [run.info.run_id for run in all_runs if run.info.run_name == "toy"]
    runs = [run for run in all_runs if run.data.tags.get("mlflow.parentRunId", toy) == toy]
    assert len({run.info.run_name for run in runs}) == len(runs)
    return client, {run.info.run_name: run for run in runs}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was killed without a word in its middle, resumed, completed and evaluated."""
    from tests.conftest import draw_slides

    root = tmp_path_factory.mktemp("tracked")
    drawn = draw_slides(root, count=20)
    labels = ["--images", drawn.folder.name, "--labels", drawn.labels.name, "--format", "csv"]
    assert program("import", "toy", *labels, cwd=root).returncode == 0
    command = [sys.executable, "-m", "spore_yolo.cli.main", *TRAIN, "--epochs", str(EPOCHS)]
    with (root / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=root, stdout=log, stderr=log, env=ENVIRONMENT, start_new_session=True)
        results = root / "runs" / "toy" / "detector" / "results.csv"
        end = time.monotonic() + 400
        while not (results.exists() and len(results.read_text().splitlines()) >= 4):
            assert process.poll() is None and time.monotonic() < end, (root / "log.txt").read_text()[-3000:]
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for arguments in (
        ["train-detector", "--resume", "--name", "toy"],
        ["train-classifier", "--run", "runs/toy", "--epochs", "2", "--margin", "0.25", "--crop-size", "32"],
        ["evaluate", "--run", "runs/toy", "--dataset", "toy", "--split", "test"],
    ):
        done = program(*arguments, cwd=root)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return root


def test_every_epoch_is_there_once_though_the_training_was_killed(root: Path) -> None:
    client, runs = found(root)
    assert set(runs) == {"toy", "detector", "classifier", "evaluation toy-test"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    detector = runs["detector"]
    table = pd.read_csv(root / "runs" / "toy" / "detector" / "results.csv")
    assert table["epoch"].tolist() == list(range(1, EPOCHS + 1))
    columns = {name.strip().replace("(B)", ""): name for name in table.columns}
    for name in ("train/box_loss", "train/cls_loss", "lr/pg0"):
        history = sorted(client.get_metric_history(detector.info.run_id, name), key=lambda metric: metric.step)
        assert [metric.step for metric in history] == list(range(1, EPOCHS + 1)), name
        assert [metric.value for metric in history] == pytest.approx(table[columns[name]].tolist(), rel=1e-4)
    # Validation begins in the middle; what was not validated has no figures, rather than zeros.
    validated = client.get_metric_history(detector.info.run_id, "metrics/mAP50")
    assert [metric.step for metric in sorted(validated, key=lambda metric: metric.step)] == [4, 5, 6]
    losses = client.get_metric_history(runs["classifier"].info.run_id, "train/loss")
    assert sorted(metric.step for metric in losses) == [1, 2]


def test_figures_pair_and_report_are_artifacts(root: Path) -> None:
    client, runs = found(root)

    def names(run: str, folder: str) -> set[str]:
        return {Path(one.path).name for one in client.list_artifacts(runs[run].info.run_id, folder)}

    assert {"results.png", "BoxPR_curve.png", "confusion_matrix.png"} <= names("detector", "figures")
    assert {"results.png"} <= names("classifier", "figures")
    assert {"precision_recall.png", "confusion.png"} <= names("evaluation toy-test", "figures")
    assert {"report.html", "metrics.json"} <= names("evaluation toy-test", "evaluation")
    assert {"detector.pt", "pair.yaml"} <= names("detector", "pair")
    pair = root / "runs" / "toy" / "pair"
    assert names("classifier", "pair") == {path.name for path in pair.iterdir()}
    kept = client.download_artifacts(runs["classifier"].info.run_id, "pair/pair.yaml", str(root))
    assert Path(kept).read_bytes() == (pair / "pair.yaml").read_bytes()


def test_wandb_has_the_same_figures(root: Path) -> None:
    client, runs = found(root)
    offline = offline_runs(root / "runs" / "toy")
    assert set(offline) == {"detector", "classifier", "evaluation"}
    assert {one["run_group"] for one in offline.values()} == {"toy"}
    epochs = {row["epoch"]: row for row in offline["detector"]["history"] if "train/box_loss" in row}
    history = client.get_metric_history(runs["detector"].info.run_id, "train/box_loss")
    assert {step: row["train/box_loss"] for step, row in epochs.items()} == {m.step: m.value for m in history}
    recall = json.loads((root / "runs/toy/evaluation/toy-test/metrics.json").read_text())["overall"]["recall"]
    assert offline["evaluation"]["summary"]["overall/recall/value"] == pytest.approx(recall["value"])
    assert offline["evaluation"]["summary"]["overall/recall/n"] == recall["n"]


def test_an_unreachable_server_does_not_change_the_training(root: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    options = [*TRAIN, "--name", "alone", "--epochs", "2", "--tracking", "mlflow", "--tracking-uri", uri]
    done = program(*options, "plots=False", cwd=root)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("The work goes on") == 1
    assert f"spore-yolo track runs/alone --tracking-uri {uri}" in done.stdout
    none = program(*TRAIN, "--name", "none", "--epochs", "2", "--tracking", "none", "plots=False", cwd=root)
    assert none.returncode == 0
    assert not (root / "runs" / "none" / "tracking").exists()
    tables = [pd.read_csv(root / "runs" / name / "detector" / "results.csv") for name in ("alone", "none")]
    pd.testing.assert_frame_equal(*[table.drop(columns=["time"]) for table in tables])
    assert program("track", "runs/alone", "--tracking", "mlflow", cwd=root).returncode == 0
    assert "alone" in found(root)[1]


@pytest.fixture(scope="module")
def pages(root: Path) -> Iterator[str]:
    """MLflow's own pages on the store of the runs, as ``make mlflow`` opens them."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", "sqlite:///runs/mlflow.db"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (root / "ui.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=root, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            end = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < end, (root / "ui.txt").read_text()
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def test_mlflow_shows_the_runs_and_the_curves_of_a_part(root: Path, pages: str, tmp_path: Path) -> None:
    _, runs = found(root)
    experiment = f"{pages}/#/experiments/{runs['toy'].info.experiment_id}/runs"
    # MLflow draws a chart only once it is on the screen, which nothing is before something was painted.
    wait = ["--virtual-time-budget=90000", "--run-all-compositor-stages-before-draw", "--window-size=1600,1000"]
    listed = chromium(tmp_path / "profile", *wait, "--dump-dom", experiment).stdout
    assert ">toy<" in listed
    run = chromium(tmp_path / "profile", *wait, "--dump-dom", f"{experiment}/{runs['toy'].info.run_id}").stdout
    for name in ("detector", "classifier", "evaluation toy-test"):
        assert f">{name}<" in run, name
    shot = tmp_path / "metrics.png"
    metrics = f"{experiment}/{runs['detector'].info.run_id}/model-metrics"
    charts = chromium(tmp_path / "profile", *wait, "--dump-dom", metrics).stdout
    assert charts.count("js-plotly-plot") >= 3
    assert "detector (lr/pg0)" in charts
    chromium(tmp_path / "profile", *wait, f"--screenshot={shot}", metrics)
    with Image.open(shot) as seen:
        assert seen.size == (1600, 1000)
        assert len(seen.convert("RGB").getcolors(1 << 24) or []) > 500
