"""Chains what makes a classifier: crops, their size and margin, training, temperature, thresholds, the pair."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tabulate import tabulate
from tqdm import tqdm

from spore_yolo.cli.looking import joined, proposals_table
from spore_yolo.cli.runs import made, seen_images, validation_figures
from spore_yolo.dataset.crops import (
    CropFolder,
    detected_crops,
    labelled_crops,
    training_crops,
    write_crops,
)
from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.evaluation.calibration import balanced_log_loss, calibration_figures, fit_temperature
from spore_yolo.evaluation.metrics import metrics_text
from spore_yolo.evaluation.operating_point import MIN_PRECISION
from spore_yolo.evaluation.pair_point import choose_pair_point
from spore_yolo.evaluation.report import evaluate_candidates
from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.images import read_image
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.classifier import Classifier, CropNamer
from spore_yolo.inference.crops import crop_windows, cut_crops
from spore_yolo.inference.manifest import DEBRIS, ClassifierPart, PairManifest
from spore_yolo.inference.pair import TRAINED_ON, Pair, load, pair_folder, tiling_of, without_doubles, write_pair
from spore_yolo.labels.table import COORDINATES
from spore_yolo.training.checkpoint import finish_checkpoint
from spore_yolo.training.classifier import (
    STRIDE,
    ClassifierSettings,
    TrainedClassifier,
    check_settings,
    train_classifier,
)

MARGINS = (0.25, 0.1, 0.5)
"""The context round a box that is tried on validation, the first one with every crop size."""

CROP_SIZES = (32, 224)
"""Smallest and largest crop size that is tried."""

TRY_SHARE = 4
"""A try takes a fourth of the epochs (or, by the clock, a tenth of the minutes)."""

VARIANTS = 3
"""So many exported variants of one source are looked at: more of them show the same spores once more."""

VALIDATION_SCORE = 0.05
"""Candidates of validation with less than this detector_score say nothing about the classifier; see evaluation."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassifierOptions:
    """What the user asked for; see ``spore-yolo train-classifier --help``."""

    dataset: str
    datasets: Path = Path("datasets.yaml")
    model: str = "yolov8n-cls"
    weights: str | None = None
    epochs: int = 30
    minutes: float | None = None
    margin: float | None = None
    crop_size: int | None = None
    batch: int = 64
    device: str | None = None
    seed: int = 0
    ultralytics: dict[str, Any] = field(default_factory=dict)

    def training(self, crop_size: int) -> ClassifierSettings:
        """The part that the training needs."""
        return ClassifierSettings(
            self.model,
            self.weights,
            crop_size,
            self.epochs,
            self.minutes,
            self.batch,
            self.device,
            self.seed,
            self.ultralytics,
        )


@dataclass(frozen=True)
class Look:
    """How crops are cut, and what came of a training on such crops.

    Attributes:
        margin, crop_size: See :class:`spore_yolo.inference.manifest.ClassifierPart`.
        loss: Balanced log loss on validation, after a temperature.
    """

    margin: float
    crop_size: int
    loss: float | None = None


@dataclass
class Material:
    """All that the trainings of one run share.

    Attributes:
        dataset: The dataset.
        classes: What the classifier shall name, debris included if there are crops of it.
        crops: The crops of ``train`` and ``val``.
        candidates: What the detector proposes on validation; ``None`` without a detector.
    """

    dataset: Dataset
    classes: list[str]
    crops: dict[str, pd.DataFrame]
    candidates: pd.DataFrame | None


def train(options: ClassifierOptions, folder: Path, with_detector: bool) -> None:
    """Trains a classifier; completes ``folder / "pair"`` or, without a detector, writes ``folder / "classifier.pt"``.

    Args:
        options: What to train and how.
        folder: The run's folder.
        with_detector: Whether the run has a detector whose boxes are to be classified.
    """
    dataset = load_dataset(options.dataset, options.datasets)
    if DEBRIS in dataset.classes:
        raise SporeYoloError(
            f"dataset {dataset.name} has a class {DEBRIS!r}, which is the classifier's own name for what nobody"
            " labelled; import it with a class map that drops or renames it"
        )
    check_settings(options.training(options.crop_size or STRIDE))
    pair = load(pair_folder(folder / "pair"), options.device) if with_detector else None
    if pair is not None:
        _check_same(dataset, pair)
    work = folder / "classifier"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    material = _material(dataset, pair, folder)
    look, tried = _choose_look(material, options, work)
    crops = write_crops(dataset, material.crops, material.classes, work / "crops", look.margin, look.crop_size)
    trained = train_classifier(options.training(look.crop_size), crops, work / "training")
    checkpoint = work / "classifier.pt"
    finish_checkpoint(trained.checkpoint, checkpoint, look.crop_size, "classify", crops.classes)
    shutil.rmtree(work / "crops")
    _finish(material, options, folder, pair, checkpoint, crops, look, tried, trained)


