from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.dataset.store import load_dataset
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.manifest import ClassifierPart
from tests.conftest import Drawn


@pytest.fixture
def run_folder(
    spore_yolo: Callable[..., Any], tmp_path: Path, drawn: Drawn, untrained_classifier: Path, shape_classifier: None
) -> Path:
    """A run with a classifier alone, which names drawn spots by their shape, and a dataset to measure it on."""
    code, _, error = spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")
    assert code == 0, error
    folder = tmp_path / "runs" / "toy"
    folder.mkdir(parents=True)
    shutil.copy(untrained_classifier, folder / "classifier.pt")
    part = ClassifierPart(
        file="classifier.pt",
        sha256=sha256_file(folder / "classifier.pt"),
        model="yolov8n-cls",
        classes=["debris", "rust", "smut"],
        crop_size=32,
        margin=0.25,
        temperature=1.0,
    )
    write_yaml(folder / "classifier.yaml", {"classifier": part.model_dump(), "figures": {}, "made": {}})
    return folder


def test_recall_is_the_share_of_labels_named_rightly(
    spore_yolo: Callable[..., Any], run_folder: Path, tmp_path: Path
) -> None:
    code, output, error = spore_yolo("evaluate", "--run", run_folder, "--dataset", "toy")
    assert code == 0, error
    folder = run_folder / "evaluation" / "toy-test"
    labels = pd.read_csv(folder / "labels.csv")
    _, boxes = load_dataset("toy", tmp_path / "datasets.yaml").split("test")
    assert len(labels) == len(boxes)
    figures = json.loads((folder / "metrics.json").read_text())["classifier_on_labels"]
    for name in ("rust", "smut"):
        of_class = labels[labels["class"] == name]
        assert figures["per_class"][name]["recall"]["n"] == len(of_class) > 0
        assert figures["per_class"][name]["recall"]["value"] == pytest.approx((of_class["called"] == name).mean())
        assert name in output


def test_slides_that_trained_it_are_refused(spore_yolo: Callable[..., Any], run_folder: Path, tmp_path: Path) -> None:
    images, _ = load_dataset("toy", tmp_path / "datasets.yaml").split("test")
    (run_folder / "trained_on.txt").write_text("\n".join(images["sha256"]))
    code, _, error = spore_yolo("evaluate", "--run", run_folder, "--dataset", "toy")
    assert code == 1
    assert "figures on them would lie" in error


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda run: (run / "classifier.pt").unlink(), "no such file", id="missing"),
        pytest.param(lambda run: (run / "classifier.pt").write_bytes(b"x"), "SHA-256 differs", id="another file"),
        pytest.param(
            lambda run: (run / "classifier.yaml").write_text("a: 1\n"), "expected form", id="foreign manifest"
        ),
    ],
)
def test_damage_is_named(
    spore_yolo: Callable[..., Any], run_folder: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(run_folder)
    code, _, error = spore_yolo("evaluate", "--run", run_folder, "--dataset", "toy")
    assert code == 1
    assert message in error
    assert "Traceback" not in error
