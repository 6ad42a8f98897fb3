"""What each box bears in a dataset of FiftyOne, worked out before FiftyOne comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.embeddings import choose_crops, looks_of
from spore_yolo.evaluation.scoring import (
    SPORE,
    Scored,
    detections_of,
    merged_to_spore,
    score_candidates,
    slide_numbers,
)
from spore_yolo.evaluation.traits import TRAITS, box_traits
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint, called
from spore_yolo.labels.crop_truth import crop_truth
from spore_yolo.labels.matching import Floats, Ints, overlaps
from spore_yolo.labels.table import COORDINATES

Features = Callable[[pd.DataFrame], npt.NDArray[np.floating[Any]]]
"""Gives what a classifier sees, ``(N, D)``, in the boxes of a table with the columns ``slide`` and the box."""

FEWEST_CROPS = 3
"""Below this there is nothing to lay out."""

OTHER_CLASS, NOTHING_THERE, NOT_LABELLED = "other class", "nothing there", "not labelled"
"""Why a label, or the lack of one, is doubted."""


@dataclass(frozen=True)
class Shown:
    """What there is to look at.

    Attributes:
        candidates: Columns of ``candidates.csv``, and ``sharpness``.
        boxes: The boxes table of the same slides, in the pair's classes, and ``sharpness``.
        images: The images table, columns ``image, width, height, group, split, um_per_px`` among others.
        files: For each image the file that a browser shows.
        classes: What the pair names.
        targets: The classes that the user is after; may be empty.
        point: The operating point.
        iou: Least IoU of a match.
        features: Gives what the classifier sees in boxes; ``None`` without a classifier.
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
    features: Features | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tables:
    """What goes into a dataset of FiftyOne.

    Attributes:
        scored: The detections, matched class by class.
        fields: For each field of boxes its rows: the columns ``slide, class``, the box, and what a box bears.
        features: What the classifier sees in the rows of ``crops``; ``None`` where there are no crops.
        crops_of: Of how many boxes the crops were chosen.
    """

    scored: Scored
    fields: Mapping[str, pd.DataFrame]
    features: npt.NDArray[np.floating[Any]] | None
    crops_of: int


def tables_of(shown: Shown) -> Tables:
    """Matches detections and candidates to the labels, and says of each box what it bears."""
    detections = detections_of(shown.candidates, shown.point)
    scored = score_candidates(detections, shown.boxes, shown.images, shown.classes, shown.iou)
    # Both matchings bring the detections into the same order, by slide and falling score.
    merged = score_candidates(
        detections.assign(**{"class": SPORE}), merged_to_spore(shown.boxes), shown.images, [SPORE], shown.iou
    )
    traits = Traits(shown.boxes, shown.images)
    labels = traits.of_labels()
    truth = labels[~labels["ignored"]].reset_index(drop=True)
    truth = truth.assign(mistakenness=_mistakenness(scored, merged), doubt=_doubted_labels(scored, merged, shown))
    found = traits.of_found(scored.candidates, scored.candidates["truth"].to_numpy()).assign(
        on_ignored_any=merged.candidates["on_ignored"].to_numpy(), doubt=_doubted_gaps(scored, merged, shown)
    )
    fields = {
        "ground_truth": truth,
        "ignored": labels[labels["ignored"]],
        "predictions": found,
        "candidates": _candidates(shown, traits),
    }
    if shown.features is None:
        return Tables(scored, fields, None, 0)
    crops, crops_of = choose_crops(scored)
    if len(crops) < FEWEST_CROPS:
        return Tables(scored, fields, None, crops_of)
    features = shown.features(crops[["slide", *COORDINATES]])
    alarms = crops[crops["outcome"] == "fp"]
    looks = [f"look {number}" for number in looks_of(features[alarms.index])]
    fields["predictions"] = found.assign(look=pd.Series(looks, alarms["row"], dtype="object"))
    fields["crops"] = _crops(crops, found, truth, shown).assign(look=pd.Series(looks, alarms.index, dtype="object"))
    return Tables(scored, fields, features, crops_of)


def outcomes_of(scored: Scored) -> npt.NDArray[np.object_]:
    """What became of each candidate that was matched: ``tp``, ``fp``, or ``ignored`` on an ignored box."""
    rows = scored.candidates
    return np.where(rows["truth"] >= 0, "tp", np.where(rows["on_ignored"], "ignored", "fp")).astype(object)


