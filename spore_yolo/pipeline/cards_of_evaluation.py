"""The cards of an evaluation: its figures, and pictures of what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spore_yolo.evaluation.html_report import words
from spore_yolo.pipeline.beginning import Branch
from spore_yolo.pipeline.card_parts import escaped, figure, gallery, listed, paragraph, picture, spoken, table
from spore_yolo.pipeline.configuration import TrainingConfiguration
from spore_yolo.pipeline.loading import Loaded, dataset_at_hand
from spore_yolo.pipeline.training_steps import metrics_of

PER_KIND = 12
"""Misses of a target that are shown, and as many false alarms."""

WORST = 10
"""Slides that are named."""

Content = Mapping[str, Any]


def evaluation(branch: Branch, evaluated: Content) -> list[Any]:
    """How well the pair finds and names the labelled spores: words first, then tables and plots."""
    from spore_yolo.evaluation.metrics import by_importance

    folder, metrics = metrics_of(branch, evaluated["folder"])
    per_class, targets = metrics["per_class"], metrics["targets"]
    who = words.subject(metrics)
    heading = f"# {escaped(branch.label)} on {escaped(metrics['split'])}"
    slides, groups = words.counted(metrics["slides"], "slide"), words.counted(metrics["groups"], "group")
    about = f"{slides} in {groups} of dataset {escaped(metrics['dataset'])}."
    parts: list[Any] = [paragraph(f"{heading}\n\n{about}")]
    for name in targets or list(per_class)[:4]:
        figures = per_class[name]
        sentences = [words.found_sentence(name, figures, who), words.slides_sentence(name, figures)]
        sentences += [words.alarms_sentence(name, figures), words.enough_sentence(figures)]
        parts.append(paragraph(f"## {escaped(name)}\n\n" + " ".join(spoken(line) for line in sentences if line)))
    rows = [_row(label, per_class[name]) for name, label in by_importance(per_class, targets).items()]
    if len(rows) > 1:
        rows.append(_row("all", metrics["overall"]))
    parts += [
        paragraph(
            "## All classes\n\nIn brackets: 95% intervals with groups, not boxes, as the units; none where fewer than 8"
            " groups have a say."
        ),
        table(HEADERS, rows),
        *listed("Notes", metrics["warnings"]),
    ]
    for title, name in {"Precision and recall": "precision_recall.png", "Confusion": "confusion.png"}.items():
        if (folder / name).exists():
            parts += [paragraph(f"## {title}"), picture((folder / name).read_bytes())]
    point = metrics["operating_point"]
    thresholds = ", ".join(f"{name} {value:g}" for name, value in point["class"].items())
    parts.append(
        paragraph(
            f"Operating point, chosen on validation: detector_score >= {point['detector']:g}"
            + (f"; class_score >= {escaped(thresholds)}" if thresholds else "")
            + f". The whole report: `{branch.run}/{evaluated['folder']}/report.html`."
        )
    )
    return parts


HEADERS = [
    "class",
    "found",
    "false",
    "recall",
    "specificity (slides)",
    "specificity (crops)",
    "precision",
    "AP50",
    "false a slide",
]


def _row(label: str, figures: Content) -> list[object]:
    shares = ("recall", "specificity_slides", "specificity_crops", "precision", "ap50", "false_alarms_per_slide")
    found = f"{figures['tp']:,}\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}{figures['boxes']:,}"
    return [label, found, f"{figures['fp']:,}", *(figure(figures.get(key)) for key in shares)]


def failures(configuration: TrainingConfiguration, loaded: Loaded, branch: Branch, evaluated: Content) -> list[Any]:
    """Missed spores and false alarms as pictures, and the slides with most of them."""
    import pandas as pd

    from spore_yolo.evaluation.gallery import cut_pictures, pick_failures
    from spore_yolo.files.images import read_image

    folder, metrics = metrics_of(branch, evaluated["folder"])
    matches = pd.read_csv(
        folder / "matches.csv", dtype={"slide": str, "group": str, "class": str}, keep_default_na=True
    )
    dataset, _ = dataset_at_hand(configuration, loaded)
    chosen = pick_failures(matches, metrics["targets"], PER_KIND, metrics["iou"])
    pictures = cut_pictures(chosen, lambda slide: read_image(dataset.path_of(slide)))
    counts = matches["outcome"].value_counts()
    parts: list[Any] = [
        paragraph(
            f"# What {escaped(branch.label)} got wrong on {escaped(metrics['split'])}\n\n**{counts.get('fn', 0):,}**"
            f" labelled spores were missed, **{counts.get('fp', 0):,}** false alarms were raised. The worst of each"
            " class, those of targets first; the whole gallery is in the report."
        )
    ]
    for kind, title in (("missed", "Missed spores"), ("false alarm", "False alarms")):
        shown = [(one.uri, _caption(one.failure)) for one in pictures if one.failure.kind == kind]
        if shown:
            parts += [paragraph(f"## {title}"), gallery(shown)]
        else:
            parts.append(paragraph(f"## {title}\n\nNone."))
    wrong = matches[matches["outcome"].isin(["fn", "fp"])]
    by_slide = wrong.groupby(["slide", "group"])["outcome"].value_counts().unstack(fill_value=0)
    by_slide = by_slide.reindex(columns=["fn", "fp"], fill_value=0).assign(both=lambda rows: rows["fn"] + rows["fp"])
    worst = by_slide.sort_values("both", ascending=False, kind="stable").head(WORST)
    if len(worst):
        rows = [
            [slide, group, row.fn, row.fp] for (slide, group), row in zip(worst.index, worst.itertuples(), strict=True)
        ]
        parts += [paragraph("## The worst slides"), table(["slide", "group", "missed", "false alarms"], rows)]
    return parts


def _caption(failure: Any) -> str:
    """What stands below a picture."""
    found = f"{failure.found} {failure.other}".strip()
    score = "" if failure.score is None else f", score {failure.score:.2f}"
    return f"{failure.class_name}{score}: {found}" if found else f"{failure.class_name}{score}"
