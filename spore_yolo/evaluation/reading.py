"""Reads evaluations back from their folders, as ``spore-yolo evaluate`` wrote them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict

from spore_yolo.evaluation.intervals import Interval
from spore_yolo.evaluation.metrics import by_importance
from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError
from spore_yolo.files.structured import parse_model
from spore_yolo.inference.manifest import OperatingPoint

ALL = "all"
"""What a table calls all classes together; their counts are sums, over slides too."""

SLIDE_COLUMNS = {
    **dict.fromkeys(["slide", "group", "class"], "str"),
    **dict.fromkeys(["width", "height"], "float64"),  # empty where nobody knows them
    **dict.fromkeys(["labelled", "detected"], "int64"),
    **dict.fromkeys(["present", "reported", "known"], "bool"),
}
MATCH_COLUMNS = dict.fromkeys(["slide", "class", "outcome"], "str")


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
