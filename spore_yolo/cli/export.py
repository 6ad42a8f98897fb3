"""``spore-yolo export``: labels and predictions in the formats of other programs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli.lake_places import readable, readable_text, writable
from spore_yolo.cli.options import Commands, add_command, add_register, positive, share
from spore_yolo.labels.formats import AUTO, FORMAT_NAMES, LABEL_FORMATS, PREDICTION_FORMATS

if TYPE_CHECKING:
    from spore_yolo.files.errors import Problem
    from spore_yolo.labels.label_set import LabelSet
    from spore_yolo.labels.source import LabelSource
    from spore_yolo.labels.table import RawBox

SUFFIXES = {
    "yolo": "",
    "coco": ".json",
    "voc": "",
    "darwin": "",
    "cvat": ".xml",
    "label-studio": "",
    "csv": ".csv",
    "parquet": ".parquet",
}
"""The formats that can be written, and the suffix of the file; a format without one is a folder."""

LABEL_FILES = frozenset({".txt", ".yaml", ".xml", ".json"})
"""Suffixes of what a folder that ``--force`` replaces may hold; anything else is not ours to delete."""

EXAMPLES = """\
  spore-yolo export rust --format coco --output rust.json
  spore-yolo export rust --format cvat --split test --output test.xml
  spore-yolo export found/ --format label-studio --output tasks/     # what predict found, for people to correct
  spore-yolo export labels.json --from-format coco --format voc --output voc/
"""

NEXT = {
    "yolo": "put the images into images/ beside labels/, and train: and val: into data.yaml",
    "coco": "give it to any program that reads COCO; the file names are paths below the folder of the images",
    "voc": "put the images where your program looks for them; <filename> is the path below that folder",
    "darwin": "upload the images to V7, then: darwin dataset import TEAM/DATASET darwin {output}",
    "cvat": "in CVAT make a task of these images with the labels that {output} lists, then Upload annotations,"
    " CVAT 1.1",
    "label-studio": "in Label Studio paste {output}/label_config.xml under Settings, Labeling Interface, Code; add the"
    " folder of the images as a local storage; then Import {output}/tasks.json",
    "csv": "open it with any program that reads tables; a row without a class is an image without boxes",
    "parquet": "open it with pandas, DuckDB and the like; a row without a class is an image without boxes",
}


@dataclass
class _Source:
    """What is to be exported.

    Attributes:
        labels: The labels or predictions.
        root: The folder of the images, where it is known.
        notes: What the user should know.
    """

    labels: LabelSet
    root: Path | None
    notes: list[str] = field(default_factory=list)


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(commands, "export", "Write labels or predictions in another program's format.", EXAMPLES)
    parser.add_argument(
        "name",
        type=readable_text,
        metavar="NAME|PATH",
        help="a registered dataset; the output of predict, an evaluation's candidates.csv; or labels in any format",
    )
    parser.add_argument("--format", required=True, choices=list(SUFFIXES), help="the format to write")
    parser.add_argument(
        "--output", type=writable, required=True, help="the file, or the folder for formats of many files"
    )
    parser.add_argument("--split", help="only this split of a registered dataset: train, val, test, …")
    parser.add_argument(
        "--from-format",
        choices=[AUTO, *LABEL_FORMATS],
        default=AUTO,
        help="format of the labels at PATH (default: see what it is)",
    )
    parser.add_argument(
        "--images", type=readable, metavar="DIR", help="folder of the images, for labels that are a PATH"
    )
    parser.add_argument(
        "--columns", default="", metavar="image=file,...", help="tables: their own name of a column, where not guessed"
    )
    parser.add_argument(
        "--point-size", type=positive, metavar="PX", help="centre points: the side of the square round each"
    )
    parser.add_argument("--predictions", action="store_true", help="PATH holds what a model found, with scores")
    parser.add_argument(
        "--classes", type=readable, metavar="MAP.yaml", help="renames, merges, drops or ignores classes"
    )
    parser.add_argument("--min-score", type=share, metavar="X", help="only predictions with at least this score")
    parser.add_argument("--force", action="store_true", help="replace what an earlier export wrote there")
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Exports, whole or not at all, and prints what was written."""
    from spore_yolo.labels.writers import write_labels

    _check_output(arguments)
    source = _source(arguments)
    labels = _chosen(source.labels, arguments)
    notes = source.notes + write_labels(labels, arguments.output, arguments.format, source.root)
    print(_summary(labels, arguments.output))
    for note in notes:
        print(f"note: {note}")
    print(f"\nnext: {NEXT[arguments.format].format(output=arguments.output)}")
    if arguments.format == "label-studio" and source.root is not None:
        print(
            "      (its server needs LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and"
            f" LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={source.root.resolve().parent})"
        )