class Traits:
    """Says how large, crowded and near to labelled boxes other boxes are; see ``box_traits``, whose rules these are."""

    def __init__(self, boxes: pd.DataFrame, images: pd.DataFrame) -> None:
        self._images = images
        self._boxes = boxes.reset_index(drop=True)
        # Detections know the labels that they found by their place among those that are not ignored.
        self._counted = np.flatnonzero(~self._boxes["ignored"])
        self._of_boxes = box_traits(self._boxes, images)
        self._median = float(self._of_boxes["side_px"].iloc[self._counted].median())
        self._um_per_px = images.set_index("image")["um_per_px"].astype("float64")
        counts = images["image"].map(self._boxes["image"].value_counts()).fillna(0)
        megapixels = images["width"] * images["height"] / 1e6
        self._density = pd.Series((counts / megapixels).to_numpy(), images["image"])

    def of_labels(self) -> pd.DataFrame:
        """The labelled boxes, ignored ones too, with what they bear."""
        boxes = self._boxes.rename(columns={"image": "slide"})
        counts = boxes["class"].iloc[self._counted].value_counts()
        boxes["class_boxes"] = boxes["class"].map(counts).fillna(0).astype("int64")
        return self._with_size(boxes.assign(**{name: self._of_boxes[name] for name in self._of_boxes}))

    def of_found(self, boxes: pd.DataFrame, found: Ints) -> pd.DataFrame:
        """Detections or candidates with what they bear.

        Args:
            boxes: Columns ``slide`` and the box.
            found: ``(N,)``, for each box the place of the label that it found, which is no neighbour of it; or -1.
        """
        corners = boxes[COORDINATES].to_numpy(dtype=np.float64)
        side = np.sqrt((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))
        others = self._boxes[COORDINATES].to_numpy(dtype=np.float64)
        gaps = nearest_gaps(
            (corners, slide_numbers(boxes["slide"], self._images)),
            (others, slide_numbers(self._boxes["image"], self._images)),
            np.append(self._counted, -1)[found],
        )
        traits = {
            "side_px": side,
            "side_um": side * boxes["slide"].map(self._um_per_px).to_numpy(dtype=np.float64),
            "density": boxes["slide"].map(self._density).to_numpy(dtype=np.float64),
            "neighbour": gaps / side,
        }
        return self._with_size(boxes.assign(**traits))

    def _with_size(self, boxes: pd.DataFrame) -> pd.DataFrame:
        """Adds whether the area is under half or over twice that of the median label; nothing is infinitely far."""
        side = boxes["side_px"]
        size = np.where(side < self._median / 2**0.5, "S", np.where(side > self._median * 2**0.5, "L", "M"))
        return boxes.assign(size=size, neighbour=boxes["neighbour"].replace(np.inf, np.nan))


def nearest_gaps(boxes: tuple[Floats, Ints], labels: tuple[Floats, Ints], own: Ints) -> Floats:
    """The distance from each box's border to the nearest label's on its slide.

    Args:
        boxes: Corners ``(N, 4)`` in ``(x_min, y_min, x_max, y_max)``, and the number of each one's slide.
        labels: The same ``(M, 4)`` of the labels.
        own: ``(N,)``, for each box the place of a label that does not count, or -1.

    Returns:
        ``(N,)`` in pixels; 0 where they touch or overlap, infinite without a label.
    """
    (corners, slides), (others, on) = boxes, labels
    gaps = np.full(len(corners), np.inf)
    order = np.argsort(on, kind="stable")
    for slide, places in pd.Series(slides).groupby(slides).groups.items():
        here = order[slice(*np.searchsorted(on[order], [slide, slide + 1]))]
        if not len(here):
            continue
        place = places.to_numpy()
        one, other = corners[place][:, None], others[here][None]
        apart = np.maximum(one[..., :2] - other[..., 2:], other[..., :2] - one[..., 2:]).clip(0)
        distance = np.hypot(apart[..., 0], apart[..., 1])
        distance[own[place][:, None] == here] = np.inf
        gaps[place] = distance.min(axis=1)
    return gaps


