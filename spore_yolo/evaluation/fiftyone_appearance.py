"""Colours and the sidebar of a dataset of FiftyOne."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

from spore_yolo.evaluation.fiftyone_views import CROPS, EVAL, EVAL_ANY

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f3fbf"]
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008), without those too pale for a bright slide."""

OUTCOMES = {"tp": "#0072b2", "fp": "#d55e00", "fn": "#e69f00"}

GREY = "#888888"


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
    fields.append(
        {
            "path": CROPS,
            "colorByAttribute": "outcome",
            "valueColors": [{"value": name, "color": colour} for name, colour in OUTCOMES.items()],
        }
    )
    known = dataset.get_field_schema(flat=True)
    config = dataset.app_config
    config.color_scheme = fiftyone.ColorScheme(
        color_by="value", color_pool=COLOURS, fields=[field for field in fields if field["path"] in known]
    )
    groups = {
        "labels": ["ground_truth", "predictions", "ignored", "candidates", CROPS],
        "slide": ["split", "group", "present", "reported", "boxes", "mistakes", "slide", "um_per_px"],
        "by class: tp, fp, fn": [f"{EVAL}_{outcome}" for outcome in ("tp", "fp", "fn")],
        "any class: tp, fp, fn": [f"{EVAL_ANY}_{outcome}" for outcome in ("tp", "fp", "fn")],
        "tags": ["tags", "_label_tags"],
        "metadata": ["metadata.width", "metadata.height", "metadata.size_bytes", "metadata.mime_type"],
        "other": ["id", "filepath", "created_at", "last_modified_at", "metadata.num_channels"],
    }
    config.sidebar_groups = [
        fiftyone.SidebarGroupDocument(
            name=name,
            paths=[path for path in paths if path in known or path == "_label_tags"],
            expanded=name in ("labels", "slide"),
        )
        for name, paths in groups.items()
        if known.keys() & set(paths)
    ]
    shown = [path for path in ("ground_truth", "predictions", "ignored") if path in known]
    # Candidates lie under the detections and are many; they show when their box in the sidebar is ticked.
    config.active_fields = fiftyone.ActiveFields(paths=shown, exclude=False)
    dataset.save()


def _darker(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    shade = colorsys.hls_to_rgb(hue, lightness * 0.5, saturation)
    return "#" + "".join(f"{round(part * 255):02x}" for part in shade)
