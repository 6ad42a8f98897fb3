"""What comes of the branches of a training flow: their figures side by side, the best, and how far seeds differ."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from spore_yolo.evaluation.operating_point import MIN_PRECISION

RULE = (
    "The best is the pair with the highest recall on validation, averaged over the targets (without targets: over all"
    f" classes), among those whose precision there is at least {MIN_PRECISION:g} for each of them; where none is, among"
    " all. Equal ones are told apart by precision, then by their order. The test split has no say in it."
)

COLUMNS = ("recall", "specificity_slides", "specificity_crops", "precision", "ap50")
"""The figures that tables of branches show."""

HEADERS = (
    "recipe",
    "seed",
    "class",
    "recall",
    "specificity (slides)",
    "specificity (crops)",
    "precision",
    "AP50",
    "",
)
"""What those tables' columns are called; the last one marks the best."""

Result = Mapping[str, Any]
"""A branch that came to its end: ``recipe``, ``seed``, ``run``, ``evaluation`` and what else its steps gave."""


def wanted(figures: Mapping[str, Any], targets: Sequence[str]) -> list[str]:
    """The classes that decide: the targets, or all classes where there are none."""
    named = [name for name in targets if name in figures["per_class"]]
    return named or list(figures["per_class"])


def best_of(results: Sequence[Result]) -> int:
    """The place of the best result by :data:`RULE`.

    Args:
        results: One or more.
    """
    return max(range(len(results)), key=lambda place: (*_merit(results[place]), -place))


def _merit(result: Result) -> tuple[bool, float, float]:
    evaluation = result["evaluation"]
    validation = evaluation["validation"]
    classes = [validation["per_class"][name] for name in wanted(validation, evaluation["figures"]["targets"])]
    recall = statistics.fmean(_value(figures, "recall") for figures in classes)
    precisions = [_value(figures, "precision") for figures in classes]
    return min(precisions) >= MIN_PRECISION, recall, statistics.fmean(precisions)


def _value(figures: Mapping[str, Any], key: str) -> float:
    """A figure's value; one that nobody can state counts as none."""
    value = figures.get(key, {}).get("value")
    return 0.0 if value is None else float(value)


def spread_over_seeds(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Mean, least and largest of each figure of the deciding classes, a row a recipe, class and figure.

    Only recipes with several seeds are told; seeds say how far chance in training moves a figure, intervals how far it
    carries to other slides: neither stands for the other.
    """
    rows = []
    for recipe in dict.fromkeys(result["recipe"] for result in results):
        of_recipe = [result["evaluation"]["figures"] for result in results if result["recipe"] == recipe]
        if len(of_recipe) < 2:
            continue
        for name in wanted(of_recipe[0], of_recipe[0]["targets"]):
            for key in COLUMNS:
                values = [figures["per_class"][name].get(key, {}).get("value") for figures in of_recipe]
                known = [value for value in values if value is not None]
                if len(known) > 1:
                    rows.append(
                        {
                            "recipe": recipe,
                            "class": name,
                            "figure": key,
                            "seeds": len(known),
                            "mean": statistics.fmean(known),
                            "deviation": statistics.stdev(known),
                            "least": min(known),
                            "largest": max(known),
                        }
                    )
    return rows
