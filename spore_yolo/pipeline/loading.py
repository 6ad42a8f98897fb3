"""The first steps of the training flow: from the data lake to a checked, split dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spore_yolo.dataset.checking import chosen_checks, material_of_files, run_checks, with_pixels
from spore_yolo.dataset.checks import CHECKS
from spore_yolo.dataset.checks.base import Finding, Material, Severity
from spore_yolo.dataset.groups import is_table
from spore_yolo.dataset.importing import ImportOptions, import_dataset
from spore_yolo.dataset.sample import SAMPLE_UM_PER_PX, TARGET, write_sample
from spore_yolo.dataset.split import parse_shares
from spore_yolo.dataset.store import Dataset, load_dataset
from spore_yolo.dataset.summary import summarise, summary_text
from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.files.lake import LakeVersion
from spore_yolo.labels import codes
from spore_yolo.labels.formats import AUTO
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.readers.recognise import recognise
from spore_yolo.pipeline.configuration import Data, TrainingConfiguration
from spore_yolo.pipeline.workplace import beneath, brought, local_of, taken_back, version_of

LEFT_OUT = frozenset(
    {
        codes.UNREADABLE_LABEL,
        codes.UNKNOWN_IMAGE,
        "SPR003",  # unreadable image
        "SPR004",  # damaged image
        codes.OTHER_SIZE,
        codes.NOT_PIXELS,
        codes.NEGATIVE,
        codes.NO_AREA,
        codes.OUTSIDE,
        codes.BEYOND_BORDER,
        codes.UNKNOWN_CLASS,
    }
)
"""Errors of single boxes and images, which ``skip_bad`` leaves out."""

MOST_NAMED = 5
"""Findings of one code that are printed and shown; ``spore-yolo check`` lists all."""


@dataclass(frozen=True)
class Loaded:
    """What the flow works on.

    Attributes:
        data: The configuration's ``data``, for the sample with where it was drawn and how it is grouped.
        versions: The manifest of ``images`` and of ``labels`` as text: the content hash of each file that the run saw.
    """

    data: Data
    versions: dict[str, str]

    @property
    def images(self) -> str:
        """Address of the slides."""
        assert self.data.images is not None
        return self.data.images

    @property
    def labels(self) -> str:
        """Address of the labels."""
        assert self.data.labels is not None
        return self.data.labels

    def version(self, part: str) -> str:
        """The version of ``images`` or ``labels``, 64 hexadecimal digits."""
        return LakeVersion.from_json(self.versions[part]).version


def name_of(configuration: TrainingConfiguration) -> str:
    """The dataset's name in the register."""
    return configuration.dataset or configuration.name


def load(configuration: TrainingConfiguration) -> Loaded:
    """Brings slides and labels here, or draws the sample, and notes their version.

    Raises:
        SporeYoloError: They are not there, or are not the version that the configuration asks for.
    """
    data = configuration.data if configuration.data.sample is None else _drawn(configuration)
    assert data.images is not None
    assert data.labels is not None
    places = {"images": brought(data.images, expected=data.version), "labels": brought(data.labels)}
    versions = {part: version_of(place) for part, place in places.items()}
    found = versions["images"].version
    if data.version is not None and found != data.version:
        raise SporeYoloError(
            f"data.version: expected version {data.version} of {data.images}, found {found}; bring the slides of that"
            " version there, or leave data.version out to take what lies there now"
        )
    for part, version in versions.items():
        print(f"{getattr(data, part)}: {len(version.files):,} files, {version.size / 1e6:,.1f} MB, {version.version}")
    return Loaded(data, {part: version.to_json() for part, version in versions.items()})


def _drawn(configuration: TrainingConfiguration) -> Data:
    """Draws the sample beside the imports, unless it was drawn before, and says how it is imported."""
    data, sample = configuration.data, configuration.data.sample
    assert sample is not None
    place = beneath(configuration.imports, f"drawn-{sample.fields}-{sample.seed}")
    folder = brought(place, optional=True)
    if not (folder / "groups.csv").exists():
        write_sample(folder, fields=sample.fields, seed=sample.seed, quiet=True)
    taken_back(place)
    return data.model_copy(
        update={
            "images": beneath(place, "images"),
            "labels": beneath(place, "labels.json"),
            "format": "coco",
            "group_by": data.group_by or beneath(place, "groups.csv"),
            "targets": data.targets or [TARGET],
            "um_per_px": data.um_per_px or SAMPLE_UM_PER_PX,
        }
    )


def images_at_hand(loaded: Loaded) -> Path:
    """The slides on this machine, as they were when the run loaded them."""
    return brought(loaded.images, expected=LakeVersion.from_json(loaded.versions["images"]))


