from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spore_yolo.dataset.sample import SAMPLE_TAXA, Field, FieldPlan, Style, draw_field, writing

Run = Callable[..., tuple[int, str, str]]


def small_field(plan: FieldPlan, seed: int) -> Field:
    """A field in place of the planned one that takes no time to draw."""
    counts = {"Cladosporium": 4, "Alternaria": 1}
    rng = np.random.default_rng([seed, plan.number])
    return draw_field(rng, SAMPLE_TAXA, width=320, height=240, style=Style(clutter={}), counts=counts)


def test_the_sample_goes_straight_into_the_import(spore_yolo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "draw_sample_field", small_field)
    code, out, err = spore_yolo("sample", "--output", "my slides", "--fields", "12", "--seed", "3")
    assert code == 0, err
    assert "my slides: 12 fields in 3 groups, 60 spores: 48 Cladosporium, 0 Puccinia" in out
    # What it prints as the next command works as it stands.
    _, following = out.split("next: spore-yolo ")
    code, out, err = spore_yolo(*shlex.split(following))
    assert code == 0, err
    assert "imbalance (commonest to rarest class): 4.0 : 1" in out
    assert "targets: Alternaria" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "--output", id="no folder"),
        pytest.param(["--output", "s", "--fields", "0"], "at least 1", id="no field"),
        pytest.param(["--output", "s", "--seed", "-1"], "at least 0", id="negative seed"),
        pytest.param(["--output", "taken"], "holds other files than a sample", id="a folder of something else"),
    ],
)
def test_wrong_usage(spore_yolo: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    code, _, err = spore_yolo("sample", *arguments)
    assert code == 2
    assert message in err
