"""The demo at toy scale with real networks: from drawn slides to a pair that other programs can use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.pair import load

pytestmark = pytest.mark.slow

OFFLINE = {**os.environ, "YOLO_OFFLINE": "true"}


def program(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spore_yolo.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=OFFLINE, timeout=1200)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A demo whose detector had twenty seconds."""
    root = tmp_path_factory.mktemp("demo")
    return root / "demo", program("demo", "--fields", "14", "--minutes", "0.33", cwd=root)


def metrics(folder: Path) -> dict:  # type: ignore[type-arg]
    return json.loads((folder / "runs" / "sample" / "evaluation" / "sample-test" / "metrics.json").read_text())


def test_the_result_decides_on_the_exit_code(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = demo
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    overall = metrics(folder)["overall"]
    good = min(overall[key]["value"] or 0 for key in ("recall", "precision")) >= 0.7
    assert done.returncode == (0 if good else 1), done.stderr[-3000:]
    assert "spore-yolo browse --run demo/runs/sample --dataset sample --datasets demo/datasets.yaml" in done.stdout


def test_the_pair_is_whole(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = demo
    content = yaml.safe_load((folder / "runs" / "sample" / "pair" / "pair.yaml").read_text())
    assert set(content["classifier"]["classes"]) >= set(content["classes"])
    assert set(content["operating_point"]["class"]) == set(content["classes"])
    assert content["targets"] == ["Alternaria"]
    assert content["um_per_px"] == 0.4
    assert content["figures"]["classifier"]["calibration"]["n"] > 0
    assert set(content["made"]) == {"detector", "classifier"}


def test_predictions_hold_no_debris_and_candidates_everything(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = demo
    candidates = pd.read_csv(folder / "found" / "candidates.csv")
    detections = pd.read_csv(folder / "found" / "predictions.csv")
    point = yaml.safe_load((folder / "runs" / "sample" / "pair" / "pair.yaml").read_text())["operating_point"]
    assert "debris" not in set(detections["class"])
    over = np.minimum(
        candidates["detector_score"] - point["detector"],
        candidates["class_score"] - candidates["class"].map(point["class"]).fillna(2),
    )
    # The file's scores are rounded: one that lies at its threshold may lie on either side.
    assert (over >= 2e-5).sum() <= len(detections) <= (over >= -2e-5).sum()
    assert len(detections)
    expected = candidates["detector_score"] * candidates["class_score"]
    assert candidates["score"].to_numpy() == pytest.approx(expected.to_numpy(), abs=2e-5)


def test_the_pair_in_another_home_finds_the_same(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = demo
    moved = tmp_path / "home" / "someone else" / "pair"
    shutil.copytree(folder / "runs" / "sample" / "pair", moved)
    slide = str(next(iter(sorted((folder / "slides" / "images").rglob("*.jpg")))))
    home = tmp_path / "home"
    command = [sys.executable, "-m", "spore_yolo.cli.main", "predict", "--pair", str(moved), "--source", slide]
    command += ["--output", str(tmp_path / "found")]
    environment = {**OFFLINE, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    before = load(folder / "runs" / "sample" / "pair").candidates(slide)
    after = pd.read_csv(tmp_path / "found" / "candidates.csv", keep_default_na=False)
    assert after["class"].tolist() == before.data["class_name"].tolist()
    assert after["x_min"].to_numpy() == pytest.approx(before.xyxy[:, 0], abs=0.011)


def test_plain_ultralytics_reads_the_classifier(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """A crop cut by hand, named by `yolo` in a process that knows nothing of this project."""
    folder, _ = demo
    pair = load(folder / "runs" / "sample" / "pair")
    slide = next(iter(sorted((folder / "slides" / "images").rglob("*.jpg"))))
    pixels = np.array(Image.open(slide))
    part = pair.manifest.classifier
    assert part is not None and pair.classifier is not None
    boxes = np.array([[300.0, 300, 360, 340], [800, 700, 840, 760]])
    crops = cut_crops(pixels, boxes, part.margin, part.crop_size)
    ours = np.array(part.classes)[pair.classifier.log_probabilities(crops).argmax(axis=1)]
    for number, crop in enumerate(crops):
        Image.fromarray(crop).save(tmp_path / f"{number}.png")
    code = (
        "from ultralytics import YOLO\n"
        f"model = YOLO({str(pair.folder / 'classifier.pt')!r})\n"
        "for number in range(2):\n"
        f"    result = model(f'{tmp_path}/{{number}}.png', verbose=False)[0]\n"
        "    print('named', result.names[result.probs.top1])\n"
    )
    environment = {**OFFLINE, "YOLO_CONFIG_DIR": str(tmp_path), "YOLO_AUTOINSTALL": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300
    )
    named = [line.removeprefix("named ") for line in done.stdout.splitlines() if line.startswith("named ")]
    assert named == ours.tolist(), done.stderr[-2000:]
