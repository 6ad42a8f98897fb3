"""Chains what makes a classifier: crops, their size and margin, training, temperature, thresholds, the pair."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tabulate import tabulate

from spore_yolo.dataset.crops import (
    CropFolder,
    write_crops,
)
from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.evaluation.calibration import balanced_log_loss, calibration_figures, fit_temperature
from spore_yolo.evaluation.metrics import metrics_text
from spore_yolo.evaluation.operating_point import MIN_PRECISION
from spore_yolo.evaluation.pair_point import ChosenPairPoint, choose_pair_point
from spore_yolo.evaluation.report import evaluate_candidates
from spore_yolo.experiments.crop_mining import Material, mine_material
from spore_yolo.experiments.options import ClassifierOptions
from spore_yolo.experiments.runs import made, seen_images, validation_figures
from spore_yolo.experiments.telling import tell_begin, tell_classifier, tell_run
from spore_yolo.experiments.tracking import NO_TRACKING, Part, Tracking
from spore_yolo.experiments.tracking.journal import FOLDER as TRACKING
from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.images import read_image
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.classifier import Classifier, CropNamer
from spore_yolo.inference.crops import crop_windows, cut_crops
from spore_yolo.inference.manifest import DEBRIS, ClassifierPart, PairManifest
from spore_yolo.inference.pair import TRAINED_ON, Pair, load, pair_folder, write_pair
from spore_yolo.labels.table import COORDINATES
from spore_yolo.prediction.looking import joined
from spore_yolo.training.checkpoint import finish_checkpoint
from spore_yolo.training.classifier import (
    STRIDE,
    TrainedClassifier,
    check_settings,
    train_classifier,
)

MARGINS = (0.25, 0.1, 0.5)
"""The context round a box that is tried on validation, the first one with every crop size."""

CROP_SIZES = (32, 224)
"""Smallest and largest crop size that is tried."""

LARGE_WINDOW = 96
"""A window of more pixels is tried at half its size too, not at twice."""

DEBRIS_FROM = (0.0, 0.7, 0.8, 0.9, 0.95)
"""How sure the classifier may have to be of debris before a candidate is thrown out; 0 is the plain argmax.

A spore that is most probably debris is beyond the reach of every threshold; where such spores are many, only what is
surely debris may be thrown out, and the thresholds of the classes decide on the rest.
"""

TRY_SHARE = 4
"""A try takes a fourth of the epochs (or, by the clock, a tenth of the minutes)."""

TRY_DRAWN = 2_000
"""Most crops that an epoch of a try draws: enough to tell sizes apart, and large crops cost their time on a CPU."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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


