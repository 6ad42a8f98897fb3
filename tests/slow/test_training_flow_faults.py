"""What the training flow does when a branch fails and when the disk is full; each step is a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.conftest import Drawn
from tests.pipeline.processes import ROOT, run_script
from tests.pipeline.toy_flow import configuration

pytestmark = pytest.mark.slow


def write(folder: Path, drawn: Drawn, **changes: Any) -> None:
    whole = configuration(drawn, **changes).model_dump(mode="json", exclude_unset=True)
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(whole))


def run_flow(folder: Path, checkpoint: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"SPOT_CHECKPOINT": str(checkpoint), "SPORE_YOLO_CACHE": str(folder / "cache")}
    return run_script(ROOT / "tests/pipeline/spot_training_flow.py", words, folder, **settings, **environment)


def test_a_branch_that_fails_does_not_stop_the_others(
    labelled: pd.DataFrame, drawn: Drawn, tmp_path: Path, untrained_checkpoint: Path
) -> None:
    recipe = configuration(drawn).model_dump(mode="json", exclude_unset=True)["recipes"]["quick"]
    machines = {"train_classifier": {"catch": True}}
    write(tmp_path, drawn, recipes={"good": recipe, "bad": recipe}, machines=machines)
    done = run_flow(
        tmp_path, untrained_checkpoint, "run", "--run-id-file", "id", "--max-workers", "2", SPOT_FAILS="bad"
    )
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    result = json.loads((tmp_path / f"runs/toy-{(tmp_path / 'id').read_text()}" / "branches.json").read_text())
    assert [one["recipe"] for one in result["done"]] == ["good"]
    assert [(one["recipe"], one["failed"]["step"]) for one in result["failed"]] == [("bad", "train_classifier")]
    assert "needs two classes or more" in result["failed"][0]["failed"]["why"]
    assert "spore-yolo: error: the crops show only rust" in log
    assert "Traceback" not in log
    [card] = (tmp_path / ".metaflow/mf.cards").rglob("blank-branches-*.html")
    assert card.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 30 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("nobody may mount a disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_the_flow_goes_on_where_it_was(
    labelled: pd.DataFrame, drawn: Drawn, tmp_path: Path, untrained_checkpoint: Path, small_disk: Path
) -> None:
    write(tmp_path, drawn, runs=str(small_disk / "runs"))
    full = run_flow(tmp_path, untrained_checkpoint, "run", "--run-id-file", "id")
    log = full.stdout + full.stderr
    assert full.returncode != 0
    assert "the disk is full; make room" in log
    assert "Traceback" not in log
    subprocess.run(["mount", "-o", "remount,size=300m", str(small_disk)], check=True)
    number = (tmp_path / "id").read_text()
    done = run_flow(tmp_path, untrained_checkpoint, "resume", "--origin-run-id", number)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    assert f"Cloning previously run task {number}/split/" in log
    [run] = (small_disk / "runs").glob("toy-*")
    assert (run / "pair" / "classifier.pt").exists() and (run / "evaluation/toy-test/metrics.json").exists()
