"""The pair: detector, classifier, operating point and how they were made, in one folder with a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.backends.choosing import runners
from spore_yolo.inference.classifier import Classifier, CropNamer
from spore_yolo.inference.detector import Detector
from spore_yolo.inference.emptiness import Emptiness
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
from spore_yolo.inference.scanning import Candidates, Progress, scan
from spore_yolo.inference.slides import ArraySlide, Slide
from spore_yolo.inference.slides.slide import SlideLevel
from spore_yolo.inference.tiling import TilingSettings

if TYPE_CHECKING:
    import supervision as sv

DETECTOR = "detector.pt"
CLASSIFIER = "classifier.pt"
TRAINED_ON = "trained_on.txt"

SAME_SCALE = 1.02
"""Scales that differ by no more than this factor are the same; resampling would only blur."""


@dataclass(frozen=True)
class Pair:
    """A pair that is loaded and ready to look at slides.

    Attributes:
        folder: Where it lies.
        manifest: What it says of itself.
        detector: The detector.
        classifier: The classifier, or ``None`` while the pair has none.
        backend_note: What runs the networks and why, in a line.
    """

    folder: Path
    manifest: PairManifest
    detector: Detector
    classifier: Classifier | None = None
    backend_note: str = "runs with torch"

    def candidates(
        self,
        image: Path | str | npt.NDArray[np.uint8] | Slide,
        *,
        um_per_px: float | None = None,
        resample: bool = True,
        batch: int | None = None,
        progress: Progress | None = None,
        skip_empty: bool = False,
    ) -> sv.Detections:
        """Everything that the detector proposes on a slide, from detector_score 0.01 on, each spore once.

        Args:
            image: A file, an RGB array ``(height, width, 3)``, or a slide that is open.
            um_per_px: Micrometres per pixel of the slide; by default what its file says.
            resample: Whether a slide of another scale is brought to the pair's own, where both are known.
            batch: Tiles a forward pass; by default what the backend is fastest with.
            progress: Is told how many more pixels of the slide have been looked at.
            skip_empty: Whether tiles on which nothing lies are left out, as the manifest says how to tell them.

        Returns:
            Boxes ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, pixels of the slide as displayed, by falling
            detector_score. ``confidence`` is the score. ``data`` holds ``class_name`` (the classifier's most probable
            class, ``debris`` included; the detector's without a classifier), ``detector_class``, ``detector_score``,
            ``class_score`` (NaN without a classifier) and ``oversized``; ``metadata`` holds ``width``, ``height``,
            ``capped_tiles``, ``skipped_tiles`` and ``resampled``, by how much the slide was enlarged for the pair (1.0
            if not). ``class_id`` counts in the order of the manifest's classes, with debris last.

        Raises:
            UsageError: Empty tiles are to be left out, and the manifest does not say how to tell them.
        """
        import supervision as sv

        skip = self.emptiness if skip_empty else None
        with _opened(image) as slide:
            found, factor = self._scan(slide, um_per_px, resample, batch, progress, skip)
        detector_classes = np.array(self.manifest.detector.classes, dtype=object)[found.classes].astype(str)
        if found.probabilities is None:
            names, class_scores = detector_classes, np.full(len(found.scores), np.nan)
            scores = found.scores.astype(np.float64)
        else:
            names, class_scores = self.namer.name(found.probabilities)
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
                "width": slide.width,
                "height": slide.height,
                "capped_tiles": found.capped_tiles,
                "skipped_tiles": found.skipped_tiles,
                "resampled": factor,
            },
        )

    def _scan(
        self,
        slide: Slide,
        um_per_px: float | None,
        resample: bool,
        batch: int | None,
        progress: Progress | None,
        skip: Emptiness | None,
    ) -> tuple[Candidates, float]:
        """What is on a slide, in pixels of its full resolution, and by how much it was enlarged for the pair."""
        factor = 1.0
        if resample:
            factor = resampling(um_per_px or slide.um_per_px, self.manifest.um_per_px)
        # A slide that is much finer than the pair is read at a level of its own that is nearer to it.
        level = slide.level_for(1 / factor)
        view = slide if level == 0 else SlideLevel(slide, level)
        down = slide.width / view.width
        settings = tiling_of(self.manifest.detector).resampled(factor * down)
        area = down * slide.height / view.height
        tell = None if progress is None else (lambda pixels: progress(pixels * area))
        namer = None if self.classifier is None else self.namer
        found = scan(view, self.detector.runner, settings, namer=namer, batch=batch, progress=tell, skip=skip)[0]
        if level:
            found = replace(found, boxes=found.boxes * np.tile([down, slide.height / view.height], 2))
        return found, factor

    @property
    def emptiness(self) -> Emptiness:
        """What tells empty tiles.

        Raises:
            UsageError: The manifest does not say it.
        """
        if self.manifest.empty is None:
            raise UsageError(
                f"{self.folder}: the pair cannot tell empty tiles; choose how, on labelled slides: spore-yolo"
                f" learn-empty --pair {self.folder} --dataset NAME"
            )
        return Emptiness.of(self.manifest.empty)

    @property
    def namer(self) -> CropNamer:
        """The classifier with what is needed to name boxes.

        Raises:
            SporeYoloError: The pair has no classifier.
        """
        part = self.manifest.classifier
        if self.classifier is None or part is None:
            raise SporeYoloError(f"{self.folder}: the pair has no classifier; make one: spore-yolo train-classifier")
        return CropNamer(self.classifier, part)

    def classify(
        self, pixels: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
        """What the classifier says of boxes, wherever they come from.

        See :meth:`spore_yolo.inference.classifier.CropNamer.classify`.

        Raises:
            SporeYoloError: The pair has no classifier.
        """
        return self.namer.classify(pixels, boxes)

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

    def predict(self, image: Path | str | npt.NDArray[np.uint8] | Slide) -> sv.Detections:
        """Finds the spores on a slide; see :meth:`candidates` for what comes back."""
        return self.detections(self.candidates(image))


def tiling_of(part: DetectorPart) -> TilingSettings:
    """The settings with which a pair's detector goes over a slide."""
    return TilingSettings(part.tile_size, part.scale, part.largest_box, part.nms_iou, part.max_detections_per_tile)


def resampling(um_per_px: float | None, trained: float | None) -> float:
    """By how much a slide is to be enlarged so that a pair sees it at its own scale; 1.0 where it need not be.

    Args:
        um_per_px: Micrometres per pixel of the slide, where known.
        trained: Of the slides that the pair was trained on, where known.
    """
    if um_per_px is None or trained is None:
        return 1.0
    factor = um_per_px / trained
    return 1.0 if 1 / SAME_SCALE <= factor <= SAME_SCALE else factor


@contextmanager
def _opened(image: Path | str | npt.NDArray[np.uint8] | Slide) -> Iterator[Slide]:
    """The slide, opened and closed if it is a file."""
    if isinstance(image, Slide):
        yield image
    elif isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise SporeYoloError(
                f"expected an RGB image, 8 bit, of shape (height, width, 3), found {image.dtype} of shape {image.shape}"
            )
        yield ArraySlide(image)
    else:
        from spore_yolo.inference.slides import open_slide

        with open_slide(Path(image)) as slide:
            yield slide


def load(folder: Path | str, device: str | None = None, backend: str = "torch") -> Pair:
    """Loads a pair from its folder, or from the folder of the run that made it.

    Detector and classifier are model files, and loading them runs code in them; load only pairs you trust.

    Args:
        folder: The pair's folder (with ``pair.yaml``) or a run's folder (with ``pair/``).
        device: As torch takes it; ``None`` takes CUDA where there is one, else the CPU.
        backend: What runs the networks: ``torch``, another that ``spore-yolo export-model`` put into the pair, or
            ``auto``, the fastest that was verified on a machine like this one.

    Raises:
        SporeYoloError: A part is missing, damaged or foreign, or the backend cannot run; the message says which.
    """
    folder = pair_folder(Path(folder))
    manifest = read_manifest(folder)
    named = manifest.classifier or manifest.detector
    if sorted(set(named.classes) - {DEBRIS}) != sorted(manifest.classes):
        raise SporeYoloError(
            f"{folder / MANIFEST}: {named.file} finds {named.classes}, but classes says {manifest.classes}; the"
            " manifest was changed by hand or is of another pair, copy the pair again"
        )
    _check_file(folder, manifest.detector, "detector")
    if manifest.classifier is not None:
        _check_file(folder, manifest.classifier, "classifier")
    given = runners(folder, manifest, backend, device)
    names, others = given.names
    _check_names(folder, manifest.detector, names)
    detector = Detector(given.detector, names)
    if manifest.classifier is None or given.classifier is None or others is None:
        return Pair(folder, manifest, detector, backend_note=given.note)
    _check_names(folder, manifest.classifier, others)
    return Pair(folder, manifest, detector, Classifier(given.classifier, others), given.note)


def _check_file(folder: Path, part: DetectorPart | ClassifierPart, name: str) -> None:
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
        # Files of other backends were made from other checkpoints than these.
        content = manifest.model_copy(update={**parts, "backends": {}}).model_dump(by_alias=True, mode="json")
        write_yaml(temporary / MANIFEST, content)
