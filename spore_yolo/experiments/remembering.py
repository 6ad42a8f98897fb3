"""Remembers what a pair found on a split, so that looking at it again needs no model."""

from __future__ import annotations

import datetime
import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo import __version__
from spore_yolo.dataset.store import Dataset
from spore_yolo.files.atomic import atomic_file, atomic_folder
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import fingerprint
from spore_yolo.files.images import read_image, read_size
from spore_yolo.inference.drawing import MAX_SIDE
from spore_yolo.inference.manifest import PairManifest
from spore_yolo.labels.table import COORDINATES

LOOKED, CANDIDATES, LABELS, FEATURES = "looked.json", "candidates.csv", "labels.npy", "features.npz"

FORM = 3
"""Counts up when what is kept changes its form, so that what is kept in an older one is looked at anew."""

SHOWN_AS_THEY_ARE = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
"""Suffixes of the images that every browser shows."""


@dataclass(frozen=True)
class Looked:
    """What a pair found on slides.

    Attributes:
        candidates: Columns of ``candidates.csv``, exactly as the pair gave them, and ``sharpness``.
        sharpness: ``(N,)``, the sharpness of the labelled boxes of the slides, in the order of the boxes table.
        warnings: Limits that were reached while looking.
        precision: What the networks were computed in.
        files: For each image a file that a browser shows: its own, or a copy of it.
        place: Where all this is kept.
        since: When the pair looked, or ``None`` where it did so just now.
    """

    candidates: pd.DataFrame
    sharpness: npt.NDArray[np.float64]
    warnings: list[str]
    precision: str
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
            "form": FORM,
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
    return replace(looked, since=None)


def features_of(
    looked: Looked, folder: Path, dataset: Dataset, boxes: pd.DataFrame, device: str | None
) -> npt.NDArray[np.float16]:
    """What the pair's classifier sees in boxes; each box is looked at once and then remembered beside the candidates.

    Args:
        looked: What the pair found.
        folder: The pair's folder.
        dataset: The dataset.
        boxes: Columns ``slide`` and the box.
        device: As torch takes it.

    Returns:
        ``(N, D)``; see :meth:`spore_yolo.inference.classifier.Classifier.features`.
    """
    path = looked.place / FEATURES
    wanted = pd.MultiIndex.from_frame(boxes[["slide", *COORDINATES]])
    known, features = _read_features(path)
    new = boxes[~wanted.isin(known)].drop_duplicates(["slide", *COORDINATES])
    if len(new):
        new, seen = _see(folder, dataset, new, device)
        features = np.concatenate([features, seen]) if len(features) else seen
        known = known.append(pd.MultiIndex.from_frame(new[["slide", *COORDINATES]]))
        corners = np.array([key[1:] for key in known], dtype=np.float64)
        with atomic_file(path) as temporary:
            np.savez(temporary, slides=np.array(known.get_level_values(0), dtype=str), corners=corners, seen=features)
    return np.asarray(features[known.get_indexer(wanted)])


def _read_features(path: Path) -> tuple[pd.MultiIndex, npt.NDArray[np.float16]]:
    """The boxes whose features are remembered, and these; none where there is no file, or a damaged one."""
    try:
        with np.load(path) as kept:
            corners = kept["corners"]
            return pd.MultiIndex.from_arrays([kept["slides"], *corners.T]), kept["seen"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        nothing: list[Any] = [[]] * (1 + len(COORDINATES))
        return pd.MultiIndex.from_arrays(nothing), np.zeros((0, 0), dtype=np.float16)


def _see(
    folder: Path, dataset: Dataset, boxes: pd.DataFrame, device: str | None
) -> tuple[pd.DataFrame, npt.NDArray[np.float16]]:
    """Lets the classifier see boxes, slide by slide; gives the boxes in that order and what it saw."""
    from tqdm import tqdm

    from spore_yolo.inference.classifier import CropNamer
    from spore_yolo.inference.pair import load

    pair = load(folder, device)
    assert pair.classifier is not None
    assert pair.manifest.classifier is not None
    namer = CropNamer(pair.classifier, pair.manifest.classifier)
    parts, seen = [], []
    for slide, part in tqdm(boxes.groupby("slide", sort=False), desc="seeing crops", unit="slide"):
        parts.append(part)
        seen.append(namer.features(read_image(dataset.path_of(slide)), part[COORDINATES].to_numpy(dtype=np.float64)))
    return pd.concat(parts), np.concatenate(seen).astype(np.float16)


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
    from spore_yolo.inference.pair import load
    from spore_yolo.prediction.looking import look_at

    pair = load(folder, device)
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    candidates, caps = look_at(pair, slides, len(slides), pair.manifest.operating_point.detector)
    part = pair.manifest.detector
    boxes = dataset.boxes[dataset.boxes["image"].isin(images["image"])]
    with atomic_folder(place) as temporary:
        of_candidates, of_labels = _sharpness(slides, candidates, boxes.rename(columns={"image": "slide"}))
        # Not rounded as the CSV files for people are: a threshold may lie between a number and its rounded self.
        candidates.assign(sharpness=of_candidates).to_csv(temporary / CANDIDATES, index=False)
        np.save(temporary / LABELS, of_labels)
        about = {
            "key": key,
            "since": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "precision": pair.detector.runner.precision,
            "warnings": caps.warnings(part.max_detections_per_tile, part.largest_box),
            "copies": copies_for_browser(temporary, slides),
        }
        (temporary / LOOKED).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _sharpness(slides: list[tuple[str, Path]], *tables: pd.DataFrame) -> list[npt.NDArray[np.float64]]:
    """The sharpness of every box of some tables, with the columns ``slide`` and the box; a slide is read once."""
    from tqdm import tqdm

    from spore_yolo.evaluation.traits import sharpness_of

    results = [np.full(len(table), np.nan) for table in tables]
    rows = [table.groupby("slide").indices for table in tables]
    for slide, path in tqdm(slides, desc="measuring sharpness", unit="slide"):
        pixels = read_image(path)
        for table, result, of_slide in zip(tables, results, rows, strict=True):
            places = of_slide.get(slide, np.zeros(0, dtype=np.int64))
            result[places] = sharpness_of(pixels, table[COORDINATES].to_numpy(dtype=np.float64)[places])
    return results


def copies_for_browser(folder: Path, slides: Iterable[tuple[str, Path]]) -> dict[str, str]:
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
        place / CANDIDATES,
        dtype=text,
        keep_default_na=False,
        na_values={"class_score": [""], "sharpness": [""]},
        float_precision="round_trip",
    )
    numbers = [name for name in candidates.columns if name not in text]
    copies = {slide: place / name for slide, name in about["copies"].items()}
    return Looked(
        candidates=candidates.astype(dict.fromkeys(numbers, "float64")),
        sharpness=np.load(place / LABELS),
        warnings=about["warnings"],
        precision=about["precision"],
        files={image: copies.get(image, dataset.path_of(image)).absolute() for image in images},
        place=place,
        since=about["since"],
    )
