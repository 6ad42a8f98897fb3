"""The last steps of the training flow: the branches side by side, and what may be said of the best."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from spore_yolo.evaluation.html_report.words import counted
from spore_yolo.evaluation.intervals import LEAST_GROUPS
from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import is_remote
from spore_yolo.pipeline.beginning import Branch
from spore_yolo.pipeline.branches import COLUMNS, HEADERS, RULE, best_of, spread_over_seeds, wanted
from spore_yolo.pipeline.configuration import TRAINING_STEPS, TrainingConfiguration
from spore_yolo.pipeline.workplace import beneath, run_at_hand

RESULT = "branches.json"
"""All branches, in the folder that bears the run's name."""

KEPT = ("detector", "crops", "classifier", "calibration", "evaluation")
"""What a branch's steps gave, by their artifacts' names."""


def outcome(branch: Branch, task: Any) -> dict[str, Any]:
    """What came of a branch.

    Args:
        branch: The branch.
        task: Its last task, with the artifacts of its steps.

    Returns:
        ``recipe``, ``seed``, ``run``, what is in :data:`KEPT`, ``seconds`` a step, and ``failed``: ``None``, or the
        step and why.
    """
    failed = getattr(task, "failed", None)
    failure = getattr(task, "failure", None)
    if failed is None and failure is not None:
        failed = {"step": TRAINING_STEPS[TRAINING_STEPS.index("join") - 1], "why": str(failure.exception)}
    gave = {name: getattr(task, name, None) for name in KEPT} if failed is None else dict.fromkeys(KEPT)
    seconds = dict(getattr(task, "seconds", {}))
    return {
        "recipe": branch.recipe,
        "seed": branch.seed,
        "run": branch.run,
        "failed": failed,
        "seconds": seconds,
        **gave,
    }


