"""``spore-yolo evaluate`` for a run that trained a classifier alone: labelled boxes only."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from tabulate import tabulate
from tqdm import tqdm

from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.evaluation.classifier import classifier_figures, look_at_labels
from spore_yolo.evaluation.metrics import cell
from spore_yolo.experiments.telling import tell_evaluation
from spore_yolo.experiments.tracking import Tracking
from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.structured import read_model
from spore_yolo.inference.classifier import Classifier, CropNamer
from spore_yolo.inference.manifest import ClassifierPart
from spore_yolo.inference.pair import read_trained_on

MANIFEST = "classifier.yaml"


class ClassifierManifest(BaseModel):
    """``classifier.yaml`` of a run without a detector."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classifier: ClassifierPart
    figures: dict[str, object] = {}
    made: dict[str, object] = {}


def load_classifier(run: Path, device: str | None) -> CropNamer:
    """The classifier of a run without a detector.

    Raises:
        SporeYoloError: It is missing, damaged or another one than its manifest speaks of.
    """
    part = read_model(run / MANIFEST, ClassifierManifest).classifier
    checkpoint = run / Path(part.file).name
    if not checkpoint.is_file():
        raise SporeYoloError(f"{checkpoint}: no such file; train the classifier again: spore-yolo train-classifier")
    if sha256_file(checkpoint) != part.sha256:
        raise SporeYoloError(f"{checkpoint}: not the file that {MANIFEST} speaks of (its SHA-256 differs)")
    return CropNamer(Classifier.load(checkpoint, device), part)


def run(arguments: argparse.Namespace, tracking: Tracking) -> None:
    """Names the labelled boxes of a split, writes and prints how well.

    Args:
        arguments: The command line.
        tracking: Is told of the part ``evaluation``.
    """
    folder: Path = arguments.training_run
    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, _ = dataset.split(arguments.split)
    seen = int(images["sha256"].isin(read_trained_on(folder)).sum())
    if seen and arguments.split in ("test", "calibration"):
        raise SporeYoloError(
            f"{seen} of the {len(images)} slides of {dataset.name}, {arguments.split}, were in the classifier's own"
            " train or validation split: figures on them would lie. Train again."
        )
    namer = load_classifier(folder, arguments.device)
    with tracking.part("evaluation", f"{dataset.name}-{arguments.split}") as part:
        part.dataset(dataset.name, dataset.fingerprint, arguments.split)
        output, content = _measure(arguments, dataset, namer)
        tell_evaluation(part, output, content)


def _measure(arguments: argparse.Namespace, dataset: Dataset, namer: CropNamer) -> tuple[Path, dict[str, object]]:
    """Gives the evaluation's folder and the content of its metrics.json."""
    folder: Path = arguments.training_run
    images, boxes = dataset.split(arguments.split)
    slides = tqdm([(image, dataset.path_of(image)) for image in images["image"]], desc="naming labels", unit="slide")
    calls = look_at_labels(boxes, slides, namer)
    figures = classifier_figures(calls, dataset.classes, images)
    output = arguments.output or folder / "evaluation" / f"{dataset.name}-{arguments.split}"
    content = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "split": arguments.split,
        "slides": len(images),
        "groups": int(images["group"].nunique()),
        "classifier_sha256": namer.part.sha256,
        "classifier_on_labels": figures,
    }
    with atomic_folder(output) as temporary:
        (temporary / "metrics.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        calls.to_csv(temporary / "labels.csv", index=False)
    print(f"\n{dataset.name}, {arguments.split}: {len(images)} slides in {content['groups']} groups, labels only\n")
    rows = [[name, f"{one['recall']['n']:,}", cell(one["recall"])] for name, one in figures["per_class"].items()]
    accuracy = figures["overall"]["accuracy"]
    rows.append(["all (accuracy)", f"{accuracy['n']:,}", cell(accuracy)])
    print(tabulate(rows, ["class", "boxes", "recall"], tablefmt="simple", missingval="-", disable_numparse=True))
    print(f"\n{output}: metrics.json, labels.csv")
    return output, content
