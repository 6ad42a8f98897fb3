"""What ``spore-yolo predict`` writes: everything that speaks of all slides, from what is kept of each."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from spore_yolo.files.images import ImageSize
from spore_yolo.files.provenance import code_commit, package_versions
from spore_yolo.files.wording import many
from spore_yolo.inference.contact_sheet import ContactSheets
from spore_yolo.labels.label_set import LabelSet, boxes_of, images_of
from spore_yolo.labels.workbook import write_workbook
from spore_yolo.labels.writers import write_labels
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS, MEASURE_COLUMNS, write_csv, written
from spore_yolo.labels.writers.names import safe_names
from spore_yolo.labels.writers.yolo import yolo_text
from spore_yolo.prediction.deciding import OF_THE_MACHINE
from spore_yolo.prediction.looking import Caps, joined
from spore_yolo.prediction.parts import SlidePart
from spore_yolo.prediction.point import point_note
from spore_yolo.prediction.scale import Scale, scale_notes
from spore_yolo.prediction.summary import CLASSES, Failure, Summary

if TYPE_CHECKING:
    from spore_yolo.inference.manifest import OperatingPoint
    from spore_yolo.inference.pair import Pair

AREA_COLUMNS = ["megapixels", "um_per_px", "mm2"]
"""Columns of ``counts.csv`` behind the counts."""


@dataclass
class PredictionOutput:
    """The results, filled slide by slide; of the candidates only those of one slide lie in memory.

    Attributes:
        folder: Where they grow; it must be empty.
        pair: The pair that looked.
        point: The operating point.
        names: A file name, without suffix, for each slide.
        images: Whether marked slides and contact sheets are written.
        options: What else decided, see :func:`spore_yolo.prediction.deciding.deciding_options`; what belongs to a
            machine comes with each slide.
    """

    folder: Path
    pair: Pair
    point: OperatingPoint
    names: Mapping[str, str]
    images: bool
    options: Mapping[str, Any]
    _detections: list[pd.DataFrame] = field(default_factory=list)
    _counts: list[dict[str, Any]] = field(default_factory=list)
    _sizes: dict[str, ImageSize] = field(default_factory=dict)
    _scales: list[Scale] = field(default_factory=list)
    _resampled: list[bool] = field(default_factory=list)
    _computed_by: Counter[str] = field(default_factory=Counter)
    _sheets: ContactSheets = field(default_factory=ContactSheets)

    def __post_init__(self) -> None:
        manifest = self.pair.manifest
        self._targets = [name for name in manifest.targets if name in manifest.classes]
        self._classes = [*self._targets, *(name for name in manifest.classes if name not in self._targets)]
        self._caps = Caps(self.point.detector)
        self._skipped_tiles = 0
        (self.folder / "labels").mkdir()
        if self.images:
            (self.folder / "images").mkdir()
        write_csv(self.folder / "candidates.csv", joined([]))

    def add(self, part: SlidePart, marked: Path | None) -> None:
        """Takes what was found on a slide.

        Args:
            part: What was found.
            marked: The marked slide, if there are images.
        """
        name, manifest = self.names[part.slide], self.pair.manifest
        with (self.folder / "candidates.csv").open("a", encoding="utf-8", newline="") as stream:
            written(part.candidates).to_csv(stream, index=False, header=False)
        per_class = part.detections["class"].value_counts()
        counts = {name: int(per_class.get(name, 0)) for name in self._classes}
        self._counts.append({"slide": part.slide, **counts, "all": len(part.detections)})
        self._detections.append(part.detections)
        self._sizes[part.slide] = part.size
        self._scales.append(part.scale)
        self._resampled.append(part.resampled)
        self._computed_by[json.dumps(dict(part.computed_by))] += 1
        self._skipped_tiles += part.skipped_tiles
        self._caps.capped += [part.slide] if part.capped else []
        self._caps.oversized += [part.slide] if part.oversized else []
        text = yolo_text(part.detections, (part.size.width, part.size.height), manifest.classes)
        (self.folder / "labels" / f"{name}.txt").write_text(text, encoding="utf-8")
        if marked is not None:
            _link(marked, self.folder / "images" / f"{name}.jpg")
            self._sheets.add(name, part.crops, counts, part.scale.um_per_px)

    def write(self, failures: Sequence[Failure]) -> Summary:
        """Writes everything that speaks of all slides; slides that failed have no place but in the list of them."""
        folder, manifest = self.folder, self.pair.manifest
        detections = joined(self._detections)
        if any(scale.um_per_px is not None for scale in self._scales):
            detections = detections.reindex(columns=CANDIDATE_COLUMNS + MEASURE_COLUMNS)
        counts = pd.DataFrame(self._counts)
        write_csv(folder / "predictions.csv", detections)
        found = LabelSet(images_of(self._sizes), boxes_of(written(detections), "predictions.csv"), manifest.classes)
        write_labels(found, folder / "predictions.coco.json", "coco")
        (folder / CLASSES).write_text("".join(f"{name}\n" for name in manifest.classes), encoding="utf-8")
        pd.concat([counts, self._areas()], axis=1).to_csv(folder / "counts.csv", index=False)
        notes = self._notes(failures)
        if failures:
            rows = pd.DataFrame([(failure.slide, failure.reason) for failure in failures], columns=["slide", "reason"])
            rows.to_csv(folder / "failed.csv", index=False)
        about = self._about(detections, failures, notes)
        more = write_workbook(folder / "counts.xlsx", counts, detections, _about_rows(about), self._targets)
        about["notes"] = notes + [f"warning: {note}" for note in more]
        text = json.dumps(about, indent=1, ensure_ascii=False)
        (folder / "prediction.json").write_text(text + "\n", encoding="utf-8")
        return Summary(counts, failures, self._targets, self.point, about["notes"], manifest.classifier is not None)

    def _areas(self) -> pd.DataFrame:
        """How large each slide is, for concentrations; mm2 is empty where the scale is not known."""
        megapixels = [size.width * size.height / 1e6 for size in self._sizes.values()]
        scales = [scale.um_per_px for scale in self._scales]
        mm2 = [None if um is None else area * um**2 for area, um in zip(megapixels, scales, strict=True)]
        values = {"megapixels": megapixels, "um_per_px": scales, "mm2": mm2}
        return pd.DataFrame(values, columns=AREA_COLUMNS, dtype="float64").round({"megapixels": 6, "mm2": 6})

    def _notes(self, failures: Sequence[Failure]) -> list[str]:
        manifest = self.pair.manifest
        part = manifest.detector
        notes = (
            [f"warning: {many(len(failures), 'slide')} failed and nothing there was counted; failed.csv says why"]
            if failures
            else []
        )
        notes += scale_notes(self._scales, manifest.um_per_px, self._resampled)
        if self._skipped_tiles:
            notes.append(f"note: {self._skipped_tiles:,} tiles were left out as empty (--skip-empty)")
        notes += self._caps.warnings(part.max_detections_per_tile, part.largest_box)
        machines = [json.loads(by) for by in self._computed_by]
        backends = sorted({str(machine["backend"]) for machine in machines})
        if len(backends) > 1:
            several = ", ".join(backends)
            notes.append(
                f"warning: slides were looked at with several backends ({several}), whose scores differ a little"
            )
        name, skip_empty = self.options["--operating-point"], self.options["--skip-empty"]
        precisions = sorted({str(machine["precision"]) for machine in machines})
        promise = point_note(manifest, name, self.point.detector, precisions, skip_empty)
        notes += [promise] if promise else []
        return notes + (self._write_sheets(self.folder / "contact_sheets") if self.images else [])

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

    def _about(self, detections: pd.DataFrame, failures: Sequence[Failure], notes: list[str]) -> dict[str, Any]:
        manifest = self.pair.manifest
        classifier = manifest.classifier
        scales = {scale.um_per_px for scale in self._scales}
        return {
            "operating_point": self.point.model_dump(by_alias=True),
            "options": {name: said for name, said in self.options.items() if not name.startswith(OF_THE_MACHINE)},
            "computed_by": [{"slides": count, **json.loads(by)} for by, count in self._computed_by.items()],
            "slides": len(self._counts),
            "failed": [{"slide": failure.slide, "reason": failure.reason} for failure in failures],
            "detections": len(detections),
            "um_per_px": scales.pop() if len(scales) == 1 else None,
            "um_per_px_from": _count(scale.source for scale in self._scales),
            "resampled": sum(self._resampled),
            "measured_by": _count(detections["measured_by"].dropna()) if "measured_by" in detections else {},
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


def _link(marked: Path, place: Path) -> None:
    """Gives a file a second name; a copy where the disk knows no links."""
    try:
        os.link(marked, place)
    except OSError:
        shutil.copyfile(marked, place)


def _said(value: Any) -> Any:
    """The value of an option for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else value


