"""The training flow as a process of its own in which nothing is trained: stand-ins find dark spots and know shapes.

Metaflow starts each task with this file again. ``SPOT_CHECKPOINT`` names what a detector's training leaves; the recipe
that ``SPOT_FAILS`` names fails when its classifier is trained.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.experiments import classifier_run
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.pipeline.training_flow import TrainingFlow
from tests.conftest import classifiers_go_by_shape, detectors_find_spots
from tests.pipeline.toy_flow import detectors_are_not_trained
from tests.toy_runs import classifiers_are_not_trained


def fails(recipe: str) -> None:
    """The classifier of a recipe cannot be trained."""
    train = classifier_run.train

    def maybe(options: Any, folder: Path, *arguments: Any, **more: Any) -> None:
        if f"-{recipe}" in folder.name:
            raise SporeYoloError("the crops show only rust; a classifier needs two classes or more")
        train(options, folder, *arguments, **more)

    classifier_run.train = maybe


if __name__ == "__main__":
    patch = pytest.MonkeyPatch()
    detectors_find_spots(patch)
    classifiers_go_by_shape(patch)
    detectors_are_not_trained(patch, Path(os.environ["SPOT_CHECKPOINT"]))
    classifiers_are_not_trained(patch)
    if "SPOT_FAILS" in os.environ:
        fails(os.environ["SPOT_FAILS"])
    TrainingFlow()
