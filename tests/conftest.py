"""Drawn slides on which dark spots are the spores, and a pair that finds dark spots without any training."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import Image

pytest_plugins = ["tests.lake_server", "tests.toy_runs"]

# Nothing is tracked unless a test asks for it: making a store takes seconds.
os.environ["SPORE_YOLO_TRACKING"] = "none"

# A busy machine is slow at times, and a check that lands changes must give the same answer twice.
hypothesis.settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("house")

GROUND, SPOT = 200, 40


@dataclass
class Drawn:
    """Drawn slides: the folder, a CSV with their labels, and the boxes of each slide."""

    folder: Path
    labels: Path
    boxes: dict[str, list[tuple[int, int, int, int]]] = field(default_factory=dict)


def draw_slides(root: Path, count: int = 10, size: tuple[int, int] = (300, 220), spots: int = 9) -> Drawn:
    """Draws slides with dark, well separated spots; the last slide is empty."""
    rng = np.random.default_rng(0)
    drawn = Drawn(root / "slides", root / "labels.csv")
    drawn.folder.mkdir(parents=True)
    width, height = size
    rows = ["image,x_min,y_min,x_max,y_max,class"]
    for number in range(count):
        name = f"slide_{number}.png"
        pixels = rng.integers(GROUND - 6, GROUND + 6, (height, width, 3)).astype(np.uint8)
        boxes: list[tuple[int, int, int, int]] = []
        taken = np.zeros((height, width), dtype=bool)
        while number < count - 1 and len(boxes) < spots:
            w, h = rng.integers(12, 26, 2)
            x, y = rng.integers(0, width - w), rng.integers(0, height - h)
            if taken[max(0, y - 3) : y + h + 3, max(0, x - 3) : x + w + 3].any():
                continue
            taken[y : y + h, x : x + w] = True
            pixels[y : y + h, x : x + w] = SPOT
            boxes.append((int(x), int(y), int(x + w), int(y + h)))
        Image.fromarray(pixels).save(drawn.folder / name)
        drawn.boxes[name] = boxes
        rows += [f"{name},{x0},{y0},{x1},{y1},{'rust' if x0 % 4 else 'smut'}" for x0, y0, x1, y1 in boxes]
        rows += [f"{name},,,,,"] if not boxes else []
    drawn.labels.write_text("\n".join(rows) + "\n")
    return drawn


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    return draw_slides(tmp_path)


@pytest.fixture
def spore_yolo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs the program in a fresh folder; gives the exit code, standard output and standard error."""
    from spore_yolo.cli.main import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse's own way out
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