def joined(
    configuration: TrainingConfiguration, about: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Puts the branches side by side, and writes them to the folder of the run.

    Returns:
        ``done`` and ``failed``, the branches; ``best``, the place in ``done``; ``rule``; ``spread`` over seeds;
        ``folder``.

    Raises:
        SporeYoloError: No branch came to its end.
    """
    done = [one for one in outcomes if one["failed"] is None]
    failed = [one for one in outcomes if one["failed"] is not None]
    if not done:
        lines = [
            f"  {one['recipe']}, seed {one['seed']}, in {one['failed']['step']}: {one['failed']['why']}"
            for one in failed
        ]
        raise SporeYoloError("\n".join(["no branch came to its end:", *lines]))
    folder = beneath(configuration.runs, str(about["name"]))
    result = {
        "name": about["name"],
        "folder": folder,
        "rule": RULE,
        "best": best_of(done),
        "done": done,
        "failed": failed,
        "spread": spread_over_seeds(done),
    }
    with run_at_hand(folder) as place:
        write_text(place / RESULT, json.dumps(result, indent=1) + "\n")
    print(branches_text(result))
    return result


def branches_text(result: Mapping[str, Any]) -> str:
    """The branches as a table for people, the deciding classes first."""
    rows = []
    for place, one in enumerate(result["done"]):
        figures = one["evaluation"]["figures"]
        for name in wanted(figures, figures["targets"]):
            of_class = figures["per_class"][name]
            rows.append(
                [
                    one["recipe"],
                    one["seed"],
                    name,
                    *(said(of_class.get(key)) for key in COLUMNS),
                    "best" if place == result["best"] else "",
                ]
            )
    lines = [str(tabulate(rows, HEADERS, tablefmt="simple", disable_numparse=True))]
    lines += [
        f"failed: {one['recipe']}, seed {one['seed']}, in {one['failed']['step']}: {one['failed']['why']}"
        for one in result["failed"]
    ]
    return "\n".join(lines)


def said(figure: Mapping[str, Any] | None) -> str:
    """A figure with its interval, in one line."""
    if figure is None or figure["value"] is None:
        return "-"
    text = f"{figure['value']:.3f}"
    if figure.get("interval"):
        low, high = figure["interval"]
        text += f" ({low:.2f}-{high:.2f})"
    return text


def conclude(
    configuration: TrainingConfiguration, dataset: Mapping[str, Any], result: Mapping[str, Any]
) -> dict[str, Any]:
    """What may be said of the best pair, what may not, what the steps took, and what comes next.

    Returns:
        ``can_say``, ``cannot_say``, ``next``: sentences; ``steps``: ``step, tasks, minutes, cost`` each; ``cost``
        of all, ``None`` without prices.
    """
    best = result["done"][result["best"]]
    figures = best["evaluation"]["figures"]
    can, cannot = _sayable(figures)
    calibration = best["calibration"] or {}
    promise = calibration.get("promise")
    if promise:
        can.append(
            f"A recall of {promise['recall']:g} is promised for {', '.join(promise['targets'])}, as the mean over"
            f" groups, with confidence {promise['confidence']:g}, at the operating point {calibration['name']}."
        )
        cannot += [f"Of the promise: {note}." for note in promise["notes"]]
    else:
        cannot.append(f"No recall is promised: {str(calibration.get('why')).splitlines()[0]}.")
    if len(result["done"]) > 1:
        cannot.append(
            f"The best of {len(result['done'])} pairs was chosen on validation, so its validation figures are too good;"
            f" those of {figures['split']} are not."
        )
    if figures["split"] == "val":
        cannot.append("These figures are of validation, which chose the epoch and the thresholds; they are too good.")
    if result["failed"]:
        of = len(result["done"]) + len(result["failed"])
        cannot.append(f"Of {of} branches {len(result['failed'])} failed; nothing is known of their pairs.")
    cannot += list(dict.fromkeys([*dataset["warnings"], *best["evaluation"]["figures"]["warnings"]]))
    steps, cost = _steps(configuration, result)
    conclusion = {
        "can_say": can,
        "cannot_say": cannot,
        "next": _next(configuration, dataset, best),
        "steps": steps,
        "cost": cost,
        "currency": configuration.currency,
    }
    _print(conclusion)
    return conclusion


def _sayable(figures: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    can, cannot = [], []
    for name in wanted(figures, figures["targets"]):
        of_class = figures["per_class"][name]
        recall, specificity = of_class["recall"], of_class["specificity_slides"]
        if recall["value"] is None:
            cannot.append(f"Nothing on the recall of {name}: no spore of it is labelled in {figures['split']}.")
            continue
        counts = f"{of_class['tp']} of {of_class['boxes']} labelled spores of {figures['split']}"
        line = f"{name}: {counts} were found, recall {said(recall)}"
        if specificity["value"] is not None:
            line += f"; {said(specificity)} of the slides without it raise no alarm"
        can.append(f"{line}; {said(of_class['false_alarms_per_slide'])} false alarms a slide.")
        if not recall["interval"]:
            cannot.append(
                f"How far the recall of {name} carries to other slides: its spores come from"
                f" {counted(recall['groups'], 'group')} of {figures['split']}, and at least {LEAST_GROUPS} are needed."
            )
        if specificity["value"] is None:
            cannot.append(
                f"Nothing on the specificity of {name} over slides: every slide of {figures['split']} has it."
            )
    return can, cannot


def _steps(
    configuration: TrainingConfiguration, result: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], float | None]:
    """What each step took; steps before the branches are told once."""
    shared = TRAINING_STEPS[: TRAINING_STEPS.index("train_detector")]
    everything = [*result["done"], *result["failed"]]
    prices, rows, total = configuration.prices_per_hour, [], 0.0
    for name in TRAINING_STEPS:
        tasks = [one["seconds"][name] for one in everything if name in one["seconds"]]
        tasks = tasks[:1] if name in shared else tasks
        if not tasks:
            continue
        price = prices.get(name, prices.get("default"))
        cost = None if price is None else price * sum(tasks) / 3600
        total += cost or 0.0
        rows.append({"step": name, "tasks": len(tasks), "minutes": sum(tasks) / 60, "cost": cost})
    return rows, total if prices else None


def _next(configuration: TrainingConfiguration, dataset: Mapping[str, Any], best: Mapping[str, Any]) -> list[str]:
    run, name, register = best["run"], dataset["name"], configuration.datasets
    where = "" if register == "datasets.yaml" else f" --datasets {register}"
    lines = [
        f"look at {run}/{best['evaluation']['folder']}/report.html",
        f"spore-yolo browse --run {run} --dataset {name}{where}",
        f"spore-yolo predict --run {run} --source SLIDES --output found/",
    ]
    figures = best["evaluation"]["figures"]
    short = {
        one: more
        for one in wanted(figures, figures["targets"])
        if (more := figures["per_class"][one]["recall"].get("more_groups"))
    }
    if short:
        named = ", ".join(f"{one} ({more} more in {figures['split']})" for one, more in short.items())
        lines.insert(0, f"label slides of more groups that hold {named}")
    late = best["evaluation"]["not_delivered"]
    if late or (is_remote(configuration.runs) and configuration.compute != "local" and configuration.tracking):
        lines.append(f"spore-yolo track {run}    (brings the figures to the tracking stores)")
    return lines


def _print(conclusion: Mapping[str, Any]) -> None:
    for title, key in (("what can be said", "can_say"), ("what cannot", "cannot_say"), ("next", "next")):
        print(f"\n{title}:")
        for line in conclusion[key]:
            print(f"  {line}")
