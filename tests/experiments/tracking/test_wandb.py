"""W&B's offline runs, read back with W&B's own records and its own command."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.experiments.tracking import Tracking, TrackingSettings
from tests.experiments.tracking.conftest import told_run

OFFLINE = TrackingSettings(stores=("wandb",))


def records(path: Path) -> Iterator[Any]:
    """The records of a ``.wandb`` file: W&B's messages in the blocks of a LevelDB log."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, collected = path.read_bytes(), 7, b""
    assert content.startswith(b":W&B")
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        collected += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last of several
            record = Record()
            record.ParseFromString(collected)
            collected = b""
            yield record


def offline_runs(run: Path) -> dict[str, dict[str, Any]]:
    """What W&B's offline runs hold, by their job type."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((run / "tracking" / "wandb").glob("offline-run-*/*.wandb")):
        content: dict[str, Any] = {"history": [], "summary": {}, "artifacts": {}, "exit": None, "folder": path.parent}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run" and record.run.display_name:
                content |= {name: getattr(record.run, name) for name in ("run_id", "project", "run_group", "job_type")}
                content["name"] = record.run.display_name
                content["host"] = record.run.host
                content["config"] = {one.key: json.loads(one.value_json) for one in record.run.config.update}
            elif kind == "history":
                content["history"].append(
                    {"/".join(one.nested_key) or one.key: json.loads(one.value_json) for one in record.history.item}
                )
            elif kind == "summary":
                content["summary"] |= {
                    "/".join(one.nested_key) or one.key: json.loads(one.value_json) for one in record.summary.update
                }
            elif kind == "artifact":
                content["artifacts"][record.artifact.name] = {
                    one.path: hashlib.sha256(Path(one.local_path).read_bytes()).hexdigest()
                    for one in record.artifact.manifest.contents
                }
            elif kind == "exit":
                content["exit"] = record.exit.exit_code
        assert content["job_type"] not in found, "a part is there twice"
        found[content["job_type"]] = content
    return found


def test_all_that_was_told_is_in_an_offline_run(tmp_path: Path, picture: Path, pair: Path) -> None:
    run = tmp_path / "runs" / "toy"
    told_run(run, picture, pair, ("wandb",))
    found = offline_runs(run)
    assert set(found) == {"detector", "evaluation"}
    detector, evaluation = found["detector"], found["evaluation"]
    assert (detector["project"], detector["run_group"], detector["name"]) == ("spore-yolo", "toy", "toy detector")
    assert evaluation["name"] == "toy evaluation toy-test"
    assert detector["host"] == ""
    config = detector["config"]
    assert (config["run.dataset"], config["run.pipeline"], config["epochs"], config["ultralytics.mosaic"]) == (
        "toy",
        "nightly",
        3,
        0.5,
    )
    assert config["device"] is None
    assert config["dataset.version"] == "0a" * 32
    epochs = [row for row in detector["history"] if "train/box_loss" in row]
    assert [(row["epoch"], row["train/box_loss"], row["metrics/mAP50"]) for row in epochs] == [
        (1, 1.0, 0.1),
        (2, 0.5, 0.2),
        (3, 1 / 3, 0.3),
    ]
    summary = detector["summary"]
    assert summary["validation/recall/interval/low"] == 0.25
    assert summary["validation/recall/n"] == 8
    assert evaluation["summary"]["per_class/Puccinia (rust) 100%/tp"] == 3
    (image,) = (detector["folder"] / "files").rglob("*.png")
    assert image.read_bytes() == picture.read_bytes()
    assert set(detector["artifacts"]) == {"toy-environment", "toy-pair"}
    assert detector["artifacts"]["toy-pair"]["more/detector.pt"] == hashlib.sha256(b"weights").hexdigest()
    assert detector["exit"] == evaluation["exit"] == 0


def test_wandb_itself_finds_the_runs(tmp_path: Path, picture: Path, pair: Path) -> None:
    run = tmp_path / "runs" / "toy"
    told_run(run, picture, pair, ("wandb",))
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", str(run / "tracking" / "wandb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    names = [path.name for path in (run / "tracking" / "wandb").iterdir()]
    assert len(names) == 2
    assert all(name in done.stdout + done.stderr for name in names)


def test_a_part_that_failed_says_so(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "toy"
    with pytest.raises(RuntimeError), Tracking(run, OFFLINE).part("detector"):
        raise RuntimeError
    assert offline_runs(run)["detector"]["exit"] == 1


def test_a_resumed_part_is_one_run_with_each_epoch_once(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "toy"
    with pytest.raises(KeyboardInterrupt), Tracking(run, OFFLINE).part("detector") as part:
        part.epoch(1, {"loss": 1.0})
        raise KeyboardInterrupt
    before = offline_runs(run)["detector"]
    with Tracking(run, OFFLINE).part("detector", resume=True) as part:
        part.epoch(1, {"loss": 1.0})
        part.epoch(2, {"loss": 0.5})
    after = offline_runs(run)["detector"]
    assert [(row["epoch"], row["loss"]) for row in after["history"]] == [(1, 1.0), (2, 0.5)]
    assert after["run_id"] == before["run_id"]


def test_a_run_that_was_half_written_is_written_anew(
    tmp_path: Path, picture: Path, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.experiments.tracking.wandb_store import WandbStore

    run = tmp_path / "runs" / "toy"
    told_run(run, picture, pair)
    with monkeypatch.context() as patch:
        patch.setattr(WandbStore, "_artifact", lambda *arguments: (_ for _ in ()).throw(OSError("the disk is full")))
        (remains,) = Tracking(run, OFFLINE).deliver(final=True)
    assert "the disk is full" in remains
    assert Tracking(run, OFFLINE).deliver(final=True) == []
    found = offline_runs(run)
    assert set(found) == {"detector", "evaluation"}
    assert len([row for row in found["detector"]["history"] if "train/box_loss" in row]) == 3
    assert Tracking(run, OFFLINE).deliver(final=True) == []
    assert offline_runs(run) == found


def test_both_stores_at_once_and_one_of_them_later(runs: Path, picture: Path, pair: Path) -> None:
    told_run(runs / "toy", picture, pair, ("mlflow",))
    assert not (runs / "toy" / "tracking" / "wandb").exists()
    shutil.rmtree(pair)
    picture.unlink()
    # A further store gets all of it, figures and artifacts as they were.
    assert Tracking(runs / "toy", TrackingSettings(stores=("mlflow", "wandb"))).deliver(final=True) == []
    assert set(offline_runs(runs / "toy")) == {"detector", "evaluation"}


@pytest.mark.slow
def test_an_unreachable_server_costs_bounded_time_and_loses_nothing(
    tmp_path: Path, picture: Path, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.experiments.tracking import wandb_store

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{one.getsockname()[1]}")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb_store, "SYNC_SECONDS", 8)
    run = tmp_path / "runs" / "toy"
    online = TrackingSettings(stores=("wandb",), wandb_mode="online")
    told_run(run, picture, pair)
    began = time.monotonic()
    (remains,) = Tracking(run, online).deliver(final=True)
    assert time.monotonic() - began < 100  # without the limit above it would be over 120
    assert "not in W&B yet: wandb sync" in remains
    assert set(offline_runs(run)) == {"detector"}
    # What could not be sent is there offline all the same.
    assert Tracking(run, OFFLINE).deliver(final=True) == []
    assert set(offline_runs(run)) == {"detector", "evaluation"}


def test_nobody_is_asked_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    run = tmp_path / "runs" / "toy"
    tracking = Tracking(run, TrackingSettings(stores=("wandb",), wandb_mode="online"))
    with tracking.part("detector"):
        pass
    (remains,) = tracking.deliver(final=True)
    assert "wandb sync" in remains
