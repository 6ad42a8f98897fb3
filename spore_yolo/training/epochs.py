"""The figures of each epoch, as Ultralytics' trainer has them when the epoch's checkpoint is saved."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spore_yolo.files.atomic import write_text

OnEpoch = Callable[[int, Mapping[str, float]], None]
"""Is told the number of an epoch, from 1 on, and its figures."""


class EpochFollower:
    """Tells of every epoch whose checkpoint was saved: losses, learning rates and, where it was validated, its metrics.

    An epoch that is not saved is trained again after an interruption, and told then.

    Args:
        tell: Is told.
    """

    def __init__(self, tell: OnEpoch) -> None:
        self._tell = tell
        self._validation: Any = None

    def follow(self, model: Any) -> None:
        """Follows the trainings of an Ultralytics model."""
        model.add_callback("on_train_start", self._begin)
        model.add_callback("on_model_save", self._saved)

    def _begin(self, trainer: Any) -> None:
        self._validation = trainer.metrics

    def _saved(self, trainer: Any) -> None:
        # Each validation makes a new mapping; one that is still there is of an earlier epoch, or holds only zeros.
        validated = trainer.metrics is not self._validation
        self._validation = trainer.metrics
        figures = {**trainer.label_loss_items(trainer.tloss), **(trainer.metrics if validated else {}), **trainer.lr}
        self._tell(trainer.epoch + 1, {_name(key): float(value) for key, value in figures.items()})


def epochs_of(results: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The figures of the epochs that Ultralytics' ``results.csv`` holds, in its precision; none without it."""
    if not results.exists():
        return
    with results.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, skipinitialspace=True):
            figures = {key: float(value) for key, value in row.items() if key not in ("epoch", "time")}
            seen = {key: value for key, value in figures.items() if key.startswith(("metrics/", "val/"))}
            # An epoch that was not validated has zeros there, or what an earlier one had.
            if not any(seen.values()):
                figures = {key: value for key, value in figures.items() if key not in seen}
            yield int(row["epoch"]), {_name(key): value for key, value in figures.items()}


def keep_epochs(results: Path, last: int) -> None:
    """Takes the epochs that will be trained again, and a line that was cut short, out of Ultralytics' ``results.csv``.

    Ultralytics appends a line before it saves the epoch's checkpoint, and on resuming appends that epoch once more.

    Args:
        results: The file; nothing is done where there is none.
        last: The last epoch that stays.
    """
    if not results.exists():
        return
    header, *lines = results.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
    whole = (line for line in lines if line.endswith("\n") and line.count(",") == header.count(","))
    kept = "".join([header, *(line for line in whole if int(line.split(",")[0]) <= last)])
    write_text(results, kept)


def _name(key: str) -> str:
    """``metrics/mAP50(B)`` says in brackets that it is of boxes, which all are here."""
    return key.replace("(B)", "")
