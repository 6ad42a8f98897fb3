"""Import: from other people's labels to a checked, split dataset in ``data/NAME/``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from spore_yolo.dataset.checking import findings_of_import, notes_of_findings, stop_at_errors
from spore_yolo.dataset.groups import groups_of, is_table, sources_of
from spore_yolo.dataset.register import DatasetEntry, relative_to_register, write_entry
from spore_yolo.dataset.split import given_split, read_split, split_groups
from spore_yolo.dataset.store import IMAGE_COLUMNS, SPARE, Dataset, is_whole, load_dataset, read_manifest
from spore_yolo.dataset.yolo_layout import write_layout
from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError, UsageError
from spore_yolo.files.hashes import fingerprint, sha256_file, sha256_text
from spore_yolo.files.images import UnreadableImage, read_image
from spore_yolo.files.lake.paths import as_address
from spore_yolo.labels.class_map import ClassMap
from spore_yolo.labels.formats import FIFTYONE
from spore_yolo.labels.image_index import ImageIndex, KnownImages
from spore_yolo.labels.readers import read_labels
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import RawLabels, check_boxes

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class ImportOptions:
    """What the user asked for; see ``spore-yolo import --help``."""

    name: str
    images: Path
    labels: Path
    label_format: str
    shares: tuple[int, ...] = (60, 20, 20)
    split_file: Path | None = None
    seed: int = 0
    group_by: str | None = None
    class_map: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    point_size: float | None = None
    targets: tuple[str, ...] = ()
    um_per_px: float | None = None
    skip_bad: bool = False
    allow: tuple[str, ...] = ()
    force: bool = False
    licence: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class ImportResult:
    """What an import did.

    Attributes:
        dataset: The dataset as it lies on disk now.
        changed: Whether anything was written.
        skipped: The bad lines and images that ``skip_bad`` left out.
        notes: What the user should know, beyond the summary.
    """

    dataset: Dataset
    changed: bool
    skipped: list[Problem]
    notes: list[str]


def import_dataset(
    options: ImportOptions,
    data: Path,
    register: Path,
    quiet: bool = False,
    read: Callable[[KnownImages], RawLabels] | None = None,
) -> ImportResult:
    """Imports a dataset, whole or not at all.

    Args:
        options: What to import and how.
        data: The folder that holds all imports; this one goes to ``data / options.name``.
        register: The register of datasets, usually ``datasets.yaml``.
        quiet: No progress bar.
        read: Reads labels that are no file; else they are read from ``options.labels``.

    Raises:
        SporeYoloError: Something is wrong with the input; nothing was written.
    """
    folder = data / options.name
    _check_place(options, folder)
    previous = None if options.force else read_manifest(folder)
    if previous is not None:
        _check_same_rules(previous, options, folder)

    index = ImageIndex(options.images)
    if read is None:
        reading = ReadOptions(columns=options.columns, point_size=options.point_size)
        labels = read_labels(options.labels, index, options.label_format, reading)
    else:
        labels = read(index)
    if options.class_map is not None:
        labels = ClassMap.read(options.class_map).apply(labels, options.class_map)
    unreadable, hashes = _verify(index, quiet)
    checked = check_boxes((box for box in labels.boxes if box.image in hashes), index.sizes)
    problems = [*unreadable, *labels.problems, *checked.problems]
    if problems and not options.skip_bad:
        raise InputProblems(
            f"The labels or images have {len(problems)} problem{'s' * (len(problems) > 1)}; nothing was imported:",
            problems,
            "Mend them, or leave them out with --skip-bad (listed in skipped.csv).",
        )
    if not hashes:
        raise SporeYoloError(f"{options.images}: no image is left to import")
    if checked.table["ignored"].all():
        raise SporeYoloError(
            f"{options.labels}: expected boxes, found none that belong to an image of {options.images};"
            " there is nothing to learn from"
        )

    classes = _classes(labels.classes, checked.table, previous)
    unknown = [name for name in options.targets if name not in classes]
    if unknown:
        raise UsageError(f"--targets: no such class: {', '.join(unknown)}; the labels have {', '.join(classes)}")

    sources = sources_of(hashes)
    groups = groups_of(sources, options.group_by)
    if previous is not None:
        _check_same_groups(previous["image_groups"], groups)
    images = pd.DataFrame(
        {
            "image": list(hashes),
            "width": [index.sizes[image].width for image in hashes],
            "height": [index.sizes[image].height for image in hashes],
            "group": [groups[image] for image in hashes],
            "source": [sources[image] for image in hashes],
            "um_per_px": options.um_per_px,
            "sha256": list(hashes.values()),
        }
    )
    old_groups: dict[str, str] = dict(previous["groups"]) if previous else {}
    counts = _counts(images, checked.table, classes)
    if options.split_file is None:
        dealt = split_groups(counts, options.shares, options.seed, old_groups)
    else:
        dealt = given_split(counts, read_split(options.split_file), options.split_file)
        moved = [group for group in dealt if old_groups.get(group, dealt[group]) != dealt[group]]
        if moved:
            raise UsageError(
                f"--split: {options.split_file} moves groups that were imported in another split: {', '.join(moved)};"
                " use --force to begin anew"
            )
    images["split"] = _one_variant(images, images["group"].map(dealt), previous)
    images = images[IMAGE_COLUMNS]

    findings = findings_of_import(options.labels, options.label_format, labels, index, checked, images, hashes)
    stop_at_errors(findings, options.allow)
    # Mirrors are one machine's; what is stored names the addresses that they stand for.
    stored = [replace(problem, file=as_address(Path(problem.file))) for problem in problems]
    places = {file: as_address(Path(file)) for file in checked.table["label_file"].unique()}
    boxes = checked.table.assign(label_file=checked.table["label_file"].map(places).astype("str"))
    manifest = {
        **_manifest(options, images, checked.table, classes, old_groups | dealt, hashes),
        # Outside of the fingerprint, since no figure depends on them.
        "images_folder": relative_to_register(options.images, register),
        "skipped": [str(problem) for problem in stored],
        "image_groups": groups,
        "splits": {
            image: split for image, split in zip(images["image"], images["split"], strict=True) if split != SPARE
        },
    }
    notes = labels.notes + _notes(index, hashes, labels.labelled_images, checked.clipped, previous)
    notes += notes_of_findings(findings, options.name)
    tables = {"boxes.csv": boxes.to_csv(index=False), "images.csv": images.to_csv(index=False)}
    manifest["tables"] = {name: sha256_text(text) for name, text in tables.items()}
    unchanged = previous == manifest and is_whole(folder, manifest)
    if not unchanged:
        with atomic_folder(folder) as temporary:
            for name, text in tables.items():
                (temporary / name).write_text(text, encoding="utf-8")
            (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
            if problems:
                rows = [(p.file, p.line, p.message) for p in stored]
                skipped = pd.DataFrame(rows, columns=["file", "line", "reason"]).astype({"line": "Int64"})
                skipped.to_csv(temporary / "skipped.csv", index=False)
            write_layout(temporary, folder, options.images, images, checked.table, classes)
    write_entry(register, options.name, _entry(options, folder, register, classes))
    return ImportResult(load_dataset(options.name, register), not unchanged, problems, notes)


def _check_place(options: ImportOptions, folder: Path) -> None:
    """The import replaces its folder as a whole, so nothing of the user's may lie in it."""
    table = Path(options.group_by) if options.group_by is not None and is_table(options.group_by) else None
    for path in (options.images, options.labels, options.class_map, options.split_file, table):
        if path is not None and path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{path} lies in {folder}, which the import replaces; move it, or take another name")
    if folder.exists() and any(folder.iterdir()) and not (folder / "manifest.json").exists():
        raise UsageError(f"{folder} exists and is no import of ours; take another name or move it")