class SpotNetwork:
    """Stands in for YOLO's network: gives a box for each dark spot, in the network's own output form."""

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def __call__(self, pixels: Any) -> Any:
        import torch
        from scipy import ndimage

        found = []
        for image in pixels.cpu().numpy():
            spots, _ = ndimage.label(image.mean(axis=0) < (SPOT + GROUND) / 2 / 255 / 1.15)
            found.append([(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in ndimage.find_objects(spots)])
        most = max(1, *(len(boxes) for boxes in found))
        output = torch.zeros(len(found), 4 + self.classes, most)
        for index, boxes in enumerate(found):
            for place, (x0, y0, x1, y1) in enumerate(boxes):
                output[index, :4, place] = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
                output[index, 4, place] = 0.9
        return output


@pytest.fixture(scope="session")
def untrained_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real YOLOv8n checkpoint with one class that never saw a slide."""
    from spore_yolo.inference.ultralytics_setup import import_ultralytics

    import_ultralytics()
    import torch
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    model = DetectionModel("yolov8n.yaml", nc=1, verbose=False)
    model.names = {0: "spore"}
    path = tmp_path_factory.mktemp("checkpoint") / "untrained.pt"
    torch.save({"model": model, "train_args": {"imgsz": 640}, "epoch": -1, "date": None, "version": "0"}, path)
    return path


@pytest.fixture(scope="session")
def untrained_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real YOLOv8n-cls checkpoint with the classes debris, rust and smut that never saw a crop."""
    from spore_yolo.inference.ultralytics_setup import import_ultralytics

    import_ultralytics()
    import torch
    from ultralytics.nn.tasks import ClassificationModel

    torch.manual_seed(0)
    model = ClassificationModel("yolov8n-cls.yaml", nc=3, verbose=False)
    model.names = dict(enumerate(["debris", "rust", "smut"]))
    path = tmp_path_factory.mktemp("checkpoint") / "untrained-cls.pt"
    arguments = {"imgsz": 32, "task": "classify"}
    torch.save({"model": model, "train_args": arguments, "epoch": -1, "date": None, "version": "0"}, path)
    return path


def stand_in(monkeypatch: pytest.MonkeyPatch, task: str, network: Callable[[Any], Any]) -> None:
    """Every network for a task that torch runs is this one, whatever its weights."""
    from spore_yolo.inference.backends.torch_runner import TorchRunner

    original = TorchRunner.__init__

    def init(self: TorchRunner, checkpoint: Path, of: Any, *arguments: Any, **options: Any) -> None:
        original(self, checkpoint, of, *arguments, **options)
        if of == task:
            self._run = network(self)

    monkeypatch.setattr(TorchRunner, "__init__", init)


def detectors_find_spots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every detector finds dark spots, whatever its weights."""
    stand_in(monkeypatch, "detect", lambda runner: SpotNetwork(len(runner.names)))


@pytest.fixture
def spot_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every detector finds dark spots, whatever its weights."""
    detectors_find_spots(monkeypatch)


def shape_opinions(crops: Any) -> Any:
    """Log probabilities of debris, rust and smut: wide spots are rust, tall ones smut, nearly square ones debris."""
    from scipy import ndimage

    shares = []
    for crop in crops:
        spots, _ = ndimage.label(crop.mean(axis=2) < (SPOT + GROUND) / 2)
        middle = len(crop) // 2
        dark = spots == max(1, spots[middle, middle])
        wide, tall = int(dark.any(axis=0).sum()), int(dark.any(axis=1).sum())
        place = 0 if abs(wide - tall) <= 0.1 * max(wide, tall) else 1 if wide > tall else 2
        shares.append(np.where(np.arange(3) == place, 0.8, 0.1))
    return np.log(np.array(shares).reshape(-1, 3))


def shape_network(pixels: Any) -> Any:
    """Stands in for YOLO's classifier: gives what :func:`shape_opinions` says, in the network's own output form."""
    import torch

    opinions = torch.from_numpy(shape_opinions(pixels.permute(0, 2, 3, 1).mul(255).round().byte().numpy()))
    return opinions.exp(), opinions


@pytest.fixture
def shape_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every classifier goes by the shape of a dark spot, see :func:`shape_opinions`."""
    classifiers_go_by_shape(monkeypatch)


def classifiers_go_by_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every classifier goes by the shape of a dark spot, see :func:`shape_opinions`."""

    def shape(runner: Any) -> Any:
        def run(pixels: Any) -> Any:
            runner.network(pixels)  # whoever looks into the real network sees something
            return shape_network(pixels)

        return run

    stand_in(monkeypatch, "classify", shape)


def spot_manifest(**changes: Any) -> Any:
    """The manifest of a pair whose detector finds dark spots on tiles of 96 px, so that a slide has many."""
    from spore_yolo.inference.manifest import PAIR_VERSION, DetectorPart, OperatingPoint, PairManifest

    part = DetectorPart(
        file="detector.pt",
        sha256="",
        model="yolov8n",
        classes=["spore"],
        one_class=True,
        tile_size=96,
        scale=1.0,
        largest_box=26,
        nms_iou=0.6,
        max_detections_per_tile=300,
    )
    content = {
        "pair_version": PAIR_VERSION,
        "classes": ["spore"],
        "targets": [],
        "detector": part,
        "operating_point": OperatingPoint(detector=0.5),
    }
    return PairManifest(**{**content, **changes})


@pytest.fixture
def spot_pair(tmp_path: Path, untrained_checkpoint: Path, spot_detector: None) -> Path:
    """The folder of a pair without a classifier whose detector finds dark spots."""
    from spore_yolo.inference.pair import write_pair

    folder = tmp_path / "runs" / "spots" / "pair"
    write_pair(folder, spot_manifest(), untrained_checkpoint)
    return folder


@pytest.fixture
def whole_pair(
    tmp_path: Path,
    untrained_checkpoint: Path,
    untrained_classifier: Path,
    spot_detector: None,
    shape_classifier: None,
) -> Path:
    """The folder of a pair that finds dark spots and names them by their shape; the target is smut."""
    from spore_yolo.inference.manifest import ClassifierPart, OperatingPoint
    from spore_yolo.inference.pair import write_pair

    manifest = spot_manifest(
        classes=["rust", "smut"],
        targets=["smut"],
        classifier=ClassifierPart(
            file="classifier.pt",
            sha256="",
            model="yolov8n-cls",
            classes=["debris", "rust", "smut"],
            crop_size=32,
            margin=0.25,
            temperature=1.0,
        ),
        operating_point=OperatingPoint(detector=0.5, class_={"rust": 0.5, "smut": 0.5}),
    )
    folder = tmp_path / "runs" / "whole" / "pair"
    write_pair(folder, manifest, untrained_checkpoint, untrained_classifier)
    return folder
