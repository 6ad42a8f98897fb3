"""A dataset of FiftyOne: what people labelled, what a pair found, and what became of each box."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spore_yolo.evaluation.confusion import BACKGROUND
from spore_yolo.evaluation.fiftyone_views import EVAL, EVAL_ANY, add_views, add_workspaces, set_appearance
from spore_yolo.evaluation.scoring import (
    SPORE,
    Scored,
    detections_of,
    matches_table,
    merged_to_spore,
    score_candidates,
)
from spore_yolo.inference.manifest import OperatingPoint, called
from spore_yolo.labels.table import COORDINATES

_OUTCOMES = {
    f"{key}{suffix}": kind
    for key in (EVAL, EVAL_ANY)
    for suffix, kind in {"": "StringField", "_id": "StringField", "_iou": "FloatField"}.items()
}
_SIZE = {"size": "StringField", "side_px": "FloatField", "side_um": "FloatField"}
_LABELLED = _SIZE | {"class_boxes": "IntField", "ignored": "BooleanField"}
_FOUND = _SIZE | {"detector_class": "StringField", "detector_score": "FloatField", "class_score": "FloatField"}
_ON_IGNORED = {"on_ignored": "BooleanField", "on_ignored_any": "BooleanField"}
BOX_FIELDS = {
    "ground_truth": _LABELLED | _OUTCOMES,
    "ignored": _LABELLED,
    "predictions": _FOUND | _ON_IGNORED | {"labelled": "StringField"} | _OUTCOMES,
    "candidates": _FOUND | {"called": "StringField"},
}
"""The fields that hold boxes, and what each box bears besides label, box and confidence."""

SAMPLE_FIELDS = {
    **{"slide": "StringField", "split": "StringField", "group": "StringField"},
    "boxes": "IntField",
    **{f"{key}_{outcome}": "IntField" for key in (EVAL, EVAL_ANY) for outcome in ("tp", "fp", "fn")},
}


@dataclass(frozen=True)
class Shown:
    """What there is to look at.

    Attributes:
        candidates: Columns of ``candidates.csv``.
        boxes: The boxes table of the same slides, in the pair's classes.
        images: The images table, columns ``image, width, height, group, split, um_per_px`` among others.
        files: For each image the file that a browser shows.
        classes: What the pair names.
        targets: The classes that the user is after; may be empty.
        point: The operating point.
        iou: Least IoU of a match.
        info: What else the dataset says of itself.
    """

    candidates: pd.DataFrame
    boxes: pd.DataFrame
    images: pd.DataFrame
    files: Mapping[str, Path]
    classes: Sequence[str]
    targets: Sequence[str]
    point: OperatingPoint
    iou: float = 0.5
    info: Mapping[str, Any] = field(default_factory=dict)


def build_dataset(fiftyone: Any, name: str, shown: Shown) -> Any:
    """Builds the dataset from nothing; one of that name is deleted first.

    A sample is a slide. Boxes are in ``ground_truth``, ``ignored`` (what people marked as unsure), ``predictions`` (the
    detections) and ``candidates`` (all of them, with what each is ``called``). FiftyOne itself evaluates predictions
    against the truth, twice: :data:`EVAL` class by class, :data:`EVAL_ANY` without regard to class.

    Predictions on ignored boxes count in nothing, and their ``eval`` is ``ignored``. FiftyOne's own way, crowds, does
    not do: it counts what lies on a crowd as found, a crowd on which nothing lies as missed, and a crowd is one for its
    own class only.

    Args:
        fiftyone: The module; see :func:`spore_yolo.evaluation.fiftyone_database.own_fiftyone`.
        name: Name of the dataset.
        shown: What there is to look at.

    Returns:
        The ``fiftyone.Dataset``.
    """
    dataset = fiftyone.Dataset(name, overwrite=True)
    _declare_fields(fiftyone, dataset, scaled=bool(shown.images["um_per_px"].notna().any()))
    scored, tables = _tables(shown)
    ids = dataset.add_samples(_samples(fiftyone, shown, scored), progress=False)
    for path, table in tables.items():
        _write_boxes(dataset, path, table, dict(zip(shown.images["image"], ids, strict=True)), shown.images)
    _evaluate(fiftyone, dataset, EVAL, "on_ignored", shown, classwise=True)
    _evaluate(fiftyone, dataset, EVAL_ANY, "on_ignored_any", shown, classwise=False)
    dataset.info = {
        **shown.info,
        "operating_point": shown.point.model_dump(by_alias=True),
        "iou": shown.iou,
        "targets": list(shown.targets),
        "figures": _figures(scored),
    }
    dataset.default_classes = list(shown.classes)
    dataset.save()
    set_appearance(fiftyone, dataset, shown.classes)
    add_views(fiftyone, dataset, shown.classes, shown.targets)
    add_workspaces(fiftyone, dataset)
    return dataset


def _declare_fields(fiftyone: Any, dataset: Any, scaled: bool) -> None:
    """Declares every field, so that the App has a filter for each, filled or not; those in micrometres with a scale."""
    scale = {"um_per_px": "FloatField"} if scaled else {}
    for path, kind in {**SAMPLE_FIELDS, **scale}.items():
        dataset.add_sample_field(path, getattr(fiftyone, kind))
    for path in ("present", "reported"):
        dataset.add_sample_field(path, fiftyone.ListField, subfield=fiftyone.StringField)
    for path, attributes in BOX_FIELDS.items():
        # All at once: declared one by one they take as long as everything else.
        borne = [
            {"name": attribute, "ftype": getattr(fiftyone, kind)}
            for attribute, kind in attributes.items()
            if scaled or attribute != "side_um"
        ]
        boxes = {
            "name": "detections",
            "ftype": fiftyone.ListField,
            "subfield": fiftyone.EmbeddedDocumentField,
            "embedded_doc_type": fiftyone.Detection,
            "fields": borne,
        }
        dataset.add_sample_field(
            path, fiftyone.EmbeddedDocumentField, embedded_doc_type=fiftyone.Detections, fields=[boxes]
        )


def _samples(fiftyone: Any, shown: Shown, scored: Scored) -> list[Any]:
    """The slides without their boxes."""
    labelled = scored.truth["slide"].value_counts()
    present = scored.truth.groupby("slide")["class"].unique()
    reported = scored.candidates.groupby("slide")["class"].unique()
    return [
        fiftyone.Sample(
            filepath=str(shown.files[row.image]),
            tags=[row.split],
            metadata=fiftyone.ImageMetadata(width=int(row.width), height=int(row.height)),
            slide=row.image,
            split=row.split,
            group=row.group,
            boxes=int(labelled.get(row.image, 0)),
            present=sorted(present.get(row.image, [])),
            reported=sorted(reported.get(row.image, [])),
            **({} if np.isnan(row.um_per_px) else {"um_per_px": float(row.um_per_px)}),
        )
        for row in shown.images.itertuples()
    ]


def _tables(shown: Shown) -> tuple[Scored, dict[str, pd.DataFrame]]:
    """The matched detections, and for each field the rows of its boxes with what they bear."""
    detections = detections_of(shown.candidates, shown.point)
    scored = score_candidates(detections, shown.boxes, shown.images, shown.classes, shown.iou)
    merged = score_candidates(
        detections.assign(**{"class": SPORE}), merged_to_spore(shown.boxes), shown.images, [SPORE], shown.iou
    )
    final = called(
        shown.candidates["class"].to_numpy(),
        shown.candidates["detector_score"].to_numpy(dtype=np.float64),
        shown.candidates["class_score"].to_numpy(dtype=np.float64),
        shown.point,
    )
    counts = scored.truth["class"].value_counts()
    boxes = shown.boxes.rename(columns={"image": "slide"})
    boxes = boxes.assign(class_boxes=boxes["class"].map(counts).fillna(0).astype("int64"))
    sizes = _sizes(shown)
    # Both matchings bring the detections into the same order, by slide and falling score.
    predictions = scored.candidates.assign(on_ignored_any=merged.candidates["on_ignored"])
    tables = {
        "ground_truth": boxes[~boxes["ignored"]],
        "ignored": boxes[boxes["ignored"]],
        "predictions": predictions,
        "candidates": shown.candidates.assign(called=final),
    }
    return scored, {path: sizes.add(table) for path, table in tables.items()}


@dataclass(frozen=True)
class _Sizes:
    """Says how large boxes are.

    Attributes:
        um_per_px: Micrometres per pixel of each slide.
        median: Median side of the labelled boxes in pixels.
    """

    um_per_px: Mapping[str, float]
    median: float

    def add(self, boxes: pd.DataFrame) -> pd.DataFrame:
        """Adds the side of a square of the same area, and whether that area is under half or over twice the median."""
        side = np.sqrt((boxes["x_max"] - boxes["x_min"]) * (boxes["y_max"] - boxes["y_min"]))
        size = np.where(side < self.median / 2**0.5, "S", np.where(side > self.median * 2**0.5, "L", "M"))
        return boxes.assign(size=size, side_px=side, side_um=side * boxes["slide"].map(self.um_per_px))


def _sizes(shown: Shown) -> _Sizes:
    labelled = shown.boxes[~shown.boxes["ignored"]]
    area = (labelled["x_max"] - labelled["x_min"]) * (labelled["y_max"] - labelled["y_min"])
    scale = dict(zip(shown.images["image"], shown.images["um_per_px"].astype("float64"), strict=True))
    return _Sizes(scale, float(np.sqrt(area).median()))


def _write_boxes(dataset: Any, path: str, table: pd.DataFrame, ids: Mapping[str, str], images: pd.DataFrame) -> None:
    """Writes the boxes of a field as the documents that FiftyOne stores; its own objects take a millisecond a box."""
    bson, pymongo = importlib.import_module("bson"), importlib.import_module("pymongo")
    extent = images.set_index("image")[["width", "height"]]
    width, height = (table["slide"].map(extent[name]).to_numpy(dtype=np.float64) for name in ("width", "height"))
    x_min, y_min, x_max, y_max = (table[name].to_numpy(dtype=np.float64) for name in COORDINATES)
    corners = np.stack([x_min / width, y_min / height, (x_max - x_min) / width, (y_max - y_min) / height], axis=1)
    columns = {name: table[name].tolist() for name in BOX_FIELDS[path] if name in table}
    columns |= {"label": table["class"].tolist(), "bounding_box": corners.tolist()}
    if "score" in table:
        columns["confidence"] = table["score"].tolist()
    documents: dict[str, list[dict[str, Any]]] = {slide: [] for slide in ids}
    for slide, *values in zip(table["slide"], *columns.values(), strict=True):
        known = {name: value for name, value in zip(columns, values, strict=True) if value == value}  # NaN is unknown
        documents[slide].append({"_id": bson.ObjectId(), "_cls": "Detection", "attributes": {}, "tags": [], **known})
    dataset._sample_collection.bulk_write(
        [
            pymongo.UpdateOne(
                {"_id": bson.ObjectId(ids[slide])}, {"$set": {path: {"_cls": "Detections", "detections": boxes}}}
            )
            for slide, boxes in documents.items()
        ],
        ordered=False,
    )


def _evaluate(fiftyone: Any, dataset: Any, key: str, leave_out: str, shown: Shown, classwise: bool) -> None:
    """Lets FiftyOne match predictions to the truth, and stores the outcome as it does itself.

    Its own way of storing takes time that grows with the square of the boxes of a slide: 20 seconds for 400 boxes.

    Args:
        fiftyone: The module.
        dataset: The dataset.
        key: The evaluation's name.
        leave_out: The attribute of predictions that take no part.
        shown: What there is to look at.
        classwise: Whether boxes match boxes of their class only.
    """
    counted = dataset.filter_labels("predictions", ~fiftyone.ViewField(leave_out), only_matches=False)
    results = counted.evaluate_detections(
        "predictions",
        gt_field="ground_truth",
        classes=list(shown.classes),
        missing=BACKGROUND,
        # Coordinates relative to the slide round; an IoU that is exactly the threshold must remain enough.
        iou=shown.iou - 1e-9,
        classwise=classwise,
        progress=False,
    )
    results.config.iou = shown.iou
    truth, found = {}, {}
    matches = zip(results.ytrue, results.ypred, results.ious, results.ytrue_ids, results.ypred_ids, strict=True)
    for labelled, name, iou, truth_id, found_id in matches:
        right = bool(labelled == name)
        if truth_id:
            truth[truth_id] = ("tp" if right else "fn", found_id or "", iou, name)
        if found_id:
            found[found_id] = ("tp" if right else "fp", truth_id or "", iou, labelled)
    for path, outcomes in {"ground_truth": truth, "predictions": found}.items():
        ids = dataset.values(f"{path}.detections.id")
        rows = [[outcomes.get(box, ("ignored", "", None, BACKGROUND)) for box in boxes] for boxes in ids]
        for place, suffix in enumerate(("", "_id", "_iou")):
            values = [[row[place] for row in of_slide] for of_slide in rows]
            dataset.set_values(f"{path}.detections.{key}{suffix}", values)
        if path == "predictions" and not classwise:
            dataset.set_values(f"{path}.detections.labelled", [[row[3] for row in of_slide] for of_slide in rows])
    for outcome, path in {"tp": "predictions", "fp": "predictions", "fn": "ground_truth"}.items():
        outcomes = dataset.values(f"{path}.detections.{key}")
        dataset.set_values(f"{key}_{outcome}", [of_slide.count(outcome) for of_slide in outcomes])
    method = results.config.build()
    method.register_run(counted, key)
    method.save_run_results(counted, key, results)


def _figures(scored: Scored) -> dict[str, Any]:
    """For each split and class what was found, missed and falsely found."""
    splits = dict(zip(scored.images["image"], scored.images["split"], strict=True))
    matches = matches_table(scored)
    table = matches.groupby([matches["slide"].map(splits), "class", "outcome"]).size().unstack(fill_value=0)
    figures: dict[str, Any] = {}
    for (split, name), row in table.reindex(columns=["tp", "fp", "fn"], fill_value=0).iterrows():
        tp, fp, fn = (int(row[outcome]) for outcome in ("tp", "fp", "fn"))
        figures.setdefault(split, {})[name] = {
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "recall": tp / (tp + fn) if tp + fn else None,
            "precision": tp / (tp + fp) if tp + fp else None,
        }
    return figures