def _check_output(arguments: argparse.Namespace) -> None:
    """Makes sure that the output can be written, and that nothing is lost by it."""
    from spore_yolo.files.errors import UsageError

    output, suffix = arguments.output, SUFFIXES[arguments.format]
    if suffix and output.suffix.lower() != suffix:
        raise UsageError(f"--output: expected a file that ends in {suffix} for {arguments.format}, found {output}")
    if not output.exists():
        return
    if output.is_dir() == bool(suffix):
        found = "a folder" if output.is_dir() else "a file"
        raise UsageError(
            f"--output: expected a {'file' if suffix else 'folder'} for {arguments.format}, found {output}, {found}"
        )
    if output.is_dir():
        other = next((path for path in output.rglob("*") if path.is_file() and not _is_label_file(path)), None)
        if other is not None:
            raise UsageError(
                f"--output: {output} holds other things than labels ({other.relative_to(output)}), and it would be"
                " replaced as a whole; choose another folder"
            )
    if not arguments.force and (output.is_file() or any(output.iterdir())):
        raise UsageError(f"--output: {output} exists; choose another place or add --force")


def _is_label_file(path: Path) -> bool:
    return path.suffix.lower() in LABEL_FILES and not path.is_symlink()


def _check_inputs(output: Path, inputs: list[Path]) -> None:
    """Makes sure that nothing that is read would be replaced."""
    from spore_yolo.files.errors import UsageError

    for path in inputs:
        if path.resolve().is_relative_to(output.resolve()):
            raise UsageError(f"--output: {path} lies in {output}, which is replaced as a whole; choose another place")


def _source(arguments: argparse.Namespace) -> _Source:
    """The labels of a registered dataset or of a path."""
    from spore_yolo.dataset.register import read_register
    from spore_yolo.files.errors import UsageError

    registered = read_register(arguments.datasets)
    if arguments.name in registered:
        return _of_dataset(arguments)
    path = Path(arguments.name)
    if not path.exists():
        listed = ", ".join(registered) or "none"
        raise UsageError(
            f"expected a registered dataset ({arguments.datasets} has {listed}) or a path, found {arguments.name!r}"
        )
    if arguments.split is not None:
        raise UsageError(f"--split: only a registered dataset has splits, and {path} is none; import it first")
    return _of_path(path, arguments)


