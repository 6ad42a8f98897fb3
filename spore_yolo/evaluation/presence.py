"""Slides as the units: is the class on the slide, was it reported, and does its score tell the two apart?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.evaluation.intervals import LEAST_GROUPS, Figures, figure, jackknife_interval, share_figure
from spore_yolo.evaluation.scoring import Scored

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SLIDE_COLUMNS = [
    *("slide", "group", "width", "height", "class"),
    *("labelled", "detected", "score", "present", "reported", "known"),
]

BLOCKS = 40
"""The most blocks of groups that the jackknife leaves out in turn."""


@dataclass(frozen=True)
class PresenceCurves:
    """How well slides that bear a class rank above those that do not, by their highest score of it.

    Attributes:
        fpr: ``(N,)``, of the ROC curve, the share of slides without the class that are reported: 1 - specificity.
        tpr: ``(N,)``, the share of slides with it that are reported: recall.
        roc_thresholds: ``(N,)``, the scores from which on slides are reported; the first is infinite.
        recall: ``(M,)``, of the precision-recall curve, falling.
        precision: ``(M,)``, the share of the reported slides that bear the class; the last is 1, where none is.
        thresholds: ``(M - 1,)``, the scores of all its points but the last.
    """

    fpr: Floats
    tpr: Floats
    roc_thresholds: Floats
    recall: Floats
    precision: Floats
    thresholds: Floats


def slides_table(
    candidates: pd.DataFrame, detections: Scored, boxes: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """What each slide bears of each class, and what was reported.

    A class is present on a slide that has a label of it, and is reported by any detection of it, wherever it lies. A
    slide without a label of the class is not known for it where nobody can say: an ignored box bears the class, or
    every detection of the class lies on an ignored box.

    Args:
        candidates: Columns ``slide, class, score`` of all candidates, whatever their score.
        detections: The matched detections.
        boxes: The boxes table of the split.
        images: The images table of the split.
        classes: Class names.

    Returns:
        A row a slide and class, by slide, columns :data:`SLIDE_COLUMNS`: ``labelled`` boxes, ignored ones left out;
        ``detected``: detections, those on ignored boxes left out; ``score``: the highest of any candidate of the class,
        0 without any, NaN where one has none; ``present, reported, known`` as above.
    """
    names, slides = pd.Index(classes), pd.Index(images["image"])
    cells = len(slides) * len(names)

    def cell(table: pd.DataFrame, slide: str = "slide") -> npt.NDArray[np.int64]:
        """The row of each box in the result; boxes of other slides and classes, such as debris, lie behind its end."""
        row, column = slides.get_indexer(table[slide]), names.get_indexer(table["class"])
        return np.where((row >= 0) & (column >= 0), row * len(names) + column, cells)

    def count(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.bincount(places, minlength=cells + 1)[:cells].astype(np.int64)

    found = detections.candidates
    everywhere, detected = count(cell(found)), count(cell(found[~found["on_ignored"]]))
    labelled = count(cell(boxes[~boxes["ignored"]], "image"))
    ignored = count(cell(boxes[boxes["ignored"]], "image"))
    score = np.zeros(cells + 1)
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        np.maximum.at(score, cell(candidates), candidates["score"].to_numpy(dtype=np.float64))
    present, reported = labelled > 0, everywhere > 0
    table = images[["image", "group", "width", "height"]].rename(columns={"image": "slide"})
    table = table.loc[table.index.repeat(len(names))].reset_index(drop=True)
    return table.assign(
        **{"class": np.tile(names.to_numpy(dtype=object), len(slides))},
        labelled=labelled,
        detected=detected,
        score=score[:cells],
        present=present,
        reported=reported,
        known=present | ((ignored == 0) & ~(reported & (detected == 0))),
    )[SLIDE_COLUMNS]


def slide_figures(table: pd.DataFrame) -> dict[str, Figures]:
    """For each class, how well slides that bear it are told from slides that do not.

    Args:
        table: See :func:`slides_table`.

    Returns:
        For each class ``tp, fp, tn, fn``, ``left_out`` (slides that are not known for it), and the figures ``recall``,
        TP / (TP + FN), and ``specificity``, TN / (TN + FP).
    """
    figures = {}
    for name, rows in table.groupby("class", sort=False, observed=True):
        known, present, said = (rows[column].to_numpy(dtype=bool) for column in ("known", "present", "reported"))
        tp, fn, fp, tn = (known & cell for cell in (present & said, present & ~said, ~present & said, ~present & ~said))
        counts = {key: int(cell.sum()) for key, cell in {"tp": tp, "fp": fp, "tn": tn, "fn": fn}.items()}
        groups = rows["group"].to_numpy()
        figures[str(name)] = counts | {
            "left_out": int(np.sum(~known)),
            "recall": _share_by_group(tp, tp | fn, groups),
            "specificity": _share_by_group(tn, tn | fp, groups),
        }
    return figures


def presence_curves(table: pd.DataFrame, name: str) -> PresenceCurves | None:
    """The ROC and the precision-recall curve of a class over slides that are known for it.

    Args:
        table: See :func:`slides_table`.
        name: The class.

    Returns:
        ``None`` where no slide bears the class, none lacks it, or a score is not known.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    present, score, _ = _ranked(table, name)
    if not _can_rank(present, score):
        return None
    precision, recall, thresholds = precision_recall_curve(present, score)
    fpr, tpr, roc_thresholds = roc_curve(present, score)
    return PresenceCurves(fpr, tpr, roc_thresholds, recall, precision, thresholds)


