"""What ``spore-yolo evaluate`` writes and prints, whatever was evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def check_output(output: Path) -> None:
    """Makes sure that the output folder is free, or holds an evaluation.

    Raises:
        UsageError: It holds other things.
    """
    from spore_yolo.files.errors import UsageError

    if output.exists() and any(output.iterdir()) and not (output / "metrics.json").exists():
        raise UsageError(f"--output: {output} exists and holds other things than an evaluation; choose another folder")


def print_tables(metrics: dict[str, Any]) -> None:
    """Prints the figures of ``metrics.json``, targets first."""
    from spore_yolo.evaluation.intervals import LEAST_GROUPS
    from spore_yolo.evaluation.metrics import metrics_text
    from spore_yolo.evaluation.side_by_side import side_by_side_text, specificity_text

    point, targets, groups = metrics["operating_point"], metrics["targets"], metrics["groups"]
    what = metrics["dataset"] + (f", {metrics['split']}" if metrics["split"] else "")
    print(f"\n{what}: {metrics['slides']:,} slides in {groups:,} groups,", end=" ")
    least = f"{'detector_score' if metrics['pair'] else 'score'} >= {point['detector']:g}, " if point else ""
    print(f"{least}IoU >= {metrics['iou']:g}")
    if point and point["class"]:
        print("class_score >=", ", ".join(f"{threshold:g} {name}" for name, threshold in point["class"].items()))
    alone = metrics.get("detector_alone")
    if alone:
        print(f"alone, the detector without the classifier: detector_score >= {alone['threshold']:g}\n")
        print(side_by_side_text(metrics, targets))
        if alone["classes_merged_to_spore"]:
            print("the detector does not name these classes; alone its precision is that of spores against all else")
    else:
        print()
        print(metrics_text(metrics, targets))
    crops = metrics["crops"]
    print(f"\n{crops['n']:,} crops ({crops['left_out_between'] + crops['left_out_ignored']:,} left out):\n")
    print(specificity_text(metrics, targets))
    if metrics["classes_merged_to_spore"]:
        print("note: the detector has the one class spore; all labels were merged to it")
    if groups < LEAST_GROUPS:
        print(
            f"note: {groups} groups are too few to tell how far these figures carry to other slides;"
            f" at least {LEAST_GROUPS - groups} more are needed"
        )
    else:
        print("second lines: 95% intervals with groups as the units; none where fewer than 8 groups have a say")


def print_written(output: Path) -> None:
    """Says where the files of an evaluation are."""
    from spore_yolo.evaluation.report import FILES, PLOTS

    written = [name for name in [*FILES, *PLOTS] if (output / name).exists()]
    print(f"\n{output}: {', '.join(written)}")
    print(f"look at: {output / 'report.html'}")