def _check_same(dataset: Dataset, pair: Pair) -> None:
    """A classifier trained on slides that validated the detector would be measured on what it has seen."""
    made_of = pair.manifest.made.get("detector", pair.manifest.made)
    if made_of.get("dataset_fingerprint") != dataset.fingerprint:
        raise SporeYoloError(
            f"the detector in {pair.folder} was trained on dataset {made_of.get('dataset')} as it was then, not on"
            f" {dataset.name} as it is now; train the detector again, or take the dataset that it was trained on"
        )


def _material(dataset: Dataset, pair: Pair | None, folder: Path) -> Material:
    """Mines the crops and prints how many there are."""
    tables, candidates = {}, None
    for split in ("train", "val"):
        images, boxes = dataset.split(split)
        images = images.groupby("source").head(VARIANTS)
        boxes = boxes[boxes["image"].isin(images["image"])]
        if pair is None:
            tables[split] = labelled_crops(boxes)
            continue
        found = _proposals(pair, dataset, images, split, folder)
        if split == "train":
            tables[split] = training_crops(found, boxes)
        else:
            candidates = found
            tables[split] = detected_crops(found[found["detector_score"] >= VALIDATION_SCORE], boxes)
    classes = [*dataset.classes, *([DEBRIS] if (tables["train"]["class"] == DEBRIS).any() else [])]
    tables["val"] = tables["val"][tables["val"]["class"].isin(classes)]
    _print_crops(tables, classes, pair is not None)
    missing = [name for name in classes if not (tables["train"]["class"] == name).any()]
    if missing:
        print(f"warning: no crop of {', '.join(missing)} to train on; the classifier will never name them")
    if len(set(classes) - set(missing)) < 2:
        raise SporeYoloError(
            f"the crops show only {', '.join(set(classes) - set(missing)) or 'nothing'}; a classifier needs two classes"
            " or more" + ("" if pair else " (with a detector, --run, debris is one)")
        )
    if tables["val"].empty:
        raise SporeYoloError("validation gives no crop to choose temperature and thresholds on; label more slides")
    return Material(dataset, classes, tables, candidates)


def _proposals(pair: Pair, dataset: Dataset, images: pd.DataFrame, split: str, folder: Path) -> pd.DataFrame:
    """What the detector proposes on the slides of a split; kept in the run, since looking takes its time."""
    path = folder / f"proposals-{split}.csv"
    mark = path.with_suffix(".json")
    key = {"detector": pair.manifest.detector.sha256, "dataset": dataset.fingerprint}
    if path.exists() and mark.exists() and json.loads(mark.read_text(encoding="utf-8")) == key:
        text = {"slide": str, "class": str, "detector_class": str}
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"class_score": [""]})
    part = pair.manifest.detector
    tables = []
    for image in tqdm(images["image"], desc=f"looking at {split}", unit="slide"):
        found = pair.detector.slide(read_image(dataset.path_of(image)), tiling_of(part))
        # Of several classes that the detector gives one object the classifier must see one.
        tables.append(proposals_table(image, without_doubles(found, part.nms_iou), part.classes))
    proposals = joined(tables)
    mark.unlink(missing_ok=True)
    write_text(path, proposals.to_csv(index=False))
    write_text(mark, json.dumps(key) + "\n")
    return proposals


def _print_crops(tables: dict[str, pd.DataFrame], classes: list[str], with_detector: bool) -> None:
    rows = []
    for name in classes:
        counts: list[object] = [name]
        for split in ("train", "val"):
            of_class = tables[split][tables[split]["class"] == name]
            counts += [int((of_class["origin"] == origin).sum()) for origin in ("label", "detector")]
        rows.append(counts)
    headers = ["crops", "train: labelled", "train: detector's", "val: labelled", "val: detector's"]
    print(tabulate(rows, headers, tablefmt="simple", intfmt=","))
    if with_detector:
        debris = tables["train"][tables["train"]["class"] == DEBRIS]
        print(f"{len(debris):,} crops of debris: what the detector proposes on training slides and nobody labelled\n")