def _of_dataset(arguments: argparse.Namespace) -> _Source:
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.files.errors import UsageError
    from spore_yolo.labels.label_set import LabelSet

    given = {
        "--images": arguments.images is not None,
        "--predictions": arguments.predictions,
        "--from-format": arguments.from_format != AUTO,
        "--min-score": arguments.min_score is not None,
        "--columns": bool(arguments.columns),
        "--point-size": arguments.point_size is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise UsageError(f"{option}: goes with a path, and {arguments.name} is a registered dataset")
    dataset = load_dataset(arguments.name, arguments.datasets)
    images, boxes = dataset.images, dataset.boxes
    if arguments.split is not None:
        images, boxes = dataset.split(arguments.split)
    _check_inputs(arguments.output, [dataset.folder, dataset.images_root])
    labels = LabelSet(images[["image", "width", "height"]].reset_index(drop=True), boxes, dataset.classes)
    return _Source(labels, dataset.images_root)


def _of_path(path: Path, arguments: argparse.Namespace) -> _Source:
    from spore_yolo.cli.import_dataset import parse_columns
    from spore_yolo.files.errors import UsageError
    from spore_yolo.labels.readers.options import ReadOptions
    from spore_yolo.labels.source import open_labels

    _check_inputs(arguments.output, [path, *([] if arguments.images is None else [arguments.images])])
    notes = []
    predicted, label_format, read = arguments.predictions, arguments.from_format, path
    ours = _written_by_us(path) if label_format == AUTO else None
    if ours is not None:
        predicted, label_format, read = True, *ours
    options = ReadOptions(scores=predicted, columns=parse_columns(arguments.columns), point_size=arguments.point_size)
    source = open_labels(read, label_format, arguments.images, options)
    if source.reason:
        notes.append(f"{path} was taken for {FORMAT_NAMES[source.label_format]} ({source.reason})")
    if predicted and source.label_format not in PREDICTION_FORMATS:
        known = ", ".join(PREDICTION_FORMATS)
        raise UsageError(f"--predictions: expected a format with scores ({known}), found {source.label_format}")
    labels = _checked(source, predicted, notes)
    return _Source(labels, arguments.images, notes)


def _written_by_us(path: Path) -> tuple[str, Path] | None:
    """The format and the file of predictions that ``predict`` or ``evaluate`` wrote; ``None`` for other labels."""
    if path.is_dir():
        # The COCO file has the same detections as predictions.csv, and the size of every slide besides.
        coco = path / "predictions.coco.json"
        return ("coco", coco) if coco.is_file() and (path / "predictions.csv").is_file() else None
    if path.suffix.lower() != ".csv":
        return None
    from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS

    with path.open("rb") as stream:
        header = stream.readline(1000).strip().split(b",")
    return ("csv", path) if [*map(str.encode, CANDIDATE_COLUMNS)] == header[: len(CANDIDATE_COLUMNS)] else None


def _checked(source: LabelSource, predicted: bool, notes: list[str]) -> LabelSet:
    """The labels that were read, if nothing is wrong with them."""
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.labels.label_set import LabelSet, boxes_of, classes_of, images_of
    from spore_yolo.labels.predictions import check_predictions
    from spore_yolo.labels.source import EMPTY_IF_UNNAMED
    from spore_yolo.labels.table import check_boxes

    read, sizes = source.labels, source.sizes
    notes.extend(read.notes)
    unnamed = sum(name in source.unnamed for name in sizes)
    if unnamed and source.label_format in EMPTY_IF_UNNAMED:
        notes.append(f"{unnamed:,} images are not named by the labels and count as empty")
    elif unnamed:
        sizes = {name: size for name, size in sizes.items() if name not in source.unnamed}
        notes.append(f"{unnamed:,} images are not named by the labels and were left out")
    problems = [*_of_labelled(source), *read.problems]
    if predicted:
        kept = _without_debris(source, notes)
        predictions = check_predictions(kept, sizes)
        problems += predictions.problems
        boxes = boxes_of(predictions.candidates, str(source.path))
        for count, what in ((predictions.outside, "lie outside of their image"), (predictions.empty, "have no area")):
            if count:
                notes.append(f"{count:,} predicted boxes {what}; left out")
    else:
        checked = check_boxes(read.boxes, sizes)
        problems, boxes = [*problems, *checked.problems], checked.table
        if checked.clipped:
            notes.append(f"{checked.clipped:,} boxes reached beyond the border by less than a pixel; clipped")
    _stop_at(problems, source.path)
    if not sizes:
        raise SporeYoloError(f"{source.path}: expected labels of at least one image, found none")
    return LabelSet(images_of(sizes), boxes, classes_of(read.classes, boxes))


def _of_labelled(source: LabelSource) -> list[Problem]:
    """Unreadable images that the labels speak of."""
    if source.folder is None:
        return []
    labelled = {source.folder / name for name in source.labels.labelled_images}
    return [problem for problem in source.unreadable if problem.file in labelled]


def _without_debris(source: LabelSource, notes: list[str]) -> list[RawBox]:
    """A pair's candidates.csv also holds what it calls debris, which is its word for "no spore"."""
    from spore_yolo.inference.manifest import DEBRIS

    boxes = [box for box in source.labels.boxes if box.class_name != DEBRIS]
    if len(boxes) < len(source.labels.boxes):
        notes.append(f"{len(source.labels.boxes) - len(boxes):,} predictions called {DEBRIS} are no spores; left out")
    source.labels.classes = [name for name in source.labels.classes if name != DEBRIS]
    return boxes


def _stop_at(problems: list[Problem], path: Path) -> None:
    from spore_yolo.files.errors import InputProblems

    if problems:
        raise InputProblems(
            f"{path} has {len(problems):,} problem{'s' * (len(problems) > 1)}; nothing was written:",
            problems,
            f"Look closer with: spore-yolo check {path}",
        )


def _chosen(labels: LabelSet, arguments: argparse.Namespace) -> LabelSet:
    """The labels after ``--classes`` and ``--min-score``."""
    from dataclasses import replace

    from spore_yolo.files.errors import UsageError
    from spore_yolo.labels.class_map import ClassMap
    from spore_yolo.labels.table import RawLabels

    if arguments.min_score is not None:
        if not labels.scored and len(labels.boxes):
            raise UsageError("--min-score: there are no scores that it could be compared with; add --predictions?")
        if labels.scored:
            labels = replace(labels, boxes=labels.boxes[labels.boxes["score"] >= arguments.min_score])
    if arguments.classes is None:
        return labels
    class_map = ClassMap.read(arguments.classes)
    mapped = class_map.apply(RawLabels(classes=labels.all_classes), arguments.classes)
    # What a model calls by a name that is ignored says nothing about the other classes.
    gone = {*class_map.drop, *(class_map.ignore if labels.predicted else ())}
    boxes = labels.boxes[~labels.boxes["class"].isin(gone)]
    boxes = boxes.assign(
        ignored=boxes["ignored"] | boxes["class"].isin(class_map.ignore),
        **{"class": boxes["class"].replace(class_map.rename)},
    )
    listed = {class_map.rename.get(name, name) for name in labels.classes}
    return replace(labels, boxes=boxes, classes=[name for name in mapped.classes if name in listed])


def _summary(labels: LabelSet, output: Path) -> str:
    """Boxes by class, images, and where they went."""
    from tabulate import tabulate

    boxes = labels.boxes
    counts = boxes[~boxes["ignored"]]["class"].value_counts()
    rows = [(name, int(counts.get(name, 0))) for name in labels.classes]
    ignored = int(boxes["ignored"].sum())
    rows += [("(ignored)", ignored)] if ignored else []
    empty = len(labels.images) - boxes["image"].nunique()
    table = tabulate([*rows, ("all", len(boxes))], headers=["class", "boxes"], tablefmt="simple", intfmt=",")
    what = "predictions" if labels.predicted else "labels"
    return f"{table}\n\n{len(labels.images):,} images ({empty:,} without boxes), {what}: {output}"
