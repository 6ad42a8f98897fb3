"""Matches what a pair found on a split to its labels, slide by slide and class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spore_yolo.inference.manifest import DEBRIS, OperatingPoint, called
from spore_yolo.labels.matching import match_boxes
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
            and ``group`` and ``found_score``: the score of the candidate that found it, NaN if none did.
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
            such as debris, are left out.
        boxes: The boxes table of the split.
        images: The images table of the split; slides without boxes or candidates count too.
        classes: Class names; boxes of other classes are an error of the caller.
        iou: Least IoU of a match.
    """
    groups = dict(zip(images["image"], images["group"], strict=True))
    wanted = boxes[~boxes["ignored"]].rename(columns={"image": "slide"}).reset_index(drop=True)
    ignored = {name: part[COORDINATES].to_numpy() for name, part in boxes[boxes["ignored"]].groupby("image")}
    rows = candidates[candidates["class"].isin(list(classes))]
    rows = rows.sort_values(["slide", "score"], ascending=[True, False], kind="stable").reset_index(drop=True)
    found_score = np.full(len(wanted), np.nan)
    truth_of = dict(iter(wanted.groupby(["slide", "class"])))
    truth, overlap = np.full(len(rows), -1), np.zeros(len(rows))
    on_ignored = np.zeros(len(rows), dtype=bool)
    nothing = np.zeros((0, 4))
    for (slide, name), part in rows.groupby(["slide", "class"]):
        labelled = truth_of.get((slide, name))
        matching = match_boxes(
            part[COORDINATES].to_numpy(),
            part["score"].to_numpy(),
            nothing if labelled is None else labelled[COORDINATES].to_numpy(),
            ignored.get(slide, nothing),
            iou,
        )
        places = part.index.to_numpy()
        on_ignored[places], overlap[places] = matching.on_ignored, matching.iou
        if labelled is not None:
            hit = matching.truth_of >= 0
            numbers = labelled.index.to_numpy()[matching.truth_of[hit]]
            truth[places[hit]] = numbers
            found_score[numbers] = part["score"].to_numpy()[hit]
    rows = rows.assign(group=rows["slide"].map(groups), truth=truth, iou=overlap, on_ignored=on_ignored)
    wanted = wanted.assign(group=wanted["slide"].map(groups), found_score=found_score)
    return Scored(rows, wanted, images, list(classes), iou)


def matches_table(detections: Scored) -> pd.DataFrame:
    """What became of each labelled box and each detection.

    Args:
        detections: The matched detections.

    Returns:
        Columns ``slide, group, class, outcome, score, iou`` and the box. ``outcome`` is ``tp`` or ``fp`` for
        detections (their own box), ``fn`` for labelled boxes that none found, and ``ignored`` for detections on an
        ignored box.
    """
    columns = ["slide", "group", "class", "outcome", "score", "iou", *COORDINATES]
    shown = detections.candidates
    outcome = np.where(shown["truth"] >= 0, "tp", np.where(shown["on_ignored"], "ignored", "fp"))
    missed = detections.truth[detections.truth["found_score"].isna()]
    missed = missed.assign(outcome="fn", score=np.nan, iou=np.nan)
    both = pd.concat([shown.assign(outcome=outcome)[columns], missed[columns].astype({"score": "float64"})])
    return both.sort_values(["slide", "outcome"], kind="stable").reset_index(drop=True)