def _choose_look(material: Material, options: ClassifierOptions, work: Path) -> tuple[Look, list[Look]]:
    """Chooses crop size and margin by short trainings; what the user gave is not tried."""
    sizes = [options.crop_size] if options.crop_size else usual_crop_sizes(material.crops["train"], MARGINS[0])
    margins = [options.margin] if options.margin is not None else list(MARGINS)
    if len(sizes) == 1 and len(margins) == 1:
        return Look(margins[0], sizes[0]), []
    tried = [_try(material, options, work, Look(margins[0], size)) for size in sizes]
    best = min(tried, key=lambda look: (look.loss, look.crop_size))
    tried += [_try(material, options, work, Look(margin, best.crop_size)) for margin in margins[1:]]
    best = min(tried, key=lambda look: (look.loss, look.crop_size))
    rows = [[look.crop_size, f"{look.margin:g}", f"{look.loss:.4f}", "taken" if look is best else ""] for look in tried]
    print(tabulate(rows, ["crop size", "margin", "balanced log loss on validation", ""], tablefmt="simple"))
    print()
    return best, tried


def usual_crop_sizes(crops: pd.DataFrame, margin: float) -> list[int]:
    """The crop sizes that are worth a try: the median window's own, and twice that.

    Args:
        crops: The crops to train on.
        margin: Context on each side, as a share of the box's longer side.

    Returns:
        One or two multiples of 32 between 32 and 224. Enlarging a spore of 20 pixels to 224 adds no detail that the
        microscope did not give, at a hundred times the cost.
    """
    windows = crop_windows(crops[COORDINATES].to_numpy(dtype=np.float64), margin)
    side = float(np.median(windows[:, 2] - windows[:, 0]))
    low, high = CROP_SIZES
    sizes = [min(high, max(low, STRIDE * math.ceil(side * factor / STRIDE))) for factor in (1, 2)]
    return sorted(set(sizes))


