"""What ``spore-yolo predict`` writes and prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import pandas as pd
from tabulate import tabulate

from spore_yolo.cli.looking import Caps, candidates_table, joined
from spore_yolo.files.images import ImageSize
from spore_yolo.files.provenance import code_commit, package_versions
from spore_yolo.inference.contact_sheet import ContactSheets
from spore_yolo.inference.drawing import write_marked
from spore_yolo.inference.measuring import measure
from spore_yolo.labels.label_set import LabelSet, boxes_of, images_of
from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.workbook import write_workbook
from spore_yolo.labels.writers import write_labels
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS, MEASURE_COLUMNS, write_csv, written
from spore_yolo.labels.writers.names import safe_names, unique_names
from spore_yolo.labels.writers.yolo import yolo_text

if TYPE_CHECKING:
    import numpy as np
    import supervision as sv

    from spore_yolo.inference.manifest import OperatingPoint, PairManifest
    from spore_yolo.inference.pair import Pair

SAME_SCALE = 1.2
"""Scales that differ by no more than this factor are within what training varies."""

MOST_ROWS = 30
"""Slides of the printed table."""


@dataclass(frozen=True)
class Scale:
    """Micrometres per pixel of the slides.

    Attributes:
        um_per_px: ``None`` where nobody said it; then nothing is measured.
        source: ``stated``, or ``pair`` where the slides are taken to be like those that the pair was trained on.
        notes: What the user should know of it.
    """

    um_per_px: float | None = None
    source: str | None = None
    notes: tuple[str, ...] = ()


def scale_of(stated: float | None, manifest: PairManifest) -> Scale:
    """The scale stated for these slides, else the pair's, which is only assumed to be theirs."""
    trained = manifest.um_per_px
    if stated is None:
        if trained is None:
            return Scale()
        note = (
            f"note: lengths assume {trained:g} µm per pixel, the scale of the slides that the pair was trained on;"
            " if these slides have another, say it with --um-per-px"
        )
        return Scale(trained, "pair", (note,))
    if trained is not None and not trained / SAME_SCALE <= stated <= trained * SAME_SCALE:
        note = (
            f"warning: the pair was trained on slides of {trained:g} µm per pixel, these have {stated:g}; spores are"
            f" {trained / stated:.2g} times as large in pixels here as it knows them, and may be missed"
        )
        return Scale(stated, "stated", (note,))
    return Scale(stated, "stated")