def check(loaded: Loaded) -> dict[str, Any]:
    """Checks labels and slides as ``spore-yolo check`` does.

    Returns:
        ``images``, ``boxes`` and, under ``findings``, a line a code: its counts, its first findings, what it does and
        how to mend it.

    Raises:
        InputProblems: There are errors that the import would not go on with.
    """
    data = loaded.data
    images, labels = images_at_hand(loaded), brought(loaded.labels)
    options = ReadOptions(columns=data.columns, point_size=data.point_size)
    material = with_pixels(material_of_files(labels, data.format, images, options, _grouping(data)), quiet=True)
    findings = run_checks(material)
    allowed = {code.upper() for code in data.allow} | (LEFT_OUT if data.skip_bad else frozenset())
    report = _report(material, findings)
    _print_findings(report)
    errors = [one for one in findings if one.severity == Severity.ERROR and one.code not in allowed]
    if errors:
        found = sorted({error.code for error in errors})
        raise InputProblems(
            f"Labels or slides have {len(errors):,} error{'s' * (len(errors) > 1)}; nothing was trained:",
            [Problem(error.file or "the dataset", error.line, error.message, error.code) for error in errors],
            "Mend them; or leave bad boxes and images out with data.skip_bad: true; or go on in spite of them with"
            f" data.allow: [{', '.join(found)}]. What a code means: spore-yolo check --explain {found[0]}",
        )
    return report


def _report(material: Material, findings: list[Finding]) -> dict[str, Any]:
    rows = []
    for check_ in CHECKS:
        of_code = [finding for finding in findings if finding.code == check_.code]
        if not of_code:
            continue
        worst_first = sorted(of_code, key=lambda one: list(Severity).index(one.severity))
        counts = Counter(str(one.severity) for one in of_code)
        rows.append(
            {
                "code": check_.code,
                "title": check_.title,
                "counts": {str(severity): counts[str(severity)] for severity in Severity},
                "effect": check_.effect,
                "mend": check_.mend,
                "examples": [
                    f"{one.file or 'dataset'}{'' if one.line is None else f':{one.line}'}: {one.message}"
                    for one in worst_first[:MOST_NAMED]
                ],
            }
        )
    boxes = len(material.boxes) + len(material.checked.problems)
    return {"images": len(material.images), "boxes": boxes, "findings": rows, "notes": list(material.labels.notes)}


def _print_findings(report: dict[str, Any]) -> None:
    for row in report["findings"]:
        counts = ", ".join(f"{count:,} {name}{'s' * (count > 1)}" for name, count in row["counts"].items() if count)
        print(f"{row['code']} {row['title']}: {counts}")
        for line in row["examples"]:
            print(f"  {line}")
    print(f"checked {report['images']:,} images and {report['boxes']:,} boxes")


def split(configuration: TrainingConfiguration, loaded: Loaded) -> dict[str, Any]:
    """Imports the dataset, as ``spore-yolo import`` does; groups that were imported before keep their split.

    Returns:
        ``name``, ``fingerprint``, ``classes``, ``targets``, ``counts`` of the summary, ``warnings`` and ``notes``.
    """
    data, name = loaded.data, name_of(configuration)
    register = brought(configuration.datasets, optional=True)
    place = beneath(configuration.imports, name)
    brought(place, optional=True)
    images, labels = images_at_hand(loaded), brought(loaded.labels)
    label_format = data.format
    if label_format == AUTO:
        recognised = recognise(labels)
        print(f"format: {recognised}")
        label_format, labels = recognised.label_format, recognised.path
    given = data.split.lower().endswith(".csv")
    options = ImportOptions(
        name=name,
        images=images,
        labels=labels,
        label_format=label_format,
        seed=data.seed,
        group_by=_grouping(data),
        class_map=None if data.classes is None else brought(data.classes),
        columns=data.columns,
        point_size=data.point_size,
        targets=tuple(data.targets),
        um_per_px=data.um_per_px,
        skip_bad=data.skip_bad,
        allow=tuple(code.upper() for code in data.allow),
        licence=data.licence,
        source=data.source,
    )
    if given:
        options = replace(options, split_file=brought(data.split))
    else:
        options = replace(options, shares=parse_shares(data.split))
    result = import_dataset(options, local_of(configuration.imports), register, quiet=True)
    print(summary_text(result.dataset))
    notes = list(result.notes)
    if result.skipped:
        notes.append(f"{len(result.skipped)} bad boxes or images left out: {result.dataset.folder / 'skipped.csv'}")
    for note in notes:
        print(f"note: {note}")
    taken_back(place)
    taken_back(configuration.datasets)
    summary = summarise(result.dataset)
    return {
        "name": name,
        "fingerprint": result.dataset.fingerprint,
        "classes": result.dataset.classes,
        "targets": result.dataset.targets,
        "counts": {
            str(row): {str(key): int(value) for key, value in line.items()} for row, line in _rows(summary.table)
        },
        "empty_share": summary.empty_share,
        "warnings": summary.warnings,
        "notes": notes,
    }


def _rows(table: Any) -> list[tuple[Any, dict[Any, Any]]]:
    return list(table.to_dict(orient="index").items())


def dataset_at_hand(configuration: TrainingConfiguration, loaded: Loaded) -> tuple[Dataset, Path]:
    """The dataset on this machine, with its slides, and the register that it stands in."""
    register = brought(configuration.datasets)
    brought(beneath(configuration.imports, name_of(configuration)))
    images_at_hand(loaded)
    return load_dataset(name_of(configuration), register), register


def _grouping(data: Data) -> str | None:
    """The rule for groups; a table is brought here."""
    if data.group_by is None or not is_table(data.group_by):
        return data.group_by
    return str(brought(data.group_by))


def check_codes(data: Data) -> None:
    """Makes sure that the codes to allow are codes.

    Raises:
        UsageError: One is none.
    """
    chosen_checks(select=[code.upper() for code in data.allow])
