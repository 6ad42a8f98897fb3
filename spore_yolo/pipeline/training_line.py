"""The training flow of one pair, without a foreach: Airflow takes none whose branches have several steps."""

from __future__ import annotations

from typing import Any

from spore_yolo.pipeline.decorating import CARD_SECONDS
from spore_yolo.pipeline.training_flow import TrainingFlow, join_branches, split_dataset

from metaflow import Config, card, step  # isort: skip


class TrainingLine(TrainingFlow):
    """From labelled slides to one tracked pair of detector and classifier, step after step."""

    config = Config("config", default="pipeline.yaml", parser="spore_yolo.pipeline.reading.parse_training_line")

    @property
    def input(self) -> Any:
        """The one branch that there is."""
        return self.branches[0]

    @card(type="blank", id="dataset", timeout=CARD_SECONDS)
    @step
    def split(self) -> None:
        """Imports the dataset, and splits it by group."""
        split_dataset(self)
        self.next(self.train_detector)

    @card(type="blank", id="branches", timeout=CARD_SECONDS)
    @step
    def join(self) -> None:
        """Says what came of the one pair."""
        join_branches(self, [self])
        self.next(self.end)
