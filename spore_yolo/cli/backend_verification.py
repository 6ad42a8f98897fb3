"""Compares what a pair finds on labelled slides run by torch and run by another backend."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spore_yolo.dataset.store import Dataset
from spore_yolo.inference.manifest import Difference, PairFigures, PairManifest, Verification
from spore_yolo.labels.matching import overlaps
from spore_yolo.labels.table import COORDINATES
from spore_yolo.prediction.looking import candidates_table, joined

if TYPE_CHECKING:
    from spore_yolo.inference.pair import Pair

SPLIT = "val"
"""The test split is for figures that are stated, not for choices."""

LEAST_IOU = 0.5


@dataclass(frozen=True)
class Labelled:
    """Labelled slides to compare on.

    Attributes:
        dataset: The dataset.
        images: The images table of the split.
        boxes: Their boxes table, in the pair's classes.
    """

    dataset: Dataset
    images: pd.DataFrame
    boxes: pd.DataFrame


def verify(folder: Path, backend: str, labelled: Labelled, device: str | None) -> Verification:
    """Looks at the validation slides with both, and measures both.

    Args:
        folder: A pair's folder that holds the backend.
        backend: The name of the backend.
        labelled: The slides.
        device: The GPU on which both run, as torch takes it, where the backend runs on one; the others run on the CPU,
            and are compared with torch there.

    Raises:
        SporeYoloError: The backend does not run here, or a slide cannot be read.
    """
    from spore_yolo.files.provenance import package_versions
    from spore_yolo.inference.backends.choosing import runners
    from spore_yolo.inference.backends.machine import this_machine
    from spore_yolo.inference.backends.packages import backend_versions
    from spore_yolo.inference.backends.speeds import Speed
    from spore_yolo.inference.classifier import Classifier
    from spore_yolo.inference.detector import Detector
    from spore_yolo.inference.pair import load

    on_gpu = backend == "tensorrt"
    pair = load(folder, device if on_gpu else "cpu")
    manifest = pair.manifest
    chosen = runners(folder, manifest, backend, device if on_gpu else None, measure=False)
    detector = Detector(chosen.detector, pair.detector.names)
    classifier = None
    if chosen.classifier is not None and pair.classifier is not None:
        classifier = Classifier(chosen.classifier, pair.classifier.names)
    pairs = {"torch": pair, "backend": replace(pair, detector=detector, classifier=classifier)}
    found = {name: _look(pair, labelled, name if name == "torch" else backend) for name, pair in pairs.items()}
    figures = {name: figures_of(table, labelled, manifest) for name, table in found.items()}
    speeds = _speeds(pairs, manifest)
    return Verification(
        machine=this_machine(),
        versions={**package_versions(), **backend_versions(backend)},
        dataset=labelled.dataset.name,
        dataset_fingerprint=labelled.dataset.fingerprint,
        split=SPLIT,
        slides=len(labelled.images),
        torch=figures["torch"],
        backend=figures["backend"],
        difference=difference(found["torch"], found["backend"], list(labelled.images["image"])),
        ms_per_tile={"torch": speeds["torch"], "backend": speeds["backend"]},
        batch=Speed(speeds["backend"]).batch,
        workers=chosen.detector.workers,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _look(pair: Pair, labelled: Labelled, name: str) -> pd.DataFrame:
    from tqdm import tqdm

    slides = tqdm(labelled.images["image"], desc=f"looking with {name}", unit="slide")
    return joined([candidates_table(slide, pair.candidates(labelled.dataset.path_of(slide))) for slide in slides])


def _speeds(pairs: dict[str, Pair], manifest: PairManifest) -> dict[str, dict[int, float]]:
    """Milliseconds a tile of the detectors by batch size; they take turns, since other programs come and go."""
    from spore_yolo.inference.backends.speeds import BATCHES, GPU_BATCHES, measure

    best: dict[str, dict[int, float]] = {name: {} for name in pairs}
    for _ in range(2):
        for name, pair in pairs.items():
            runner: Any = pair.detector.runner
            gpu = runner.backend == "tensorrt" or (runner.backend == "torch" and runner.device.type != "cpu")
            size, batches = manifest.detector.tile_size, GPU_BATCHES if gpu else BATCHES
            for batch, milliseconds in measure(runner, size, batches, on_gpu=gpu).ms_per_image.items():
                best[name][batch] = min(milliseconds, best[name].get(batch, milliseconds))
    return best


def figures_of(candidates: pd.DataFrame, labelled: Labelled, manifest: PairManifest) -> PairFigures:
    """The figures of a pair at its stored operating point, as ``spore-yolo evaluate`` gives them.

    Args:
        candidates: Columns of ``candidates.csv``.
        labelled: The slides.
        manifest: What the pair says of itself.
    """
    from spore_yolo.evaluation.report import evaluate_candidates
    from spore_yolo.evaluation.scoring import detections_of

    point = manifest.operating_point
    metrics = evaluate_candidates(candidates, labelled.boxes, labelled.images, manifest.classes, point).metrics
    shares = {
        name: None if (value := metrics["overall"][name]["value"]) is None else round(float(value), 5)
        for name in ("ap50", "recall", "precision")
    }
    return PairFigures(**shares, candidates=len(candidates), detections=len(detections_of(candidates, point)))


def difference(torch: pd.DataFrame, backend: pd.DataFrame, slides: Sequence[str]) -> Difference:
    """How far two tables of candidates of the same slides lie apart.

    Args:
        torch: Columns of ``candidates.csv``.
        backend: The same of the other backend.
        slides: Names of all slides.
    """
    first, second = (table[COORDINATES].to_numpy(dtype=np.float64) for table in (torch, backend))
    places = pd.Index(slides)
    on = tuple(places.get_indexer(pd.Index(table["slide"])).astype(np.int64) for table in (torch, backend))
    pairs = overlaps(first, second, (on[0], on[1]))
    pairs = pairs.where(pairs.iou >= LEAST_IOU)
    one, other = _one_to_one(pairs.first, pairs.second, pairs.iou)
    scores = [table["detector_score"].to_numpy(dtype=np.float64) for table in (torch, backend)]
    named = [table["class"].to_numpy(dtype=object) for table in (torch, backend)]
    sure = [table["class_score"].to_numpy(dtype=np.float64) for table in (torch, backend)]
    alike = named[0][one] == named[1][other]
    of_class = np.abs(sure[0][one] - sure[1][other])[alike]
    of_class = of_class[~np.isnan(of_class)]
    alone = [np.delete(scores[0], one), np.delete(scores[1], other)]
    return Difference(
        score=round(float(np.abs(scores[0][one] - scores[1][other]).max(initial=0)), 5),
        class_score=round(float(of_class.max()), 5) if len(of_class) else None,
        box=round(float(np.abs(first[one] - second[other]).max(initial=0)), 3),
        named_otherwise=int((~alike).sum()),
        only_torch=len(alone[0]),
        only_backend=len(alone[1]),
        highest_alone=round(float(np.concatenate(alone).max(initial=0)), 5),
    )


def _one_to_one(first: Any, second: Any, iou: Any) -> tuple[list[int], list[int]]:
    """The best overlap first; each box once."""
    taken: tuple[set[int], set[int]] = (set(), set())
    result: tuple[list[int], list[int]] = ([], [])
    for place in np.argsort(-iou, kind="stable"):
        one, other = int(first[place]), int(second[place])
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            result[0].append(one)
            result[1].append(other)
    return result


def verification_text(backend: str, verification: Verification) -> str:
    """What was compared, as a table with a few lines below."""
    from tabulate import tabulate

    rows = []
    for name, figures, speeds in (
        ("torch", verification.torch, verification.ms_per_tile["torch"]),
        (backend, verification.backend, verification.ms_per_tile["backend"]),
    ):
        batch = min(speeds, key=lambda one: speeds[one])
        shares = [None if one is None else f"{one:.4f}" for one in (figures.ap50, figures.recall, figures.precision)]
        rows.append([name, *shares, figures.candidates, figures.detections, f"{speeds[batch]:.1f}", batch])
    table = tabulate(
        rows,
        ["backend", "AP50", "recall", "precision", "candidates", "detections", "ms a tile", "at batch"],
        disable_numparse=True,
        colalign=("left", *["right"] * 7),
    )
    apart = verification.difference
    classes = "" if apart.class_score is None else f", of class_score {apart.class_score:.4f}"
    machine = verification.machine
    return (
        f"{table}\n"
        f"on the {verification.slides} slides of {verification.dataset}, {verification.split}; recall and precision at"
        " the stored operating point\n"
        f"largest difference of detector_score {apart.score:.4f}{classes}, of a box's edge {apart.box:.2f} px;"
        f" {apart.named_otherwise} named otherwise; {apart.only_torch} found by torch alone, {apart.only_backend} by"
        f" {backend} alone, the surest with detector_score {apart.highest_alone:.3f}\n"
        f"speed on {machine.cpu}, {machine.cores} cores{', ' + machine.gpu if machine.gpu else ''}"
    )
