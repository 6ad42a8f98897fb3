"""Evaluations of the same slides side by side: paired differences with intervals that take groups as the units.

What makes a group hard or easy is the same for all of them and drops out of a difference. Two runs whose own intervals
overlap may therefore well differ.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from spore_yolo.evaluation.intervals import (
    LEAST_GROUPS,
    Floats,
    Interval,
    rate_difference,
    rate_interval,
    share_difference,
    share_interval,
)
from spore_yolo.evaluation.metrics import by_importance
from spore_yolo.evaluation.scoring import SPORE
from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError
from spore_yolo.files.structured import parse_model
from spore_yolo.inference.manifest import OperatingPoint

ALL = "all"
"""What a table calls all classes together; their counts are sums, over slides too."""

SAME, BETTER, WORSE = "no difference shown", "better", "worse"
VERDICTS = (SAME, BETTER, WORSE)

SLIDE_COLUMNS = {
    **dict.fromkeys(["slide", "group", "class"], "str"),
    **dict.fromkeys(["width", "height"], "float64"),  # empty where nobody knows them
    **dict.fromkeys(["labelled", "detected"], "int64"),
    **dict.fromkeys(["present", "reported", "known"], "bool"),
}
MATCH_COLUMNS = dict.fromkeys(["slide", "class", "outcome"], "str")

ROW_COLUMNS = [
    *("class", "figure", "run", "detector_threshold", "class_threshold", "value", "low", "high", "n", "groups"),
    *("difference", "difference_low", "difference_high", "verdict"),
]
"""Columns of the table of :func:`compare`."""


@dataclass(frozen=True)
class Ratio:
    """A figure that is a ratio of sums over groups.

    Attributes:
        part, whole: The columns whose sums it is a ratio of.
        fewer_is_better: Whether a lower figure is the better one.
    """

    part: str
    whole: str
    fewer_is_better: bool = False

    @property
    def is_rate(self) -> bool:
        """Whether it may exceed 1: a count by an exposure, which is the same for all runs."""
        return self.whole in ("slides", "megapixels")


FIGURES = {
    "recall": Ratio("tp", "labelled"),
    "precision": Ratio("tp", "detected"),
    "false_alarms_per_slide": Ratio("fp", "slides", fewer_is_better=True),
    "false_alarms_per_megapixel": Ratio("fp", "megapixels", fewer_is_better=True),
    "recall_slides": Ratio("slides_tp", "slides_with"),
    "specificity_slides": Ratio("slides_tn", "slides_without"),
}
"""The figures that are compared, by their names in ``metrics.json``."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class OwnFigure(_Form):
    """A figure of ``metrics.json`` with its own interval."""

    value: float | None
    n: float
    groups: int
    interval: Interval | None


class BoxFigures(_Form):
    """What is read of the figures of a class, or of all."""

    tp: int
    fp: int
    fn: int
    ap50: OwnFigure | None = None


class Truth(_Form):
    """What predictions without a pair were compared with."""

    dataset_fingerprint: str | None = None


class About(_Form):
    """What is read of ``metrics.json``; docs/evaluation.md says what each is."""

    dataset: str
    dataset_fingerprint: str | None = None
    truth: Truth = Truth()
    split: str | None
    iou: float
    targets: list[str]
    operating_point: OperatingPoint | None = None
    overall: BoxFigures
    per_class: dict[str, BoxFigures]

    @property
    def fingerprint(self) -> str | None:
        """The dataset's fingerprint; ``None`` where the labels were files, which have none."""
        return self.dataset_fingerprint or self.truth.dataset_fingerprint

    @property
    def title(self) -> str:
        """Dataset and split in words."""
        return f"{self.dataset}, {self.split}" if self.split else self.dataset


@dataclass(frozen=True)
class Evaluated:
    """An evaluation, read from its folder.

    Attributes:
        name: What the tables call it.
        folder: Its folder.
        about: What was evaluated.
        counts: A row a slide and class, in their order: ``slide, group, class, width, height, labelled, detected,
            present, reported, known`` of ``slides.csv``, and ``tp, fp, fn``.
    """

    name: str
    folder: Path
    about: About
    counts: pd.DataFrame

    @property
    def classes(self) -> dict[str, list[str]]:
        """The classes, targets first, and :data:`ALL` where there are several: each with the classes that it sums."""
        names = list(self.about.per_class)
        single = {name: [name] for name in by_importance(names, self.about.targets)}
        return single if len(names) == 1 or ALL in single else single | {ALL: names}

    @property
    def headline(self) -> list[str]:
        """What a summary is of: the targets, or without any all classes together."""
        targets = [name for name in self.about.targets if name in self.about.per_class]
        return targets or [list(self.classes)[-1]]


