"""Chooses thresholds that promise a recall, or says how many groups are missing for that."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.evaluation.promise import (
    MOST_GROUPS,
    Bound,
    Choice,
    LabelledPart,
    Specificity,
    bound_for,
    choose_promised,
    fixed_order,
    groups_needed,
    halves,
    p_value,
)
from spore_yolo.evaluation.scoring import SPORE
from spore_yolo.experiments.evaluation_run import comparable
from spore_yolo.experiments.remembering import look_once
from spore_yolo.experiments.telling import tell_begin, tell_promise
from spore_yolo.experiments.tracking import NO_TRACKING, Tracking
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.manifest import (
    MANIFEST,
    OperatingPoint,
    PairManifest,
    Promise,
    PromisedPoint,
    read_manifest,
)
from spore_yolo.inference.pair import pair_folder, read_trained_on
from spore_yolo.labels.matching import Floats


class CannotPromise(SporeYoloError):
    """No thresholds promise that recall on these groups; the message says what is missing."""


@dataclass(frozen=True)
class CalibrationOptions:
    """What the user asked for; see ``spore-yolo calibrate --help``.

    Attributes:
        pair: The pair's folder.
        dataset, datasets: Name and register.
        recall: The recall to promise, averaged over groups.
        confidence: How often such a promise is kept.
        targets: Classes to promise for, with commas between; ``None``: the dataset's.
        name: What to call the operating point; ``None``: ``recall-RECALL``.
        force: Replace a stored operating point of that name.
        device: As torch takes it; ``None`` chooses.
    """

    pair: Path
    dataset: str | None
    datasets: Path = Path("datasets.yaml")
    recall: float = 0.95
    confidence: float = 0.9
    targets: str | None = None
    name: str | None = None
    force: bool = False
    device: str | None = None


def calibrate(options: CalibrationOptions, tracking: Tracking = NO_TRACKING) -> PromisedPoint:
    """Chooses the thresholds, stores them with the pair, and prints what they promise.

    Args:
        options: What to promise, on what.
        tracking: Is told of the part ``calibration``.

    Raises:
        CannotPromise: Nothing can be promised; nothing was stored.
    """
    dataset = load_dataset(options.dataset, options.datasets)
    folder = pair_folder(options.pair)
    manifest = read_manifest(folder)
    name = options.name or f"recall-{options.recall:g}"
    if not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"--name: expected letters, digits, dots, hyphens and underscores, found {name!r}")
    if name in manifest.operating_points and not options.force:
        raise UsageError(f"--name: the pair has an operating point {name} already; take another, or add --force")
    with tracking.part("calibration", name) as part:
        tell_begin(part, options, dataset, "calibration")
        promised = _promise(options, dataset, folder, manifest, name)
        tell_promise(part, folder, promised)
    return promised


def _promise(
    options: CalibrationOptions, dataset: Dataset, folder: Path, manifest: PairManifest, name: str
) -> PromisedPoint:
    """Chooses, stores and prints; see :func:`calibrate`."""
    boxes, merged = comparable(dataset.boxes, dataset, manifest)
    targets = _targets(options.targets, dataset, manifest, merged)
    parts = _parts(dataset, boxes, targets, folder)
    tables = {}
    for split in dict.fromkeys((parts.order_split, parts.split)):
        looked = look_once(folder, manifest, dataset, dataset.split(split)[0], split, options.device)
        tables[split] = looked.candidates
        precision = looked.precision  # of the calibrating part, which comes last
        for warning in looked.warnings:
            print(warning)
    ordering = LabelledPart(tables[parts.order_split], boxes, parts.ordering, targets)
    calibrating = LabelledPart(tables[parts.split], boxes, parts.calibrating, targets)
    bound = bound_for(ordering.labelled)
    points = fixed_order(ordering, manifest.operating_point, options.recall)
    choice = choose_promised(calibrating, points, options.recall, options.confidence, bound)
    where = f"{dataset.name}, {parts.name}"
    if choice.point is None:
        raise CannotPromise(cannot_text(choice, options.recall, options.confidence, bound, where, parts.notes))
    promised = PromisedPoint(
        point=choice.point,
        promise=Promise(
            recall=options.recall,
            confidence=options.confidence,
            targets=targets,
            groups={target: len(losses) for target, losses in choice.losses.items()},
            bound=bound,
            dataset=dataset.name,
            dataset_fingerprint=dataset.fingerprint,
            split=parts.name,
            miss_rate_seen={target: round(float(losses.mean()), 5) for target, losses in choice.losses.items()},
            highest_promise=choice.highest,
            specificity=_rounded(choice.specificity),
            stored_point_specificity=_rounded(calibrating.specificity(manifest.operating_point)),
            notes=parts.notes,
            precision=precision,
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        ),
    )
    _store(folder, manifest, name, promised)
    print(promise_text(promised, manifest.operating_point, choice.passed, len(points)))
    print(f"\n{folder / 'pair.yaml'}: operating point {name}")
    print(f"next: spore-yolo predict --pair {folder} --operating-point {name} --source SLIDES --output found/")
    return promised


@dataclass(frozen=True)
class _Parts:
    """Which groups fix the order of the tests and which calibrate.

    Attributes:
        split, order_split: The splits that they are from.
        name: The first in words.
        calibrating, ordering: Their images.
        notes: What weakens the promise.
    """

    split: str
    order_split: str
    name: str
    calibrating: pd.DataFrame
    ordering: pd.DataFrame
    notes: list[str]


def _parts(dataset: Dataset, boxes: pd.DataFrame, targets: list[str], folder: Path) -> _Parts:
    """The calibration part and validation, or two halves of validation where there is no calibration part.

    Raises:
        SporeYoloError: The pair was trained on slides of the calibration part.
    """
    trained_on = read_trained_on(folder)
    notes = []
    if not trained_on:
        notes.append("the pair does not say which slides it was trained on; make sure that these are none of them")
    validation = dataset.split("val")[0]
    if "calibration" in set(dataset.images["split"]):
        images = dataset.split("calibration")[0]
        seen = int(images["sha256"].isin(trained_on).sum())
        if seen:
            raise SporeYoloError(
                f"{seen} of the {len(images)} slides of {dataset.name}, calibration, were in the pair's own train or"
                " validation split: a promise on them would lie. Was the dataset imported anew with --force? Train"
                " again."
            )
        return _Parts("calibration", "val", "calibration", images, validation, notes)
    ordering, calibrating = halves(validation, boxes, targets)
    if calibrating["sha256"].isin(trained_on).any():
        notes.append(
            f"{dataset.name} has no calibration part, so half of the validation groups took its place. They also chose"
            " the epoch, the settings and the temperature of this pair: the promise is weaker than it says. For a full"
            " one import with four shares, such as --split 50,15,20,15, and train again"
        )
    return _Parts("val", "val", "val (half)", calibrating, ordering, notes)


def _targets(asked: str | None, dataset: Dataset, manifest: PairManifest, merged: bool) -> list[str]:
    """The classes to promise for.

    Raises:
        UsageError: There are none, or they are not the pair's.
    """
    known = [SPORE] if merged else manifest.classes
    if asked is not None:
        targets = [name.strip() for name in asked.split(",")]
        unknown = [name for name in targets if name not in known]
        if unknown or len(set(targets)) < len(targets):
            raise UsageError(
                f"--targets: expected classes of the pair ({', '.join(known)}), each once, found {asked!r}"
            )
        return targets
    targets = known if len(known) == 1 else (dataset.targets or manifest.targets)
    if not targets:
        raise UsageError(
            f"--targets: neither {dataset.name} nor the pair names a target; say which classes to promise for:"
            f" {', '.join(known)}"
        )
    return list(targets)


def _store(folder: Path, manifest: PairManifest, name: str, promised: PromisedPoint) -> None:
    """Adds the operating point to ``pair.yaml``.

    Raises:
        SporeYoloError: The pair was made anew while it looked at the slides.
    """
    now = read_manifest(folder)
    if (now.detector, now.classifier) != (manifest.detector, manifest.classifier):
        raise SporeYoloError(f"{folder}: the pair was trained anew meanwhile; calibrate it again")
    changed = now.model_copy(update={"operating_points": {**now.operating_points, name: promised}})
    write_yaml(folder / MANIFEST, changed.model_dump(by_alias=True, mode="json"))


def promise_text(promised: PromisedPoint, stored: OperatingPoint, passed: int, tried: int) -> str:
    """What was promised, on what it rests, what it costs, and what it means."""
    point, promise = promised.point, promised.promise
    rows = [
        [
            target,
            promise.groups[target],
            f"{1 - promise.miss_rate_seen[target]:.3f}",
            f"{point.class_[target]:g}" if target in point.class_ else None,
            f"{stored.class_[target]:g}" if target in stored.class_ else None,
            _figure(promise.specificity[target]),
            _figure(promise.stored_point_specificity[target]),
        ]
        for target in promise.targets
    ]
    headers = ["target", "groups", "recall seen", "class_score >=", "(stored)", "specificity", "(stored)"]
    lines = [
        f"\n{promise.dataset}, {promise.split}: a recall of {promise.recall:g} is promised with confidence"
        f" {promise.confidence:g}",
        f"detector_score >= {point.detector:g} (stored: {stored.detector:g}); {passed} of {tried} pairs of thresholds"
        f" passed, tested by {BOUNDS[promise.bound]}\n",
        str(tabulate(rows, headers, tablefmt="simple", missingval="-", disable_numparse=True)),
        "\n(stored) is the pair's own operating point; specificity is over the crops of these groups: the difference is"
        " what the promise costs, or gains.",
        f"The highest recall that these groups can promise is {promise.highest_promise:.3f}, at the most permissive"
        " thresholds.",
        f"What it means: for groups like these, the share of {' and of '.join(promise.targets)} that is found, averaged"
        " over groups and not over",
        f"boxes, is at least {promise.recall:g}. It is a promise about the choice: of such calibrations at least"
        f" {promise.confidence:.0%} keep it.",
        *(f"note: {note}" for note in promise.notes),
    ]
    return "\n".join(lines)


BOUNDS = {
    "betting": "the betting bound of Waudby-Smith and Ramdas",
    "hoeffding-bentkus": "the bound of Hoeffding and Bentkus",
}


def cannot_text(choice: Choice, recall: float, confidence: float, bound: Bound, where: str, notes: list[str]) -> str:
    """Why nothing can be promised: what could be, and what is missing."""
    lines = [
        f"cannot promise a recall of {recall:g} with confidence {confidence:g} on {where}, not even with the most"
        " permissive thresholds; nothing was stored",
        f"  the highest recall that these groups can promise: {choice.highest:.3f}",
        *(
            f"  {target}: {_missing(losses, recall, confidence, bound)}"
            for target, losses in choice.most_permissive.items()
        ),
        *(f"  note: {note}" for note in notes),
    ]
    return "\n".join(lines)


def _missing(losses: Floats, recall: float, confidence: float, bound: Bound) -> str:
    """What one target lacks for the promise."""
    if not len(losses):
        needed = groups_needed(losses, 1 - recall, 1 - confidence, bound)
        return f"no group has a labelled box of it; at least {needed} are needed, if nothing is missed in them"
    seen = f"{len(losses)} groups, recall seen {1 - losses.mean():.3f}"
    if p_value(losses, 1 - recall, 1 - confidence, bound) <= 1 - confidence:
        return f"{seen}: enough"
    if losses.mean() >= 1 - recall:
        return f"{seen}: no number of groups would do, since more is missed than may be; it takes a better pair"
    needed = groups_needed(losses, 1 - recall, 1 - confidence, bound)
    if needed is None:
        return f"{seen}: at that, more than {MOST_GROUPS:,} groups would be needed; it takes a better pair"
    return f"{seen}: at that, about {needed - len(losses)} more groups are needed, {needed} in all"


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _rounded(values: Specificity) -> Specificity:
    return {target: None if value is None else round(value, 5) for target, value in values.items()}
