"""Remembers what a pair found on a split, so that looking at it again needs no model."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spore_yolo import __version__
from spore_yolo.dataset.store import Dataset
from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import fingerprint
from spore_yolo.files.images import read_image, read_size
from spore_yolo.inference.drawing import MAX_SIDE
from spore_yolo.inference.manifest import PairManifest

LOOKED = "looked.json"

SHOWN_AS_THEY_ARE = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
"""Suffixes of the images that every browser shows."""


@dataclass(frozen=True)
class Looked:
    """What a pair found on slides.

    Attributes:
        candidates: Columns of ``candidates.csv``, exactly as the pair gave them.
        warnings: Limits that were reached while looking.
        files: For each image a file that a browser shows: its own, or a copy of it.
        place: Where all this is kept.
        since: When the pair looked, or ``None`` where it did so just now.
    """

    candidates: pd.DataFrame
    warnings: list[str]
    files: dict[str, Path]
    place: Path
    since: str | None


def look_once(
    folder: Path, manifest: PairManifest, dataset: Dataset, images: pd.DataFrame, split: str, device: str | None
) -> Looked:
    """The candidates of a split: those that are kept where pair and dataset are still the same, else new ones.

    Args:
        folder: The pair's folder.
        manifest: What the pair says of itself.
        dataset: The dataset.
        images: Its images to look at.
        split: Their name.
        device: As torch takes it.
    """
    key = fingerprint(
        {
            "detector": manifest.detector.model_dump(),
            "classifier": manifest.classifier and manifest.classifier.model_dump(),
            "dataset": dataset.fingerprint,
            "split": split,
            "version": __version__,
        }
    )
    place = _place(folder, f"{dataset.name}-{split}", key)
    kept = _read(place, key, dataset, images["image"])
    if kept is not None:
        return kept
    if place.exists() and any(place.iterdir()) and not (place / LOOKED).exists():
        raise SporeYoloError(f"{place}: holds other things than what a pair found; move them elsewhere")
    _look(place, key, folder, dataset, images, device)
    looked = _read(place, key, dataset, images["image"])
    assert looked is not None
    return Looked(looked.candidates, looked.warnings, looked.files, place, since=None)


def _place(folder: Path, name: str, key: str) -> Path:
    """Beside the pair of a run, inside a pair that lies somewhere else; in the user's cache where that is read-only."""
    beside = (folder.parent if folder.name == "pair" else folder) / "browse"
    try:
        beside.mkdir(exist_ok=True)
        if os.access(beside, os.W_OK):
            return beside / name
    except OSError:
        pass
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "spore-yolo" / "browse" / f"{name}-{key[:12]}"


def _look(place: Path, key: str, folder: Path, dataset: Dataset, images: pd.DataFrame, device: str | None) -> None:
    from spore_yolo.cli.looking import look_at
    from spore_yolo.inference.pair import load

    pair = load(folder, device)
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    candidates, caps = look_at(pair, slides, len(slides), pair.manifest.operating_point.detector)
    part = pair.manifest.detector
    with atomic_folder(place) as temporary:
        # Not rounded as the CSV files for people are: a threshold may lie between a number and its rounded self.
        candidates.to_csv(temporary / "candidates.csv", index=False)
        about = {
            "key": key,
            "since": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "warnings": caps.warnings(part.max_detections_per_tile, part.largest_box),
            "copies": _copies(temporary, slides),
        }
        (temporary / LOOKED).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _copies(folder: Path, slides: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """Makes a JPEG of every slide that a browser may not show, or not upright; gives the names of those it made."""
    from PIL import Image

    copies = {}
    for number, (slide, path) in enumerate(slides):
        size = read_size(path)
        if path.suffix.lower() in SHOWN_AS_THEY_ARE and size.orientation == 1 and max(size.stored) <= MAX_SIDE:
            continue
        (folder / "slides").mkdir(exist_ok=True)
        image = Image.fromarray(read_image(path))
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        copies[slide] = f"slides/{number:05d}.jpg"
        image.save(folder / copies[slide], quality=95)
    return copies


def _read(place: Path, key: str, dataset: Dataset, images: Iterable[str]) -> Looked | None:
    try:
        about: dict[str, Any] = json.loads((place / LOOKED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if about.get("key") != key:
        return None
    text = dict.fromkeys(("slide", "class", "detector_class"), "str")
    candidates = pd.read_csv(
        place / "candidates.csv",
        dtype=text,
        keep_default_na=False,
        na_values={"class_score": [""]},
        float_precision="round_trip",
    )
    numbers = [name for name in candidates.columns if name not in text]
    copies = {slide: place / name for slide, name in about["copies"].items()}
    return Looked(
        candidates=candidates.astype(dict.fromkeys(numbers, "float64")),
        warnings=about["warnings"],
        files={image: copies.get(image, dataset.path_of(image)).absolute() for image in images},
        place=place,
        since=about["since"],
    )
