"""``spore-yolo evaluate --predictions``: how well anyone's boxes find and name the labelled spores."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli.import_dataset import add_point_size, parse_columns
from spore_yolo.cli.lake_places import readable, readable_text
from spore_yolo.labels.formats import AUTO, LABEL_FORMATS, POINT_FORMATS, PREDICTION_FORMATS

if TYPE_CHECKING:
    import pandas as pd

    from spore_yolo.files.errors import Problem
    from spore_yolo.labels.predictions import Predictions
    from spore_yolo.labels.table import RawLabels

MOST_PROBLEMS = 20
"""As many problems are listed; a wrong file has one a line."""

USUAL_CAPS = (100, 300)
"""COCO's own evaluation looks at 100 boxes an image; Ultralytics writes at most 300."""


OPTIONS = [
    "truth",
    "format",
    "truth_format",
    "images",
    "group_by",
    "classes",
    "targets",
    "columns",
    "point_size",
    "coco_ids",
]
"""The options of :func:`add_options` besides ``--predictions``."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what other people's predictions and labels are."""
    group = parser.add_argument_group(
        "predictions of any program, without a pair",
        "against labels (--truth) or a split of a registered dataset (--dataset, --split)",
    )
    group.add_argument("--predictions", type=readable, metavar="PATH", help="what a model found: a file, or a folder")
    group.add_argument("--truth", type=readable, metavar="PATH", help="the labels: a file, or a folder of files")
    group.add_argument(
        "--format",
        choices=[AUTO, *PREDICTION_FORMATS],
        metavar="F",
        help=f"format of both: {AUTO} (see what they are; default), {', '.join(PREDICTION_FORMATS)}",
    )
    group.add_argument(
        "--truth-format",
        choices=[AUTO, *LABEL_FORMATS],
        metavar="F",
        help=f"format of the labels, where it is another one: {', '.join(LABEL_FORMATS)}",
    )
    group.add_argument(
        "--predictions-format",
        choices=[AUTO, *PREDICTION_FORMATS],
        metavar="F",
        help="format of the predictions, where it is another one",
    )
    group.add_argument(
        "--images",
        type=readable,
        metavar="DIR",
        help="folder of the images; yolo and points need it to know their sizes",
    )
    group.add_argument(
        "--group-by",
        type=readable_text,
        metavar="REGEX",
        help="searched in each image's path; its first bracket is the group, the unit of the intervals; or a CSV file"
        " with image,group (default: the source image)",
    )
    group.add_argument(
        "--classes",
        type=readable,
        metavar="MAP.yaml",
        help="renames, merges, drops or ignores classes of labels and predictions",
    )
    group.add_argument("--targets", default="", metavar="A,B", help="the classes you are after")
    group.add_argument(
        "--columns",
        default="",
        metavar="image=file,...",
        help="csv, parquet: the file's own name of a column, where it is not guessed",
    )
    add_point_size(group)
    group.add_argument(
        "--coco-ids",
        type=readable,
        metavar="FILE.json",
        help="for a COCO results list: the COCO file with its images and categories (default: the COCO truth)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Evaluates, writes the evaluation's folder, whole or not at all, and prints the tables."""
    from tqdm import tqdm

    from spore_yolo.cli.truth import truth_of_dataset, truth_of_files
    from spore_yolo.evaluation.classifier import look_at_labels
    from spore_yolo.evaluation.report import evaluate_candidates, write_evaluation
    from spore_yolo.experiments.evaluation_output import check_output, print_tables, print_written
    from spore_yolo.files.images import read_image
    from spore_yolo.inference.manifest import OperatingPoint
    from spore_yolo.labels.predictions import check_predictions
    from spore_yolo.labels.readers import read_labels
    from spore_yolo.labels.readers.options import ReadOptions
    from spore_yolo.labels.table import check_boxes

    _check_usage(arguments)
    check_output(arguments.output)
    warnings: list[str] = []
    found_format = arguments.predictions_format or arguments.format
    path, label_format = _recognised("predictions", arguments.predictions, found_format, PREDICTION_FORMATS, warnings)
    if arguments.dataset is not None:
        columns = _columns(arguments.columns, {path: label_format}, path)
        (point_size,) = _point_sizes(arguments.point_size, [label_format])
        truth = truth_of_dataset(arguments.dataset, arguments.split, arguments.datasets)
    else:
        truth_format = arguments.truth_format or arguments.format
        labelled, truth_format = _recognised("truth", arguments.truth, truth_format, LABEL_FORMATS, warnings)
        columns = _columns(arguments.columns, {labelled: truth_format, path: label_format}, path)
        truth_size, point_size = _point_sizes(arguments.point_size, [truth_format, label_format])
        options = ReadOptions(columns=columns.get(labelled, {}), point_size=truth_size)
        truth = truth_of_files(labelled, truth_format, arguments.images, arguments.group_by, options)
    _stop_at("the labels", truth.problems, truth.advice)
    reading = ReadOptions(
        scores=True,
        columns=columns.get(path, {}),
        point_size=point_size,
        ids_file=arguments.coco_ids or truth.ids_file,
        class_names=truth.class_names,
    )
    predicted = read_labels(path, truth.known, label_format, reading)
    _stop_at("the predictions", predicted.problems)
    labels, predicted, kept = _mapped(truth.labels, predicted, arguments.classes)
    warnings += [*truth.notes, *labels.notes, *predicted.notes]
    predicted = _without_debris(predicted, warnings)
    classes = _classes(labels, predicted, kept)
    targets = _targets(arguments.targets, truth.targets, classes)

    checked = check_boxes(labels.boxes, truth.known.sizes)
    _stop_at("the labels", checked.problems, truth.advice)
    if checked.clipped:
        warnings.append(f"{checked.clipped:,} labelled boxes reached beyond the border by less than a pixel; clipped")
    predictions = check_predictions(predicted.boxes, truth.known.sizes)
    _stop_at("the predictions", predictions.problems)
    warnings += _warnings(predictions, truth.images)
    point = OperatingPoint(detector=_threshold(arguments.at, predictions))

    images, boxes, candidates, folder = truth.images, checked.table, predictions.candidates, truth.folder
    if folder is not None:
        slides = tqdm([(image, folder / image) for image in images["image"]], desc="looking at labels", unit="slide")
        boxes = boxes.assign(sharpness=look_at_labels(boxes, slides)["sharpness"].astype("float64"))
    evaluation = evaluate_candidates(candidates, boxes, images, classes, point, arguments.iou)
    area = float((images["width"] * images["height"]).sum(skipna=False)) / 1e6
    metrics = {
        "dataset": truth.name,
        "split": truth.split,
        "operating_point": point.model_dump(by_alias=True) if predictions.scored else None,
        "iou": arguments.iou,
        "targets": targets,
        "classes_merged_to_spore": False,
        "predictions": {
            "path": str(arguments.predictions),
            "format": label_format,
            "scores": predictions.scored,
            "boxes": len(candidates),
        },
        "truth": {**truth.about, "boxes": int((~boxes["ignored"]).sum()), "ignored": int(boxes["ignored"].sum())},
        "pair": None,
        "slides": len(images),
        "groups": int(images["group"].nunique()),
        "megapixels": round(area, 3) if area == area else None,
        "warnings": warnings,
        **evaluation.metrics,
    }
    title = ", ".join(str(part) for part in (Path(arguments.predictions).name, truth.name, truth.split) if part)
    open_slide = None if folder is None else lambda slide: read_image(folder / slide)
    write_evaluation(arguments.output, evaluation, candidates, metrics, title, open_slide)
    print_tables(metrics)
    for warning in warnings:
        print(f"note: {warning}")
    print_written(arguments.output)


def _check_usage(arguments: argparse.Namespace) -> None:
    """Makes sure that the options belong together."""
    from spore_yolo.files.errors import UsageError

    if arguments.operating_point is not None:
        raise UsageError("--operating-point: these are stored with a pair; for predictions say --at SCORE")
    if (arguments.truth is None) == (arguments.dataset is None):
        raise UsageError("--predictions: say what they are compared with, by --truth PATH or by --dataset NAME")
    if arguments.dataset is not None:
        given = [name for name in ("images", "group_by", "truth_format") if getattr(arguments, name) is not None]
        if given:
            raise UsageError(f"--{given[0].replace('_', '-')}: the dataset decides this; give it with --truth only")
    output: Path | None = arguments.output
    if output is None:
        raise UsageError("--output: expected the folder for the evaluation")
    for path in (arguments.predictions, arguments.truth, arguments.images, arguments.classes, arguments.coco_ids):
        if path is not None and path.resolve().is_relative_to(output.resolve()):
            raise UsageError(f"--output: {path} lies in {output}, which is replaced as a whole; choose another folder")


def _recognised(
    what: str, path: Path, label_format: str | None, allowed: tuple[str, ...], notes: list[str]
) -> tuple[Path, str]:
    """What is to be read as ``truth`` or ``predictions``, and its format."""
    from spore_yolo.files.errors import UsageError
    from spore_yolo.labels.readers.recognise import recognise

    if label_format in (None, AUTO):
        recognised = recognise(path)
        notes.append(f"--{what}: {recognised}")
        path, label_format = recognised.path, recognised.label_format
    if label_format not in allowed:
        raise UsageError(
            f"--{what}-format: expected one of {', '.join(allowed)}, found {label_format}, in which there are no {what}"
            " with scores"
        )
    return path, label_format


def _point_sizes(size: float | None, formats: Iterable[str]) -> list[float | None]:
    """The size of points, for the formats that have any."""
    from spore_yolo.files.errors import UsageError

    sizes = [size if label_format in POINT_FORMATS else None for label_format in formats]
    if size is not None and not any(sizes):
        raise UsageError(f"--point-size: goes with {', '.join(POINT_FORMATS)} only")
    return sizes


def _columns(text: str, formats: Mapping[Path, str], predictions: Path) -> dict[Path, dict[str, str]]:
    """The names of columns that ``--columns`` gives, for each table those that it has."""
    from spore_yolo.files.errors import UsageError
    from spore_yolo.labels.readers.columns import SCORE
    from spore_yolo.labels.readers.csv import csv_header
    from spore_yolo.labels.readers.parquet import parquet_header

    given = parse_columns(text)
    if not given:
        return {}
    header_of = {"csv": csv_header, "parquet": parquet_header}
    headers = {path: header_of[name](path) for path, name in formats.items() if name in header_of and path.exists()}
    absent = [column for column in given.values() if not any(column in header for header in headers.values())]
    if absent:
        where = " or ".join(map(str, headers)) or "a CSV or Parquet file, and there is none"
        raise UsageError(f"--columns: expected columns of {where}, found {', '.join(absent)}")
    return {
        path: {
            ours: theirs
            for ours, theirs in given.items()
            if theirs in header and (ours != SCORE or path == predictions)
        }
        for path, header in headers.items()
    }


def _stop_at(what: str, problems: list[Problem], advice: str = "") -> None:
    """Ends the work where there are problems, and lists the first of each kind."""
    from spore_yolo.files.errors import InputProblems

    if not problems:
        return
    of_kind: dict[str, Problem] = {}
    for problem in problems:
        of_kind.setdefault(problem.message, problem)
    shown = list(of_kind.values())[:MOST_PROBLEMS]
    more = len(problems) - len(shown)
    rest = f"  … and {more:,} more\n" if more else ""
    raise InputProblems(
        f"{what.capitalize()} have {len(problems):,} problem{'s' * (len(problems) > 1)}; nothing was evaluated:",
        shown,
        (rest + advice).rstrip("\n"),
    )


def _mapped(labels: RawLabels, predicted: RawLabels, path: Path | None) -> tuple[RawLabels, RawLabels, set[str]]:
    """Labels and predictions after the class map, and the classes that it keeps by naming them themselves."""
    from spore_yolo.labels.class_map import ClassMap
    from spore_yolo.labels.table import RawLabels

    if path is None:
        return labels, predicted, set()
    whole = ClassMap.read(path)
    names = [{*part.classes, *(box.class_name for box in part.boxes)} for part in (labels, predicted)]
    whole.apply(RawLabels(classes=sorted(names[0] | names[1])), path)  # tells of names that neither has

    def own(known: set[str], drop: Iterable[str], ignore: Iterable[str]) -> ClassMap:
        return ClassMap(
            rename={name: new for name, new in whole.rename.items() if name in known},
            drop=[name for name in drop if name in known],
            ignore=[name for name in ignore if name in known],
        )

    of_labels = own(names[0], whole.drop, whole.ignore).apply(labels)
    # What a model calls by a name that is ignored says nothing about the other classes.
    of_predicted = own(names[1], [*whole.drop, *whole.ignore], []).apply(predicted)
    return of_labels, of_predicted, {name for name, new in whole.rename.items() if name == new}


def _without_debris(predicted: RawLabels, warnings: list[str]) -> RawLabels:
    """A pair's candidates.csv also holds what it calls debris, which is its word for "no spore"."""
    from dataclasses import replace

    from spore_yolo.inference.manifest import DEBRIS

    boxes = [box for box in predicted.boxes if box.class_name != DEBRIS]
    if len(boxes) < len(predicted.boxes):
        warnings.append(f"{len(predicted.boxes) - len(boxes):,} predictions called {DEBRIS} are no spores; left out")
    return replace(predicted, boxes=boxes)


def _classes(labels: RawLabels, predicted: RawLabels, kept: set[str]) -> list[str]:
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.manifest import DEBRIS

    present = {box.class_name for box in labels.boxes if not box.ignored}
    found = {box.class_name for box in predicted.boxes}
    classes = list(dict.fromkeys([*labels.classes, *sorted(present), *sorted(kept & found)]))
    if DEBRIS in classes:
        raise SporeYoloError(
            f"the labels have a class {DEBRIS!r}, which is the word for what is no spore; expected another name:"
            " rename it, or drop it, with --classes MAP.yaml"
        )
    unknown = sorted(found - set(classes))
    if unknown:
        raise SporeYoloError(
            f"the predictions have classes that the labels have not: {', '.join(unknown)}; the labels have"
            f" {', '.join(classes) or 'none'}. Say what they are with --classes MAP.yaml, which goes for both:"
            f" rename: {{{unknown[0]}: NAME}}, drop: [{unknown[0]}], or rename: {{{unknown[0]}: {unknown[0]}}} for a"
            " class that is on none of these slides, so that every box of it is a false alarm"
        )
    if not classes:
        raise SporeYoloError("the labels have no boxes and no list of classes; there is nothing to compare with")
    return classes


def _targets(text: str, own: list[str], classes: list[str]) -> list[str]:
    from spore_yolo.files.errors import UsageError

    targets = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in targets if name not in classes]
    if unknown:
        raise UsageError(f"--targets: no such class: {', '.join(unknown)}; the labels have {', '.join(classes)}")
    return targets or [name for name in own if name in classes]


def _threshold(at: float | None, predictions: Predictions) -> float:
    from spore_yolo.files.errors import UsageError

    if at is not None and not predictions.scored and len(predictions.candidates):
        raise UsageError("--at: the predictions have no scores that it could be compared with; leave it out")
    return at or 0.0


def _warnings(predictions: Predictions, images: pd.DataFrame) -> list[str]:
    found = predictions.candidates["slide"].value_counts()
    warnings = []
    if not predictions.scored and len(found):
        warnings.append("the predictions have no scores: there are no figures that rank them, such as AP")
    if predictions.outside:
        warnings.append(f"{predictions.outside:,} predicted boxes lie wholly outside of their image; left out")
    if predictions.empty:
        warnings.append(f"{predictions.empty:,} predicted boxes have no area; left out")
    if len(images) > len(found):
        number = len(images) - len(found)
        warnings.append(f"{number:,} of {len(images):,} images have no predictions; nothing was found on them")
    if len(found) and int(found.max()) in USUAL_CAPS:
        most = int(found.max())
        warnings.append(
            f"{int((found == most).sum()):,} images have exactly {most} predictions and none has more: the program that"
            " made them may have cut there (max_det), and recall suffers"
        )
    return warnings
