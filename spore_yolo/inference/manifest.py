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
PAIR_VERSION = 4
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
        precision: What the networks were computed in, see
            :class:`~spore_yolo.inference.backends.runner.Runner`. In another one, candidates near a threshold change
            sides.
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
    precision: str = "float32"
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


class Machine(_Strict):
    """Where something was measured.

    Attributes:
        cpu: The model of the processor.
        features: What it can beyond the plain instructions, of what matters to networks, such as ``amx_int8``.
        cores: How many of its cores the program could use.
        system: The operating system and the architecture.
        gpu: The GPU that torch sees, if there is one.
    """

    cpu: str
    features: list[str]
    cores: int
    system: str
    gpu: str | None = None


class PairFigures(_Strict):
    """What a pair gave on labelled slides, run in one way.

    Attributes:
        ap50: Mean over the classes, of all candidates.
        recall, precision: Of all classes together, at the stored operating point.
        candidates, detections: How many there were.
    """

    ap50: float | None
    recall: float | None
    precision: float | None
    candidates: int
    detections: int


class Difference(_Strict):
    """How far candidates of a backend lie from those of torch on the same slides.

    A candidate belongs to the one of the same slide that it overlaps best, at IoU 0.5 or more, one to one.

    Attributes:
        score: Largest difference in detector_score of two that belong together.
        class_score: Largest difference in class_score of two that are named alike; ``None`` without a classifier.
        box: Largest difference of an edge of the box, in pixels of the slide.
        named_otherwise: How many pairs of candidates are named differently.
        only_torch, only_backend: Candidates without a counterpart.
        highest_alone: The highest detector_score of those; 0 if there are none.
    """

    score: float
    class_score: float | None
    box: float
    named_otherwise: int
    only_torch: int
    only_backend: int
    highest_alone: float


LARGEST_FALL = 0.005
"""By how much AP50, and recall at the operating point, may fall where a backend takes torch's place."""


class Verification(_Strict):
    """What a backend gave on one machine, beside torch.

    Attributes:
        machine: Where.
        versions: Of the packages that decide on it.
        dataset, dataset_fingerprint, split: On which slides.
        slides: How many.
        torch, backend: The figures of both.
        difference: How far the candidates lie apart.
        ms_per_tile: Milliseconds a tile of the detector by batch size, of ``torch`` and of ``backend``, on an otherwise
            idle machine; see :func:`spore_yolo.inference.backends.speeds.measure`.
        batch, workers: The fastest batch size of the backend, and how many threads called it.
        date: When.
    """

    machine: Machine
    versions: dict[str, str]
    dataset: str
    dataset_fingerprint: str
    split: str
    slides: int
    torch: PairFigures
    backend: PairFigures
    difference: Difference
    ms_per_tile: dict[Literal["torch", "backend"], dict[int, float]]
    batch: int = Field(gt=0)
    workers: int
    date: str

    @property
    def fall(self) -> float:
        """By how much AP50 or recall fell, the larger of the two; negative if both rose."""
        both = [(self.torch.ap50, self.backend.ap50), (self.torch.recall, self.backend.recall)]
        falls = [before - (after or 0.0) for before, after in both if before is not None]
        return max(falls, default=0.0)

    @property
    def holds(self) -> bool:
        """Whether the backend may take torch's place."""
        return self.fall <= LARGEST_FALL


class BackendPart(_Strict):
    """What the pair's folder holds for one backend.

    Attributes:
        detector, classifier: The model files in the pair's folder.
        files: The SHA-256 of every file of this backend, weights that lie apart included.
        made_from: The SHA-256 of the detector's and the classifier's checkpoint that they were exported from.
        made: Versions, date and, of 8-bit models, what they were calibrated on.
        verified: What it gave, a record a machine.
    """

    detector: str
    classifier: str | None = None
    files: dict[str, str]
    made_from: dict[str, str]
    made: dict[str, Any] = {}
    verified: list[Verification] = []


class EmptyFigures(_Strict):
    """What leaving out empty tiles does on labelled slides.

    Attributes:
        slides, tiles: How many there were.
        skipped: Tiles that are left out.
        spores: Labelled spores, each of which one tile owns.
        lost: Spores whose own tile is left out.
        fainter: Spores that stand out less than the threshold, and are looked at only for what lies beside them.
        bare: Share of the area on which nothing reaches the threshold, in patches of 64 pixels of the model.
    """

    slides: int
    tiles: int
    skipped: int
    spores: int
    lost: int
    fainter: int
    bare: float


class EmptyPart(_Strict):
    """How tiles on which nothing lies are told; see :mod:`spore_yolo.inference.emptiness`.

    Attributes:
        reduction: Pixels of the model per reduced pixel.
        threshold: A tile is left out if no reduced pixel has this contrast.
        margin: The threshold as a share of ``faintest``.
        faintest: The contrast of the labelled spore of validation that stands out least.
        dataset, dataset_fingerprint: Where the spores are from.
        figures: By split what it does there: ``val``, on which the threshold was chosen, and ``test`` if measured.
        date: When it was chosen.
    """

    reduction: int = Field(gt=0)
    threshold: float = Field(gt=0)
    margin: float = Field(gt=0, le=1)
    faintest: float = Field(gt=0)
    dataset: str
    dataset_fingerprint: str
    figures: dict[str, EmptyFigures]
    date: str


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
        backends: Exported models by the name of their backend; ``spore-yolo export-model`` makes them.
        empty: How empty tiles are told, or ``None`` where nobody chose that; ``spore-yolo learn-empty`` does.
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
    backends: dict[str, BackendPart] = {}
    empty: EmptyPart | None = None


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
    elif isinstance(content, dict) and version in (2, 3):  # 2 knew no further operating points, 3 no backends
        content = {**content, "pair_version": PAIR_VERSION}
    return parse_model(path, PairManifest, content)


def _from_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had no classifier, and the detector's classes were the pair's."""
    detector = content.get("detector")
    if isinstance(detector, dict):
        content = {**content, "detector": {**detector, "classes": content.get("classes")}}
    return {**content, "pair_version": PAIR_VERSION}
