"""The cards of the training flow: what a person looks at to see what a run did and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spore_yolo.evaluation.html_report.words import counted
from spore_yolo.pipeline.beginning import Branch
from spore_yolo.pipeline.branches import COLUMNS, HEADERS, wanted
from spore_yolo.pipeline.card_parts import curves, escaped, figure, gallery, listed, paragraph, picture, table
from spore_yolo.pipeline.cards_of_evaluation import evaluation, failures
from spore_yolo.pipeline.configuration import TrainingConfiguration
from spore_yolo.pipeline.loading import Loaded, dataset_at_hand

__all__ = ["branches", "classifier", "conclusion", "dataset", "detector", "evaluation", "failures"]

PICTURES = 6
"""Labelled spores of each class on the card of the dataset."""

Content = Mapping[str, Any]


def dataset(configuration: TrainingConfiguration, loaded: Loaded, imported: Content, findings: Content) -> list[Any]:
    """What the dataset holds, how it is split, what the checks found, and which version it is."""
    from spore_yolo.dataset.statistics import statistics_of
    from spore_yolo.evaluation.dataset_page import cut_crops
    from spore_yolo.evaluation.dataset_plots import groups_uri, imbalance_uri, sizes_uri

    here, _ = dataset_at_hand(configuration, loaded)
    statistics = statistics_of(here)
    counts = imported["counts"]
    images, groups = counts["images"]["all"], counts["groups"]["all"]
    targets = ", ".join(imported["targets"]) or "none named"
    parts: list[Any] = [
        paragraph(
            f"# Dataset {escaped(imported['name'])}\n\n**{counted(images, 'slide')} in {counted(groups, 'group')}**; a"
            f" group is never torn apart by the split. {imported['empty_share']:.0%} of the slides are empty. Targets:"
            f" {escaped(targets)}."
        ),
        table(
            ["", *counts["images"]], [[row, *(f"{value:,}" for value in line.values())] for row, line in counts.items()]
        ),
        *listed("What will limit the figures", imported["warnings"]),
        *listed("Notes of the import", imported["notes"]),
    ]
    classes = [figures for figures in statistics.classes if figures.total]
    parts += [paragraph("## How much of what"), picture(imbalance_uri(classes))]
    for attribute, unit in (("longer_um", "µm"), ("longer_px", "px")):
        sizes = {one.name: size for one in classes if (size := getattr(one, attribute)) is not None}
        if sizes:
            about = "The line holds 90 of 100 boxes, the bar the middle half, the tick is the median."
            parts += [paragraph(f"## How large\n\n{about}"), picture(sizes_uri(sizes, unit))]
            break
    parts += [paragraph("## The groups"), picture(groups_uri(statistics.groups))]
    crops, _ = cut_crops(here, PICTURES)
    for of_class in crops:
        parts += [paragraph(f"### {escaped(of_class.name)}"), gallery(of_class.pictures, across=PICTURES)]
    return [*parts, *_findings(findings), *_versions(loaded, imported)]


def _findings(findings: Content) -> list[Any]:
    checked = f"{findings['images']:,} slides and {findings['boxes']:,} boxes were checked"
    if not findings["findings"]:
        return [paragraph(f"## Checks\n\n{checked}; nothing was found.")]
    rows = [
        [row["code"], row["title"], *(row["counts"][key] or "" for key in ("error", "warning", "note")), row["mend"]]
        for row in findings["findings"]
    ]
    examples = [f"{row['code']} {line}" for row in findings["findings"] for line in row["examples"][:2]]
    return [
        paragraph(f"## Checks\n\n{checked}. What a code means: `spore-yolo check --explain CODE`."),
        table(["code", "what", "errors", "warnings", "notes", "how to mend it"], rows),
        *listed("The first findings of each code", examples),
    ]


def _versions(loaded: Loaded, imported: Content) -> list[Any]:
    rows = [[part, address, loaded.version(part)] for part, address in loaded.addresses.items()]
    return [
        paragraph("## Which version\n\nHashes of the contents: equal for equal files, whatever machine or bucket."),
        table(["", "where", "version"], [*rows, ["dataset", imported["name"], imported["fingerprint"]]]),
    ]


LOSSES = {
    "train/box_loss": "box, training",
    "val/box_loss": "box, validation",
    "train/cls_loss": "class, training",
    "val/cls_loss": "class, validation",
}

TILE_FIGURES = {
    "metrics/recall(B)": "recall",
    "metrics/precision(B)": "precision",
    "metrics/mAP50(B)": "AP at IoU 0.5",
    "metrics/mAP50-95(B)": "AP at IoU 0.5 to 0.95",
}


def detector(branch: Branch, trained: Content) -> list[Any]:
    """How the detector's training went."""
    columns = trained["curves"]
    return [
        paragraph(
            f"# Detector: {escaped(branch.label)}\n\nTrained from {escaped(trained['start'])}: **{trained['epochs']}"
            f" epochs**, {trained['images_seen']:,} tiles seen, {trained['minutes']:g} minutes. A candidate counts from"
            f" a detector_score of {trained['threshold']:g} on, which was chosen on validation."
        ),
        *curves("Losses", columns, LOSSES, "loss"),
        *curves("Figures on validation tiles", columns, TILE_FIGURES, "share"),
        paragraph(
            "Figures on tiles choose the epoch; those that count are of whole slides and stand on the card of the step"
            " *evaluate*. The first half of the epochs is not validated."
        ),
        *_on_validation(trained["validation"]),
    ]


