"""The steps that make one pair, from the detector to its figures: each calls what the command of its name calls.

Every step may be run again: what is done already is not done twice, and a training that broke off goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spore_yolo.dataset.store import Dataset
from spore_yolo.experiments.options import ClassifierOptions, DetectorOptions
from spore_yolo.experiments.tracking import Tracking
from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import is_remote
from spore_yolo.inference.manifest import PairManifest, read_manifest
from spore_yolo.pipeline.beginning import Branch
from spore_yolo.pipeline.configuration import TrainingConfiguration
from spore_yolo.pipeline.loading import Loaded, dataset_at_hand
from spore_yolo.pipeline.travelling import now_and_then, tracking_of
from spore_yolo.pipeline.workplace import brought, run_at_hand

WEIGHTS_OF_OURS = (None, "sample", "scratch")

ABOUT, VERSIONS = "pipeline.json", "dataset_version.json"
"""What a run's folder says of the flow that made it, and of the files that it saw."""

FIGURES = (
    "boxes",
    "tp",
    "fp",
    "fn",
    "recall",
    "precision",
    "specificity_slides",
    "specificity_crops",
    "recall_slides",
    "ap50",
    "ap50_95",
    "false_alarms_per_slide",
)
"""Figures of ``metrics.json`` that the flow hands on."""


