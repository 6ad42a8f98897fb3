"""Saved views and workspaces of a dataset of FiftyOne."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from spore_yolo.evaluation.confusion import BACKGROUND

EVAL, EVAL_ANY = "eval", "eval_any"
"""Keys of the evaluations: class by class, and without regard to class."""

CROPS = "crops"
"""The field of the crops that are laid out, and the key of their layout."""

FEW = 12
"""Up to how many classes each gets a view of its own, and how many pairs of confused classes do."""

SIZES = {"S": "small", "M": "medium", "L": "large"}


class Views:
    """Saves views of a dataset of boxes."""

    def __init__(self, fiftyone: Any, dataset: Any) -> None:
        self.field = fiftyone.ViewField
        self.dataset = dataset
        self._slug = importlib.import_module("fiftyone.core.utils").to_slug
        self._slugs: set[str] = set()

    def save(self, name: str, view: Any, description: str) -> None:
        """Saves a view; one whose address another bears already, as names of classes may bring about, is numbered."""
        number, free = 1, name
        while self._slug(free) in self._slugs:
            number += 1
            free = f"{name} {number}"
        self._slugs.add(self._slug(free))
        self.dataset.save_view(free, view, description=description)

    def patches(self, path: str, where: Any = None, *order: str) -> Any:
        """The boxes of a field for which something is true, in an order: paths, or ``-`` and a path for falling."""
        view = self.dataset if where is None else self.dataset.filter_labels(path, where)
        view = view.to_patches(path, other_fields=["slide", "split", "group"])
        keys = [(f"{path}.{key.removeprefix('-')}", -1 if key.startswith("-") else 1) for key in order]
        return view.sort_by(keys) if keys else view


def add_views(fiftyone: Any, dataset: Any, targets: Sequence[str]) -> None:
    """Saves the views that answer what went wrong, where, and where the imbalance is.

    Args:
        fiftyone: The module.
        dataset: The dataset; see :func:`spore_yolo.evaluation.fiftyone_dataset.build_dataset`.
        targets: The classes that the user is after; without any, the rarest one that is labelled takes their place.
    """
    views = Views(fiftyone, dataset)
    _add_misses(views, targets)
    _add_alarms(views)
    _add_confusions(views)
    _add_doubts(views)
    _add_slides(views)
    if CROPS in dataset.get_field_schema():
        views.save(
            "crops",
            views.patches(CROPS),
            "All crops of the workspace embeddings: hits (tp), false alarms (fp), misses (fn)",
        )


def _add_misses(views: Views, targets: Sequence[str]) -> None:
    field, missed = views.field, views.field(EVAL) == "fn"
    rare_first = ("class_boxes", "side_px")
    views.save(
        "missed",
        views.patches("ground_truth", missed, *rare_first),
        "Labelled boxes that no detection of their class found; rare classes first, the smallest first",
    )
    for size, name in SIZES.items():
        views.save(
            f"missed: {name}",
            views.patches("ground_truth", missed & (field("size") == size), *rare_first),
            f"Missed boxes that are {name} beside the dataset's median box; rare classes first",
        )
    labels = views.dataset.count_values("ground_truth.detections.label")
    for label in sorted(labels) if 1 < len(labels) <= FEW else []:
        views.save(
            f"missed: {label}",
            views.patches("ground_truth", missed & (field("label") == label), "side_px"),
            f"Missed boxes of {label}, the smallest first",
        )
    rare = list(targets) or sorted(labels, key=lambda name: (labels[name], name))[:1]
    views.save(
        "rare classes",
        views.patches("ground_truth", field("label").is_in(rare), EVAL),
        f"Labelled boxes of {', '.join(rare) or 'no class'}; missed ones first",
    )
    views.save(
        "touching spores",
        views.patches("ground_truth", field("neighbour") == 0, EVAL, "class_boxes"),
        "Labelled boxes that touch or overlap another one; missed ones first",
    )


def _add_alarms(views: Views) -> None:
    field, alarm = views.field, views.field(EVAL) == "fp"
    views.save(
        "false alarms",
        views.patches("predictions", alarm, "-confidence"),
        "Detections that lie on no label of their class; the surest first",
    )
    views.save(
        "false alarms by look",
        views.patches("predictions", alarm, "label", "look", "-confidence"),
        "False alarms, class by class, those that look alike to the classifier together (attribute look)",
    )
    empty = (field("boxes") == 0) & (field("ignored.detections").length() == 0)
    views.save(
        "empty slides with alarms",
        views.dataset.match(empty & (field(f"{EVAL}_fp") > 0)).sort_by(f"{EVAL}_fp", reverse=True),
        "Slides without any label on which something was detected; the worst first",
    )


def _add_confusions(views: Views) -> None:
    field = views.field
    wrong = (field(EVAL_ANY) == "fp") & (field("labelled") != BACKGROUND)
    views.save(
        "confused",
        views.patches("predictions", wrong, "labelled", "label", "-confidence"),
        "Detections on a label of another class, which stands in the attribute labelled",
    )
    attributes = [f"predictions.detections.{name}" for name in ("labelled", "label", EVAL_ANY)]
    pairs = Counter(
        (labelled, label)
        for labelled, label, outcome in zip(*views.dataset.values(attributes, unwind=True), strict=True)
        if outcome == "fp" and labelled != BACKGROUND
    )
    for (labelled, label), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:FEW]:
        views.save(
            f"confused: {labelled} as {label}",
            views.patches(
                "predictions", wrong & (field("labelled") == labelled) & (field("label") == label), "-confidence"
            ),
            f"Labels of {labelled} that are called {label} ({count:,}); the surest first",
        )


def _add_doubts(views: Views) -> None:
    field = views.field
    views.save(
        "likely label errors",
        views.patches("ground_truth", field("doubt") != None, "-mistakenness", "doubt"),  # noqa: E711
        "Labels that are surely called otherwise, then labels where the detector proposes nothing; see doubt",
    )
    views.save(
        "likely forgotten labels",
        views.patches("predictions", field("doubt") != None, "-confidence"),  # noqa: E711
        "Detections where nothing is labelled, as sure as half of the hits of their class; the surest first",
    )


def _add_slides(views: Views) -> None:
    field, dataset = views.field, views.dataset
    views.save(
        "worst slides",
        dataset.match(field("mistakes") > 0).sort_by("mistakes", reverse=True),
        "Slides by falling number of misses and false alarms (mistakes)",
    )
    views.save(
        "imbalance",
        views.patches("ground_truth", None, "class_boxes"),
        "All labelled boxes, rare classes first; the sidebar counts classes, sizes, splits and groups",
    )
    views.save("groups", dataset.group_by("group"), "A slide a group; open one to go through its slides")
    splits = sorted(dataset.distinct("split"))
    for split in splits if len(splits) > 1 else []:
        views.save(f"split {split}", dataset.match(field("split") == split), f"The slides of {split}")


def add_workspaces(fiftyone: Any, dataset: Any) -> None:
    """Saves arrangements of the App that put figures beside the slides."""

    def room(panel: Any) -> Any:
        return fiftyone.Space(children=[panel], active_child=panel.component_id)

    beside = {
        "imbalance": fiftyone.Panel(type="Histograms", state={"path": "ground_truth.detections.label"}),
        "evaluation": fiftyone.Panel(type="model_evaluation_panel_builtin"),
    }
    if CROPS in dataset.list_brain_runs():
        # Which layout and colours it shows is chosen in the panel; FiftyOne 1.22 forgets a state that is given here.
        beside["embeddings"] = fiftyone.Panel(type="Embeddings")
    for name, panel in beside.items():
        samples = fiftyone.Panel(type="Samples", pinned=True)
        dataset.save_workspace(name, fiftyone.Space(children=[room(samples), room(panel)], orientation="horizontal"))
