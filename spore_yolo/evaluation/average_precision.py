"""COCO's average precision and average recall, without COCO's limit of 100 boxes a slide, with intervals by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.intervals import LEAST_GROUPS, Figures, figure, jackknife_interval
from spore_yolo.evaluation.scoring import group_numbers, slide_numbers
from spore_yolo.labels.matching import Floats, Ints, box_area, covered, least_overlap, match_pairs, overlaps
from spore_yolo.labels.table import COORDINATES

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)

BLOCKS = 40
"""Into how many blocks groups are put at most to tell how far a figure carries: each block is left out once."""


KEYS = ("ap50", "ap50_95", "ar")


@dataclass(frozen=True)
class _Ranked:
    """The candidates of one class, the surest first.

    Attributes:
        hit: ``(10, N)``, whether each finds a labelled box, at each IoU.
        false: ``(10, N)``, whether each is a false alarm; those on ignored boxes are neither.
        block: ``(N,)``, the block of groups that each belongs to.
        boxes: ``(B,)``, the labelled boxes of each block.
    """

    hit: npt.NDArray[np.bool_]
    false: npt.NDArray[np.bool_]
    block: Ints
    boxes: Ints

    def figures(self, without: int | None = None) -> Floats:
        """AP50, AP50-95 and AR, of all or without one block; NaN without labelled boxes."""
        boxes = int(self.boxes.sum()) - (0 if without is None else int(self.boxes[without]))
        if not boxes:
            return np.full(len(KEYS), np.nan)
        kept = np.ones(len(self.block), dtype=bool) if without is None else self.block != without
        tp = np.cumsum(self.hit[:, kept], axis=1, dtype=np.int32)
        fp = np.cumsum(self.false[:, kept], axis=1, dtype=np.int32)
        if not tp.shape[1]:
            return np.zeros(len(KEYS))
        recall, precision = tp / boxes, tp / (tp + fp + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        places = np.stack([np.searchsorted(row, RECALLS, side="left") for row in recall])
        at = np.take_along_axis(best, np.minimum(places, tp.shape[1] - 1), axis=1)
        # Beyond the highest recall that is reached the precision is 0.
        reached = np.where(places < tp.shape[1], at, 0).mean(axis=1)
        return np.array([reached[0], reached.mean(), recall[:, -1].mean()])


def average_precision(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str]
) -> dict[str | None, dict[str, Figures]]:
    """AP and AR of each class and of all.

    COCO's 101-point interpolation (Lin et al. 2014; pycocotools ``COCOeval.accumulate``): AP50 at IoU 0.5, AP50-95 the
    mean over IoU 0.5 to 0.95, AR the mean over the same of the recall that all candidates reach. All candidates of the
    classes count, however many a slide has, and rank by score. Ignored boxes are COCO's crowds, for every class.

    The intervals come from leaving out one group after the other, or of more than :data:`BLOCKS` groups one block of
    groups after the other (Kott 2001, "The Delete-a-Group Jackknife").

    Args:
        candidates: Columns ``slide, class, score`` and the box.
        boxes: The boxes table of the split.
        images: The images table of the split.
        classes: Class names.

    Returns:
        For each class, and under ``None`` for the mean over the classes with labelled boxes, :data:`KEYS` as figures;
        their value is ``None`` for a class without a labelled box, and for all if a candidate has no score.
    """
    group, groups = group_numbers(images)
    block = np.random.default_rng(0).permutation(groups) % BLOCKS if groups > BLOCKS else np.arange(groups)
    labelled = boxes[~boxes["ignored"]]
    labelled = labelled.assign(group=group[slide_numbers(labelled["image"], images)])
    values: dict[str | None, Floats] = {}
    without: dict[str | None, Floats] = {}
    for name in classes:
        ranked = _ranked(name, candidates, boxes, images, block[group])
        values[name] = ranked.figures()
        parts = range(len(ranked.boxes) if groups >= LEAST_GROUPS else 0)
        without[name] = np.array([ranked.figures(part) for part in parts]).reshape(-1, len(KEYS))
    present = [name for name in classes if not np.isnan(values[name]).any()]
    values[None] = np.mean([values[name] for name in present], axis=0) if present else np.full(len(KEYS), np.nan)
    # Without a block a class may have no labelled box left; the mean is then over the others.
    stack = np.ma.masked_invalid([without[name] for name in present] or np.zeros((1, 0, len(KEYS))))
    without[None] = np.ma.filled(stack.mean(axis=0), np.nan)
    known = not candidates["score"].isna().any()
    results: dict[str | None, dict[str, Figures]] = {}
    for what, value in values.items():
        own = labelled if what is None else labelled[labelled["class"] == what]
        number = own["group"].nunique()
        if not known or np.isnan(value).any():
            results[what] = {key: figure(None, len(own), number, None) for key in KEYS}
            continue
        others = without[what] if number >= LEAST_GROUPS else np.zeros((0, len(KEYS)))
        results[what] = {
            key: figure(float(one), len(own), number, jackknife_interval(float(one), column, "share"))
            for key, one, column in zip(KEYS, value, others.T, strict=True)
        }
    return results


def _ranked(name: str, candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, block: Ints) -> _Ranked:
    """The candidates of a class, matched at every IoU.

    ``block`` is ``(S,)``, the block of groups that each slide belongs to.
    """
    rows, ignored = candidates[candidates["class"] == name], boxes[boxes["ignored"]]
    truth = boxes[~boxes["ignored"] & (boxes["class"] == name)]
    slide, of_truth = slide_numbers(rows["slide"], images), slide_numbers(truth["image"], images)
    scores = rows["score"].to_numpy(dtype=np.float64)
    # pycocotools sorts the candidates of each slide, then all of them, slide after slide, both times stably.
    order = np.lexsort((slide, -scores))
    slide, corners = slide[order], rows[COORDINATES].to_numpy(dtype=np.float64)[order]
    pairs = overlaps(corners, truth[COORDINATES].to_numpy(dtype=np.float64), (slide, of_truth))
    over = overlaps(
        corners, ignored[COORDINATES].to_numpy(dtype=np.float64), (slide, slide_numbers(ignored["image"], images))
    )
    rank, area = np.arange(len(rows)), box_area(corners)
    hit = np.stack([match_pairs(pairs, rank, iou)[0] >= 0 for iou in IOUS])
    false = np.stack([~one & ~covered(over, area, least_overlap(iou)) for one, iou in zip(hit, IOUS, strict=True)])
    blocks = int(block.max()) + 1 if len(block) else 0
    return _Ranked(hit, false, block[slide], np.bincount(block[of_truth], minlength=blocks))
