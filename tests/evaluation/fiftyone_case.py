"""One FiftyOne for all tests of a process, on a database of its own, and splits to put into it."""

from __future__ import annotations

import atexit
import email.message
import functools
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spore_yolo.evaluation.fiftyone_database import own_fiftyone
from spore_yolo.evaluation.fiftyone_dataset import Shown, build_dataset
from spore_yolo.inference.manifest import OperatingPoint
from tests.evaluation import hand_worked


@functools.cache
def fiftyone() -> Any:
    """The module; its database ends with the process."""
    if adapters := sys.modules.get("importlib_metadata._adapters"):
        # Plugins of pytest (napari's) load this package, which then answers in the place of Python's own module and
        # raises for keys that are missing; a part of FiftyOne asks for such keys while it is imported.
        adapters.Message.__getitem__ = email.message.Message.__getitem__
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(own_fiftyone())


def shown(
    candidates: pd.DataFrame,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    classes: list[str],
    point: OperatingPoint,
    targets: tuple[str, ...] = (),
) -> Shown:
    """What there is to look at; every other slide is of the test split, the others of the validation split."""
    splits = ["test" if number % 2 else "val" for number in range(len(images))]
    images = images.assign(split=splits, um_per_px=np.nan)
    files = {image: Path("/slides") / image for image in images["image"]}
    return Shown(candidates, boxes, images, files, classes, targets, point)


def by_hand() -> Shown:
    """The split that is worked out on paper."""
    return shown(
        hand_worked.candidates(),
        hand_worked.boxes(),
        hand_worked.images(),
        hand_worked.CLASSES,
        hand_worked.point(),
        tuple(hand_worked.TARGETS),
    )


@functools.cache
def by_hand_built() -> Any:
    """The same as a dataset of FiftyOne, which no test may change."""
    return build_dataset(fiftyone(), "by-hand", by_hand())