def presence_figures(table: pd.DataFrame, name: str) -> Figures:
    """How well slides that bear a class rank above those that do not, whatever the operating point.

    Args:
        table: See :func:`slides_table`.
        name: The class.

    Returns:
        The figures ``roc_auc`` and ``average_precision`` (the area under either curve of :func:`presence_curves`, the
        latter in steps) of all slides that are known for the class. Their ``groups`` are those that hold slides with
        the class or those that hold slides without it, whichever are fewer, since a curve is no surer than its
        scarcer side. Intervals come from leaving out each group in turn, or each of :data:`BLOCKS` blocks of groups
        where there are more; there is none where all slides of one side lie in one block.
    """
    from sklearn.metrics import auc, average_precision_score, roc_curve

    present, score, group = _ranked(table, name)
    groups = min(len(np.unique(group[side])) for side in (present, ~present))
    measures: dict[str, Callable[[Flags, Floats], float]] = {
        # What roc_auc_score does, but for checks that take most of its time.
        "roc_auc": lambda present, score: auc(*roc_curve(present, score)[:2]),
        "average_precision": average_precision_score,
    }
    if not _can_rank(present, score):
        return {key: figure(None, len(score), groups, None) for key in measures}
    block = _blocks(present, group)
    kept = [block != number for number in range(block.max() + 1)]
    told = all(_can_rank(present[rows], score[rows]) for rows in kept)
    figures = {}
    for key, measure in measures.items():
        value = float(measure(present, score))
        without = [measure(present[rows], score[rows]) for rows in kept] if told and groups >= LEAST_GROUPS else []
        figures[key] = figure(value, len(score), groups, jackknife_interval(value, np.array(without), "share"))
    return figures


def _ranked(table: pd.DataFrame, name: str) -> tuple[Flags, Floats, npt.NDArray[np.int64]]:
    """Of the slides that are known for a class: whether they bear it, their scores, and the numbers of their groups."""
    rows = table[(table["class"] == name) & table["known"]]
    group = pd.factorize(rows["group"])[0].astype(np.int64)
    return rows["present"].to_numpy(dtype=bool), rows["score"].to_numpy(dtype=np.float64), group


def _can_rank(present: Flags, score: Floats) -> bool:
    return bool(present.any() and not present.all() and np.isfinite(score).all())


def _blocks(present: Flags, group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The block of each slide; groups that bear the class are dealt out first, so that all blocks have their share."""
    bears = np.bincount(group, weights=present) > 0
    place = np.empty(len(bears), dtype=np.int64)
    place[np.argsort(~bears, kind="stable")] = np.arange(len(bears))
    return np.asarray(place[group] % BLOCKS)


def _share_by_group(part: Flags, whole: Flags, groups: npt.NDArray[np.object_]) -> Figures:
    number = pd.factorize(groups)[0]
    part_of, whole_of = (np.bincount(number, weights=cells).astype(np.float64) for cells in (part, whole))
    return share_figure(part_of, whole_of)
