from __future__ import annotations

from pathlib import Path

import pytest

from spore_yolo.files.errors import InputProblems
from spore_yolo.inference.backends import BACKENDS
from spore_yolo.pipeline.configuration import PREDICTION_FILE, PredictionConfiguration
from spore_yolo.pipeline.reading import read_configuration

ROOT = Path(__file__).parents[2]
LEAST = "name: farm\npair: runs/farm\nslides: slides\noutput: found\n"


def read(text: str) -> PredictionConfiguration:
    return read_configuration(text, PredictionConfiguration, PREDICTION_FILE)


def test_the_example_can_be_read() -> None:
    configuration = read((ROOT / PREDICTION_FILE).read_text())
    assert configuration.machine("predict_shard").catch
    assert configuration.machine("join").memory_gb == 8


def test_four_keys_are_enough() -> None:
    configuration = read(LEAST)
    assert configuration.slides == ["slides"]
    assert not configuration.force
    assert not configuration.fail_on_failed_slides
    assert configuration.images


def test_all_errors_are_told_at_once_with_their_lines() -> None:
    with pytest.raises(InputProblems) as error:
        read(LEAST + "shards: 0\nbackend: abacus\nz: worst\nat: 2\ncolour: red\n")
    told = str(error.value)
    for line, key in ((5, "shards"), (6, "backend"), (7, "z"), (8, "at"), (9, "colour")):
        assert f"predict_pipeline.yaml:{line}: {key}" in told, told


def test_a_limit_needs_a_price() -> None:
    with pytest.raises(InputProblems, match="most_cost: expected price_per_hour, too"):
        read(LEAST + "most_cost: 10\n")
    assert read(LEAST + "most_cost: 10\nprice_per_hour: 0.5\n").most_cost == 10


@pytest.mark.parametrize("name", ["auto", *BACKENDS])
def test_every_backend_is_known(name: str) -> None:
    assert read(LEAST + f"backend: {name}\n").backend == name