def evaluation_folder(place: Path, dataset: str | None, split: str) -> Path:
    """The folder of the evaluation that a user means.

    Args:
        place: The folder itself, or that of a run or pair which has it below ``evaluation/``.
        dataset: Which dataset, where there are several.
        split: Which split.

    Raises:
        SporeYoloError: There is none.
        UsageError: There are several; the message names them.
    """
    if (place / "metrics.json").exists():
        return place
    if not place.is_dir():
        raise SporeYoloError(f"{place}: no such folder; give the folder of a run, or of an evaluation")
    # The evaluations of a run's pair lie beside it.
    shelves = [
        place / "evaluation",
        *([place.resolve().parent / "evaluation"] if place.resolve().name == "pair" else []),
    ]
    there = [path.parent for shelf in shelves for path in sorted(shelf.glob("*/metrics.json"))]
    names = [f"{dataset}-{split}"] if dataset else [path.name for path in there if path.name.endswith(f"-{split}")]
    chosen = [path for path in there if path.name in names]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(path.name for path in there)
    if chosen:
        raise UsageError(f"{place} has several evaluations of the split {split}, {listed}; choose with --dataset")
    if there:
        of = f"of the split {split}" + (f" of {dataset}" if dataset else "")
        raise SporeYoloError(f"{place} has no evaluation {of}, only {listed}; choose with --dataset and --split")
    raise SporeYoloError(
        f"{place} holds no evaluation (no metrics.json, here or in {place / 'evaluation'}/DATASET-SPLIT); make one:"
        f" spore-yolo evaluate --run {place} --dataset {dataset or 'NAME'} --split {split}"
    )


def run_names(folders: Sequence[Path]) -> list[str]:
    """A name for each evaluation: the folder of its run or pair, or else its own; alike ones get numbers."""
    names: list[str] = []
    for folder in (folder.resolve() for folder in folders):
        of_run = folder.parent.name == "evaluation"
        own = name = folder.parent.parent.name if of_run else folder.name
        number = 1
        while name in names:
            number += 1
            name = f"{own}-{number}"
        names.append(name)
    return names


def read_evaluation(folder: Path, name: str) -> Evaluated:
    """Reads an evaluation.

    Args:
        folder: A folder that ``spore-yolo evaluate`` wrote.
        name: What the tables are to call it.

    Raises:
        SporeYoloError: A file is missing, damaged, or contradicts another.
    """
    path = folder / "metrics.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SporeYoloError(f"{path}: cannot be read ({error}); evaluate again: spore-yolo evaluate") from None
    if isinstance(content, dict) and "overall" not in content and "classifier_on_labels" in content:
        raise SporeYoloError(
            f"{folder}: evaluates a classifier alone, which finds nothing on slides; expected the evaluation of a pair"
        )
    slides = _read_table(folder / "slides.csv", SLIDE_COLUMNS).sort_values(["slide", "class"], ignore_index=True)
    matches = _read_table(folder / "matches.csv", MATCH_COLUMNS)
    try:
        about = parse_model(path, About, content)
    except InputProblems as error:
        raise SporeYoloError(f"{error}\nevaluate again: spore-yolo evaluate") from None
    counts = slides
    for outcome in ("tp", "fp", "fn"):
        number = matches[matches["outcome"] == outcome].groupby(["slide", "class"]).size().rename(outcome)
        counts = counts.merge(number.reset_index(), on=["slide", "class"], how="left").fillna({outcome: 0})
    counts = counts.astype(dict.fromkeys(["tp", "fp", "fn"], "int64"))
    _check_whole(folder, about, counts)
    return Evaluated(name, folder, about, counts)


def _read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=columns, keep_default_na=False, na_values={"width": [""], "height": [""]})
    except FileNotFoundError:
        raise SporeYoloError(
            f"{path}: no such file; this evaluation was made by an older spore-yolo or is not whole: evaluate again"
            " (spore-yolo evaluate)"
        ) from None
    except (OSError, ValueError) as error:
        raise SporeYoloError(f"{path}: cannot be read ({error}); evaluate again: spore-yolo evaluate") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise SporeYoloError(
            f"{path}:1: expected the columns {', '.join(columns)}, found no {', '.join(missing)}; evaluate again:"
            " spore-yolo evaluate"
        )
    return table[list(columns)]


