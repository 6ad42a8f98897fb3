"""Evaluations as ``spore-yolo evaluate`` writes them, without a pair."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

Change = Callable[[Path], None]
"""Changes the files of an evaluation."""

Counts = Sequence[tuple[str, str, str, int, int, int]]
"""Slide, group, class, labels, labels found, false alarms."""


def write_run(folder: Path, counts: Counts, unknown: Sequence[tuple[str, str]] = (), **about: Any) -> Path:
    """Writes the files of an evaluation of slides of 2 megapixels; gives its folder.

    Args:
        folder: The folder.
        counts: What was found.
        unknown: Slides and classes whose presence nobody knows.
        **about: Other content of ``metrics.json``.
    """
    folder.mkdir(parents=True)
    slides, matches = [], []
    for slide, group, name, labelled, found, false in counts:
        here = {"slide": slide, "group": group, "class": name}
        known = (slide, name) not in unknown
        present = {"present": labelled > 0, "reported": found + false > 0, "known": known}
        sizes = {"width": 2000, "height": 1000, "labelled": labelled, "detected": found + false, "score": 0.5}
        slides.append(here | sizes | present)
        outcomes = ["tp"] * found + ["fp"] * false + ["fn"] * (labelled - found) + ["ignored"]
        matches += [here | {"outcome": outcome, "score": 0.5} for outcome in outcomes]
    pd.DataFrame(slides).to_csv(folder / "slides.csv", index=False)
    pd.DataFrame(matches).to_csv(folder / "matches.csv", index=False)
    table = pd.DataFrame(counts, columns=["slide", "group", "class", "labelled", "tp", "fp"])
    table = table.assign(fn=table["labelled"] - table["tp"])
    ap50 = {"value": 0.8, "n": 100, "groups": 9, "interval": [0.7, 0.9], "more_groups": 0}

    def figures(rows: pd.DataFrame) -> dict[str, Any]:
        return {key: int(rows[key].sum()) for key in ("tp", "fp", "fn")} | {"ap50": ap50}

    content = {
        "dataset": "leaves",
        "dataset_fingerprint": "f" * 64,
        "split": "test",
        "iou": 0.5,
        "targets": [],
        "operating_point": {"detector": 0.3, "class": {"rust": 0.4}},
        "overall": figures(table),
        "per_class": {str(name): figures(rows) for name, rows in table.groupby("class", sort=False)},
    }
    (folder / "metrics.json").write_text(json.dumps(content | about))
    return folder


def run_of(found: Sequence[int], labelled: int = 20, false: Sequence[int] | None = None) -> Counts:
    """One class, one slide a group."""
    alarms = [0] * len(found) if false is None else false
    return [(f"{i}.jpg", f"g{i}", "rust", labelled, n, alarms[i]) for i, n in enumerate(found)]


NINE = run_of([10] * 9)


def edit(name: str, before: str, after: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after, 1))

    return change
