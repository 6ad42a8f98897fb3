"""What the flow itself does round its steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from spore_yolo.pipeline import training_flow
from spore_yolo.pipeline.beginning import Branch
from spore_yolo.pipeline.configuration import TRAINING_STEPS
from spore_yolo.pipeline.ending import outcome


@pytest.mark.parametrize("failing", ["train_detector", "train_classifier"])
def test_a_failure_is_told_of_its_step_where_later_ones_catch_nothing(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metaflow's catch takes the failure away again only in steps that catch, too."""
    flow: Any = SimpleNamespace(failed=None, failure=SimpleNamespace(exception="memory ran out"))
    after = TRAINING_STEPS.index(failing) + 1
    for step in TRAINING_STEPS[after : TRAINING_STEPS.index("join")]:
        monkeypatch.setattr(training_flow, "current", SimpleNamespace(step_name=step))
        with training_flow._at_work(flow) as goes_on:
            assert not goes_on
    assert outcome(Branch("a", 0, "runs/a"), flow)["failed"] == {"step": failing, "why": "memory ran out"}
