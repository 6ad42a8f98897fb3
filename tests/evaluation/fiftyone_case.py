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

from spore_yolo.evaluation.fiftyone_boxes import Features, Shown
from spore_yolo.evaluation.fiftyone_database import own_fiftyone
from spore_yolo.evaluation.fiftyone_dataset import build_dataset
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
    features: Features | None = None,
) -> Shown:
    """What there is to look at; every other slide is of the test split, the others of the validation split.

    The sharpness of a box is its row number.
    """
    splits = ["test" if number % 2 else "val" for number in range(len(images))]
    images = images.assign(split=splits, um_per_px=np.nan)
    files = {image: Path("/slides") / image for image in images["image"]}
    candidates, boxes = (table.assign(sharpness=np.arange(len(table)) * 1.0) for table in (candidates, boxes))
    return Shown(candidates, boxes, images, files, classes, targets, point, features=features)


def places(crops: pd.DataFrame) -> np.ndarray:
    """Stands in for a classifier: what it sees in a crop is where the crop lies, and noise that is less."""
    corners = crops[["x_min", "y_min"]].to_numpy()
    return np.hstack([corners, np.random.default_rng(0).uniform(0, 1, (len(crops), 6))])


def by_hand() -> Shown:
    """The split that is worked out on paper."""
    return shown(
        hand_worked.candidates(),
        hand_worked.boxes(),
        hand_worked.images(),
        hand_worked.CLASSES,
        hand_worked.point(),
        tuple(hand_worked.TARGETS),
        places,
    )


@functools.cache
def by_hand_built() -> Any:
    """The same as a dataset of FiftyOne, which no test may change."""
    return build_dataset(fiftyone(), "by-hand", by_hand())
