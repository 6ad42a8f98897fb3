from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.cli import demo
from spore_yolo.cli.main import build_parser


def test_the_steps_are_commands_of_the_program() -> None:
    parser = build_parser()
    names = []
    for words in demo.steps(Path("demo"), 60, 4.0, 0):
        parsed = parser.parse_args(words)
        assert callable(parsed.run)
        names.append(words[0])
    assert names == ["sample", "import", "train-detector", "train-classifier", "evaluate"]


def test_a_folder_with_other_things_is_left_alone(spore_yolo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("years of work")
    code, _, error = spore_yolo("demo", "--force")
    assert code == 2
    assert "holds other things than a demo" in error
    assert (tmp_path / "demo" / "thesis.txt").read_text() == "years of work"


def test_an_earlier_demo_is_replaced_only_when_told(spore_yolo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "demo" / "slides").mkdir(parents=True)
    (tmp_path / "demo" / "slides" / "truth.csv").write_text("")
    code, _, error = spore_yolo("demo")
    assert code == 2
    assert "--force" in error
    demo._clear(tmp_path / "demo", force=True)
    assert not (tmp_path / "demo").exists()


@pytest.fixture(scope="module")
def drawn_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn once; drawing takes most of a second a field."""
    from spore_yolo.dataset.sample import write_sample

    folder = tmp_path_factory.mktemp("sample") / "slides"
    write_sample(folder, fields=12, quiet=True)
    return folder


@pytest.mark.parametrize(
    ("recall", "precision", "expected"),
    [
        pytest.param(0.71, 0.72, 0, id="good enough"),
        pytest.param(0.69, 0.99, 1, id="misses too many"),
        pytest.param(0.99, 0.69, 1, id="too many false alarms"),
        pytest.param(None, None, 1, id="finds nothing"),
    ],
)
def test_the_result_decides_on_the_exit_code(
    spore_yolo: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drawn_sample: Path,
    recall: float | None,
    precision: float | None,
    expected: int,
) -> None:
    """Only the import is done; what the other steps would write is given."""
    real = demo.steps

    def short(folder: Path, fields: int, minutes: float, seed: int) -> list[list[str]]:
        evaluation = folder / "runs" / demo.NAME / "evaluation" / f"{demo.NAME}-test"
        evaluation.mkdir(parents=True)
        figures = {"overall": {"recall": {"value": recall}, "precision": {"value": precision}}}
        (evaluation / "metrics.json").write_text(json.dumps(figures))
        shutil.copytree(drawn_sample, folder / "slides")
        return real(folder, fields, minutes, seed)[1:2]

    monkeypatch.setattr(demo, "steps", short)
    monkeypatch.setattr("spore_yolo.cli.predict.run", lambda arguments: None)
    code, output, error = spore_yolo("demo", "--fields", "12")
    assert code == expected
    assert "$ spore-yolo import sample" in output
    assert "browse:" in output
    assert ("should reach a recall and a precision of 0.7" in error) is (expected == 1)