def _try(material: Material, options: ClassifierOptions, work: Path, look: Look) -> Look:
    print(f"trying crops of {look.crop_size} px with a margin of {look.margin:g} ...", flush=True)
    place = work / "try"
    shutil.rmtree(place, ignore_errors=True)
    crops = write_crops(
        material.dataset, material.crops, material.classes, place / "crops", look.margin, look.crop_size, quiet=True
    )
    short = replace(
        options.training(look.crop_size),
        epochs=max(2, options.epochs // TRY_SHARE),
        minutes=None if options.minutes is None else options.minutes / 10,
    )
    trained = train_classifier(short, crops, place / "training", quiet=True)
    finish_checkpoint(trained.checkpoint, place / "classifier.pt", look.crop_size, "classify", crops.classes)
    classifier = Classifier(place / "classifier.pt", options.device)
    opinions, truth = _opinions(classifier, material, look)
    loss = balanced_log_loss(opinions, truth, fit_temperature(opinions, truth))
    shutil.rmtree(place)
    return replace(look, loss=loss)


def _opinions(classifier: Classifier, material: Material, look: Look) -> tuple[Floats, Ints]:
    """What a classifier says of the crops of validation, ``(N, C)``, and what they are, ``(N,)``."""
    parts, truth = [np.zeros((0, len(classifier.names)))], [np.zeros(0, dtype=np.int64)]
    numbers = {name: number for number, name in enumerate(classifier.names)}
    for slide, part in material.crops["val"].groupby("slide"):
        pixels = read_image(material.dataset.path_of(str(slide)))
        boxes = part[COORDINATES].to_numpy(dtype=np.float64)
        parts.append(classifier.log_probabilities(cut_crops(pixels, boxes, look.margin, look.crop_size)))
        truth.append(part["class"].map(numbers).to_numpy(dtype=np.int64))
    return np.concatenate(parts), np.concatenate(truth)


def _finish(
    material: Material,
    options: ClassifierOptions,
    folder: Path,
    pair: Pair | None,
    checkpoint: Path,
    crops: CropFolder,
    look: Look,
    tried: list[Look],
    trained: TrainedClassifier,
) -> None:
    """Temperature and thresholds on validation; then the pair, whole."""
    dataset = material.dataset
    classifier = Classifier(checkpoint, options.device)
    opinions, truth = _opinions(classifier, material, look)
    temperature = fit_temperature(opinions, truth)
    calibration = calibration_figures(opinions, truth, temperature)
    part = ClassifierPart(
        file=checkpoint.name,
        sha256="",
        model=options.model,
        classes=crops.classes,
        crop_size=look.crop_size,
        margin=look.margin,
        temperature=round(temperature, 4),
    )
    print(f"\ntrained from {trained.start}: {trained.crops_seen:,} crops seen in {trained.seconds / 60:.1f} minutes\n")
    _print_recall(opinions, truth, classifier.names)
    print(
        f"temperature {temperature:.2f}: ECE {calibration['ece_before']:.3f} before, {calibration['ece']:.3f} after, on"
        f" {len(truth):,} crops of validation"
    )
    about = made(
        dataset, trained.start, trained.seconds, asdict(options), crops_seen=trained.crops_seen, seed=options.seed
    )
    figures = {
        "crops": {name: int((material.crops["train"]["class"] == name).sum()) for name in material.classes},
        "calibration": {
            key: round(value, 4) if isinstance(value, float) else value for key, value in calibration.items()
        },
        "tried": [{key: round(value, 4) for key, value in asdict(one).items()} for one in tried],
    }
    if pair is None:
        target = folder / "classifier.pt"
        shutil.move(checkpoint, target)
        known = part.model_copy(update={"sha256": sha256_file(target)})
        content = {"classifier": known.model_dump(mode="json"), "figures": figures, "made": about}
        write_yaml(folder / "classifier.yaml", content)
        write_text(folder / TRAINED_ON, "".join(f"{digest}\n" for digest in sorted(seen_images(dataset))))
        print(
            f"\n{target}   the classifier; classifier.yaml says how it was made\n"
            f"{folder / 'classifier' / 'training'}   Ultralytics' own run: curves, plots"
        )
        print(f"next: spore-yolo evaluate --run {folder} --dataset {dataset.name} --split test")
        return
    _complete_pair(material, options, pair, checkpoint, part, figures, about)
    checkpoint.unlink()
    print(
        f"\n{pair.folder}   the pair, complete: detector.pt, classifier.pt, pair.yaml\n"
        f"next: spore-yolo evaluate --run {folder} --dataset {dataset.name} --split test\n"
        f"      spore-yolo predict --run {folder} --source SLIDES --output found/"
    )


def _complete_pair(
    material: Material,
    options: ClassifierOptions,
    pair: Pair,
    checkpoint: Path,
    part: ClassifierPart,
    figures: dict[str, Any],
    about: dict[str, Any],
) -> None:
    dataset, old = material.dataset, pair.manifest
    assert material.candidates is not None
    images, boxes = dataset.split("val")
    candidates = _named(material, CropNamer(Classifier(checkpoint, options.device), part))
    chosen = choose_pair_point(candidates, boxes, images, dataset.classes, dataset.targets)
    evaluation = evaluate_candidates(candidates, boxes, images, dataset.classes, chosen.point)
    alone = old.figures.get("detector_alone") or {"threshold": old.operating_point.detector}
    manifest = PairManifest(
        pair_version=old.pair_version,
        classes=dataset.classes,
        targets=dataset.targets,
        detector=old.detector,
        classifier=part,
        um_per_px=old.um_per_px,
        operating_point=chosen.point,
        figures={
            "rule": "highest recall, averaged over the targets or else all classes, with a precision of each class >="
            f" {MIN_PRECISION}",
            **validation_figures(evaluation.metrics, images),
            "classifier": figures,
            "detector_alone": alone,
        },
        made={"detector": old.made.get("detector", old.made), "classifier": about},
    )
    write_pair(pair.folder, manifest, pair.folder / old.detector.file, checkpoint, seen_images(dataset))
    print(f"\nvalidation, {len(images)} slides, detector_score >= {chosen.point.detector:g}", end=", class_score >= ")
    print(", ".join(f"{name} {value:g}" for name, value in chosen.point.class_.items()) + ":\n")
    print(metrics_text(evaluation.metrics, dataset.targets))
    for note in chosen.notes():
        print(note)


def _named(material: Material, namer: CropNamer) -> pd.DataFrame:
    """The detector's proposals on validation with what the classifier says of them."""
    assert material.candidates is not None
    parts = []
    for slide, rows in material.candidates.groupby("slide"):
        pixels = read_image(material.dataset.path_of(str(slide)))
        names, class_scores = namer.classify(pixels, rows[COORDINATES].to_numpy(dtype=np.float64))
        scores = rows["detector_score"].to_numpy(dtype=np.float64) * class_scores
        parts.append(rows.assign(**{"class": names, "class_score": class_scores, "score": scores}))
    return joined(parts)


def _print_recall(opinions: Floats, truth: Ints, names: list[str]) -> None:
    """What the classifier alone makes of the crops of validation, a row a class."""
    said = opinions.argmax(axis=1)
    rows: list[list[object]] = []
    for number, name in enumerate(names):
        of_class, of_name = truth == number, said == number
        right = int((of_class & of_name).sum())
        rows.append(
            [
                name,
                int(of_class.sum()),
                f"{right / of_class.sum():.3f}" if of_class.any() else "-",
                f"{right / of_name.sum():.3f}" if of_name.any() else "-",
            ]
        )
    print(tabulate(rows, ["crops of validation", "n", "recall", "precision"], tablefmt="simple", intfmt=","))