def classifier(branch: Branch, trained: Content, crops: Content) -> list[Any]:
    """What the classifier was trained on, and how that went."""
    names = list(crops["train"])
    rows = [
        [name, *(f"{crops[split].get(name, {}).get(origin, 0):,}" for split in ("train", "val") for origin in ORIGINS)]
        for name in names
    ]
    losses = {"train/loss": "training", "val/loss": "validation"}
    return [
        paragraph(
            f"# Classifier: {escaped(branch.label)}\n\nTrained from {escaped(trained['start'])}:"
            f" **{trained['crops_seen']:,} crops seen**, {trained['minutes']:g} minutes. Crops of"
            f" {trained['crop_size']} px with a margin of {trained['margin']:g}; temperature"
            f" {trained['temperature']:.2f}."
        ),
        paragraph("## Crops\n\nFrom labels, and from what the detector proposes; debris is what nobody labelled."),
        table(["class", "train: labels", "train: detector", "validation: labels", "validation: detector"], rows),
        *curves("Losses", trained["curves"], losses, "loss"),
        *curves("Right on validation crops", trained["curves"], {"metrics/accuracy_top1": "share right"}, "share"),
        *_on_validation(trained["validation"]),
    ]


ORIGINS = ("label", "detector")


def _on_validation(validation: Content) -> list[Any]:
    rows = [
        [name, figures["boxes"], *(figure(figures.get(key)) for key in ("recall", "precision", "ap50"))]
        for name, figures in validation["per_class"].items()
    ]
    about = f"{_slides(validation)}; {validation['rule']}"
    return [
        paragraph(f"## Whole slides of validation\n\n{escaped(about)}."),
        table(["class", "labelled", "recall", "precision", "AP50"], rows),
    ]


def _slides(figures: Content) -> str:
    return f"{counted(figures['slides'], 'slide')} in {counted(figures['groups'], 'group')}"


def branches(result: Content) -> list[Any]:
    """All branches side by side, and those that failed."""
    rows = []
    for place, one in enumerate(result["done"]):
        figures = one["evaluation"]["figures"]
        for name in wanted(figures, figures["targets"]):
            cells = [figure(figures["per_class"][name].get(key)) for key in COLUMNS]
            mark = "best" if place == result["best"] else ""
            rows.append([one["recipe"], one["seed"], name, *cells, mark])
    split = result["done"][0]["evaluation"]["figures"]["split"]
    parts = [
        paragraph(f"# {counted(len(result['done']), 'pair')} on {split}\n\n{escaped(result['rule'])}"),
        table(HEADERS, rows),
        paragraph("In brackets: 95% intervals with groups as the units; none where fewer than 8 groups have a say."),
    ]
    if result["spread"]:
        spread = [
            [row["recipe"], row["class"], row["figure"].replace("_", " "), row["seeds"], f"{row['mean']:.3f}"]
            + [f"{row[key]:.3f}" for key in ("deviation", "least", "largest")]
            for row in result["spread"]
        ]
        parts += [
            paragraph("## How far seeds differ\n\nChance in training; it says nothing on how far figures carry."),
            table(["recipe", "class", "figure", "seeds", "mean", "deviation", "least", "largest"], spread),
        ]
    if result["failed"]:
        failed = [[one["recipe"], one["seed"], one["failed"]["step"], one["failed"]["why"]] for one in result["failed"]]
        parts += [paragraph("## Branches that failed"), table(["recipe", "seed", "in step", "why"], failed)]
    return parts


def conclusion(content: Content, result: Content) -> list[Any]:
    """What may be said of the best pair, what may not, what it took, and what to do next."""
    best = result["done"][result["best"]]
    figures = best["evaluation"]["figures"]
    rows = [
        [row["step"], row["tasks"], f"{row['minutes']:.1f}", "" if row["cost"] is None else f"{row['cost']:.2f}"]
        for row in content["steps"]
    ]
    total = f"**{sum(row['minutes'] for row in content['steps']):.1f} minutes** of work in all"
    if content["cost"] is not None:
        total += f", {content['cost']:.2f} {escaped(content['currency'])}"
    heading = f"# {escaped(result['name'])}: recipe {escaped(best['recipe'])}, seed {best['seed']}"
    measured = f"Measured on {_slides(figures)} of {figures['split']}."
    next_lines = "\n".join(f"    {line}" for line in content["next"])
    return [
        paragraph(f"{heading}\n\n{measured} The run lies in `{best['run']}`."),
        *listed("What can be said", content["can_say"]),
        *listed("What cannot be said", content["cannot_say"]),
        paragraph(f"## What to do next\n\n{next_lines}"),
        paragraph(f"## What it took\n\n{total}."),
        table(["step", "tasks", "minutes", f"cost, {content['currency']}"], rows)
        if content["cost"] is not None
        else table(["step", "tasks", "minutes"], [row[:3] for row in rows]),
    ]
