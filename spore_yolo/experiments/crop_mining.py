"""The crops of a run, with a detector's proposals or without, and how many there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate
from tqdm import tqdm

from spore_yolo.dataset.crops import detected_crops, labelled_crops, training_crops
from spore_yolo.dataset.store import Dataset
from spore_yolo.evaluation.crops import LEAST_SCORE
from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import read_image
from spore_yolo.inference.manifest import DEBRIS
from spore_yolo.inference.pair import Pair, tiling_of
from spore_yolo.prediction.looking import joined, proposals_table

VARIANTS = 3
"""So many exported variants of one source are looked at: more of them show the same spores once more."""


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


def mine_material(dataset: Dataset, pair: Pair | None, folder: Path) -> Material:
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
            tables[split] = detected_crops(found[found["detector_score"] >= LEAST_SCORE], boxes)
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
        return pd.read_csv(
            path, dtype=text, keep_default_na=False, na_values={"class_score": [""]}, float_precision="round_trip"
        )
    part = pair.manifest.detector
    tables = []
    for image in tqdm(images["image"], desc=f"looking at {split}", unit="slide"):
        found = pair.detector.slide(read_image(dataset.path_of(image)), tiling_of(part), one_class=True)
        # Of several classes that the detector gives one object the classifier must see one.
        tables.append(proposals_table(image, found, part.classes))
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
    print(tabulate(rows, headers, tablefmt="simple", intfmt=",", disable_numparse=[0]))
    if with_detector:
        debris = tables["train"][tables["train"]["class"] == DEBRIS]
        print(f"{len(debris):,} crops of debris: what the detector proposes on training slides and nobody labelled\n")