def _verify(index: ImageIndex, quiet: bool) -> tuple[list[Problem], dict[str, str]]:
    """Decodes every image once: a truncated file that training meets at midnight is found now.

    Returns:
        The problems, and the content hash of each good image in the order of their names.
    """

    def verify(image: str) -> str | Problem:
        path = index.root / image
        try:
            read_image(path)
        except UnreadableImage as error:
            return Problem(path, None, str(error).removeprefix(f"{path}: "))
        return sha256_file(path)

    problems = list(index.problems)
    hashes: dict[str, str] = {}
    names = sorted(index.sizes)
    # Each worker holds a whole slide.
    with ThreadPoolExecutor(max_workers=core_count()) as pool:
        try:
            found = tqdm(pool.map(verify, names), total=len(names), desc="reading images", unit="image", disable=quiet)
            for image, result in zip(names, found, strict=True):
                if isinstance(result, Problem):
                    problems.append(result)
                else:
                    hashes[image] = result
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return problems, hashes


def _check_same_rules(previous: dict[str, Any], options: ImportOptions, folder: Path) -> None:
    """A dataset that is imported again keeps its groups and its split; other rules would break both silently."""
    before = previous["options"]
    for name, value in _rules(options).items():
        if before.get(name) != value:
            raise UsageError(
                f"{folder} was imported with {name.replace('_', '-')} {before.get(name)!r}, now {value!r} is asked for."
                " Use the same, or --force to deal all groups anew (figures before and after are then not comparable),"
                " or another name."
            )


