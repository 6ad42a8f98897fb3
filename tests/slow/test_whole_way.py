"""The whole way at toy scale with the real network, and what goes wrong on the way, each command in its own process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from spore_yolo.inference.pair import load
from tests.conftest import draw_slides

pytestmark = pytest.mark.slow

TRAIN = ["train-detector", "--dataset", "toy", "--tile-size", "96", "--weights", "untrained.pt", "plots=False"]
OFFLINE = {**os.environ, "YOLO_OFFLINE": "true"}


def program(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spore_yolo.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=OFFLINE, timeout=900, **options)


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "spore_yolo.cli.main", *arguments]
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=OFFLINE,
        # A shell's background job ignores Ctrl-C and hands that down; the tests may run in one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def interrupt(process: subprocess.Popen[str]) -> str:
    """Presses Ctrl-C, as often as it takes: Python ignores one that comes while an object is being removed."""
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=30)[0]
    raise AssertionError("goes on after ten times Ctrl-C")


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, untrained_checkpoint: Path) -> Path:
    """A folder with a drawn dataset that is imported and a detector that is trained for two epochs."""
    root = tmp_path_factory.mktemp("way")
    drawn = draw_slides(root)
    # Given weights, so that no test depends on whether the pretrained ones can be downloaded.
    shutil.copy(untrained_checkpoint, root / "untrained.pt")
    arguments = ["--images", drawn.folder.name, "--labels", drawn.labels.name, "--format", "csv"]
    assert program("import", "toy", *arguments, cwd=root).returncode == 0
    trained = program(*TRAIN, "--epochs", "2", cwd=root)
    assert trained.returncode == 0, trained.stdout[-3000:] + trained.stderr[-3000:]
    assert "starting from the weights in untrained.pt (349 of 355 tensors)" in trained.stdout
    assert "next: spore-yolo train-classifier --run runs/toy" in trained.stdout
    return root


def test_the_run_is_whole(folder: Path) -> None:
    run = folder / "runs" / "toy"
    assert (run / "detector" / "results.csv").exists()
    assert not (run / "tiles").exists()
    content = yaml.safe_load((run / "pair" / "pair.yaml").read_text())
    assert content["classes"] == ["rust", "smut"]
    assert content["made"]["detector"]["start"] == "the weights in untrained.pt (349 of 355 tensors)"
    assert content["made"]["detector"]["images_seen"] > 0
    assert (
        content["made"]["detector"]["dataset_fingerprint"]
        == json.loads((folder / "data" / "toy" / "manifest.json").read_text())["fingerprint"]
    )
    assert content["detector"]["largest_box"] <= 25


def test_the_checkpoint_tells_nothing_of_the_machine_and_fits_slides(folder: Path) -> None:
    import torch

    path = folder / "runs" / "toy" / "pair" / "detector.pt"
    assert str(folder).encode() not in path.read_bytes()
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    assert checkpoint["train_args"]["imgsz"] == 320  # slides of 300 px, up to the next multiple of 32


def test_evaluate_predict_and_load(folder: Path) -> None:
    for split in ("val", "test"):
        result = program("evaluate", "--run", "runs/toy", "--dataset", "toy", "--split", split, cwd=folder)
        assert result.returncode == 0, result.stderr
    metrics = json.loads((folder / "runs/toy/evaluation/toy-test/metrics.json").read_text())
    assert set(metrics["per_class"]) == {"rust", "smut"}
    result = program("predict", "--run", "runs/toy", "--source", "slides", "--output", "found", cwd=folder)
    assert result.returncode == 0, result.stderr
    candidates = pd.read_csv(folder / "found" / "candidates.csv")
    pair = load(folder / "runs" / "toy")
    again = pair.candidates(folder / "slides" / "slide_0.png")
    assert len(again) == (candidates["slide"] == "slides/slide_0.png").sum()


def test_plain_ultralytics_trains_and_predicts(folder: Path) -> None:
    yolo = [str(Path(sys.executable).with_name("yolo"))]
    environment = {**OFFLINE, "YOLO_CONFIG_DIR": str(folder / "config"), "YOLO_AUTOINSTALL": "false"}

    def run(*arguments: str) -> str:
        result = subprocess.run(
            [*yolo, *arguments], cwd=folder, capture_output=True, text=True, env=environment, timeout=600
        )
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
        return result.stdout + result.stderr

    run("predict", "model=runs/toy/pair/detector.pt", "source=slides/slide_0.png", "conf=0.01", "max_det=3000")
    out = run(
        *("detect", "train", "model=yolov8n.yaml", "data=data/toy/data.yaml", "imgsz=96", "epochs=1"),
        *("plots=False", "workers=0", "pretrained=False", f"project={folder / 'plain'}"),
    )
    assert "6 images" in out or "6 train" in out


def test_interrupted_training_goes_on(folder: Path) -> None:
    process = start(*TRAIN, "--name", "stopped", "--epochs", "12", cwd=folder)
    run = folder / "runs" / "stopped"
    wait_for(run / "training.json", process)
    out = interrupt(process)
    assert process.returncode == 1, out
    assert "spore-yolo: error: interrupted; go on with: spore-yolo train-detector --resume --name stopped" in out
    assert "Traceback" not in out
    assert not (run / "pair").exists()
    seen = json.loads((run / "training.json").read_text())["images_seen"]

    resumed = program("train-detector", "--resume", "--name", "stopped", cwd=folder)
    assert resumed.returncode == 0, resumed.stdout[-3000:] + resumed.stderr[-3000:]
    made = yaml.safe_load((run / "pair" / "pair.yaml").read_text())["made"]["detector"]
    assert made["epochs"] == 12
    assert made["images_seen"] > seen
    assert pd.read_csv(run / "detector" / "results.csv")["epoch"].tolist() == list(range(1, 13))


def test_training_stopped_by_the_clock(folder: Path) -> None:
    began = time.monotonic()
    result = program(*TRAIN, "--name", "clock", "--minutes", "0.2", cwd=folder)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    made = yaml.safe_load((folder / "runs" / "clock" / "pair" / "pair.yaml").read_text())["made"]["detector"]
    # Ultralytics reckons by the epochs before how many there will be, and a slow first one makes it stop early.
    assert 0.08 < made["minutes"] < 2.0
    assert time.monotonic() - began < 300


def test_one_class_and_scale_and_p2(folder: Path) -> None:
    # Other heads than the weights have: most of the backbone fits all the same.
    options = ["--one-class", "--scale", "2", "--model", "yolov8n-p2", "--epochs", "1", "--name", "levers"]
    result = program(*TRAIN, *options, "--tile-size", "128", cwd=folder)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert load(folder / "runs" / "levers").manifest.classes == ["spore"]
    evaluated = program("evaluate", "--run", "runs/levers", "--dataset", "toy", cwd=folder)
    assert "all labels were merged" in evaluated.stdout


@pytest.mark.parametrize(
    ("moment", "command"),
    [
        ("reading images", ["import", "again", "--images", "many/slides", "--labels", "many/labels.csv"]),
        ("looking", ["predict", "--run", "runs/toy", "--source", "slides", "--output", "stopped"]),
        ("looking", ["evaluate", "--run", "runs/toy", "--dataset", "toy", "--split", "val", "--output", "stopped"]),
    ],
    ids=["import", "predict", "evaluate"],
)
def test_ctrl_c_in_the_other_commands(folder: Path, moment: str, command: list[str]) -> None:
    """Each is stopped as soon as its progress bar shows."""
    if moment == "reading images":
        # Enough for seconds: the signal must come before the end.
        draw_slides(folder / "many", count=300)
    process = start(*command, cwd=folder)
    assert process.stdout is not None
    text = ""
    while moment not in text:
        character = process.stdout.read(1)
        assert character, text
        text += character
    out = text + interrupt(process)
    if process.returncode == 0:
        pytest.skip("the command was done before the signal came")
    assert process.returncode == 1, out
    assert "spore-yolo: error: interrupted" in out
    assert "Traceback" not in out
    assert not (folder / "data" / "again").exists()
    assert not (folder / "stopped").exists()
    assert not [path for place in (folder, folder / "data") for path in place.glob(".*.*")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A real file system of one megabyte, which fills up."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"SKIPPED: a small file system cannot be mounted here ({mounted.stderr.strip()}); needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_disk_full(folder: Path, small_disk: Path) -> None:
    data = ["--data", str(small_disk / "data"), "--datasets", str(small_disk / "datasets.yaml")]
    with (small_disk / "filler").open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while stream.write(b"0" * 4096):
            pass
    labels = ["--images", "slides", "--labels", "labels.csv", "--format", "csv"]
    commands = {
        "import": ["import", "full", *labels, *data],
        "predict": ["predict", "--run", "runs/toy", "--source", "slides", "--output", str(small_disk / "found")],
        "evaluate": ["evaluate", "--run", "runs/toy", "--dataset", "toy", "--output", str(small_disk / "report")],
        "train-detector": [*TRAIN, "--epochs", "1", "--runs", str(small_disk / "runs")],
    }
    for name, command in commands.items():
        result = program(*command, cwd=folder)
        assert result.returncode == 1, (name, result.stdout, result.stderr)
        assert "the disk is full" in result.stderr, (name, result.stderr)
        assert "Traceback" not in result.stderr, (name, result.stderr)
    left = {path.name for path in small_disk.rglob("*") if path.is_file()}
    assert left <= {"filler", "run.json", "data.yaml", "sources.json"} | {n for n in left if "tiles" in n}, left
    assert not (small_disk / "found").exists()
    assert not (small_disk / "report").exists()
    assert not (small_disk / "data" / "full").exists()
