"""The pair: detector, classifier (not yet), operating point and how they were made, in one folder with a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.images import read_image
from spore_yolo.files.structured import read_model, read_yaml, write_yaml
from spore_yolo.inference.detector import Detector, TilingSettings

if TYPE_CHECKING:
    import supervision as sv

MANIFEST = "pair.yaml"
DETECTOR = "detector.pt"
TRAINED_ON = "trained_on.txt"
PAIR_VERSION = 1


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


class DetectorPart(_Strict):
    """The detector's part of the manifest; see :class:`TilingSettings` for the fields of the tiles."""

    file: str
    sha256: str
    model: str
    one_class: bool
    tile_size: int = Field(gt=0)
    scale: float = Field(gt=0)
    largest_box: float = Field(gt=0)
    nms_iou: float = Field(gt=0, le=1)
    max_detections_per_tile: int = Field(gt=0)

    def tiling(self) -> TilingSettings:
        """The settings that :class:`Detector` needs."""
        return TilingSettings(self.tile_size, self.scale, self.largest_box, self.nms_iou, self.max_detections_per_tile)


class PairManifest(_Strict):
    """``pair.yaml``.

    Attributes:
        pair_version: Version of this file's form.
        classes: What the detector names, in the order of its class numbers.
        targets: The classes that the user is after.
        detector: The detector.
        classifier: Not yet: ``null``.
        um_per_px: Micrometres per pixel of the slides it was trained on, where known.
        operating_point: The thresholds.
        figures: How the operating point was chosen and what it gave on validation.
        made: Dataset, fingerprint, seed, settings, versions, commit.
    """

    pair_version: int = Field(ge=1, le=1)
    classes: list[str]
    targets: list[str]
    detector: DetectorPart
    classifier: None = None
    um_per_px: float | None = None
    operating_point: OperatingPoint
    figures: dict[str, Any] = {}
    made: dict[str, Any] = {}


@dataclass(frozen=True)
class Pair:
    """A pair that is loaded and ready to look at slides.

    Attributes:
        folder: Where it lies.
        manifest: What it says of itself.
        detector: The detector.
    """

    folder: Path
    manifest: PairManifest
    detector: Detector

    def candidates(self, image: Path | str | npt.NDArray[np.uint8]) -> sv.Detections:
        """Everything that the detector proposes on a slide, from detector_score 0.01 on, each spore once.

        Args:
            image: A file, or an RGB array ``(height, width, 3)``.

        Returns:
            Boxes ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide as displayed, by falling score.
            ``data`` holds ``class_name``, ``detector_score``, ``class_score`` (NaN without a classifier) and
            ``oversized``; ``metadata`` holds ``width``, ``height`` and ``capped_tiles``.
        """
        import supervision as sv

        pixels = image if isinstance(image, np.ndarray) else read_image(Path(image))
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise SporeYoloError(
                "expected an RGB image, 8 bit, of shape (height, width, 3),"
                f" found {pixels.dtype} of shape {pixels.shape}"
            )
        found = self.detector.slide(pixels, self.manifest.detector.tiling())
        return sv.Detections(
            xyxy=found.boxes.astype(np.float64),
            confidence=found.scores.astype(np.float64),
            class_id=found.classes.astype(int),
            data={
                "class_name": np.array(self.manifest.classes, dtype=object)[found.classes].astype(str),
                "detector_score": found.scores.astype(np.float64),
                "class_score": np.full(len(found.scores), np.nan),
                "oversized": found.oversized,
            },
            metadata={
                "width": int(pixels.shape[1]),
                "height": int(pixels.shape[0]),
                "capped_tiles": found.capped_tiles,
            },
        )

    def detections(self, candidates: sv.Detections, operating_point: OperatingPoint | None = None) -> sv.Detections:
        """The candidates that pass the operating point (the stored one by default)."""
        threshold = (operating_point or self.manifest.operating_point).detector
        return cast("sv.Detections", candidates[np.asarray(candidates.data["detector_score"]) >= threshold])

    def predict(self, image: Path | str | npt.NDArray[np.uint8]) -> sv.Detections:
        """Finds the spores on a slide; see :meth:`candidates` for what comes back."""
        return self.detections(self.candidates(image))


def load(folder: Path | str, device: str | None = None) -> Pair:
    """Loads a pair from its folder, or from the folder of the run that made it.

    The detector is a model file, and loading it runs code in it: load only pairs that you trust.

    Args:
        folder: The pair's folder (with ``pair.yaml``) or a run's folder (with ``pair/``).
        device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.

    Raises:
        SporeYoloError: A part is missing, damaged or foreign; the message says which.
    """
    folder = pair_folder(Path(folder))
    manifest = read_manifest(folder)
    checkpoint = folder / manifest.detector.file
    if Path(manifest.detector.file).name != manifest.detector.file:
        raise SporeYoloError(f"{folder / MANIFEST}: detector.file: expected a file name, found a path")
    if not checkpoint.is_file():
        raise SporeYoloError(f"{checkpoint}: no such file; the pair in {folder} lacks its detector, copy it whole")
    if sha256_file(checkpoint) != manifest.detector.sha256:
        raise SporeYoloError(
            f"{checkpoint}: not the file that {MANIFEST} speaks of (its SHA-256 differs); it is damaged or from another"
            " pair, copy the pair again"
        )
    detector = Detector(checkpoint, device)
    if detector.names != manifest.classes:
        raise SporeYoloError(f"{checkpoint}: finds {detector.names}, but {MANIFEST} says {manifest.classes}")
    return Pair(folder, manifest, detector)


def pair_folder(folder: Path) -> Path:
    """The pair's folder, given it or the run that holds it."""
    if (folder / "pair").is_dir() and not (folder / MANIFEST).exists():
        folder = folder / "pair"
    if not folder.is_dir() and folder.name == "pair" and folder.parent.is_dir():
        raise SporeYoloError(
            f"{folder}: no such folder; the training in {folder.parent} is not finished, go on with it: spore-yolo"
            f" train-detector --resume --name {folder.parent.name}"
        )
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a pair or a run that holds one")
    return folder


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
    return read_model(path, PairManifest)


def read_trained_on(folder: Path) -> set[str]:
    """SHA-256 of every image file that training or the choice of the operating point may have seen."""
    path = folder / TRAINED_ON
    return set(path.read_text(encoding="utf-8").split()) if path.exists() else set()


def write_pair(folder: Path, checkpoint: Path, manifest: PairManifest, trained_on: Iterable[str] = ()) -> None:
    """Writes a pair's folder, whole or not at all.

    Args:
        folder: Where the pair goes.
        checkpoint: The detector's file; it is copied.
        manifest: What the pair says of itself; the detector's hash is filled in.
        trained_on: SHA-256 of every image file that training or the choice of the operating point may have seen.
    """
    with atomic_folder(folder) as temporary:
        shutil.copyfile(checkpoint, temporary / DETECTOR)
        (temporary / TRAINED_ON).write_text("".join(f"{digest}\n" for digest in sorted(trained_on)), encoding="utf-8")
        part = manifest.detector.model_copy(update={"file": DETECTOR, "sha256": sha256_file(temporary / DETECTOR)})
        content = manifest.model_copy(update={"detector": part}).model_dump(by_alias=True, mode="json")
        write_yaml(temporary / MANIFEST, content)
