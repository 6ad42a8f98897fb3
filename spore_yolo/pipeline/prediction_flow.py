"""The prediction flow: a pair looks at slides in shards. Its steps call :mod:`spore_yolo.pipeline.prediction_steps`."""

from __future__ import annotations

from typing import Any

from metaflow import Config, FlowSpec, card, current, step

from spore_yolo.pipeline.configuration import PredictionConfiguration
from spore_yolo.pipeline.decorating import CARD_SECONDS, configured
from spore_yolo.pipeline.failing import told_in_short


@configured
class PredictionFlow(FlowSpec):
    """Finds the spores on slides, shard by shard, and writes one result."""

    config = Config("config", default="predict_pipeline.yaml", parser="spore_yolo.pipeline.reading.parse_prediction")

    @step
    def start(self) -> None:
        """Finds the slides, measures, says what it will take, and deals the slides into shards."""
        from spore_yolo.pipeline import prediction_steps

        with told_in_short():
            self.plan = prediction_steps.start(self._configuration())
        self.numbers = self.plan.numbers
        self.next(self.predict_shard, foreach="numbers")

    @step
    def predict_shard(self) -> None:
        """Looks at the slides of a shard that are not done."""
        from spore_yolo.pipeline import prediction_steps

        with told_in_short():
            self.report = prediction_steps.predict_shard(self._configuration(), self.plan, self.input)
        self.next(self.join)

    # The card is made here, so that it is there also where the last step raises the alarm.
    @card(type="blank", id="results", timeout=CARD_SECONDS)
    @step
    def join(self, inputs: Any) -> None:
        """Makes one result of what the shards found."""
        from spore_yolo.pipeline import prediction_steps
        from spore_yolo.pipeline.prediction_card import prediction_card
        from spore_yolo.pipeline.prediction_plan import of_branches

        self.plan = inputs[0].plan
        with told_in_short():
            reports, lost = of_branches(self.plan, inputs)
            self.results = prediction_steps.join(self._configuration(), self.plan, reports, lost)
            current.card["results"].extend(prediction_card(self.plan, self.results))
        self.next(self.end)

    @step
    def end(self) -> None:
        """Says what was found and what it took."""
        from spore_yolo.pipeline import prediction_steps

        with told_in_short():
            prediction_steps.end(self._configuration(), self.plan, self.results)

    def _configuration(self) -> PredictionConfiguration:
        return PredictionConfiguration.model_validate(self.config.to_dict())