def _check_same_groups(before: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """An image that came into another group could come into another split."""
    moved = [
        Problem(image, None, f"was in group {before[image]}, is now in group {group}")
        for image, group in groups.items()
        if before.get(image, group) != group
    ]
    if moved:
        raise InputProblems(
            "Images changed their group since the last import:", moved, "Use --force to deal all groups anew."
        )


def _rules(options: ImportOptions) -> dict[str, Any]:
    split: Any = list(options.shares) if options.split_file is None else "given"
    given = options.group_by is not None and is_table(options.group_by)
    return {"split": split, "seed": options.seed, "group_by": "given" if given else options.group_by}


def _classes(listed: Iterable[str], boxes: pd.DataFrame, previous: dict[str, Any] | None) -> list[str]:
    """Class names in a stable order: those of the previous import keep their numbers, new ones follow."""
    present = set(boxes.loc[~boxes["ignored"], "class"])
    before = list(previous["classes"]) if previous else []
    named = [name for name in listed if name in present]
    return list(dict.fromkeys([*before, *named, *sorted(present)]))


def _counts(images: pd.DataFrame, boxes: pd.DataFrame, classes: list[str]) -> dict[str, list[float]]:
    """Images and boxes of each class a group, counted over one variant a source."""
    first = images.sort_values("image").drop_duplicates("source")
    wanted = boxes[~boxes["ignored"]].merge(first[["image", "group"]], on="image")
    table = pd.crosstab(wanted["group"], wanted["class"]).reindex(
        index=sorted(first["group"].unique()), columns=classes, fill_value=0
    )
    table.insert(0, "", first["group"].value_counts().reindex(table.index))
    return {
        str(group): [float(value) for value in row] for group, row in zip(table.index, table.to_numpy(), strict=True)
    }


def _one_variant(images: pd.DataFrame, splits: pd.Series, previous: dict[str, Any] | None) -> pd.Series:
    """Train takes all variants; the other splits one a source, the first by name, and keep the one they had."""
    had = set(previous["evaluated"]) if previous else set()
    order = images.assign(new=~images["image"].isin(had)).sort_values(["new", "image"])
    chosen = set(order.drop_duplicates("source")["image"])
    return splits.where((splits == "train") | images["image"].isin(chosen), SPARE)


def _manifest(
    options: ImportOptions,
    images: pd.DataFrame,
    boxes: pd.DataFrame,
    classes: list[str],
    groups: dict[str, str],
    hashes: dict[str, str],
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "manifest_version": MANIFEST_VERSION,
        "classes": classes,
        "targets": list(options.targets),
        "um_per_px": options.um_per_px,
        "options": {"format": options.label_format, **_rules(options)},
        "groups": dict(sorted(groups.items())),
        "evaluated": sorted(images.loc[~images["split"].isin(["train", SPARE]), "image"]),
        "images": hashes,
        "boxes": fingerprint(boxes.drop(columns=["label_file", "line"]).to_csv(index=False)),
    }
    return {"fingerprint": fingerprint(content), **content}


def _notes(
    index: ImageIndex,
    hashes: Mapping[str, str],
    labelled: set[str],
    clipped: int,
    previous: dict[str, Any] | None,
) -> list[str]:
    notes = []
    if clipped:
        notes.append(f"{clipped:,} boxes reached beyond the border by less than a pixel and were clipped")
    unnamed = len(set(hashes) - labelled)
    if unnamed:
        notes.append(
            f"{unnamed:,} images are not named by the labels and count as empty;"
            " move them away if nobody looked for spores on them"
        )
    if previous:
        gone = len(set(previous["images"]) - set(hashes))
        if gone:
            notes.append(f"{gone:,} images of the previous import of this dataset are no longer in {index.root}")
    return notes


def _entry(options: ImportOptions, folder: Path, register: Path, classes: list[str]) -> DatasetEntry:
    is_file = options.label_format != FIFTYONE
    return DatasetEntry(
        images=relative_to_register(options.images, register),
        labels=relative_to_register(options.labels, register) if is_file else str(options.labels),
        format=options.label_format,
        folder=relative_to_register(folder, register),
        classes=classes,
        targets=list(options.targets),
        group_by=options.group_by,
        licence=options.licence,
        source=options.source,
        columns=dict(options.columns),
        point_size=options.point_size,
        class_map=None if options.class_map is None else relative_to_register(options.class_map, register),
    )
