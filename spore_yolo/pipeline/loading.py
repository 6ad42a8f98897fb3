"""The first steps of the training flow: from the data lake to a checked, split dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
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
from spore_yolo.files.wording import listed
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
        versions: The manifest of each of :attr:`addresses` as text: the content hash of each file that the run saw.
        fingerprint: The dataset's, once it was imported.
    """

    data: Data
    versions: dict[str, str] = field(default_factory=dict)
    fingerprint: str | None = None

    @property
    def addresses(self) -> dict[str, str]:
        """Where everything lies that the dataset is made of: ``images``, ``labels``, and tables that are given."""
        data = self.data
        tables = {
            "groups": data.group_by if data.group_by is not None and is_table(data.group_by) else None,
            "classes": data.classes,
            "split": data.split if data.split.lower().endswith(".csv") else None,
        }
        found = {"images": data.images, "labels": data.labels, **tables}
        return {part: address for part, address in found.items() if address is not None}

    def contents(self, part: str) -> LakeVersion:
        """What a part of :attr:`addresses` held when the run loaded it."""
        return LakeVersion.from_json(self.versions[part])

    def version(self, part: str) -> str:
        """The version of a part of :attr:`addresses`, 64 hexadecimal digits."""
        return self.contents(part).version

    def at_hand(self, part: str) -> Path:
        """A part of :attr:`addresses` on this machine.

        Raises:
            SporeYoloError: It is not as it was when the run loaded it.
        """
        address, expected = self.addresses[part], self.contents(part)
        place = brought(address, expected=expected)
        then = expected.files
        now = version_of(place).files
        changed = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
        if changed:
            raise SporeYoloError(
                f"{address}: expected what the run loaded, found files that were changed, added or removed since:"
                f" {listed(changed)}; start a new run, which takes what lies there now"
            )
        return place

    def imported_as(self, fingerprint: str) -> Loaded:
        """The same with the dataset's fingerprint."""
        return replace(self, fingerprint=fingerprint)


def name_of(configuration: TrainingConfiguration) -> str:
    """The dataset's name in the register."""
    return configuration.dataset or configuration.name


def load(configuration: TrainingConfiguration) -> Loaded:
    """Brings slides and labels here, or draws the sample, and notes their version.

    Raises:
        SporeYoloError: They are not there, or are not the version that the configuration asks for.
    """
    data = configuration.data if configuration.data.sample is None else _drawn(configuration)
    addresses = Loaded(data).addresses
    versions = {
        part: version_of(brought(address, expected=data.version if part == "images" else None))
        for part, address in addresses.items()
    }
    found = versions["images"].version
    if data.version is not None and found != data.version:
        raise SporeYoloError(
            f"data.version: expected version {data.version} of {data.images}, found {found}; bring the slides of that"
            " version there, or leave data.version out to take what lies there now"
        )
    for part, version in versions.items():
        print(f"{addresses[part]}: {len(version.files):,} files, {version.size / 1e6:,.1f} MB, {version.version}")
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


def check(loaded: Loaded) -> dict[str, Any]:
    """Checks labels and slides as ``spore-yolo check`` does.

    Returns:
        ``images``, ``boxes`` and, under ``findings``, a line a code: its counts, its first findings, what it does and
        how to mend it.

    Raises:
        InputProblems: There are errors that the import would not go on with.
    """
    data = loaded.data
    images, labels = loaded.at_hand("images"), loaded.at_hand("labels")
    options = ReadOptions(columns=data.columns, point_size=data.point_size)
    material = with_pixels(material_of_files(labels, data.format, images, options, _grouping(loaded)), quiet=True)
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
    images, labels = loaded.at_hand("images"), loaded.at_hand("labels")
    label_format = data.format
    if label_format == AUTO:
        recognised = recognise(labels)
        print(f"format: {recognised}")
        label_format, labels = recognised.label_format, recognised.path
    options = ImportOptions(
        name=name,
        images=images,
        labels=labels,
        label_format=label_format,
        seed=data.seed,
        group_by=_grouping(loaded),
        class_map=loaded.at_hand("classes") if "classes" in loaded.addresses else None,
        columns=data.columns,
        point_size=data.point_size,
        targets=tuple(data.targets),
        um_per_px=data.um_per_px,
        skip_bad=data.skip_bad,
        allow=tuple(code.upper() for code in data.allow),
        licence=data.licence,
        source=data.source,
    )
    if "split" in loaded.addresses:
        options = replace(options, split_file=loaded.at_hand("split"))
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
    """The dataset on this machine, with its slides, and the register that it stands in.

    Raises:
        SporeYoloError: Another run imported it anew since this one did.
    """
    register = brought(configuration.datasets)
    place = beneath(configuration.imports, name_of(configuration))
    brought(place)
    brought(loaded.addresses["images"], expected=loaded.contents("images"))
    dataset = load_dataset(name_of(configuration), register)
    if dataset.fingerprint != loaded.fingerprint:
        raise SporeYoloError(
            f"{place}: expected the dataset that this run split (fingerprint {str(loaded.fingerprint)[:12]}), found"
            f" another one ({dataset.fingerprint[:12]}): another run imported it anew since. What is trained would be"
            " measured on another split; start a new run, and let runs with the same dataset not overlap"
        )
    return dataset, register


def _grouping(loaded: Loaded) -> str | None:
    """The rule for groups; a table is brought here."""
    return str(loaded.at_hand("groups")) if "groups" in loaded.addresses else loaded.data.group_by


def check_codes(data: Data) -> None:
    """Makes sure that the codes to allow are codes.

    Raises:
        UsageError: One is none.
    """
    chosen_checks(select=[code.upper() for code in data.allow])
