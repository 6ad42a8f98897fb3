"""Exported networks that never saw a slide, and pairs that hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spore_yolo.files.hashes import sha256_file
from spore_yolo.inference.backends.exporting import export_network
from spore_yolo.inference.backends.machine import this_machine
from spore_yolo.inference.backends.packages import Backend, backend_versions
from spore_yolo.inference.backends.runner import Pixels
from spore_yolo.inference.backends.storing import add_backend, checkpoints_of
from spore_yolo.inference.manifest import (
    BackendPart,
    ClassifierPart,
    Difference,
    Machine,
    OperatingPoint,
    PairFigures,
    Verification,
    read_manifest,
)
from spore_yolo.inference.pair import write_pair
from tests.conftest import spot_manifest


def some_pixels(*shape: int, seed: int = 0) -> Pixels:
    """Pixels with structure of every size, as slides have it."""
    import cv2

    rng = np.random.default_rng(seed)
    images = np.zeros(shape, dtype=np.float64)
    for side in (4, 16, shape[1]):
        for image in images:
            image += cv2.resize(rng.uniform(0, 85, (side, side, 3)), (shape[2], shape[1]))
    return images.astype(np.uint8)


@dataclass(frozen=True)
class Exported:
    """The checkpoints of the fixtures, and what was exported from them."""

    folder: Path
    detector: Path
    classifier: Path


def lively(checkpoint: Path, target: Path, size: int) -> Path:
    """A network that answers to what it sees: one that was never trained gives nearly the same for every image."""
    import torch

    content = torch.load(checkpoint, weights_only=False)
    model = content["model"].train()
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over what it sees here
    with torch.no_grad():
        for seed in range(4):
            model(torch.from_numpy(some_pixels(8, size, size, 3, seed=100 + seed)).permute(0, 3, 1, 2) / 255)
        last = model.model[-1]
        for layer in [last.linear] if hasattr(last, "linear") else [one[-1] for one in last.cv3]:
            layer.weight *= 4
            layer.bias.zero_()
    for norm in norms:
        norm.momentum = 0.03
    torch.save({**content, "model": model.eval()}, target)
    return target


@pytest.fixture(scope="session")
def exported(
    tmp_path_factory: pytest.TempPathFactory, untrained_checkpoint: Path, untrained_classifier: Path
) -> Exported:
    """ONNX and networks of 8 bits of a detector and a classifier."""
    folder = tmp_path_factory.mktemp("exported")
    checkpoints = tmp_path_factory.mktemp("lively")
    detector = lively(untrained_checkpoint, checkpoints / "detector.pt", 96)
    classifier = lively(untrained_classifier, checkpoints / "classifier.pt", 32)
    tiles = [some_pixels(1, 96, 96, 3, seed=seed) for seed in range(8)]
    crops = [some_pixels(16, 32, 32, 3, seed=seed) for seed in range(4)]
    samples: dict[Backend, tuple[list[Pixels], list[Pixels]]] = {"openvino-int8": (tiles, crops), "openvino": ([], [])}
    for backend, (of_detector, of_classifier) in samples.items():
        export_network(detector, "detector", 96, backend, folder, of_detector)
        export_network(classifier, "classifier", 32, backend, folder, of_classifier)
    return Exported(folder, detector, classifier)


def record(ap50: float = 0.9, speedup: float = 2.0, backend: str = "openvino", **changes: Any) -> Verification:
    """What a backend gave on this machine, had it been verified."""
    figures = {"recall": 0.8, "precision": 0.8, "candidates": 9, "detections": 5}
    content = {
        "machine": this_machine(),
        "versions": backend_versions(backend),
        "dataset": "toy",
        "dataset_fingerprint": "f" * 64,
        "split": "val",
        "slides": 4,
        "torch": PairFigures(ap50=0.9, **figures),
        "backend": PairFigures(ap50=ap50, **figures),
        "difference": Difference(
            score=0, class_score=0, box=0, named_otherwise=0, only_torch=0, only_backend=0, highest_alone=0
        ),
        "ms_per_tile": {"torch": {1: 100.0}, "backend": {1: 120.0 / speedup, 4: 100.0 / speedup}},
        "batch": 4,
        "workers": 2,
        "date": "2026-11-24T12:00:00+00:00",
    }
    return Verification(**{**content, **changes})


def other_machine(**changes: Any) -> Machine:
    """A machine that differs from this one."""
    return this_machine().model_copy(update=changes)


@pytest.fixture
def exported_pair(tmp_path: Path, exported: Exported) -> Callable[..., Path]:
    """Makes a pair's folder that holds backends, each with its records."""

    def make(**records: list[Verification]) -> Path:
        manifest = spot_manifest(
            classes=["rust", "smut"],
            classifier=ClassifierPart(
                file="classifier.pt",
                sha256="",
                model="yolov8n-cls",
                classes=["debris", "rust", "smut"],
                crop_size=32,
                margin=0.25,
                temperature=1.0,
            ),
            operating_point=OperatingPoint(detector=0.5),
            made={"detector": {"dataset": "toy"}},
        )
        folder = tmp_path / "pair"
        write_pair(folder, manifest, exported.detector, exported.classifier)
        for name, verified in records.items():
            backend = name.replace("_", "-")
            put(folder, exported, backend, verified)
        return folder

    return make


def put(folder: Path, exported: Exported, backend: str, verified: list[Verification]) -> None:
    """Puts a backend into a pair's folder."""
    end = "-int8.xml" if backend.endswith("int8") else ".onnx"
    names = [f"{part}{end}" for part in ("detector", "classifier")]
    files = [*names, *(name.replace(".xml", ".bin") for name in names if name.endswith(".xml"))]
    part = BackendPart(
        detector=names[0],
        classifier=names[1],
        files={name: sha256_file(exported.folder / name) for name in files},
        made_from=checkpoints_of(read_manifest(folder)),
        verified=verified,
    )
    add_backend(folder, backend, part, exported.folder)