@dataclass
class PredictionOutput:
    """The output folder, filled slide by slide.

    Attributes:
        folder: Where it grows; it must be empty.
        pair: The pair that looks.
        point: The operating point.
        scale: Of the slides.
        slides: All slides, in the order in which they come.
        images: Whether marked slides and contact sheets are written.
    """

    folder: Path
    pair: Pair
    point: OperatingPoint
    scale: Scale
    slides: Sequence[str]
    images: bool
    _candidates: list[pd.DataFrame] = field(default_factory=list)
    _detections: list[pd.DataFrame] = field(default_factory=list)
    _counts: list[dict[str, Any]] = field(default_factory=list)
    _sizes: dict[str, ImageSize] = field(default_factory=dict)

    def __post_init__(self) -> None:
        manifest = self.pair.manifest
        self._targets = [name for name in manifest.targets if name in manifest.classes]
        self._classes = [*self._targets, *(name for name in manifest.classes if name not in self._targets)]
        self._names = unique_names(self.slides)
        self._caps = Caps(self.point.detector)
        self._sheets = ContactSheets(self.scale.um_per_px)
        (self.folder / "labels").mkdir()
        if self.images:
            (self.folder / "images").mkdir()

    def add(self, slide: str, pixels: npt.NDArray[np.uint8], candidates: sv.Detections) -> None:
        """Takes what was found on a slide, and writes what belongs to it alone."""
        name, size = self._names[slide], ImageSize(pixels.shape[1], pixels.shape[0])
        detections = self.pair.detections(candidates, self.point)
        found = candidates_table(slide, detections)
        if self.scale.um_per_px is not None:
            found = measured(found, pixels, self.scale.um_per_px)
        self._caps.note(slide, candidates)
        self._sizes[slide] = size
        self._candidates.append(candidates_table(slide, candidates))
        self._detections.append(found)
        per_class = found["class"].value_counts()
        per_class = {name: int(per_class.get(name, 0)) for name in self._classes}
        self._counts.append({"slide": slide, **per_class, "all": len(found)})
        text = yolo_text(found, (size.width, size.height), self.pair.manifest.classes)
        (self.folder / "labels" / f"{name}.txt").write_text(text, encoding="utf-8")
        if self.images:
            write_marked(self.folder / "images" / f"{name}.jpg", pixels, detections)
            self._sheets.add(name, pixels, detections)

    def write(self) -> Summary:
        """Writes everything that speaks of all slides."""
        folder, manifest = self.folder, self.pair.manifest
        detections = joined(self._detections)
        if self.scale.um_per_px is not None:
            detections = detections.reindex(columns=CANDIDATE_COLUMNS + MEASURE_COLUMNS)
        counts = pd.DataFrame(self._counts)
        write_csv(folder / "candidates.csv", joined(self._candidates))
        write_csv(folder / "predictions.csv", detections)
        found = LabelSet(images_of(self._sizes), boxes_of(written(detections), "predictions.csv"), manifest.classes)
        write_labels(found, folder / "predictions.coco.json", "coco")
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in manifest.classes), encoding="utf-8")
        counts.to_csv(folder / "counts.csv", index=False)
        part = manifest.detector
        notes = [*self.scale.notes, *self._caps.warnings(part.max_detections_per_tile, part.largest_box)]
        if self.images:
            notes += self._write_sheets(folder / "contact_sheets")
        about = self._about(detections, notes)
        more = write_workbook(folder / "counts.xlsx", counts, detections, _about_rows(about), self._targets)
        about["notes"] = notes + [f"warning: {note}" for note in more]
        text = json.dumps(about, indent=1, ensure_ascii=False)
        (folder / "prediction.json").write_text(text + "\n", encoding="utf-8")
        return Summary(counts, self._targets, self.point, about["notes"], manifest.classifier is not None)

    def _write_sheets(self, folder: Path) -> list[str]:
        """Writes the contact sheets; gives a line for each class that has too many detections for them."""
        pages = self._sheets.pages()
        if pages:
            folder.mkdir()
        files = safe_names([name if page == 1 else f"{name}-{page}" for name, page in pages])
        for (name, page), file in zip(pages, files, strict=True):
            self._sheets.write(folder / f"{file}.jpg", name, page)
        return [
            f"note: the contact sheets of {name} leave out the {count:,} detections with the lowest scores"
            for name, count in self._sheets.left_out().items()
        ]

    def _about(self, detections: pd.DataFrame, notes: list[str]) -> dict[str, Any]:
        manifest = self.pair.manifest
        classifier = manifest.classifier
        return {
            "operating_point": self.point.model_dump(by_alias=True),
            "slides": len(self._counts),
            "detections": len(detections),
            "um_per_px": self.scale.um_per_px,
            "um_per_px_from": self.scale.source,
            "measured_by": {} if self.scale.um_per_px is None else _count(detections["measured_by"]),
            "notes": notes,
            "pair": {
                "folder": str(self.pair.folder),
                "classes": manifest.classes,
                "targets": manifest.targets,
                "detector_sha256": manifest.detector.sha256,
                "classifier_sha256": None if classifier is None else classifier.sha256,
                "made": manifest.made,
            },
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": package_versions(),
            "commit": code_commit(),
        }


def measured(table: pd.DataFrame, pixels: npt.NDArray[np.uint8], um_per_px: float) -> pd.DataFrame:
    """The detections of one slide with the columns :data:`spore_yolo.labels.writers.MEASURE_COLUMNS`."""
    sizes = [measure(pixels, box) for box in table[COORDINATES].to_numpy(dtype=float)]
    return table.assign(
        length_um=[size.length_px * um_per_px for size in sizes],
        width_um=[size.width_px * um_per_px for size in sizes],
        area_um2=[size.area_px * um_per_px**2 for size in sizes],
        measured_by=[size.by for size in sizes],
    )