def _check_whole(folder: Path, about: About, counts: pd.DataFrame) -> None:
    """Makes sure that the three files are of one evaluation."""
    classes, slides = list(about.per_class), counts["slide"].nunique()
    pairs = counts[["slide", "class"]].drop_duplicates()
    problem = ""
    if not slides or not classes:
        problem = "it has no slides or no classes"
    elif set(counts["class"]) != set(classes) or not len(counts) == len(pairs) == slides * len(classes):
        problem = f"slides.csv does not have one row a slide and class of metrics.json ({', '.join(classes)})"
    elif not (counts["tp"] + counts["fn"]).equals(counts["labelled"]):
        problem = "matches.csv has other labels than slides.csv"
    elif not (counts["tp"] + counts["fp"]).equals(counts["detected"]):
        problem = "matches.csv has other detections than slides.csv"
    else:
        sums = counts.groupby("class")[["tp", "fp", "fn"]].sum()
        for name, figures in about.per_class.items():
            found, stated = tuple(sums.loc[name]), (figures.tp, figures.fp, figures.fn)
            if found != stated:
                numbers = [
                    " ".join(f"{count} {word}" for count, word in zip(c, sums, strict=True)) for c in (found, stated)
                ]
                problem = f"matches.csv has {numbers[0]} of {name}, metrics.json {numbers[1]}"
    if problem:
        raise SporeYoloError(f"{folder}: damaged, {problem}; evaluate again: spore-yolo evaluate")


def check_comparable(runs: Sequence[Evaluated]) -> None:
    """Makes sure that evaluations are of the same slides, labels and classes, matched by the same rule.

    Raises:
        SporeYoloError: They are not; the message says what differs.
    """
    first = runs[0]
    for run in runs[1:]:
        difference = _what_differs(first, run)
        if difference:
            raise SporeYoloError(f"{first.name} and {run.name} cannot be compared: {difference}")


def _what_differs(a: Evaluated, b: Evaluated) -> str:
    """What makes a comparison of two evaluations a lie, and what to do; nothing where it does not."""
    one, other = a.about, b.about
    if one.fingerprint != other.fingerprint:
        prints = [(about.fingerprint or "none")[:12] for about in (one, other)]
        where = f"{one.dataset} (fingerprint {prints[0]}) and {other.dataset} ({prints[1]})"
        again = ", which was imported anew in between" if one.dataset == other.dataset else ""
        return f"they were evaluated on {where}{again}; evaluate both on the same dataset"
    if one.split != other.split:
        return f"they were evaluated on the splits {one.split} and {other.split}; choose one with --split"
    if set(one.per_class) != set(other.per_class):
        names = f"{', '.join(one.per_class)} and {', '.join(other.per_class)}"
        merged = (
            "; a one-class detector without a classifier is evaluated on labels merged to spore: train its classifier"
        )
        hint = (
            merged if [SPORE] in (list(one.per_class), list(other.per_class)) else "; evaluate both on the same classes"
        )
        return f"they have the classes {names}{hint}"
    if one.iou != other.iou:
        return f"their boxes were matched at IoU >= {one.iou:g} and {other.iou:g}; evaluate again with the same --iou"
    lone = set(a.counts["slide"]) ^ set(b.counts["slide"])
    if lone:
        return f"{len(lone)} slides are in one of them only, such as {min(lone)}; evaluate both again"
    # Both have the same slides and classes in the same order by now.
    for column, of in {"labelled": "labels", "group": "group", "width": "width", "height": "height"}.items():
        unlike = ~(
            (a.counts[column] == b.counts[column]) | (a.counts[column].isna() & b.counts[column].isna())
        ).to_numpy()
        if unlike.any():
            row, there = a.counts[unlike].iloc[0], b.counts[unlike].iloc[0]
            kind = f" of {row['class']}" if column == "labelled" else ""
            values = " and ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in (row[column], there[column]))
            return f"slide {row['slide']} has other {of}{kind}, {values}: the truth changed; evaluate both again"
    return ""


def compare(baseline: Evaluated, others: Sequence[Evaluated]) -> pd.DataFrame:
    """Every figure of every run, and how it differs from the baseline's.

    Args:
        baseline: What the others are compared with.
        others: Evaluations that :func:`check_comparable` lets through.

    Returns:
        A row a class (targets first, then :data:`ALL`), figure (:data:`FIGURES`, then ``ap50``) and run (the baseline
        first), with the columns :data:`ROW_COLUMNS`: ``low, high`` is the run's own interval, ``difference`` the run's
        value less the baseline's, with the paired 95 % interval. ``verdict`` is ``baseline``, one of
        :data:`VERDICTS`, says that there are too few groups, or is empty where there is nothing to compare. ``ap50``
        is as ``metrics.json`` states it. What cannot be known is NaN.
    """
    runs = [baseline, *others]
    rows: list[dict[str, Any]] = []
    for name, classes in baseline.classes.items():
        sums = [_by_group(run.counts, classes) for run in runs]
        for figure, ratio in FIGURES.items():
            for run, groups in zip(runs, sums, strict=True):
                own = _own(groups, ratio)
                paired = {"verdict": "baseline"} if run is baseline else _paired(sums[0], groups, ratio)
                rows.append(_head(run, name, figure) | own | paired)
        for run in runs:
            figures = run.about.overall if name == ALL and len(classes) > 1 else run.about.per_class[name]
            ap = figures.ap50
            own = {} if ap is None else {"value": ap.value, "n": ap.n, "groups": ap.groups} | _bounds("", ap.interval)
            rows.append(_head(run, name, "ap50") | own | {"verdict": "baseline" if run is baseline else ""})
    numbers = [column for column in ROW_COLUMNS if column not in ("class", "figure", "run", "groups", "verdict")]
    return pd.DataFrame(rows, columns=ROW_COLUMNS).astype(dict.fromkeys(numbers, "float64") | {"groups": "Int64"})


