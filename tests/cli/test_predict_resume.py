from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from spore_yolo.prediction import parts as prediction_parts
from spore_yolo.prediction import slide as prediction_slide
from tests.cli.predicted import results
from tests.conftest import draw_slides

Run = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]


class Stop(BaseException):
    """Stands for whatever ends a process without a word."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the next run stop when it has looked at so many slides, and all later ones go through."""

    def after(count: int) -> None:
        original, seen = prediction_slide.SlideLooker.look, [0]

        def look(self: Any, *arguments: Any) -> Any:
            seen[0] += 1
            if seen[0] == count + 1:
                monkeypatch.setattr(prediction_slide.SlideLooker, "look", original)
                raise Stop
            return original(self, *arguments)

        monkeypatch.setattr(prediction_slide.SlideLooker, "look", look)

    return after


def stopped(run: Run, *command: Any) -> None:
    with pytest.raises(Stop):
        run(*command)


@pytest.fixture
def command(spot_pair: Path, drawn: Any) -> list[Any]:
    return ["predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found", "--mpp", "0.3"]


def test_a_resumed_run_gives_what_one_without_a_stop_gives(
    spore_yolo: Run, command: list[Any], tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    assert spore_yolo(*command)[0] == 0
    whole = results(tmp_path / "found")
    assert len(whole) == 10 + 10 + 1 + 7
    shutil.rmtree(tmp_path / "found")
    stop_after(4)
    stopped(spore_yolo, *command)
    assert not (tmp_path / "found").exists()
    for count in (0, 3):  # and again, right at the start and further on
        stop_after(count)
        stopped(spore_yolo, *command, "--resume")
    code, _, err = spore_yolo(*command, "--resume")
    assert code == 0, err
    assert "10/10 slides" in err
    assert results(tmp_path / "found") == whole
    assert not (tmp_path / "found.unfinished").exists()


def test_no_slide_is_looked_at_twice(
    spore_yolo: Run, command: list[Any], stop_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(4)
    stopped(spore_yolo, *command)
    looked: list[str] = []
    original = prediction_slide.SlideLooker.look
    monkeypatch.setattr(
        prediction_slide.SlideLooker,
        "look",
        lambda self, name, *rest: (looked.append(Path(name).stem), original(self, name, *rest))[1],
    )
    assert spore_yolo(*command, "--resume")[0] == 0
    assert looked == [f"slide_{number}" for number in range(4, 10)]


@pytest.mark.parametrize("rename", [2, 3, 4, 7])
def test_a_fault_while_a_part_is_written_costs_that_slide_alone(
    spore_yolo: Run, command: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rename: int
) -> None:
    """Everything gets into its place by a rename: the first is the state, then two a slide."""
    assert spore_yolo(*command)[0] == 0
    whole = results(tmp_path / "found")
    original, seen = os.replace, [0]

    def replace(*arguments: Any) -> None:
        seen[0] += 1
        if seen[0] == rename:
            raise OSError(28, "No space left on device", str(arguments[1]))
        original(*arguments)

    monkeypatch.setattr(os, "replace", replace)
    code, _, err = spore_yolo(*command, "--force")
    assert code == 1 and "the disk is full" in err
    assert results(tmp_path / "found") == whole  # the earlier results
    done = (rename - 2) // 2
    assert (f"note: {done} of 10 slides are done and kept" in err) == (done > 0)
    assert (tmp_path / "found.unfinished").exists() == (done > 0)
    assert spore_yolo(*command, "--force", "--resume")[0] == 0
    assert results(tmp_path / "found") == whole


def test_a_fault_in_the_middle_of_a_part_leaves_nothing_of_it(
    spore_yolo: Run, command: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    original, seen = np.savez, [0]

    def savez(stream: Any, **arrays: Any) -> None:
        seen[0] += 1
        if seen[0] == 3:
            stream.write(b"PK half of it")
            raise Stop
        original(stream, **arrays)

    monkeypatch.setattr(prediction_parts.np, "savez", savez)
    stopped(spore_yolo, *command)
    parts = sorted(path.suffix for path in (tmp_path / "found.unfinished" / "parts").iterdir())
    assert parts == [".marked"] * 3 + [".npz"] * 2
    assert spore_yolo(*command, "--resume")[0] == 0
    assert len(pd.read_csv(tmp_path / "found" / "predictions.csv")) == 81


def test_a_damaged_part_is_looked_at_anew(
    spore_yolo: Run, command: list[Any], tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    assert spore_yolo(*command)[0] == 0
    whole = results(tmp_path / "found")
    stop_after(3)
    stopped(spore_yolo, *command, "--force")
    part = next((tmp_path / "found.unfinished" / "parts").glob("*.npz"))
    part.write_bytes(part.read_bytes()[:-200])
    assert spore_yolo(*command, "--resume")[0] == 0
    assert results(tmp_path / "found") == whole


@pytest.mark.parametrize("rename", [22, 23])
def test_a_fault_when_the_results_take_their_place_loses_nothing(
    spore_yolo: Run, command: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rename: int
) -> None:
    assert spore_yolo(*command)[0] == 0
    whole = results(tmp_path / "found")
    original, seen = os.replace, [0]

    def replace(source: Any, target: Any) -> None:
        if "found.unfinished/parts" not in str(target) and "found.unfinished/results" not in str(target):
            seen[0] += 1
            if seen[0] == rename - 20:
                raise OSError(5, "Input/output error", str(target))
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    code, _, err = spore_yolo(*command, "--force")
    assert code == 1 and "Input/output error" in err and "10 of 10 slides are done and kept" in err
    assert results(tmp_path / "found") == whole
    assert spore_yolo(*command, "--resume")[0] == 0
    assert results(tmp_path / "found") == whole
    assert not (tmp_path / "found.unfinished").exists()


def test_an_unfinished_run_is_not_passed_over(
    spore_yolo: Run, command: list[Any], tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    stop_after(2)
    stopped(spore_yolo, *command)
    code, _, err = spore_yolo(*command)
    assert code == 2
    assert "found.unfinished holds a run that is not finished; add --resume to go on with it, or --force" in err
    assert spore_yolo(*command, "--force")[0] == 0
    assert not (tmp_path / "found.unfinished").exists()


def test_ctrl_c_says_how_to_go_on(
    spore_yolo: Run, command: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = prediction_slide.marked_jpeg, [0]

    def marked(*arguments: Any) -> bytes:
        seen[0] += 1
        if seen[0] == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(prediction_slide, "marked_jpeg", marked)
    code, _, err = spore_yolo(*command)
    assert code == 1
    assert "interrupted; 3 of 10 slides are done and kept; go on with the same command and --resume" in err
    assert not (tmp_path / "found").exists()


def test_resume_where_nothing_was_begun_begins(spore_yolo: Run, command: list[Any], tmp_path: Path) -> None:
    assert spore_yolo(*command, "--resume")[0] == 0
    assert len(pd.read_csv(tmp_path / "found" / "predictions.csv")) == 81
    code, out, _ = spore_yolo(*command, "--resume")
    assert (code, out) == (0, "nothing to resume: found is finished\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(["--mpp", "0.4"], "--mpp: 0.3 then, 0.4 now", id="scale"),
        pytest.param(["--at", "0.7"], "operating point: {'detector': 0.5, 'class': {}} then", id="threshold"),
        pytest.param(["--no-images"], "--no-images: False then, True now", id="images"),
        pytest.param(["--no-resample"], "--no-resample: False then, True now", id="resampling"),
        pytest.param(["--z", "3"], "--z: best then, 3 now", id="focal plane"),
        pytest.param(["--batch", "3"], "--batch: 2 then, 3 now", id="batch"),
    ],
)
def test_resume_with_other_options_is_refused(
    spore_yolo: Run,
    command: list[Any],
    stop_after: Callable[[int], None],
    tmp_path: Path,
    options: list[str],
    told: str,
) -> None:
    stop_after(2)
    stopped(spore_yolo, *command)
    before = sorted((tmp_path / "found.unfinished").rglob("*"))
    code, _, err = spore_yolo(*command, *options, "--resume")
    assert code == 2
    assert told in err
    assert "start over with --force" in err
    assert err.count(" now\n") == 1
    assert sorted((tmp_path / "found.unfinished").rglob("*")) == before


def test_resume_with_another_pair_is_refused(
    spore_yolo: Run, command: list[Any], spot_pair: Path, stop_after: Callable[[int], None]
) -> None:
    stop_after(2)
    stopped(spore_yolo, *command)
    content = yaml.safe_load((spot_pair / "pair.yaml").read_text())
    content["detector"]["nms_iou"] = 0.5
    (spot_pair / "pair.yaml").write_text(yaml.safe_dump(content))
    code, _, err = spore_yolo(*command, "--resume")
    assert code == 2
    assert "settings in pair.yaml (fingerprint): " in err


def test_resume_with_a_slide_that_changed_or_is_gone_is_refused(
    spore_yolo: Run, command: list[Any], drawn: Any, stop_after: Callable[[int], None]
) -> None:
    stop_after(2)
    stopped(spore_yolo, *command)
    slide = drawn.folder / "slide_0.png"
    shutil.copy(drawn.folder / "slide_5.png", slide)
    code, _, err = spore_yolo(*command, "--resume")
    assert code == 2
    assert "slide_0.png changed since the run in" in err and "slide_1" not in err
    slide.unlink()
    code, _, err = spore_yolo(*command, "--resume")
    assert code == 2
    assert "slide_0.png belonged to the run in" in err and "cannot be found in --source" in err


def test_new_slides_are_added_on_resume(
    spore_yolo: Run, command: list[Any], drawn: Any, tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    stop_after(5)
    stopped(spore_yolo, *command)
    shutil.copy(drawn.folder / "slide_0.png", drawn.folder / "slide_00.png")
    code, _, err = spore_yolo(*command, "--resume")
    assert code == 0, err
    assert "note: 1 slides are new" in err
    resumed = results(tmp_path / "found")
    assert spore_yolo(*command, "--force")[0] == 0
    assert results(tmp_path / "found") == resumed
    assert len(pd.read_csv(tmp_path / "found" / "counts.csv")) == 11


def test_only_an_unfinished_run_is_ever_removed(spore_yolo: Run, command: list[Any], tmp_path: Path) -> None:
    (tmp_path / "found.unfinished").mkdir()
    (tmp_path / "found.unfinished" / "thesis.txt").write_text("dear")
    code, _, err = spore_yolo(*command, "--force")
    assert code == 2
    assert "holds other things than an unfinished run" in err
    assert (tmp_path / "found.unfinished" / "thesis.txt").exists()


def program(kill_at: int, *arguments: Any, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.cli.spot_program", str(kill_at), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_killed_at_any_moment_in_the_middle_of_twenty_slides(spot_pair: Path, tmp_path: Path) -> None:
    """At a rename of a marked slide, at one of a part, and by the clock."""
    slides = draw_slides(tmp_path / "twenty", 20)
    arguments = ["predict", "--pair", spot_pair, "--source", slides.folder, "--mpp", "0.3", "--output"]
    whole = program(0, *arguments, "whole", cwd=tmp_path)
    assert whole.communicate(timeout=300) and whole.returncode == 0
    expected = results(tmp_path / "whole")
    for moment in (17, 42, "parts"):
        output = f"killed_{moment}"
        kept = tmp_path / f"{output}.unfinished"
        process = program(moment if isinstance(moment, int) else 0, *arguments, output, cwd=tmp_path)
        if not isinstance(moment, int):
            end = time.monotonic() + 60
            while not (kept / moment).exists() and time.monotonic() < end:
                time.sleep(0.001)
            time.sleep(0.3)
            process.kill()
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, moment
        assert not (tmp_path / output).exists()
        again = program(0, *arguments, output, "--resume", cwd=tmp_path)
        _, err = again.communicate(timeout=300)
        assert again.returncode == 0, (moment, err)
        assert results(tmp_path / output) == expected, moment
        assert not kept.exists()
        assert not list(tmp_path.glob(f".{output}*"))


def test_the_state_says_what_decides(
    spore_yolo: Run, command: list[Any], tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    stop_after(1)
    stopped(spore_yolo, *command)
    state = json.loads((tmp_path / "found.unfinished" / "state.json").read_text())
    assert len(state["slides"]) == 10
    assert {"detector (SHA-256)", "operating point", "backend", "device", "version of torch"} <= set(state["options"])