def train(options: ClassifierOptions, folder: Path, with_detector: bool, tracking: Tracking = NO_TRACKING) -> None:
    """Trains a classifier; completes ``folder / "pair"`` or, without a detector, writes ``folder / "classifier.pt"``.

    Args:
        options: What to train and how.
        folder: The run's folder.
        with_detector: Whether the run has a detector whose boxes are to be classified.
        tracking: Is told of the part ``classifier``.
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
    try:
        if pair is None:
            tell_run(tracking, dataset)
        with tracking.part("classifier") as part:
            tell_begin(part, options, dataset, "training")
            _train(dataset, options, folder, pair, work, part)
    except BaseException:
        # Left behind, it would stand in the way of the next attempt.
        shutil.rmtree(work, ignore_errors=True)
        if {path.name for path in folder.iterdir()} <= {TRACKING}:
            shutil.rmtree(folder)
        raise


def _train(
    dataset: Dataset, options: ClassifierOptions, folder: Path, pair: Pair | None, work: Path, part: Part
) -> None:
    material = mine_material(dataset, pair, folder)
    look, tried = _choose_look(material, options, work)
    crops = write_crops(dataset, material.crops, material.classes, work / "crops", look.margin, look.crop_size)
    trained = train_classifier(options.training(look.crop_size), crops, work / "training", on_epoch=part.epoch)
    checkpoint = work / "classifier.pt"
    finish_checkpoint(trained.checkpoint, checkpoint, look.crop_size, "classify", crops.classes)
    shutil.rmtree(work / "crops")
    _finish(material, options, folder, pair, checkpoint, crops, look, tried, trained)
    tell_classifier(part, folder, trained, pair is not None)


def _check_same(dataset: Dataset, pair: Pair) -> None:
    """A classifier trained on slides that validated the detector would be measured on what it has seen."""
    made_of = pair.manifest.made.get("detector", pair.manifest.made)
    if made_of.get("dataset_fingerprint") != dataset.fingerprint:
        raise SporeYoloError(
            f"the detector in {pair.folder} was trained on dataset {made_of.get('dataset')} as it was then, not on"
            f" {dataset.name} as it is now; train the detector again, or take the dataset that it was trained on"
        )


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
    headers = ["crop size", "margin", "balanced log loss on validation", ""]
    print(tabulate(rows, headers, tablefmt="simple", disable_numparse=True))
    print()
    return best, tried


def usual_crop_sizes(crops: pd.DataFrame, margin: float) -> list[int]:
    """The crop sizes that are worth a try: the median window's own, and twice that or, where it is large, half of it.

    Args:
        crops: The crops to train on.
        margin: Context on each side, as a share of the box's longer side.

    Returns:
        One or two multiples of 32 between 32 and 224, rising. Enlarging a spore of 20 pixels to 224 adds no detail that
        the microscope did not give, at a hundred times the cost.
    """
    windows = crop_windows(crops[COORDINATES].to_numpy(dtype=np.float64), margin)
    side = float(np.median(windows[:, 2] - windows[:, 0]))
    low, high = CROP_SIZES
    factors = (1.0, 2.0) if side <= LARGE_WINDOW else (0.5, 1.0)
    return sorted({min(high, max(low, STRIDE * math.ceil(side * factor / STRIDE))) for factor in factors})


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
        most_drawn=TRY_DRAWN,
        minutes=None if options.minutes is None else options.minutes / 10,
    )
    trained = train_classifier(short, crops, place / "training", quiet=True)
    finish_checkpoint(trained.checkpoint, place / "classifier.pt", look.crop_size, "classify", crops.classes)
    classifier = Classifier.load(place / "classifier.pt", options.device)
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
    classifier = Classifier.load(checkpoint, options.device)
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
    alone = old.figures.get("detector_alone") or {"threshold": old.operating_point.detector}
    namer = CropNamer(Classifier.load(checkpoint, options.device), part)
    namer, candidates, chosen = _choose_point(material, namer, float(alone["threshold"]))
    evaluation = evaluate_candidates(candidates, boxes, images, dataset.classes, chosen.point)
    manifest = PairManifest(
        pair_version=old.pair_version,
        classes=dataset.classes,
        targets=dataset.targets,
        detector=old.detector,
        classifier=namer.part,
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
    if namer.part.debris_from:
        print(f"\ndebris is named only from a probability of {namer.part.debris_from:g} on")
    print(f"\nvalidation, {len(images)} slides, detector_score >= {chosen.point.detector:g}", end=", class_score >= ")
    print(", ".join(f"{name} {value:g}" for name, value in chosen.point.class_.items()) + ":\n")
    print(metrics_text(evaluation.metrics, dataset.targets))
    for note in chosen.notes():
        print(note)


def _choose_point(
    material: Material, namer: CropNamer, alone: float
) -> tuple[CropNamer, pd.DataFrame, ChosenPairPoint]:
    """Chooses on validation how sure the classifier must be of debris, and the thresholds that go with it.

    Args:
        material: What the run works on.
        namer: The classifier.
        alone: The detector's own threshold; it is tried too, so that the pair does not fall behind its detector.

    Returns:
        The classifier with the choice, the candidates as it names them, and the operating point.
    """
    assert material.candidates is not None
    dataset = material.dataset
    images, boxes = dataset.split("val")
    rows = [part for _, part in material.candidates.groupby("slide")]
    probabilities = [
        namer.probabilities(
            read_image(dataset.path_of(str(part["slide"].iloc[0]))), part[COORDINATES].to_numpy(dtype=np.float64)
        )
        for part in rows
    ]
    best: tuple[CropNamer, pd.DataFrame, ChosenPairPoint] | None = None
    for debris_from in DEBRIS_FROM:
        tried = replace(namer, part=namer.part.model_copy(update={"debris_from": debris_from}))
        candidates = joined(_named(part, *tried.name(share)) for part, share in zip(rows, probabilities, strict=True))
        chosen = choose_pair_point(candidates, boxes, images, dataset.classes, dataset.targets, also=[alone])
        if best is None or _better(chosen, best[2]):
            best = tried, candidates, chosen
    assert best is not None
    return best


def _named(rows: pd.DataFrame, names: npt.NDArray[np.str_], class_scores: Floats) -> pd.DataFrame:
    scores = rows["detector_score"].to_numpy(dtype=np.float64) * class_scores
    return rows.assign(**{"class": names, "class_score": class_scores, "score": scores})


def _better(one: ChosenPairPoint, other: ChosenPairPoint) -> bool:
    """Whether a choice is clearly better; among equals the earlier, plainer one stays."""

    def worth(choice: ChosenPairPoint) -> tuple[int, float, float]:
        return -len(choice.not_reached), round(choice.mean_recall, 4), round(choice.mean_precision, 4)

    return worth(one) > worth(other)


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
    headers = ["crops of validation", "n", "recall", "precision"]
    print(tabulate(rows, headers, tablefmt="simple", intfmt=",", disable_numparse=[0, 2, 3]))
