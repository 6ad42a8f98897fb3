"""A dataset of FiftyOne: what people labelled, what a pair found, and what became of each box."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.confusion import BACKGROUND
from spore_yolo.evaluation.fiftyone_appearance import set_appearance
from spore_yolo.evaluation.fiftyone_boxes import Shown, tables_of
from spore_yolo.evaluation.fiftyone_views import CROPS, EVAL, EVAL_ANY, add_views, add_workspaces
from spore_yolo.evaluation.scoring import Scored, matches_table
from spore_yolo.labels.table import COORDINATES

_OUTCOMES = {
    f"{key}{suffix}": kind
    for key in (EVAL, EVAL_ANY)
    for suffix, kind in {"": "StringField", "_id": "StringField", "_iou": "FloatField"}.items()
}
_TRAITS = {
    **{"size": "StringField", "side_px": "FloatField", "side_um": "FloatField"},
    **{"density": "FloatField", "neighbour": "FloatField", "sharpness": "FloatField"},
}
_LABELLED = _TRAITS | {"class_boxes": "IntField", "ignored": "BooleanField"}
_FOUND = _TRAITS | {"detector_class": "StringField", "detector_score": "FloatField", "class_score": "FloatField"}
_ON_IGNORED = {"on_ignored": "BooleanField", "on_ignored_any": "BooleanField"}
_LOOK = {"look": "StringField"}
BOX_FIELDS = {
    "ground_truth": _LABELLED | {"mistakenness": "FloatField", "doubt": "StringField"} | _OUTCOMES,
    "ignored": _LABELLED,
    "predictions": _FOUND | _ON_IGNORED | {"labelled": "StringField", "doubt": "StringField"} | _LOOK | _OUTCOMES,
    "candidates": _FOUND | {"called": "StringField", "would_be": "StringField"},
    CROPS: {"outcome": "StringField"} | _LOOK | _TRAITS | {"split": "StringField", "group": "StringField"},
}
"""The fields that hold boxes, and what each box bears besides label, box and confidence."""

SAMPLE_FIELDS = {
    **{"slide": "StringField", "split": "StringField", "group": "StringField"},
    **{"boxes": "IntField", "mistakes": "IntField"},
    **{f"{key}_{outcome}": "IntField" for key in (EVAL, EVAL_ANY) for outcome in ("tp", "fp", "fn")},
}


def build_dataset(fiftyone: Any, name: str, shown: Shown) -> Any:
    """Builds the dataset from nothing; one of that name is deleted first.

    A sample is a slide. Boxes are in ``ground_truth``, ``ignored`` (what people marked as unsure), ``predictions`` (the
    detections), ``candidates`` (all of them, with what each is ``called``), and, where there is a classifier, ``crops``
    (hits, false alarms and misses, which are laid out by what it sees in them). FiftyOne itself evaluates predictions
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
    tables = tables_of(shown)
    dataset = fiftyone.Dataset(name, overwrite=True)
    declare_fields(
        fiftyone,
        dataset,
        SAMPLE_FIELDS,
        {path: BOX_FIELDS[path] for path in tables.fields},
        scaled=bool(shown.images["um_per_px"].notna().any()),
    )
    for path in ("present", "reported"):
        dataset.add_sample_field(path, fiftyone.ListField, subfield=fiftyone.StringField)
    ids = dataset.add_samples(_samples(fiftyone, shown, tables.scored), progress=False)
    write = functools.partial(write_boxes, dataset, dict(zip(shown.images["image"], ids, strict=True)), shown.images)
    fields = {path: table.assign(_id=new_ids(len(table))) for path, table in tables.fields.items()}
    # FiftyOne takes a millisecond for each attribute of a box that it evaluates; at first boxes bear next to none.
    write("ground_truth", fields["ground_truth"], [])
    write("predictions", fields["predictions"], list(_ON_IGNORED))
    for key, leave_out in {EVAL: "on_ignored", EVAL_ANY: "on_ignored_any"}.items():
        for path, outcomes in _evaluate(fiftyone, dataset, key, leave_out, shown, classwise=key == EVAL).items():
            fields[path] = fields[path].join(outcomes, on="_id")
        _count_outcomes(dataset, key, fields, shown.images)
    # A detection on an ignored label was not evaluated.
    fields["predictions"] = fields["predictions"].fillna(
        {EVAL: "ignored", EVAL_ANY: "ignored", f"{EVAL}_id": "", f"{EVAL_ANY}_id": "", "labelled": BACKGROUND}
    )
    for path, table in fields.items():
        write(path, table, list(BOX_FIELDS[path]))
    wrong = zip(dataset.values(f"{EVAL}_fp"), dataset.values(f"{EVAL}_fn"), strict=True)
    dataset.set_values("mistakes", [alarms + misses for alarms, misses in wrong])
    if tables.features is not None:
        _lay_out(dataset, tables.features)
    dataset.info = {
        **shown.info,
        "operating_point": shown.point.model_dump(by_alias=True),
        "iou": shown.iou,
        "targets": list(shown.targets),
        "figures": _figures(tables.scored),
        "crops": {"shown": len(tables.fields.get(CROPS, ())), "of": tables.crops_of},
    }
    dataset.default_classes = list(shown.classes)
    dataset.save()
    set_appearance(fiftyone, dataset, shown.classes)
    add_views(fiftyone, dataset, shown.targets)
    add_workspaces(fiftyone, dataset)
    return dataset


