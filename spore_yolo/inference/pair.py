"""The pair: detector, classifier, operating point and how they were made, in one folder with a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.images import read_image
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.classifier import Classifier, CropNamer
from spore_yolo.inference.detector import Candidates, Detector, TilingSettings
from spore_yolo.inference.manifest import (
    DEBRIS,
    MANIFEST,
    ClassifierPart,
    DetectorPart,
    OperatingPoint,
    PairManifest,
    called,
    read_manifest,
)

if TYPE_CHECKING:
    import supervision as sv

DETECTOR = "detector.pt"
CLASSIFIER = "classifier.pt"
TRAINED_ON = "trained_on.txt"


@dataclass(frozen=True)
class Pair:
    """A pair that is loaded and ready to look at slides.

    Attributes:
        folder: Where it lies.
        manifest: What it says of itself.
        detector: The detector.
        classifier: The classifier, or ``None`` while the pair has none.
    """

    folder: Path
    manifest: PairManifest
    detector: Detector
    classifier: Classifier | None = None

    def candidates(self, image: Path | str | npt.NDArray[np.uint8]) -> sv.Detections:
        """Everything that the detector proposes on a slide, from detector_score 0.01 on, each spore once.

        Args:
            image: A file, or an RGB array ``(height, width, 3)``.

        Returns:
            Boxes ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide as displayed, by falling
            detector_score. ``confidence`` is the score. ``data`` holds ``class_name`` (the classifier's most probable
            class, ``debris`` included; the detector's without a classifier), ``detector_class``, ``detector_score``,
            ``class_score`` (NaN without a classifier) and ``oversized``; ``metadata`` holds ``width``, ``height`` and
            ``capped_tiles``. ``class_id`` counts in the order of the manifest's classes, with debris last.
        """
        import supervision as sv

        pixels = image if isinstance(image, np.ndarray) else read_image(Path(image))
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise SporeYoloError(
                "expected an RGB image, 8 bit, of shape (height, width, 3),"
                f" found {pixels.dtype} of shape {pixels.shape}"
            )
        found = self.detector.slide(pixels, tiling_of(self.manifest.detector))
        if self.classifier is not None:
            found = without_doubles(found, self.manifest.detector.nms_iou)
        detector_classes = np.array(self.manifest.detector.classes, dtype=object)[found.classes].astype(str)
        if self.classifier is None:
            names, class_scores = detector_classes, np.full(len(found.scores), np.nan)
            scores = found.scores.astype(np.float64)
        else:
            names, class_scores = self.classify(pixels, found.boxes)
            scores = found.scores * class_scores
        numbers = {name: number for number, name in enumerate([*self.manifest.classes, DEBRIS])}
        return sv.Detections(
            xyxy=found.boxes.astype(np.float64),
            confidence=scores,
            class_id=np.array([numbers[name] for name in names], dtype=int),
            data={
                "class_name": names,
                "detector_class": detector_classes,
                "detector_score": found.scores.astype(np.float64),
                "class_score": class_scores,
                "oversized": found.oversized,
            },
            metadata={
                "width": int(pixels.shape[1]),
                "height": int(pixels.shape[0]),
                "capped_tiles": found.capped_tiles,
            },
        )

    def classify(
        self, pixels: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
        """What the classifier says of boxes, wherever they come from.

        See :meth:`spore_yolo.inference.classifier.CropNamer.classify`.

        Raises:
            SporeYoloError: The pair has no classifier.
        """
        part = self.manifest.classifier
        if self.classifier is None or part is None:
            raise SporeYoloError(f"{self.folder}: the pair has no classifier; make one: spore-yolo train-classifier")
        return CropNamer(self.classifier, part).classify(pixels, boxes)

    def detections(self, candidates: sv.Detections, operating_point: OperatingPoint | None = None) -> sv.Detections:
        """The candidates that pass the operating point (the stored one by default) and are not debris."""
        point = operating_point or self.manifest.operating_point
        data = candidates.data
        names = called(
            np.asarray(data["class_name"]),
            np.asarray(data["detector_score"]),
            np.asarray(data["class_score"]),
            point,
        )
        return cast("sv.Detections", candidates[names != DEBRIS])

    def predict(self, image: Path | str | npt.NDArray[np.uint8]) -> sv.Detections:
        """Finds the spores on a slide; see :meth:`candidates` for what comes back."""
        return self.detections(self.candidates(image))


def tiling_of(part: DetectorPart) -> TilingSettings:
    """The settings with which a pair's detector goes over a slide."""
    return TilingSettings(part.tile_size, part.scale, part.largest_box, part.nms_iou, part.max_detections_per_tile)


def without_doubles(found: Candidates, iou: float) -> Candidates:
    """Candidates without those that lie on a better one of another class.

    A detector proposes a spore that it cannot name once for each name. Its own NMS goes class by class and keeps them
    all; the classifier then gives them one and the same name, and the spore would count twice.

    Args:
        found: By falling score.
        iou: IoU above which two candidates are one object.
    """
    from torch import from_numpy
    from torchvision.ops import nms

    keep = nms(from_numpy(found.boxes), from_numpy(found.scores), iou).numpy()
    return Candidates(
        found.boxes[keep], found.scores[keep], found.classes[keep], found.capped_tiles, found.oversized[keep]
    )


def load(folder: Path | str, device: str | None = None) -> Pair:
    """Loads a pair from its folder, or from the folder of the run that made it.

    Detector and classifier are model files, and loading them runs code in them; load only pairs you trust.

    Args:
        folder: The pair's folder (with ``pair.yaml``) or a run's folder (with ``pair/``).
        device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.

    Raises:
        SporeYoloError: A part is missing, damaged or foreign; the message says which.
    """
    folder = pair_folder(Path(folder))
    manifest = read_manifest(folder)
    named = manifest.classifier or manifest.detector
    if sorted(set(named.classes) - {DEBRIS}) != sorted(manifest.classes):
        raise SporeYoloError(
            f"{folder / MANIFEST}: {named.file} finds {named.classes}, but classes says {manifest.classes}; the"
            " manifest was changed by hand or is of another pair, copy the pair again"
        )
    detector = Detector(_checked(folder, manifest.detector, "detector"), device)
    _check_names(folder, manifest.detector, detector.names)
    if manifest.classifier is None:
        return Pair(folder, manifest, detector)
    classifier = Classifier(_checked(folder, manifest.classifier, "classifier"), device)
    _check_names(folder, manifest.classifier, classifier.names)
    return Pair(folder, manifest, detector, classifier)


def _checked(folder: Path, part: DetectorPart | ClassifierPart, name: str) -> Path:
    """The part's file, if it is the one that the manifest speaks of."""
    checkpoint = folder / part.file
    if Path(part.file).name != part.file:
        raise SporeYoloError(f"{folder / MANIFEST}: {name}.file: expected a file name, found a path")
    if not checkpoint.is_file():
        raise SporeYoloError(f"{checkpoint}: no such file; the pair in {folder} lacks its {name}, copy it whole")
    if sha256_file(checkpoint) != part.sha256:
        raise SporeYoloError(
            f"{checkpoint}: not the file that {MANIFEST} speaks of (its SHA-256 differs); it is damaged or from another"
            " pair, copy the pair again"
        )
    return checkpoint


def _check_names(folder: Path, part: DetectorPart | ClassifierPart, names: list[str]) -> None:
    if names != part.classes:
        raise SporeYoloError(f"{folder / part.file}: finds {names}, but {MANIFEST} says {part.classes}")


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


def read_trained_on(folder: Path) -> set[str]:
    """SHA-256 of every image file that training or the choice of the operating point may have seen."""
    path = folder / TRAINED_ON
    return set(path.read_text(encoding="utf-8").split()) if path.exists() else set()


def write_pair(
    folder: Path,
    manifest: PairManifest,
    detector: Path,
    classifier: Path | None = None,
    trained_on: Iterable[str] = (),
) -> None:
    """Writes a pair's folder, whole or not at all.

    Args:
        folder: Where the pair goes; it may be the folder that the files come from.
        manifest: What the pair says of itself; the hashes are filled in.
        detector: The detector's file; it is copied.
        classifier: The classifier's file, if there is one; it is copied.
        trained_on: SHA-256 of every image file that training or the choice of the operating point may have seen.
    """
    with atomic_folder(folder) as temporary:
        shutil.copyfile(detector, temporary / DETECTOR)
        parts: dict[str, DetectorPart | ClassifierPart] = {
            "detector": manifest.detector.model_copy(
                update={"file": DETECTOR, "sha256": sha256_file(temporary / DETECTOR)}
            )
        }
        if classifier is not None and manifest.classifier is not None:
            shutil.copyfile(classifier, temporary / CLASSIFIER)
            parts["classifier"] = manifest.classifier.model_copy(
                update={"file": CLASSIFIER, "sha256": sha256_file(temporary / CLASSIFIER)}
            )
        (temporary / TRAINED_ON).write_text("".join(f"{digest}\n" for digest in sorted(trained_on)), encoding="utf-8")
        content = manifest.model_copy(update=parts).model_dump(by_alias=True, mode="json")
        write_yaml(temporary / MANIFEST, content)
