"""Saved views, colours and the sidebar of a dataset of FiftyOne."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

EVAL, EVAL_ANY = "eval", "eval_any"
"""Keys of the evaluations: class by class, and without regard to class."""

FEW_CLASSES = 12
"""Up to how many classes each gets a view of its own."""

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f3fbf"]
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008), without those too pale for a bright slide."""

GREY = "#888888"


def add_views(fiftyone: Any, dataset: Any, classes: Sequence[str], targets: Sequence[str]) -> None:
    """Saves the views that answer what went wrong, where, and where the imbalance is.

    Args:
        fiftyone: The module.
        dataset: The dataset; see :func:`spore_yolo.evaluation.fiftyone_dataset.build_dataset`.
        classes: What the pair names.
        targets: The classes that the user is after; without any, the rarest one that is labelled takes their place.
    """
    field, beside = fiftyone.ViewField, ["slide", "split", "group"]

    def save(name: str, view: Any, description: str) -> None:
        dataset.save_view(name, view, description=description)

    def patches(path: str, where: Any) -> Any:
        return dataset.filter_labels(path, where).to_patches(path, other_fields=beside)

    surest = {"reverse": True}
    save(
        "missed",
        patches("ground_truth", field(EVAL) == "fn").sort_by("ground_truth.class_boxes"),
        "Labelled boxes that no detection of their class found; rare classes first",
    )
    save(
        "false alarms",
        patches("predictions", field(EVAL) == "fp").sort_by("predictions.confidence", **surest),
        "Detections that lie on no label of their class; the surest first",
    )
    wrong = (field(EVAL_ANY) == "fp") & (field(f"{EVAL_ANY}_id") != "")
    save(
        "confused",
        patches("predictions", wrong).sort_by("predictions.labelled"),
        "Detections on a label of another class, which stands in the attribute labelled",
    )
    rare = list(targets) or _rarest(dataset)
    save(
        "rare classes",
        patches("ground_truth", field("label").is_in(rare)).sort_by(f"ground_truth.{EVAL}"),
        f"Labelled boxes of {', '.join(rare) or 'no class'}; missed ones first",
    )
    empty = (field("boxes") == 0) & (field("ignored.detections").length() == 0)
    save(
        "empty slides with alarms",
        dataset.match(empty & (field(f"{EVAL}_fp") > 0)).sort_by(f"{EVAL}_fp", **surest),
        "Slides without any label on which something was detected; the worst first",
    )
    save(
        "imbalance",
        dataset.to_patches("ground_truth", other_fields=beside).sort_by("ground_truth.class_boxes"),
        "All labelled boxes, rare classes first; the sidebar counts classes, sizes, splits and groups",
    )
    save("groups", dataset.group_by("group"), "A slide a group; open one to go through its slides")
    splits = sorted(dataset.distinct("split"))
    for split in splits if len(splits) > 1 else []:
        save(f"split {split}", dataset.match(field("split") == split), f"The slides of {split}")
    for name in classes if len(classes) <= FEW_CLASSES else []:
        save(
            f"class {name}",
            patches("ground_truth", field("label") == name).sort_by(f"ground_truth.{EVAL}"),
            f"Labelled boxes of {name}; missed ones first",
        )


def add_workspaces(fiftyone: Any, dataset: Any) -> None:
    """Saves arrangements of the App that put figures beside the slides."""

    def room(panel: Any) -> Any:
        return fiftyone.Space(children=[panel], active_child=panel.component_id)

    beside = {
        "imbalance": fiftyone.Panel(type="Histograms", state={"path": "ground_truth.detections.label"}),
        "evaluation": fiftyone.Panel(type="model_evaluation_panel_builtin"),
    }
    for name, panel in beside.items():
        samples = fiftyone.Panel(type="Samples", pinned=True)
        dataset.save_workspace(name, fiftyone.Space(children=[room(samples), room(panel)], orientation="horizontal"))


def _rarest(dataset: Any) -> list[str]:
    counts = dataset.count_values("ground_truth.detections.label")
    return sorted(counts, key=lambda name: (counts[name], name))[:1]


def set_appearance(fiftyone: Any, dataset: Any, classes: Sequence[str]) -> None:
    """Gives every class one colour, full for detections and dark for labels, and puts the sidebar in order."""
    full = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(sorted(classes))}
    dark = {name: _darker(colour) for name, colour in full.items()}
    shades = {"ground_truth": dark, "predictions": full, "candidates": full | {"debris": GREY}}
    fields = [
        {
            "path": path,
            "colorByAttribute": "label",
            "valueColors": [{"value": name, "color": colour} for name, colour in colours.items()],
        }
        for path, colours in shades.items()
    ]
    fields.append(
        {
            "path": "ignored",
            "fieldColor": GREY,
            "colorByAttribute": "ignored",
            "valueColors": [{"value": "True", "color": GREY}],
        }
    )
    config = dataset.app_config
    config.color_scheme = fiftyone.ColorScheme(color_by="value", color_pool=COLOURS, fields=fields)
    groups = {
        "labels": ["ground_truth", "predictions", "ignored", "candidates"],
        "slide": ["split", "group", "present", "reported", "boxes", "slide", "um_per_px"],
        "by class: tp, fp, fn": [f"{EVAL}_{outcome}" for outcome in ("tp", "fp", "fn")],
        "any class: tp, fp, fn": [f"{EVAL_ANY}_{outcome}" for outcome in ("tp", "fp", "fn")],
        "tags": ["tags", "_label_tags"],
        "metadata": ["metadata.width", "metadata.height", "metadata.size_bytes", "metadata.mime_type"],
        "other": ["id", "filepath", "created_at", "last_modified_at", "metadata.num_channels"],
    }
    known = dataset.get_field_schema(flat=True)
    config.sidebar_groups = [
        fiftyone.SidebarGroupDocument(
            name=name,
            paths=[path for path in paths if path in known or path == "_label_tags"],
            expanded=name in ("labels", "slide"),
        )
        for name, paths in groups.items()
    ]
    # Candidates lie under the detections and are many; they show when their box in the sidebar is ticked.
    config.active_fields = fiftyone.ActiveFields(paths=["ground_truth", "predictions", "ignored"], exclude=False)
    dataset.save()


def _darker(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    shade = colorsys.hls_to_rgb(hue, lightness * 0.5, saturation)
    return "#" + "".join(f"{round(part * 255):02x}" for part in shade)