def declare_fields(
    fiftyone: Any,
    dataset: Any,
    sample_fields: Mapping[str, str],
    box_fields: Mapping[str, Mapping[str, str]],
    scaled: bool,
) -> None:
    """Declares every field, so that the App has a filter for each, filled or not; those in micrometres with a scale.

    Args:
        fiftyone: The module.
        dataset: The dataset.
        sample_fields: What a sample bears, and of what kind it is.
        box_fields: The fields that hold boxes, and what each box bears besides label, box and confidence.
        scaled: Whether any slide has a scale.
    """
    scale = {"um_per_px": "FloatField"} if scaled else {}
    for path, kind in {**sample_fields, **scale}.items():
        dataset.add_sample_field(path, getattr(fiftyone, kind))
    for path, attributes in box_fields.items():
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


def new_ids(count: int) -> list[str]:
    """New identities for boxes."""
    bson = importlib.import_module("bson")
    return [str(bson.ObjectId()) for _ in range(count)]


def write_boxes(
    dataset: Any,
    samples: Mapping[str, str],
    images: pd.DataFrame,
    path: str,
    table: pd.DataFrame,
    attributes: Sequence[str],
) -> None:
    """Writes the boxes of a field as the documents that FiftyOne stores; its own objects take a millisecond a box.

    Args:
        dataset: The dataset.
        samples: The sample of each slide.
        images: The images table.
        path: The field; what it held before is gone.
        table: Its boxes, with their identities in the column ``_id``.
        attributes: What the boxes are to bear of the columns of the table.
    """
    bson, pymongo = importlib.import_module("bson"), importlib.import_module("pymongo")
    extent = images.set_index("image")[["width", "height"]]
    width, height = (table["slide"].map(extent[name]).to_numpy(dtype=np.float64) for name in ("width", "height"))
    x_min, y_min, x_max, y_max = (table[name].to_numpy(dtype=np.float64) for name in COORDINATES)
    corners = np.stack([x_min / width, y_min / height, (x_max - x_min) / width, (y_max - y_min) / height], axis=1)
    columns = {name: table[name].tolist() for name in attributes if name in table}
    columns |= {"_id": [bson.ObjectId(box) for box in table["_id"]]}
    columns |= {"label": table["class"].tolist(), "bounding_box": corners.tolist()}
    if "score" in table:
        columns["confidence"] = table["score"].tolist()
    documents: dict[str, list[dict[str, Any]]] = {slide: [] for slide in samples}
    for slide, *values in zip(table["slide"], *columns.values(), strict=True):
        # None and NaN are what is not known.
        known = {
            name: value for name, value in zip(columns, values, strict=True) if value is not None and value == value
        }
        documents[slide].append({"_cls": "Detection", "attributes": {}, "tags": [], **known})
    dataset._sample_collection.bulk_write(
        [
            pymongo.UpdateOne(
                {"_id": bson.ObjectId(samples[slide])}, {"$set": {path: {"_cls": "Detections", "detections": boxes}}}
            )
            for slide, boxes in documents.items()
        ],
        ordered=False,
    )


def _evaluate(
    fiftyone: Any, dataset: Any, key: str, leave_out: str, shown: Shown, classwise: bool
) -> dict[str, pd.DataFrame]:
    """Lets FiftyOne match predictions to the truth.

    Its own way of storing what comes out takes time that grows with the square of the boxes of a slide: 20 seconds for
    400 boxes.

    Args:
        fiftyone: The module.
        dataset: The dataset.
        key: The evaluation's name.
        leave_out: The attribute of predictions that take no part.
        shown: What there is to look at.
        classwise: Whether boxes match boxes of their class only.

    Returns:
        For ``ground_truth`` and ``predictions``, by the identity of each box that took part, what FiftyOne would store
        at it: outcome, the box matched or ``""``, and their IoU; and where classes do not matter, for predictions,
        ``labelled``: the class of the label matched.
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
            truth[truth_id] = ("tp" if right else "fn", found_id or "", iou)
        if found_id:
            found[found_id] = ("tp" if right else "fp", truth_id or "", iou, labelled)
    method = results.config.build()
    method.register_run(counted, key)
    method.save_run_results(counted, key, results)
    columns = [key, f"{key}_id", f"{key}_iou", "labelled"]
    tables = {
        "ground_truth": pd.DataFrame.from_dict(truth, "index", columns=columns[:3]),
        "predictions": pd.DataFrame.from_dict(found, "index", columns=columns),
    }
    return {
        path: table.drop(columns="labelled", errors="ignore") if classwise else table for path, table in tables.items()
    }


def _count_outcomes(dataset: Any, key: str, fields: Mapping[str, pd.DataFrame], images: pd.DataFrame) -> None:
    """Stores at each slide how many hits, false alarms and misses it has."""
    for outcome, path in {"tp": "predictions", "fp": "predictions", "fn": "ground_truth"}.items():
        rows = fields[path]
        counts = rows.loc[rows[key] == outcome, "slide"].value_counts()
        dataset.set_values(f"{key}_{outcome}", [int(counts.get(image, 0)) for image in images["image"]])


def _lay_out(dataset: Any, features: npt.NDArray[np.floating[Any]]) -> None:
    """Lays the crops out by their features' two main components, for the App's panel of embeddings."""
    ids, crops = dataset.values(["id", f"{CROPS}.detections.id"])
    parts = np.split(np.asarray(features, dtype=np.float64), np.cumsum([len(of_slide) for of_slide in crops])[:-1])
    importlib.import_module("fiftyone.brain").compute_visualization(
        dataset,
        patches_field=CROPS,
        embeddings={sample: part for sample, part in zip(ids, parts, strict=True) if len(part)},
        method="pca",
        brain_key=CROPS,
        seed=0,
        progress=False,
    )


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