def _count(values: Iterable[Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in pd.Series(list(values), dtype=object).value_counts().items()}


def _about_rows(about: dict[str, Any]) -> list[tuple[str, Any]]:
    """The same for people: a row a fact."""
    pair, point, machines = about["pair"], about["operating_point"], about["computed_by"]
    whence = {
        "stated": "scale stated with --mpp",
        "file": "scale said by their files",
        "pair": "scale assumed: the pair's",
        "unknown": "scale unknown, not measured; say it with --mpp",
    }
    return [
        ("date", about["date"]),
        ("slides", about["slides"]),
        *(("failed", f"{failure['slide']}: {failure['reason']}") for failure in about["failed"]),
        ("detections", about["detections"]),
        ("pair", pair["folder"]),
        *((name, _said(value)) for name, value in about["options"].items() if name != "operating point"),
        ("targets", ", ".join(pair["targets"]) or "none stated"),
        ("detector_score at least", point["detector"]),
        *((f"class_score at least: {name}", least) for name, least in point["class"].items()),
        *([("µm per pixel", about["um_per_px"])] if about["um_per_px"] is not None else []),
        *((f"slides, {whence[source]}", count) for source, count in about["um_per_px_from"].items()),
        *((f"measured by {way}", count) for way, count in about["measured_by"].items()),
        *(tuple(note.split(": ", 1)) for note in about["notes"]),
        *(
            (name if len(machines) == 1 else f"{name}, {many(machine['slides'], 'slide')}", value)
            for machine in machines
            for name, value in machine.items()
            if name != "slides"
        ),
        ("commit", about["commit"] or "unknown"),
    ]
