"""The prediction flow: a pair looks at the slides of a folder or a bucket, on as many machines as there are shards."""

from __future__ import annotations

from spore_yolo.pipeline.decorating import configured  # prepares Metaflow's environment before it is imported

from metaflow import Config, FlowSpec, card, current, step  # isort: skip

from spore_yolo.pipeline import prediction_steps
from spore_yolo.pipeline.configuration import PredictionConfiguration
from spore_yolo.pipeline.failing import told_in_short
from spore_yolo.pipeline.prediction_card import prediction_card


@configured
class PredictionFlow(FlowSpec):
    """Finds the spores on slides, shard by shard, and writes one result."""

    config = Config(
        "config", default="predict_pipeline.yaml", parser="spore_yolo.pipeline.configuration.parse_prediction"
    )

    @step
    def start(self) -> None:
        """Finds the slides, measures, says what it will take, and deals the slides into shards."""
        with told_in_short():
            self.plan = prediction_steps.start(self._configuration())
        self.numbers = self.plan.numbers
        self.next(self.predict_shard, foreach="numbers")

    @step
    def predict_shard(self) -> None:
        """Looks at the slides of a shard that are not done."""
        with told_in_short():
            self.report = prediction_steps.predict_shard(self._configuration(), self.plan, self.input)
        self.next(self.join)

    @card(type="blank", id="results")
    @step
    def join(self, inputs) -> None:  # type: ignore[no-untyped-def]  # Metaflow has no types
        """Makes one result of what the shards found, and the card: it is there also where ``end`` raises the alarm."""
        self.plan = inputs[0].plan
        reports, lost = prediction_steps.of_branches(self.plan, inputs)
        with told_in_short():
            self.results = prediction_steps.join(self._configuration(), self.plan, reports, lost)
        current.card["results"].extend(prediction_card(self.plan, self.results))
        self.next(self.end)

    @step
    def end(self) -> None:
        """Says what was found and what it took."""
        with told_in_short():
            prediction_steps.end(self._configuration(), self.plan, self.results)

    def _configuration(self) -> PredictionConfiguration:
        return PredictionConfiguration.model_validate(self.config.to_dict())
