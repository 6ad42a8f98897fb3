"""``pair.yaml``: what a pair says of itself, and what its operating point means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.structured import parse_model, read_yaml

MANIFEST = "pair.yaml"
PAIR_VERSION = 3
DEBRIS = "debris"
"""What the detector finds and people did not label; no label may bear this name where there is a classifier."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OperatingPoint(_Strict):
    """One threshold on detector_score, one a class on class_score.

    Attributes:
        detector: A candidate with a lower detector_score is no detection.
        class_: For each class, the lowest class_score that counts; empty without a classifier.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    detector: float = Field(ge=0, le=1)
    class_: dict[str, float] = Field(default_factory=dict, alias="class")


class Promise(_Strict):
    """What an operating point promises, and what the promise rests on; see :mod:`spore_yolo.evaluation.promise`.

    Attributes:
        recall: The recall promised for each target, averaged over groups.
        confidence: How often, at least, such a choice keeps it.
        targets: The classes that it holds for.
        groups: For each target the groups that carry it, those with a labelled box of the target.
        bound: The inequality that it was tested with.
        dataset, dataset_fingerprint, split: Where the groups are from; ``val (half)`` is half of the validation groups.
        miss_rate_seen: For each target the mean miss rate of the groups at this point.
        highest_promise: The highest recall that these groups could carry, at the most permissive thresholds.
        specificity: For each target over the crops of these groups at this point; ``None`` without negatives.
        stored_point_specificity: The same at the pair's own operating point.
        notes: What weakens the promise.
        date: When it was made.
    """

    recall: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    targets: list[str]
    groups: dict[str, int]
    bound: Literal["betting", "hoeffding-bentkus"]
    dataset: str
    dataset_fingerprint: str
    split: str
    miss_rate_seen: dict[str, float]
    highest_promise: float
    specificity: dict[str, float | None]
    stored_point_specificity: dict[str, float | None]
    notes: list[str]
    date: str


class PromisedPoint(_Strict):
    """An operating point with a promise.

    Attributes:
        point: The thresholds.
        promise: What they promise.
    """

    point: OperatingPoint
    promise: Promise


class DetectorPart(_Strict):
    """The detector's part of the manifest.

    Attributes:
        file, sha256: The model file in the pair's folder, and its hash.
        model: Which YOLOv8.
        classes: What the detector itself names, in the order of its class numbers.
        one_class: Whether it was trained with all classes merged to ``spore``.
        tile_size, scale, largest_box, nms_iou, max_detections_per_tile: How it goes over a slide; see
            :class:`spore_yolo.inference.detector.TilingSettings`.
    """

    file: str
    sha256: str
    model: str
    classes: list[str]
    one_class: bool
    tile_size: int = Field(gt=0)
    scale: float = Field(gt=0)
    largest_box: float = Field(gt=0)
    nms_iou: float = Field(gt=0, le=1)
    max_detections_per_tile: int = Field(gt=0)


class ClassifierPart(_Strict):
    """The classifier's part of the manifest.

    Attributes:
        file, sha256: The model file in the pair's folder, and its hash.
        model: Which YOLOv8-cls.
        classes: What it names, in the order of its class numbers; :data:`DEBRIS` is one of them, if it saw any.
        crop_size: Side of the classifier's input in pixels.
        margin: How much wider than the box's longer side a crop is, on each side, as a share of that longer side.
        temperature: Divides the logits, so that class_score is a probability.
        debris_from: A crop whose most probable class is debris is named so only if that probability is at least this;
            else it gets the most probable of the other classes, whose threshold then decides. 0 is the plain argmax.
    """

    file: str
    sha256: str
    model: str
    classes: list[str]
    crop_size: int = Field(gt=0)
    margin: float = Field(ge=0)
    temperature: float = Field(gt=0)
    debris_from: float = Field(default=0.0, ge=0, le=1)


class PairManifest(_Strict):
    """``pair.yaml``.

    Attributes:
        pair_version: Version of this file's form.
        classes: What the pair names: the classifier's classes without debris, or the detector's where there is no
            classifier.
        targets: The classes that the user is after.
        detector: The detector.
        classifier: The classifier, or ``None`` while there is none yet.
        um_per_px: Micrometres per pixel of the slides it was trained on, where known.
        operating_point: The thresholds.
        operating_points: More of them by name, each with a promise; ``spore-yolo calibrate`` makes them.
        figures: How the operating point was chosen and what it gave on validation.
        made: Dataset, fingerprint, seed, settings, versions, commit.
    """

    pair_version: int = Field(ge=PAIR_VERSION, le=PAIR_VERSION)
    classes: list[str]
    targets: list[str]
    detector: DetectorPart
    classifier: ClassifierPart | None = None
    um_per_px: float | None = None
    operating_point: OperatingPoint
    operating_points: dict[str, PromisedPoint] = {}
    figures: dict[str, Any] = {}
    made: dict[str, Any] = {}


def called(
    classes: Sequence[str] | npt.NDArray[Any],
    detector_scores: npt.NDArray[np.float64],
    class_scores: npt.NDArray[np.float64],
    point: OperatingPoint,
) -> npt.NDArray[np.object_]:
    """What each candidate is called at an operating point.

    Args:
        classes: ``(N,)``, the classifier's most probable class (the detector's, without a classifier).
        detector_scores: ``(N,)``.
        class_scores: ``(N,)``; NaN without a classifier.
        point: The thresholds; a class without one passes at any class_score.

    Returns:
        ``(N,)``: the class, or :data:`DEBRIS` for what is called debris or passes too few of the thresholds.
    """
    names = np.asarray(classes, dtype=object)
    least = np.array([point.class_.get(str(name), 0.0) for name in names], dtype=np.float64)
    rejected = (np.asarray(detector_scores) < point.detector) | (np.asarray(class_scores) < least)
    return np.where(rejected, DEBRIS, names)


def read_manifest(folder: Path) -> PairManifest:
    """Reads ``pair.yaml``."""
    path = folder / MANIFEST
    if not path.exists():
        raise SporeYoloError(
            f"{path}: no such file; {folder} holds no finished pair (train one: spore-yolo train-detector)"
        )
    content = read_yaml(path)
    version = content.get("pair_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > PAIR_VERSION:
        raise SporeYoloError(
            f"{path}: made by a newer spore-yolo (pair_version {version}, this one reads {PAIR_VERSION}); upgrade"
        )
    if isinstance(content, dict) and version == 1:
        content = _from_version_1(content)
    elif isinstance(content, dict) and version == 2:  # knew no further operating points
        content = {**content, "pair_version": PAIR_VERSION}
    return parse_model(path, PairManifest, content)


def _from_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had no classifier, and the detector's classes were the pair's."""
    detector = content.get("detector")
    if isinstance(detector, dict):
        content = {**content, "detector": {**detector, "classes": content.get("classes")}}
    return {**content, "pair_version": PAIR_VERSION}