def changed_slides(baseline: Evaluated, run: Evaluated, classes: Sequence[str], most: int = 10) -> pd.DataFrame:
    """The slides on which two runs miss different numbers of labelled boxes, the largest change first.

    Args:
        baseline: The baseline.
        run: Another run, comparable with it.
        classes: Whose labels.
        most: How many slides.

    Returns:
        ``slide, labelled, missed_before`` (by the baseline), ``missed`` (by the run) and ``change``.
    """
    both = baseline.counts.assign(missed_before=baseline.counts["fn"], missed=run.counts["fn"])
    table = (
        both[both["class"].isin(classes)].groupby("slide")[["labelled", "missed_before", "missed"]].sum().reset_index()
    )
    table = table.assign(change=table["missed"] - table["missed_before"])
    return table[table["change"] != 0].sort_values("change", key=lambda x: -x.abs(), kind="stable").head(most)


def _head(run: Evaluated, name: str, figure: str) -> dict[str, Any]:
    point = run.about.operating_point
    thresholds = (
        {} if point is None else {"detector_threshold": point.detector, "class_threshold": point.class_.get(name)}
    )
    return {"class": name, "figure": figure, "run": run.name} | thresholds


def _by_group(counts: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The sums that figures are made of, a row a group; a slide counts once a class, its area once."""
    rows = counts[counts["class"].isin(classes)]
    with_it, without = rows["known"] & rows["present"], rows["known"] & ~rows["present"]
    rows = rows.assign(
        slides_with=with_it,
        slides_without=without,
        slides_tp=with_it & rows["reported"],
        slides_tn=without & ~rows["reported"],
    )
    summed = ["labelled", "detected", "tp", "fp", "slides_with", "slides_without", "slides_tp", "slides_tn"]
    sums = rows.groupby("group")[summed].sum()
    slides = rows.drop_duplicates("slide")
    areas = slides["width"] * slides["height"] / 1e6
    if areas.isna().any():  # nobody knows what a false alarm per megapixel is
        areas = areas.fillna(0) * 0
    return sums.assign(slides=slides.groupby("group").size(), megapixels=areas.groupby(slides["group"]).sum())


def _columns(groups: pd.DataFrame, ratio: Ratio) -> tuple[Floats, Floats]:
    return groups[ratio.part].to_numpy(dtype=np.float64), groups[ratio.whole].to_numpy(dtype=np.float64)


def _own(groups: pd.DataFrame, ratio: Ratio) -> dict[str, Any]:
    part, whole = _columns(groups, ratio)
    n = float(whole.sum())
    interval = (rate_interval if ratio.is_rate else share_interval)(part, whole)
    own = {"value": part.sum() / n if n else None, "n": n, "groups": int((whole > 0).sum())}
    return own | _bounds("", interval)


def _paired(before: pd.DataFrame, after: pd.DataFrame, ratio: Ratio) -> dict[str, Any]:
    (part_a, whole_a), (part_b, whole_b) = _columns(before, ratio), _columns(after, ratio)
    if not whole_a.sum() or not whole_b.sum():
        return {"verdict": ""}
    difference = float(part_b.sum() / whole_b.sum() - part_a.sum() / whole_a.sum())
    if ratio.is_rate:
        interval = rate_difference(part_a, part_b, whole_a)
    else:
        interval = share_difference(part_a, whole_a, part_b, whole_b)
    groups = int(((whole_a > 0) | (whole_b > 0)).sum())
    verdict = f"too few groups to tell ({groups} of {LEAST_GROUPS})" if interval is None else _verdict(interval, ratio)
    return {"difference": difference, "verdict": verdict} | _bounds("difference_", interval)


def _verdict(interval: Interval, ratio: Ratio) -> str:
    low, high = interval
    if low <= 0 <= high:
        return SAME
    return BETTER if (high < 0) == ratio.fewer_is_better else WORSE


def _bounds(prefix: str, interval: Interval | None) -> dict[str, float]:
    return {} if interval is None else {f"{prefix}low": interval[0], f"{prefix}high": interval[1]}
