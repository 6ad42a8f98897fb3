from __future__ import annotations

from typing import Any

import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.pipeline.estimate import Estimate, Price, duration, sample_order


def estimate(**changes: Any) -> Estimate:
    """100 slides, of which 10 are done; 20 s a slide in the middle, 50 s to load and 10 s to warm up, on 5 machines."""
    known: dict[str, Any] = {
        "slides": 100,
        "done": 10,
        "measured": {"a": 30.0, "b": 20.0, "c": 18.0},
        "loading": 50.0,
        "shards": 5,
        "share_machine": False,
        "machine": "farm (4 cores)",
        "price": Price(1.80, "CHF"),
    }
    return Estimate(**{**known, **changes})


def test_an_estimate_worked_by_hand() -> None:
    told = estimate()
    assert told.left == 90
    assert told.seconds_per_slide == 20  # the median
    assert told.seconds_per_shard == 50 + (30 - 20)  # the first slide was slower
    assert told.machine_seconds == 90 * 20 + 5 * 60  # 2,100 s
    assert told.wall_seconds == 420
    assert told.price.of(2100) == pytest.approx(1.05)
    text = told.text()
    assert "measured on farm (4 cores): a 30.00 s, b 20.00 s, c 18.00 s" in text
    assert "machine time: 90 slides x 20.00 s + 5 shards x 1.0 min to load the pair = 35.0 min" in text
    assert "about 7.0 min, with all 5 shards at the same time" in text
    assert "cost: 0.583 h x 1.8 CHF an hour = 1.05 CHF" in text


def test_shards_on_one_machine_are_no_faster_together() -> None:
    told = estimate(share_machine=True)
    assert told.wall_seconds == told.machine_seconds == 2100
    assert "about 35.0 min, since all shards share the cores of this machine" in told.text()


def test_without_a_price_it_says_so() -> None:
    text = estimate(price=Price()).text()
    assert "costs are not estimated, since no price is configured (price_per_hour)" in text
    assert "USD" not in text


@pytest.mark.parametrize(("most", "stops"), [(1.04, True), (1.06, False), (None, False)])
def test_what_would_cost_too_much_is_stopped(most: float | None, stops: bool) -> None:
    told = estimate(price=Price(1.80, "CHF", most))
    if not stops:
        told.check()
        return
    with pytest.raises(SporeYoloError, match=r"estimated to cost 1\.05 CHF, above most_cost: 1\.04 CHF"):
        told.check()


def test_what_cannot_be_measured_is_no_free_ticket() -> None:
    told = estimate(measured={}, price=Price(1.80, "CHF", 1000))
    assert told.machine_seconds is None
    assert told.wall_seconds is None
    assert "nothing could be measured" in told.text()
    with pytest.raises(SporeYoloError, match="no slide of those that were tried"):
        told.check()
    estimate(measured={}).check()  # without a limit the run goes on


def test_nothing_left_costs_no_slides() -> None:
    told = estimate(done=100, measured={}, shards=1)
    assert told.machine_seconds == 50
    assert "machine time: 1 shard x 50.00 s" in told.text()


def test_what_it_took_stands_beside_the_estimate() -> None:
    assert estimate().against([600.0, 700.0, 800.0]) == (
        "took 35.0 min of machine time (1.05 CHF) in 3 shards; estimated: 35.0 min of machine time (1.05 CHF)"
    )
    assert "shared this machine" in estimate(share_machine=True).against([600.0, 700.0])
    assert estimate(price=Price()).against([3.0]).startswith("took 3.00 s of machine time in 1 shard; estimated")


def test_slides_of_about_the_median_size_are_measured_first() -> None:
    sizes = {"small": 1, "a": 100, "b": 110, "large": 10_000, "c": 105}
    assert sample_order(sizes)[:3] == ["c", "a", "b"]
    assert sample_order({}) == []
    assert len(sample_order({str(number): number for number in range(50)})) == 6


@pytest.mark.parametrize(("seconds", "text"), [(0.016, "0.02 s"), (59.9, "59.90 s"), (90, "1.5 min"), (9000, "2.5 h")])
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
