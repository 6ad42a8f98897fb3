"""Matches what a pair found on a split to its labels, slide by slide and class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spore_yolo.evaluation.traits import TRAITS
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint, called
from spore_yolo.labels.matching import Ints, match_boxes
from spore_yolo.labels.table import COORDINATES

SPORE = "spore"
"""The class of a detector that only tells spores from everything else."""


@dataclass(frozen=True)
class Scored:
    """Candidates or detections of a split, matched to its labels class by class.

    Attributes:
        candidates: What was given, and ``group``, ``truth`` (row number in ``truth``, or -1), ``iou``, and
            ``on_ignored``; by slide, and by falling score within it.
        truth: The labelled boxes that are not ignored: the columns of the boxes table with ``slide`` for ``image``,
            and ``group`` and ``found_by``: row number in ``candidates`` of what found it, -1 if nothing did.
        images: The images table of the split.
        classes: Class names.
        iou: Least IoU of a match.
    """

    candidates: pd.DataFrame
    truth: pd.DataFrame
    images: pd.DataFrame
    classes: list[str]
    iou: float

    @property
    def megapixels(self) -> float:
        """Area of all slides in millions of pixels."""
        return float((self.images["width"] * self.images["height"]).sum()) / 1e6


def merged_to_spore(boxes: pd.DataFrame) -> pd.DataFrame:
    """The boxes table with all classes merged, as a one-class detector must be scored."""
    return boxes.assign(**{"class": SPORE})


def as_detector_alone(candidates: pd.DataFrame) -> pd.DataFrame:
    """The candidates as they would be without the classifier: the detector's class and score."""
    own = {"class": candidates["detector_class"], "score": candidates["detector_score"], "class_score": np.nan}
    return candidates.assign(**own)


def detections_of(candidates: pd.DataFrame, point: OperatingPoint) -> pd.DataFrame:
    """The candidates that are detections at an operating point.

    Args:
        candidates: Columns ``class, detector_score, class_score`` among others.
        point: The thresholds.
    """
    names = called(
        candidates["class"].to_numpy(),
        candidates["detector_score"].to_numpy(dtype=np.float64),
        candidates["class_score"].to_numpy(dtype=np.float64),
        point,
    )
    return candidates[names != DEBRIS]


def score_candidates(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str], iou: float = 0.5
) -> Scored:
    """Matches candidates to labelled boxes, slide by slide and class by class, ranked by score.

    For figures at an operating point, give detections (:func:`detections_of`): a candidate that a threshold on
    class_score rejects may rank above one that passes, and must not take its box. For curves, give all candidates.

    Ignored boxes count for every class: nobody knows what lies there.

    Args:
        candidates: Columns ``slide, class, score`` and the box; other columns are kept. Candidates of other classes,
            such as debris, are left out. Without scores (NaN) they rank as they stand.
        boxes: The boxes table of the split.
        images: The images table of the split; slides without boxes or candidates count too.
        classes: Class names; boxes of other classes are an error of the caller.
        iou: Least IoU of a match.
    """
    rows = candidates[candidates["class"].isin(list(classes))]
    slide = slide_numbers(rows["slide"], images)
    order = np.lexsort((-rows["score"].to_numpy(dtype=np.float64), slide))
    rows, slide = rows.iloc[order].reset_index(drop=True), slide[order]
    wanted = boxes[~boxes["ignored"]].rename(columns={"image": "slide"}).reset_index(drop=True)
    ignored = boxes[boxes["ignored"]]
    number, count = {name: place for place, name in enumerate(classes)}, len(classes)
    # A class of a slide is a slide of its own, and an ignored box lies on all of them.
    matching = match_boxes(
        rows[COORDINATES].to_numpy(dtype=np.float64),
        rows["score"].to_numpy(dtype=np.float64),
        wanted[COORDINATES].to_numpy(dtype=np.float64),
        np.repeat(ignored[COORDINATES].to_numpy(dtype=np.float64), count, axis=0),
        iou,
        (
            slide * count + rows["class"].map(number).to_numpy(dtype=np.int64),
            slide_numbers(wanted["slide"], images) * count + wanted["class"].map(number).to_numpy(dtype=np.int64),
            np.repeat(slide_numbers(ignored["image"], images), count) * count + np.tile(np.arange(count), len(ignored)),
        ),
    )
    found_by = np.full(len(wanted), -1)
    hits = np.flatnonzero(matching.truth_of >= 0)
    found_by[matching.truth_of[hits]] = hits
    groups = images.set_index("image")["group"]
    rows = rows.assign(
        group=rows["slide"].map(groups), truth=matching.truth_of, iou=matching.iou, on_ignored=matching.on_ignored
    )
    wanted = wanted.assign(group=wanted["slide"].map(groups), found_by=found_by)
    return Scored(rows, wanted, images, list(classes), iou)


def slide_numbers(slides: pd.Series, images: pd.DataFrame) -> Ints:
    """The place of each slide in the images table."""
    places = pd.Index(images["image"]).get_indexer(pd.Index(slides))
    if len(places) and places.min() < 0:
        raise KeyError(f"not among the images: {slides[places < 0].iloc[0]}")
    return np.asarray(places, dtype=np.int64)


def group_numbers(images: pd.DataFrame) -> tuple[Ints, int]:
    """The number of each slide's group, by name, and how many groups there are."""
    numbers, names = pd.factorize(images["group"], sort=True)
    return np.asarray(numbers, dtype=np.int64), len(names)


def matches_table(detections: Scored) -> pd.DataFrame:
    """What became of each labelled box and each detection.

    Args:
        detections: The matched detections.

    Returns:
        Columns ``slide, group, class, outcome, score, iou``, the box, and :data:`spore_yolo.evaluation.traits.TRAITS`.
        ``outcome`` is ``tp`` or ``fp`` for detections (their own box), ``fn`` for labelled boxes that none found, and
        ``ignored`` for detections on an ignored box. The traits are those of the labelled box, of ``tp`` and ``fn``.
    """
    columns = ["slide", "group", "class", "outcome", "score", "iou", *COORDINATES]
    shown, traits = detections.candidates, detections.truth.reindex(columns=TRAITS).astype("float64")
    outcome = np.where(shown["truth"] >= 0, "tp", np.where(shown["on_ignored"], "ignored", "fp"))
    of_shown = traits.reindex(shown["truth"].to_numpy()).set_axis(shown.index)
    missed = detections.truth["found_by"] < 0
    fn = detections.truth[missed].assign(outcome="fn", score=np.nan, iou=np.nan)[columns].join(traits)
    both = pd.concat([shown.assign(outcome=outcome)[columns].join(of_shown), fn])
    return both.sort_values(["slide", "outcome"], kind="stable").reset_index(drop=True)