@dataclass(frozen=True)
class Summary:
    """What is printed at the end.

    Attributes:
        counts: As ``counts.csv``: a row a slide, targets first.
        targets: The classes that the user is after.
        point: The operating point.
        notes: Notes and warnings, a line each.
        classified: Whether the pair has a classifier.
    """

    counts: pd.DataFrame
    targets: list[str]
    point: OperatingPoint
    notes: list[str]
    classified: bool

    def text(self, output: Path) -> str:
        """The counts, where everything lies, and what to do next."""
        counts, total = self.counts, int(self.counts["all"].sum())
        weight = counts[self.targets].sum(axis=1) if self.targets else counts["all"]
        shown = counts if len(counts) <= MOST_ROWS else counts.loc[weight.nlargest(MOST_ROWS).index]
        left = len(counts) - len(shown)
        totals = ["all slides", *(int(counts[name].sum()) for name in counts.columns[1:])]
        headers = [f"{name} (target)" if name in self.targets else name for name in counts.columns]
        rows = [*shown.to_numpy(dtype=object).tolist(), *([[f"… {left:,} slides with fewer"]] if left else []), totals]
        lines = [
            tabulate(rows, headers=headers, tablefmt="simple", intfmt=",", disable_numparse=[0]),
            "",
            f"{total:,} detections on {len(counts):,} slides at {_point_text(self.point, self.classified)}",
            *self.notes,
            "",
            tabulate(
                [(str(output / name), what) for name, what in FILES.items() if (output / name).exists()],
                tablefmt="plain",
            ),
            "",
            f"next: {self._next(output)}",
        ]
        return "\n".join(lines)

    def _next(self, output: Path) -> str:
        if not self.counts["all"].sum():
            return (
                f"nothing passed the operating point; see what came close in {output / 'candidates.csv'}, or try --at"
            )
        if (output / "contact_sheets").exists():
            return (
                f"look through the contact sheets in {output / 'contact_sheets'}/, then at the marked slides in"
                f" {output / 'images'}/"
            )
        return f"open {output / 'counts.xlsx'}"


FILES = {
    "counts.xlsx": "counts, detections and how they were made, for Excel and the like",
    "counts.csv": "detections a slide and class",
    "predictions.csv": "what passes the operating point",
    "candidates.csv": "everything from detector_score 0.01 on",
    "predictions.coco.json": "the detections for other programs (COCO)",
    "labels": "the same as YOLO text",
    "contact_sheets": "the detections of each class side by side",
    "images": "the slides with their detections marked",
    "prediction.json": "pair, operating point, scale, notes",
}
"""What the output folder may hold, in the order in which people want it."""


def _point_text(point: OperatingPoint, classified: bool) -> str:
    text = f"detector_score >= {point.detector:g}"
    if classified and point.class_:
        text += ", class_score >= " + ", ".join(f"{least:g} ({name})" for name, least in point.class_.items())
    return text


def _count(column: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in column.value_counts().items()}


def _about_rows(about: dict[str, Any]) -> list[tuple[str, Any]]:
    """The same for people: a row a fact."""
    pair, point = about["pair"], about["operating_point"]
    if about["um_per_px"] is None:
        scale = "unknown: nothing was measured; say it with --um-per-px"
    else:
        whence = "stated for these slides" if about["um_per_px_from"] == "stated" else "assumed: the pair's"
        scale = f"{about['um_per_px']:g} µm per pixel ({whence})"
    return [
        ("date", about["date"]),
        ("slides", about["slides"]),
        ("detections", about["detections"]),
        ("pair", pair["folder"]),
        ("detector (SHA-256)", pair["detector_sha256"]),
        ("classifier (SHA-256)", pair["classifier_sha256"] or "none"),
        ("targets", ", ".join(pair["targets"]) or "none stated"),
        ("detector_score at least", point["detector"]),
        *((f"class_score at least: {name}", least) for name, least in point["class"].items()),
        ("scale", scale),
        *((f"measured by {way}", count) for way, count in about["measured_by"].items()),
        *(tuple(note.split(": ", 1)) for note in about["notes"]),
        *((f"version of {name}", version) for name, version in about["versions"].items()),
        ("commit", about["commit"] or "unknown"),
    ]