def train_detector(
    configuration: TrainingConfiguration, branch: Branch, loaded: Loaded, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Trains the detector of a branch; see :func:`spore_yolo.experiments.detector_run.train`.

    Args:
        configuration: The configuration.
        branch: The pair to make.
        loaded: What it is made of.
        about: What :func:`spore_yolo.pipeline.beginning.begin` noted.

    Returns:
        ``epochs``, ``minutes``, ``start``, ``curves`` (columns of Ultralytics' ``results.csv``) and ``validation``.
    """
    from spore_yolo.experiments import detector_run

    dataset, register = dataset_at_hand(configuration, loaded)
    recipe = configuration.recipes[branch.recipe]
    options = _on_device(recipe.detector_options(dataset.name, register, branch.seed), configuration)
    with run_at_hand(branch.run) as folder:
        tracking = _tracking(configuration, branch, loaded, folder)
        if _has_detector(folder, options, dataset):
            print(f"{folder / 'pair'}: the detector is trained already")
        else:
            try:
                begun, pushing = (folder / "run.json").exists(), now_and_then(branch.run)
                go_on = begun and _begun_alike(folder, options)
                if go_on:
                    print(f"going on with {folder}")
                detector_run.train(options, folder, resume=go_on, force=begun, tracking=tracking, after_epoch=pushing)
            finally:
                if (folder / "run.json").exists():
                    _note(folder, branch, loaded, about)
        shutil.rmtree(folder / "tiles", ignore_errors=True)
        tracking.deliver()
        manifest = read_manifest(folder / "pair")
        made = manifest.made.get("detector", manifest.made)
        return {
            **{key: made.get(key) for key in ("epochs", "minutes", "start", "images_seen")},
            "curves": _curves(folder / "detector"),
            "validation": manifest.figures,
            "threshold": manifest.operating_point.detector,
        }


def mine_crops(configuration: TrainingConfiguration, branch: Branch, loaded: Loaded) -> dict[str, Any]:
    """Lets the detector look at training and validation slides, and counts the crops; kept in the run's folder.

    Returns:
        For each split, and class, the number of crops from labels and from the detector's own boxes.
    """
    from spore_yolo.experiments.crop_mining import mine_material
    from spore_yolo.inference.pair import load

    dataset, _ = dataset_at_hand(configuration, loaded)
    with run_at_hand(branch.run) as folder:
        material = mine_material(dataset, load(folder / "pair", configuration.device), folder)
        return {
            split: {
                name: {
                    origin: int(((table["class"] == name) & (table["origin"] == origin)).sum())
                    for origin in ("label", "detector")
                }
                for name in material.classes
            }
            for split, table in material.crops.items()
        }


def train_classifier(configuration: TrainingConfiguration, branch: Branch, loaded: Loaded) -> dict[str, Any]:
    """Trains the classifier and completes the pair; see :func:`spore_yolo.experiments.classifier_run.train`.

    Returns:
        ``minutes``, ``start``, ``crops_seen``, ``curves``, ``crop_size``, ``margin``, ``temperature`` and
        ``validation``.
    """
    from spore_yolo.experiments import classifier_run

    dataset, register = dataset_at_hand(configuration, loaded)
    recipe = configuration.recipes[branch.recipe]
    options = _on_device(recipe.classifier_options(dataset.name, register, branch.seed), configuration)
    with run_at_hand(branch.run) as folder:
        tracking = _tracking(configuration, branch, loaded, folder)
        if _has_classifier(read_manifest(folder / "pair"), options):
            print(f"{folder / 'pair'}: the classifier is trained already")
        else:
            classifier_run.train(options, folder, with_detector=True, tracking=tracking)
        tracking.deliver()
        manifest = read_manifest(folder / "pair")
        part, made = manifest.classifier, manifest.made["classifier"]
        assert part is not None
        return {
            **{key: made.get(key) for key in ("minutes", "start", "crops_seen")},
            "curves": _curves(folder / "classifier" / "training"),
            "crop_size": part.crop_size,
            "margin": part.margin,
            "temperature": part.temperature,
            "validation": manifest.figures,
        }


def calibrate(configuration: TrainingConfiguration, branch: Branch, loaded: Loaded) -> dict[str, Any]:
    """Promises a recall, or notes why none can be promised; see :mod:`spore_yolo.experiments.calibration_run`.

    Returns:
        ``promise``, the promise in plain values or ``None``; ``name`` of its operating point; ``why`` there is none.
    """
    from spore_yolo.experiments.calibration_run import CalibrationOptions, CannotPromise
    from spore_yolo.experiments.calibration_run import calibrate as promise

    asked = configuration.calibration
    nothing: dict[str, Any] = {"promise": None, "name": None}
    if asked is None:
        return nothing | {"why": "the configuration asks for no promise (calibration: null)"}
    dataset, register = dataset_at_hand(configuration, loaded)
    if not dataset.targets and len(dataset.classes) > 1:
        return nothing | {"why": "the dataset has no targets to promise for; name them with data.targets"}
    name = f"recall-{asked.recall:g}"
    with run_at_hand(branch.run) as folder:
        tracking = _tracking(configuration, branch, loaded, folder)
        options = CalibrationOptions(
            pair=folder / "pair",
            dataset=dataset.name,
            datasets=register,
            recall=asked.recall,
            confidence=asked.confidence,
            name=name,
            force=True,
            device=configuration.device,
        )
        try:
            promised = promise(options, tracking=tracking)
        except CannotPromise as error:
            print(f"note: {error}")
            return nothing | {"why": str(error)}
        finally:
            tracking.deliver()
    return {"promise": promised.promise.model_dump(mode="json"), "name": name, "why": None}


def evaluate(configuration: TrainingConfiguration, branch: Branch, loaded: Loaded) -> dict[str, Any]:
    """Measures the pair; see :func:`spore_yolo.experiments.evaluation_run.evaluate`.

    Returns:
        ``folder`` of the evaluation within the run, ``figures`` of the split (those of :data:`FIGURES` over all classes
        and class by class), and ``validation``, the figures that the pair was chosen by.
    """
    from spore_yolo.experiments.evaluation_run import EvaluationOptions
    from spore_yolo.experiments.evaluation_run import evaluate as measure

    dataset, register = dataset_at_hand(configuration, loaded)
    asked = configuration.evaluation
    with run_at_hand(branch.run) as folder:
        tracking = _tracking(configuration, branch, loaded, folder)
        done = measure(
            EvaluationOptions(
                pair=folder / "pair",
                dataset=dataset.name,
                datasets=register,
                split=asked.split,
                iou=asked.iou,
                device=configuration.device,
            ),
            tracking=tracking,
        )
        late = tracking.deliver(final=True)
        manifest = read_manifest(folder / "pair")
        return {
            "folder": done.folder.relative_to(folder).as_posix(),
            "figures": kept_figures(done.metrics),
            "validation": manifest.figures,
            "not_delivered": late,
        }


def kept_figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``metrics.json`` that the flow hands on."""
    return {
        **{key: metrics[key] for key in ("dataset", "split", "slides", "groups", "targets", "iou")},
        "operating_point": metrics["operating_point"],
        "overall": {key: metrics["overall"][key] for key in FIGURES if key in metrics["overall"]},
        "per_class": {
            name: {key: figures[key] for key in FIGURES if key in figures}
            for name, figures in metrics["per_class"].items()
        },
        "warnings": list(metrics["warnings"]),
    }


def metrics_of(branch: Branch, place: str) -> tuple[Path, dict[str, Any]]:
    """The folder of an evaluation on this machine, and its ``metrics.json``.

    Args:
        branch: The branch.
        place: The folder of the evaluation within the run.
    """
    folder = brought(branch.run) / place
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return folder, content


def _tracking(configuration: TrainingConfiguration, branch: Branch, loaded: Loaded, folder: Path) -> Tracking:
    versions = {f"{part}_version": loaded.version(part) for part in loaded.versions}
    return tracking_of(configuration, branch, folder, {"pipeline": configuration.name, **versions})


def _on_device(options: Any, configuration: TrainingConfiguration) -> Any:
    """The options with their weights on this machine, and the device of the configuration where they name none."""
    weights = options.weights
    if weights not in WEIGHTS_OF_OURS and is_remote(weights):
        weights = str(brought(weights))
    return replace(options, weights=weights, device=options.device or configuration.device)


def _has_detector(folder: Path, options: DetectorOptions, dataset: Dataset) -> bool:
    """Whether the run holds a pair with the detector that is asked for."""
    if not (folder / "pair" / "pair.yaml").exists() or not _begun_alike(folder, options):
        return False
    manifest = read_manifest(folder / "pair")
    made = manifest.made.get("detector", manifest.made)
    return bool(made.get("dataset_fingerprint") == dataset.fingerprint)


def _begun_alike(folder: Path, options: DetectorOptions) -> bool:
    """Whether a run was begun with these options; where things lie may differ from machine to machine."""
    from spore_yolo.experiments.detector_run import read_options

    try:
        before = read_options(folder)
    except SporeYoloError:
        return False

    def plain(one: DetectorOptions) -> DetectorOptions:
        weights = one.weights if one.weights is None else Path(one.weights).name
        return replace(one, datasets=Path(), weights=weights)

    return plain(before) == plain(options)


def _has_classifier(manifest: PairManifest, options: ClassifierOptions) -> bool:
    """Whether the pair is complete, with the classifier that is asked for."""
    if manifest.classifier is None:
        return False
    asked = {key: value for key, value in asdict(options).items() if key not in ("dataset", "datasets", "weights")}
    return bool(manifest.made.get("classifier", {}).get("settings") == asked)


def _note(folder: Path, branch: Branch, loaded: Loaded, about: Mapping[str, Any]) -> None:
    """Says in the run's folder which flow made it, with which options, and which files it saw."""
    versions = {part: json.loads(text) for part, text in loaded.versions.items()}
    content = {part: {"address": loaded.addresses[part], **versions[part]} for part in versions}
    write_text(folder / VERSIONS, json.dumps(content, indent=1) + "\n")
    made_by = {"recipe": branch.recipe, "seed": branch.seed, **about}
    write_text(folder / ABOUT, json.dumps(made_by, indent=1) + "\n")


def _curves(run: Path) -> dict[str, list[float]]:
    """The columns of Ultralytics' ``results.csv``; empty without one."""
    import pandas as pd

    try:
        table = pd.read_csv(run / "results.csv", skipinitialspace=True)
    except (OSError, ValueError):
        return {}
    return {str(name).strip(): [float(value) for value in column] for name, column in table.items()}
