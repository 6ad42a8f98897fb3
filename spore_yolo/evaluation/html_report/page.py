"""Puts the page together: words, tables, plots and pictures into one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from spore_yolo.evaluation.gallery import Picture
from spore_yolo.evaluation.html_report import tables, words
from spore_yolo.evaluation.html_report.figures import MOST_CLASSES, all_plots
from spore_yolo.evaluation.intervals import LEAST_GROUPS, Figures
from spore_yolo.evaluation.metrics import by_importance
from spore_yolo.evaluation.operating_point import Curve
from spore_yolo.files.atomic import atomic_file
from spore_yolo.files.provenance import code_commit, package_versions

MOST_CARDS = 4
"""Classes without targets among them that are spoken of one by one in plain words; more are in the tables."""


@dataclass(frozen=True)
class ReportInput:
    """What a report is made of.

    Attributes:
        metrics: The content of ``metrics.json``.
        matches: Columns of ``matches.csv``.
        slides: Columns of ``slides.csv``.
        confusion: The confusion matrix with background, rows the truth; may be empty.
        curves: The precision-recall curve of each class.
        reliability: The bins of :func:`spore_yolo.evaluation.calibration.reliability`; ``None`` or empty without a
            classifier.
        gallery: Pictures of the worst failures; empty without images.
    """

    metrics: Figures
    matches: pd.DataFrame
    slides: pd.DataFrame
    confusion: pd.DataFrame
    curves: Mapping[str, Curve]
    reliability: pd.DataFrame | None
    gallery: list[Picture]


@dataclass(frozen=True)
class Card:
    """What is said of a class in plain words."""

    name: str
    suffix: str
    sentences: list[Markup]


def write_report(path: Path, report: ReportInput, title: str) -> None:
    """Writes the page, whole or not at all: one file, which needs nothing beside it and runs no script.

    Args:
        path: ``report.html``.
        report: What it shows.
        title: What was evaluated on what.
    """
    write_page(path, "template.html.j2", _content(report, title))


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> None:
    """Fills a template of this folder, which has our style and the filters for names and numbers, and writes it.

    Args:
        path: The page.
        template: The template's file name.
        content: What it is filled with.
    """
    page = _environment().get_template(template).render(**content)
    with atomic_file(path) as temporary:
        # Names of files need not be text; what is none becomes a question mark.
        temporary.write_bytes(page.encode("utf-8", errors="replace"))


def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"named": words.named, "counted": words.counted}
    environment.globals["style"] = Markup((folder / "style.css").read_text(encoding="utf-8"))
    return environment


def _content(report: ReportInput, title: str) -> dict[str, Any]:
    metrics = report.metrics
    per_class, promise = metrics["per_class"], metrics.get("promise") or {}
    kinds = {
        kind: [picture for picture in report.gallery if picture.failure.kind == kind]
        for kind in ("missed", "false alarm")
    }
    failures = report.matches["outcome"].value_counts()
    return {
        "title": title,
        "metrics": metrics,
        "who": words.subject(metrics),
        "least_groups": LEAST_GROUPS,
        "cards": _cards(metrics),
        "class_tables": tables.class_tables(metrics),
        "trait_tables": tables.trait_tables(metrics),
        "group_table": tables.group_table(metrics),
        "mix_ups": None if report.confusion.empty else tables.mix_up_table(report.confusion),
        "plots": all_plots(metrics, report.slides, report.confusion, report.curves, report.reliability),
        "classes_with_plots": MOST_CLASSES,
        "classes_without_plots": len(per_class) > MOST_CLASSES,
        "one_class": len(per_class) == 1,
        "gallery": {kind: pictures for kind, pictures in kinds.items() if pictures},
        "failures": {"missed": int(failures.get("fn", 0)), "false alarm": int(failures.get("fp", 0))},
        "thresholds": metrics.get("operating_point") or {},
        "made": _made(metrics),
        "promised": words.promise_sentence(promise) if promise else None,
        "promise": _lines(promise),
    }


def _cards(metrics: Figures) -> list[Card]:
    """What is said first: targets, then all classes together; without targets the classes, if they are few."""
    per_class, who = metrics["per_class"], words.subject(metrics)
    targets = [name for name in metrics.get("targets") or [] if name in per_class]
    others = [] if targets or len(per_class) > MOST_CARDS else list(per_class)
    labels = by_importance(per_class, targets)
    cards = []
    for name in targets or others:
        figures = per_class[name]
        sentences = [words.found_sentence(name, figures, who)]
        if "specificity_slides" in figures:
            sentences.append(words.slides_sentence(name, figures))
        sentences += [words.alarms_sentence(name, figures), words.enough_sentence(figures)]
        cards.append(Card(name, labels[name].removeprefix(name), [line for line in sentences if line]))
    if len(per_class) > 1:
        overall = metrics["overall"]
        sentences = [
            words.found_sentence("spore", overall, who),
            words.alarms_sentence(None, overall),
            words.enough_sentence(overall),
        ]
        together = Card("", "All classes together", [line for line in sentences if line])
        cards.insert(len(targets), together)
    return cards


def _made(metrics: Figures) -> list[tuple[str, list[tuple[str, str]]]]:
    """The tables that say how it was made: a caption and lines of names and values."""
    pair = metrics.get("pair") or {}
    measured = {
        "dataset": metrics.get("dataset"),
        "dataset fingerprint": metrics.get("dataset_fingerprint"),
        "split": metrics.get("split"),
        "predictions": metrics.get("predictions"),
        "labels": metrics.get("truth"),
        "least overlap of a match (IoU)": metrics.get("iou"),
        "detector (SHA-256)": pair.get("detector_sha256"),
        "classifier (SHA-256)": pair.get("classifier_sha256"),
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    written = {"date": date, "code commit": code_commit(), "versions": package_versions()}
    made = pair.get("made") or {}
    parts = {f"The {part}": how for part, how in made.items() if isinstance(how, Mapping)}
    # Pairs of the first version do not tell their parts apart.
    whole = {name: value for name, value in made.items() if not isinstance(value, Mapping)}
    content = {"What was measured": measured, "The pair": whole, **parts, "This report": written}
    return [(caption, lines) for caption, values in content.items() if (lines := _lines(values))]


def _lines(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values; nothing is no line."""
    return [(str(key).replace("_", " "), _said(value)) for key, value in content.items() if value not in (None, {}, [])]


def _said(value: Any) -> str:
    """A value on one line, and a nested one as its names and values."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(part)}" for key, part in value.items() if part not in (None, {}, []))
    if isinstance(value, list | tuple):
        return ", ".join(_said(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
