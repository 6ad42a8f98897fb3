"""Several processes at one output, and what results say of how they were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.locking import locked
from spore_yolo.inference.backends.torch_runner import TorchRunner
from spore_yolo.inference.contact_sheet import BestScores
from spore_yolo.prediction import running
from spore_yolo.prediction.parts import UnfinishedRun
from spore_yolo.prediction.summary import Failure
from tests.conftest import Drawn, spot_manifest
from tests.prediction.test_parts import part
from tests.prediction.test_point import PROMISED

Run = Callable[..., tuple[int, str, str]]

SLIDES = [f"slide_{number}.png" for number in range(5)]
MARKS = {name: part(name, []).file for name in SLIDES}
OPTIONS = {"--operating-point": None, "--skip-empty": False}


@pytest.fixture
def looker() -> Any:
    """As much of a looker as putting results together needs."""
    manifest = spot_manifest(classes=["rust"])
    pair = SimpleNamespace(manifest=manifest, folder=Path("pair"))
    return SimpleNamespace(pair=pair, point=manifest.operating_point, images=False, best=BestScores())


def kept(run: UnfinishedRun, *names: str) -> None:
    for name in names:
        run.save(part(name, []), None)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[UnfinishedRun]:
    """Another process has begun to write to ``found``, and no slide is done yet."""
    run = UnfinishedRun(tmp_path / "found")
    run.begin(OPTIONS, SLIDES)
    with locked(tmp_path / ".found.lock", wait=False) as held:
        assert held
        yield run


@pytest.mark.parametrize("more", [[], ["--resume"], ["--force"]])
def test_a_second_run_to_one_output_is_refused_at_once(
    spore_yolo: Run, spot_pair: Path, drawn: Drawn, busy: UnfinishedRun, more: list[str]
) -> None:
    before = sorted(busy.folder.rglob("*"))
    code, out, err = spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", *more)
    assert (code, out) == (2, "")
    assert "--output: another process is writing to" in err and "choose another folder" in err
    assert "runs with" not in err  # it did not begin
    assert sorted(busy.folder.rglob("*")) == before


def test_nothing_of_the_lock_is_left(spore_yolo: Run, spot_pair: Path, drawn: Drawn, tmp_path: Path) -> None:
    command = ["predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found"]
    assert [spore_yolo(*command)[0], spore_yolo(*command)[0]] == [0, 2]
    assert not list(tmp_path.glob(".found*"))


def test_whole_results_are_not_replaced_by_the_fragment_of_another_process(looker: Any, tmp_path: Path) -> None:
    """Where no lock reaches, as between machines: the first takes away what the second went on with."""
    first, second = UnfinishedRun(tmp_path / "found"), UnfinishedRun(tmp_path / "found")
    first.begin(OPTIONS, SLIDES)
    kept(first, *SLIDES[:3])
    running.begin(second, OPTIONS, MARKS, resume=True)
    kept(first, *SLIDES[3:])
    running.assemble(looker, first, SLIDES, [])
    kept(second, SLIDES[4])
    with pytest.raises(SporeYoloError, match="found 4 that are both or neither: slide_0.png, .*another process"):
        running.assemble(looker, second, SLIDES, [])
    assert len(pd.read_csv(tmp_path / "found" / "counts.csv")) == 5


def test_a_slide_is_kept_or_failed_but_not_both(looker: Any, tmp_path: Path) -> None:
    run = UnfinishedRun(tmp_path / "found")
    run.begin(OPTIONS, SLIDES)
    kept(run, *SLIDES)
    with pytest.raises(SporeYoloError, match="1 that are both or neither: slide_2.png"):
        running.assemble(looker, run, SLIDES, [Failure(SLIDES[2], "damaged")])
    assert not run.output.exists()


def about(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What ``prediction.json`` says, and the sheet ``about``."""
    sheet = pd.read_excel(folder / "counts.xlsx", sheet_name="about", header=0, dtype=str).astype(str)
    return json.loads((folder / "prediction.json").read_text()), dict(sheet.to_numpy().tolist())


def promising(pair: Path) -> None:
    content = yaml.safe_load((pair / "pair.yaml").read_text())
    content["operating_points"] = {"recall-0.95": PROMISED}
    (pair / "pair.yaml").write_text(yaml.safe_dump(content))


def test_results_say_what_computed_them(spore_yolo: Run, spot_pair: Path, drawn: Drawn, tmp_path: Path) -> None:
    promising(spot_pair)
    command = ["predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", "--device", "cpu"]
    more = ["--batch", "2", "--z", "max-contrast", "--no-resample", "--operating-point", "recall-0.95"]
    code, out, err = spore_yolo(*command, *more)
    assert code == 0, err
    said, sheet = about(tmp_path / "found")
    assert said["options"] == {
        "detector (SHA-256)": said["pair"]["detector_sha256"],
        "classifier (SHA-256)": None,
        "settings in pair.yaml (fingerprint)": said["options"]["settings in pair.yaml (fingerprint)"],
        "operating point": said["operating_point"],
        "--operating-point": "recall-0.95",
        "--mpp": None,
        "--no-resample": True,
        "--z": "max-contrast",
        "--no-images": False,
        "--skip-empty": False,
    }
    (computed,) = said["computed_by"]
    assert {name: computed[name] for name in ("slides", "backend", "precision", "--batch", "device")} == {
        "slides": 10,
        "backend": "torch",
        "precision": "float32",
        "--batch": 2,
        "device": "cpu",
    }
    assert computed["version of torch"] == said["versions"]["torch"]
    for name, value in (("--operating-point", "recall-0.95"), ("--z", "max-contrast"), ("--no-resample", "yes")):
        assert sheet[name] == value
    assert [sheet[name] for name in ("--skip-empty", "--mpp", "backend", "--batch", "device")] == [
        "no",
        "none",
        "torch",
        "2",
        "cpu",
    ]
    assert "promised with confidence 0.9" in out
    assert sheet["operating point recall-0.95"].startswith("a recall of 0.95 of rust, smut")


def test_no_promise_is_told_where_it_does_not_hold(
    spore_yolo: Run, spot_pair: Path, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promising(spot_pair)
    monkeypatch.setattr(TorchRunner, "precision", "int8")
    command = ["predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found"]
    code, out, err = spore_yolo(*command, "--operating-point", "recall-0.95")
    assert code == 0, err
    assert "what recall-0.95 promises does not hold here: it was made in float32, and this was computed in int8" in out
    assert "confidence" not in out
    assert any("does not hold here" in note for note in about(tmp_path / "found")[0]["notes"])
