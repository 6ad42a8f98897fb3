"""What training runs have in common: their folder, and what a pair says of how it was made."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from spore_yolo.dataset.store import Dataset
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.provenance import code_commit, package_versions


@contextmanager
def in_place_of(folder: Path, force: bool, begun: Callable[[Path], bool]) -> Iterator[None]:
    """Makes the run's folder; one that stood there comes back if the new training never gets going.

    Args:
        folder: The run's folder.
        force: Replace a run that stands there.
        begun: Says whether there is anything in a folder that a training could go on from.
    """
    aside = folder.with_name(f".{folder.name}.replaced")
    occupied = folder.exists() and any(folder.iterdir())
    if occupied and not force:
        raise UsageError(f"{folder} exists; take another --name, go on with --resume, or replace it with --force")
    if occupied and not (folder / "run.json").exists():
        raise UsageError(f"{folder} is not a run of ours and is not replaced; take another --name")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        if occupied:
            os.replace(folder, aside)
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        if aside.exists() and not begun(folder):
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(aside, folder)
        elif not occupied and not begun(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_same_dataset(dataset: Dataset, folder: Path) -> None:
    """A training that goes on with other slides or another split would mix them without a word."""
    before = json.loads((folder / "run.json").read_text(encoding="utf-8"))["dataset_fingerprint"]
    if before != dataset.fingerprint:
        raise SporeYoloError(
            f"dataset {dataset.name} was imported anew since {folder} was begun; train again without --resume"
        )


def seen_images(dataset: Dataset) -> list[str]:
    """The hashes of all images of the groups in train and validation, spare variants included."""
    images = dataset.images
    groups = images.loc[images["split"].isin(["train", "val"]), "group"]
    return list(images.loc[images["group"].isin(groups), "sha256"])


def um_per_px(dataset: Dataset) -> float | None:
    """Micrometres per pixel, if all slides of the dataset have the same."""
    values = dataset.images["um_per_px"].dropna().unique()
    return float(values[0]) if len(values) == 1 else None


def made(dataset: Dataset, start: str, seconds: float, settings: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What a pair says of how a part of it was made.

    Args:
        dataset: What it was trained on.
        start: What the training started from, in words.
        seconds: Duration of the training.
        settings: The options it was trained with.
        **more: Anything else worth knowing.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "start": start,
        "minutes": round(seconds / 60, 1),
        **more,
        # Where things lay on the machine that trained is nobody's business.
        "settings": {key: value for key, value in settings.items() if key not in ("dataset", "datasets", "weights")},
        "versions": package_versions(),
        "commit": code_commit(),
    }


def validation_figures(metrics: Mapping[str, Any], images: pd.DataFrame) -> dict[str, Any]:
    """The part of an evaluation on validation that a manifest keeps: counts, and shares with what they are shares of.

    How far they carry is not kept: the operating point was chosen on the same slides.

    Args:
        metrics: What :func:`spore_yolo.evaluation.report.evaluate_candidates` measured.
        images: The images table of the validation split.
    """
    return {
        "split": "val",
        "slides": len(images),
        "groups": int(images["group"].nunique()),
        **_kept(metrics["overall"]),
        "per_class": {name: _kept(figures) for name, figures in metrics["per_class"].items()},
    }


def _kept(figures: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, one in figures.items():
        if isinstance(one, int):
            kept[key] = one
        elif isinstance(one, Mapping) and "interval" in one:
            kept[key] = {"value": None if one["value"] is None else round(one["value"], 4), "n": round(one["n"], 4)}
    return kept
