"""Runs the checks on labels of any format, or on a registered dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from spore_yolo.dataset.checks import CHECKS
from spore_yolo.dataset.checks.base import Check, Finding, Material, PixelFacts, Severity
from spore_yolo.dataset.groups import groups_of, sources_of
from spore_yolo.dataset.pixel_facts import pixel_facts
from spore_yolo.dataset.register import find_entry
from spore_yolo.dataset.stated_split import stated_split
from spore_yolo.dataset.store import load_dataset
from spore_yolo.files.errors import InputProblems, Problem, UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.class_map import ClassMap
from spore_yolo.labels.image_index import ImageIndex, KnownImages
from spore_yolo.labels.label_set import classes_of, images_of
from spore_yolo.labels.readers import READERS
from spore_yolo.labels.readers.options import PLAIN, ReadOptions
from spore_yolo.labels.readers.recognise import Recognised
from spore_yolo.labels.source import LabelSource, open_labels
from spore_yolo.labels.table import CheckedBoxes, RawLabels, boxes_table, check_boxes


@dataclass(frozen=True)
class Places:
    """Where each image belongs.

    Attributes:
        sources: The source of each image.
        groups: The group of each image.
        splits: The split of each image that is in one.
        grouped: Whether the user said what a group is.
    """

    sources: Mapping[str, str]
    groups: Mapping[str, str]
    splits: Mapping[str, str]
    grouped: bool


def material_of_files(
    path: Path,
    label_format: str,
    folder: Path | None,
    options: ReadOptions = PLAIN,
    group_by: str | None = None,
    split: Path | None = None,
) -> Material:
    """What the checks look at where labels are not imported, without pixels.

    Args:
        path: The label file, or the folder of label files.
        label_format: Its format, or ``auto``.
        folder: The folder of the images; see :func:`spore_yolo.labels.source.open_labels`.
        options: What else the user says about the labels.
        group_by: See :func:`spore_yolo.dataset.groups.groups_of`.
        split: A CSV file with the columns ``image,split``; without it folders and ``data.yaml`` may tell.

    Raises:
        SporeYoloError: The images as a whole cannot be read or grouped, or the table of splits does not fit. Labels
            that cannot be read as a whole are what the checks find.
    """
    try:
        source = open_labels(path, label_format, folder, options)
    except InputProblems as error:
        return _unreadable(path, label_format, error)
    sources = sources_of(source.sizes)
    splits = stated_split(source.sizes, source.path, _root(source), split, source.known)
    labels = source.labels
    if source.reason:
        took = Recognised(source.label_format, source.reason, source.path)
        labels = replace(labels, notes=[str(took), *labels.notes])
    return _material(source, labels, Places(sources, groups_of(sources, group_by), splits, group_by is not None))


def material_of_dataset(name: str, register: Path, group_by: str | None = None, mapped: bool = True) -> Material:
    """What the checks look at in a registered dataset: the labels read anew, groups and splits as they were dealt.

    Images that came since the import are in no split.

    Args:
        name: The dataset's name.
        register: The register of datasets.
        group_by: Another rule for groups than that of the import.
        mapped: Whether the class map of the import is applied.

    Raises:
        SporeYoloError: The dataset is not registered, the import is damaged, or the images cannot be grouped. Labels
            that cannot be read as a whole are what the checks find.
    """
    entry = find_entry(register, name)
    place = register.parent
    dataset = load_dataset(name, register)
    if entry.format not in READERS:
        raise UsageError(
            f"{name} came from {entry.format}, not from label files; write them, and check these: spore-yolo export"
            f" {name} --format coco"
        )
    options = ReadOptions(columns=entry.columns, point_size=entry.point_size)
    try:
        source = open_labels(place / entry.labels, entry.format, place / entry.images, options)
    except InputProblems as error:
        return _unreadable(place / entry.labels, entry.format, error)
    labels = source.labels
    if mapped and entry.class_map is not None:
        labels = ClassMap.read(place / entry.class_map).apply(labels, place / entry.class_map)
    images = dataset.images
    sources = sources_of(source.sizes)
    groups = sources | dict(zip(images["image"], images["group"], strict=True))
    splits = dict(zip(images["image"], images["split"], strict=True))
    grouped = (group_by or entry.group_by) is not None
    return _material(
        source, labels, Places(sources, groups if group_by is None else groups_of(sources, group_by), splits, grouped)
    )


def _material(source: LabelSource, labels: RawLabels, places: Places) -> Material:
    checked = check_boxes(labels.boxes, source.sizes)
    root = _root(source)
    return Material(
        path=source.path,
        label_format=source.label_format,
        labels=labels,
        known=source.known,
        checked=checked,
        images=images_table(source.sizes, places),
        unreadable={Path(problem.file).relative_to(root).as_posix(): problem.message for problem in source.unreadable},
        unnamed=source.unnamed,
        classes=tuple(classes_of(labels.classes, checked.table)),
        grouped=places.grouped,
    )


def _root(source: LabelSource) -> Path:
    return source.folder or source.known.root


def _unreadable(path: Path, label_format: str, error: InputProblems) -> Material:
    """Labels of which nothing is known but why they cannot be read."""
    return Material(
        path=path,
        label_format=label_format,
        labels=RawLabels(problems=error.problems),
        known=KnownImages({}, path.parent, f"in {path}"),
        checked=CheckedBoxes(boxes_table(), [], 0),
        images=images_table({}, Places({}, {}, {}, False)),
    )


def images_table(sizes: Mapping[str, ImageSize], places: Places) -> pd.DataFrame:
    """The images table of :class:`spore_yolo.dataset.checks.base.Material`."""
    return images_of(sizes).assign(
        orientation=[size.orientation for size in sizes.values()],
        group=pd.array([places.groups[image] for image in sizes], dtype="str"),
        source=pd.array([places.sources[image] for image in sizes], dtype="str"),
        split=pd.array([places.splits.get(image, "") for image in sizes], dtype="str"),
    )


def images_at_hand(material: Material) -> bool:
    """Whether the images lie somewhere, and are not only named by the labels."""
    return isinstance(material.known, ImageIndex)


def with_pixels(material: Material, quiet: bool = False) -> Material:
    """The same with the facts of all pixels; without them where the images are not at hand.

    Args:
        material: What is looked at.
        quiet: No progress bar.
    """
    if not images_at_hand(material):
        return material
    paths = {image: material.known.root / image for image in material.images["image"]}
    return replace(material, pixels=pixel_facts(paths, quiet))


def chosen_checks(select: Collection[str] = (), ignore: Collection[str] = ()) -> list[Check]:
    """The checks of the codes ``select`` (empty: all) without those of ``ignore``.

    Raises:
        UsageError: There is no check of such a code.
    """
    known = [check.code for check in CHECKS]
    unknown = sorted({*select, *ignore} - set(known))
    if unknown:
        raise UsageError(f"expected codes of checks ({', '.join(known)}), found {', '.join(unknown)}")
    return [check for check in CHECKS if (not select or check.code in select) and check.code not in ignore]


def run_checks(material: Material, checks: Iterable[Check] = CHECKS) -> list[Finding]:
    """Everything that the checks find, by code, file and line.

    Checks that need pixels are left out where ``material`` has none.
    """
    findings = [
        finding
        for check in checks
        if material.pixels is not None or not check.needs_pixels
        for finding in check.find(material)
    ]
    return sorted(findings, key=lambda finding: (finding.code, finding.file or "", finding.line or 0, finding.rows))


def findings_of_import(
    path: Path,
    label_format: str,
    labels: RawLabels,
    index: ImageIndex,
    checked: CheckedBoxes,
    images: pd.DataFrame,
    hashes: Mapping[str, str],
) -> list[Finding]:
    """What the checks find in a dataset that is about to be written.

    Boxes and images that cannot be used are no part of it; the import has its own way with them.

    Args:
        path: The label file or folder.
        label_format: Its format.
        labels: What the reader found, after the class map.
        index: The images.
        checked: The boxes that will be written.
        images: The images table of the dataset.
        hashes: The content hash of each image.
    """
    material = Material(
        path=path,
        label_format=label_format,
        labels=replace(labels, problems=[]),
        known=index,
        checked=replace(checked, problems=[]),
        images=images.assign(orientation=[index.sizes[image].orientation for image in images["image"]]),
        unnamed=frozenset(set(hashes) - labels.labelled_images),
        classes=tuple(classes_of(labels.classes, checked.table)),
        grouped=bool((images["group"] != images["source"]).any()),
        pixels={image: PixelFacts(digest) for image, digest in hashes.items()},
    )
    return run_checks(material)


def stop_at_errors(findings: Iterable[Finding], allowed: Collection[str]) -> None:
    """Stops an import that errors speak against.

    Args:
        findings: What the checks found.
        allowed: Codes of errors in spite of which the user wants to go on.

    Raises:
        UsageError: There is no check of such a code.
        InputProblems: There are errors of other codes.
    """
    chosen_checks(select=allowed)
    errors = [f for f in findings if f.severity == Severity.ERROR and f.code not in allowed]
    if errors:
        codes = ",".join(sorted({error.code for error in errors}))
        raise InputProblems(
            f"The dataset has {len(errors)} error{'s' * (len(errors) > 1)}; nothing was imported:",
            [Problem(error.file or "the dataset", error.line, error.message, error.code) for error in errors],
            f"Mend them, or import in spite of them with --allow {codes}. What a code means: spore-yolo check --explain"
            f" {errors[0].code}",
        )


SUMMARISED = frozenset({"SPR005", "SPR023", "SPR024", "SPR025"})
"""What the import says in other words already."""


def notes_of_findings(findings: Iterable[Finding], name: str) -> list[str]:
    """A line a code for warnings, and for errors that were allowed.

    Args:
        findings: What the checks found.
        name: The dataset's name.
    """
    counts = Counter((f.code, f.severity) for f in findings if f.severity != Severity.NOTE)
    titles = {check.code: check.title for check in CHECKS}
    return [
        f"{code} {titles[code]}: {count:,} {severity}{'s' * (count > 1)}; see spore-yolo check {name} --select {code}"
        for (code, severity), count in sorted(counts.items())
        if code not in SUMMARISED
    ]
