"""The training flow: from the data lake to tracked pairs. Its steps call :mod:`spore_yolo.pipeline.training_steps`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from metaflow import Config, FlowSpec, card, current, step

from spore_yolo.pipeline.configuration import TRAINING_STEPS, TrainingConfiguration
from spore_yolo.pipeline.decorating import CARD_SECONDS, configured
from spore_yolo.pipeline.failing import told_in_short


@configured
class TrainingFlow(FlowSpec):
    """From labelled slides to tracked pairs of detector and classifier, one for each recipe and seed."""

    config = Config("config", default="pipeline.yaml", parser="spore_yolo.pipeline.reading.parse_training")

    @step
    def start(self) -> None:
        """Looks at everything that the configuration asks for."""
        from spore_yolo.pipeline.beginning import begin

        with _at_work(self):
            self.about = begin(_configuration(self), current.run_id)
        self.next(self.load)

    @step
    def load(self) -> None:
        """Brings slides and labels from the data lake, and notes their version."""
        from spore_yolo.pipeline.loading import load

        with _at_work(self):
            self.loaded = load(_configuration(self))
        self.next(self.check)

    @step
    def check(self) -> None:
        """Looks for what is wrong with labels and slides."""
        from spore_yolo.pipeline.loading import check

        with _at_work(self):
            self.findings = check(self.loaded)
        self.next(self.split)

    @card(type="blank", id="dataset", timeout=CARD_SECONDS)
    @step
    def split(self) -> None:
        """Imports the dataset, splits it by group, and deals out the branches."""
        split_dataset(self)
        self.next(self.train_detector, foreach="branches")

    @card(type="blank", id="training", timeout=CARD_SECONDS)
    @step
    def train_detector(self) -> None:
        """Trains the detector of a branch."""
        from spore_yolo.pipeline import cards, training_steps

        with _at_work(self):
            self.detector = training_steps.train_detector(_configuration(self), self.input, self.loaded, self.about)
            _show("training", cards.detector, self.input, self.detector)
        self.next(self.mine_crops)

    @step
    def mine_crops(self) -> None:
        """Lets the detector look, and collects the crops."""
        from spore_yolo.pipeline import training_steps

        with _at_work(self) as goes_on:
            if goes_on:
                self.crops = training_steps.mine_crops(_configuration(self), self.input, self.loaded)
        self.next(self.train_classifier)

    @card(type="blank", id="training", timeout=CARD_SECONDS)
    @step
    def train_classifier(self) -> None:
        """Trains the classifier of a branch."""
        from spore_yolo.pipeline import cards, training_steps

        with _at_work(self) as goes_on:
            if goes_on:
                self.classifier = training_steps.train_classifier(_configuration(self), self.input, self.loaded)
                _show("training", cards.classifier, self.input, self.classifier, self.crops)
        self.next(self.calibrate)

    @step
    def calibrate(self) -> None:
        """Promises a recall, or notes why none can be promised."""
        from spore_yolo.pipeline import training_steps

        with _at_work(self) as goes_on:
            if goes_on:
                self.calibration = training_steps.calibrate(_configuration(self), self.input, self.loaded)
        self.next(self.evaluate)

    @card(type="blank", id="failures", timeout=CARD_SECONDS)
    @card(type="blank", id="evaluation", timeout=CARD_SECONDS)
    @step
    def evaluate(self) -> None:
        """Measures the pair of a branch."""
        from spore_yolo.pipeline import cards, training_steps

        with _at_work(self) as goes_on:
            if goes_on:
                configuration = _configuration(self)
                self.evaluation = training_steps.evaluate(configuration, self.input, self.loaded)
                _show("evaluation", cards.evaluation, self.input, self.evaluation)
                _show("failures", cards.failures, configuration, self.loaded, self.input, self.evaluation)
        self.next(self.join)

    @card(type="blank", id="branches", timeout=CARD_SECONDS)
    @step
    def join(self, inputs: Any) -> None:
        """Puts the branches side by side."""
        join_branches(self, inputs)
        self.next(self.end)

    @card(type="blank", id="conclusion", timeout=CARD_SECONDS)
    @step
    def end(self) -> None:
        """Says what came of it, what it means, and what to do next."""
        from spore_yolo.pipeline import cards
        from spore_yolo.pipeline.ending import conclude

        with _at_work(self):
            self.conclusion = conclude(_configuration(self), self.dataset, self.result)
            _show("conclusion", cards.conclusion, self.conclusion, self.result)


def split_dataset(flow: FlowSpec) -> None:
    """What the step ``split`` does, but for what comes next."""
    from spore_yolo.pipeline import cards
    from spore_yolo.pipeline.beginning import branches
    from spore_yolo.pipeline.loading import split

    with _at_work(flow):
        configuration = _configuration(flow)
        flow.dataset = split(configuration, flow.loaded)
        flow.loaded = flow.loaded.imported_as(flow.dataset["fingerprint"])
        flow.failed = None
        flow.branches = branches(configuration, flow.about["name"])
        _show("dataset", cards.dataset, configuration, flow.loaded, flow.dataset, flow.findings)


def join_branches(flow: FlowSpec, inputs: Any) -> None:
    """What the step ``join`` does, but for what comes next.

    Args:
        flow: The joined flow.
        inputs: The flow as each branch left it.
    """
    from spore_yolo.pipeline import cards
    from spore_yolo.pipeline.ending import joined, outcome

    flow.about, flow.loaded, flow.dataset, flow.seconds = (
        getattr(inputs[0], name) for name in ("about", "loaded", "dataset", "seconds")
    )
    with _at_work(flow):
        flow.outcomes = [outcome(one.input, one) for one in inputs]
        flow.result = joined(_configuration(flow), flow.about, flow.outcomes)
        _show("branches", cards.branches, flow.result)


def _configuration(flow: FlowSpec) -> TrainingConfiguration:
    return TrainingConfiguration.model_validate(flow.config.to_dict())


@contextmanager
def _at_work(flow: FlowSpec) -> Iterator[bool]:
    """Times a step and tells in short why it fails; gives whether its branch still goes on."""
    failure = getattr(flow, "failure", None)
    # Steps that catch nothing hand the failure on; what failed is the step before the first that saw it.
    if failure is not None and getattr(flow, "failed", None) is None:
        before = TRAINING_STEPS[TRAINING_STEPS.index(current.step_name) - 1]
        flow.failed = {"step": before, "why": str(failure.exception)}
    goes_on = getattr(flow, "failed", None) is None
    began = time.monotonic()
    with told_in_short():
        yield goes_on
    if goes_on:
        flow.seconds = {**getattr(flow, "seconds", {}), current.step_name: time.monotonic() - began}


def _show(card_id: str, draw: Callable[..., list[Any]], *content: Any) -> None:
    """Fills a card; one that cannot be drawn does not undo what the step has done."""
    try:
        components = draw(*content)
    except Exception:
        import traceback

        from metaflow.cards import Markdown

        traceback.print_exc()
        components = [Markdown("This card could not be drawn; the step's log says why. Its work is done and kept.")]
    current.card[card_id].extend(components)