def _candidates(shown: Shown, traits: Traits) -> pd.DataFrame:
    """All candidates, with what each is called, and what it would be if all from its score up were detections."""
    rows = shown.candidates.reset_index(drop=True)
    detector_score, class_score = (rows[name].to_numpy(dtype=np.float64) for name in ("detector_score", "class_score"))
    scored = score_candidates(rows.assign(row=rows.index), shown.boxes, shown.images, shown.classes, shown.iou)
    place = scored.candidates["row"].to_numpy()
    would_be, own = np.full(len(rows), DEBRIS, dtype=object), np.full(len(rows), -1)
    would_be[place], own[place] = outcomes_of(scored), scored.candidates["truth"]
    final = called(rows["class"].to_numpy(), detector_score, class_score, shown.point)
    return traits.of_found(rows.assign(called=final, would_be=would_be), own)


def _mistakenness(scored: Scored, merged: Scored) -> Floats:
    """How likely a label is wrong, by FiftyOne's formula; NaN where no detection lies on it.

    (1 - score) / 2 of the detection on it if that is of the label's class, else (1 + score) / 2.
    """
    found_by = merged.truth["found_by"].to_numpy()
    score = merged.candidates["score"].to_numpy(dtype=np.float64)
    name = scored.candidates["class"].to_numpy()
    result = np.full(len(found_by), np.nan)
    on = found_by >= 0
    same = name[found_by[on]] == scored.truth["class"].to_numpy()[on]
    result[on] = (1 + np.where(same, -1, 1) * score[found_by[on]]) / 2
    return result


def _sure(scored: Scored) -> npt.NDArray[np.bool_]:
    """Whether each detection is at least as sure as half of the hits of its class."""
    rows = scored.candidates
    median = rows[rows["truth"] >= 0].groupby("class")["score"].median()
    return np.asarray(rows["score"] >= rows["class"].map(median).astype("float64"))


def _doubted_labels(scored: Scored, merged: Scored, shown: Shown) -> npt.NDArray[np.object_]:
    """Labels that are surely called otherwise, and those where the detector proposes nothing at all."""
    truth, found_by = scored.truth, merged.truth["found_by"].to_numpy()
    pairs = overlaps(
        truth[COORDINATES].to_numpy(dtype=np.float64),
        shown.candidates[COORDINATES].to_numpy(dtype=np.float64),
        (slide_numbers(truth["slide"], shown.images), slide_numbers(shown.candidates["slide"], shown.images)),
    )
    doubt = np.full(len(truth), NOTHING_THERE, dtype=object)
    doubt[pairs.first[pairs.iou >= shown.iou]] = None
    on = np.flatnonzero(found_by >= 0)
    other = scored.candidates["class"].to_numpy()[found_by[on]] != truth["class"].to_numpy()[on]
    doubt[on[other & _sure(scored)[found_by[on]]]] = OTHER_CLASS
    return doubt


def _doubted_gaps(scored: Scored, merged: Scored, shown: Shown) -> npt.NDArray[np.object_]:
    """Detections that are sure and lie where nothing is labelled: it may have been forgotten."""
    rows, labels = scored.candidates, scored.truth
    ignored = shown.boxes[shown.boxes["ignored"]].rename(columns={"image": "slide"})
    on_found, on_labels, on_ignored = (slide_numbers(part["slide"], shown.images) for part in (rows, labels, ignored))
    shows = crop_truth(
        rows[COORDINATES].to_numpy(dtype=np.float64),
        labels[COORDINATES].to_numpy(dtype=np.float64),
        ignored[COORDINATES].to_numpy(dtype=np.float64),
        (on_found, on_labels, on_ignored),
    )
    doubt = np.full(len(rows), None, dtype=object)
    doubt[shows.debris & _sure(scored) & (merged.candidates["truth"].to_numpy() < 0)] = NOT_LABELLED
    return doubt


def _crops(crops: pd.DataFrame, found: pd.DataFrame, truth: pd.DataFrame, shown: Shown) -> pd.DataFrame:
    """The crops with what their boxes bear, and split and group, which the App can colour them by."""
    missed = (crops["outcome"] == "fn").to_numpy()
    for name in ["size", *TRAITS]:
        values = np.empty(len(crops), dtype=object)
        values[missed] = truth[name].to_numpy()[crops["row"][missed]]
        values[~missed] = found[name].to_numpy()[crops["row"][~missed]]
        crops = crops.assign(**{name: values})
    images = shown.images.set_index("image")
    return crops.assign(**{name: crops["slide"].map(images[name]) for name in ("split", "group")})
