"""The prediction flow with real processes: 60 slides in 6 shards, 2 of them broken, killed and resumed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from spore_yolo.files.lake import Lake, RemotePath
from tests.cli.predicted import results
from tests.conftest import draw_slides, spot_manifest
from tests.lake_server import Bucket

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FLOW = ROOT / "tests" / "pipeline" / "spot_prediction_flow.py"
BROKEN = ("slide_7.png", "slide_33.png")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory, untrained_checkpoint: Path) -> Path:
    """A folder with 60 slides, two of which are broken, and a pair."""
    from spore_yolo.inference.pair import write_pair

    folder = tmp_path_factory.mktemp("material")
    write_pair(folder / "runs" / "spots" / "pair", spot_manifest(), untrained_checkpoint)
    slides = draw_slides(folder, 60, (160, 120), 4).folder
    cut = slides / BROKEN[0]
    cut.write_bytes(cut.read_bytes()[:500])
    (slides / BROKEN[1]).write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def expected(material: Path) -> dict[str, Any]:
    """What one ``spore-yolo predict`` over these slides writes."""
    return predicted(material)


def predicted(folder: Path, pair: str = "runs/spots/pair", slides: str = "slides") -> dict[str, Any]:
    command = ["predict", "--pair", pair, "--source", slides, "--output", "one", "--mpp", "0.3"]
    program = [sys.executable, "-m", "tests.cli.spot_program", "0", *command]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, cwd=folder, env=here, capture_output=True, text=True, timeout=900)
    assert "2 of 60 slides failed" in done.stderr, done.stderr
    return results(folder / "one")


@pytest.fixture
def place(material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that, with a configuration."""
    shutil.copytree(material / "slides", tmp_path / "slides")
    shutil.copytree(material / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAFLOW_USER", "tester")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "kills").mkdir()
    monkeypatch.setenv("SPOT_KILLS", str(tmp_path / "kills"))
    configure(tmp_path)
    return tmp_path


def configure(place: Path, **changes: Any) -> None:
    known = {
        "name": "spots",
        "pair": "runs/spots/pair",
        "slides": "slides",
        "output": "found",
        "shards": 6,
        "um_per_px": 0.3,
        "price_per_hour": 0.5,
    }
    (place / "predict_pipeline.yaml").write_text(yaml.safe_dump({**known, **changes}))


def flow(*arguments: str) -> tuple[int, str]:
    """Runs the flow; gives the exit code and what it printed."""
    done = subprocess.run([sys.executable, FLOW, *arguments], capture_output=True, text=True, timeout=900)
    return done.returncode, done.stdout + done.stderr


def looked(place: Path) -> Counter[str]:
    """How often each slide was looked at, over all tasks of all runs."""
    return Counter((place / "kills" / "log").read_text().splitlines())


def assert_whole(folder: Path, names: str = "slides") -> None:
    """58 results, each once, and 2 failures."""
    counts, failed = pd.read_csv(folder / "counts.csv"), pd.read_csv(folder / "failed.csv")
    assert len(counts) == 58
    assert counts["slide"].is_unique
    assert set(failed["slide"]) == {f"{names}/{name}" for name in BROKEN}
    assert set(counts["slide"]) | set(failed["slide"]) == {f"{names}/slide_{number}.png" for number in range(60)}


def test_sixty_slides_of_which_two_are_broken(place: Path, expected: dict[str, Any]) -> None:
    code, told = flow("run", "--max-workers", "2")
    assert code == 0, told
    assert "60 slides, of which 3 are done, in 6 shards" in told
    assert told.index("estimate:") < told.index("predict_shard/")
    assert "0.5 USD an hour" in told
    assert "2 of 60 slides failed, see found/failed.csv" in told
    assert_whole(place / "found")
    assert set(looked(place).values()) == {1}
    assert len(looked(place)) == 58
    assert results(place / "found") == expected
    code, card = flow("card", "get", "join")
    assert code == 0, card


def test_a_task_killed_half_way_and_resumed(place: Path, expected: dict[str, Any]) -> None:
    (place / "kills" / "save-30").touch()
    code, told = flow("run", "--max-workers", "2")
    assert code != 0
    assert not (place / "found").exists()
    done_before = set(looked(place))
    assert 30 <= len(done_before) < 58
    code, told = flow("resume", "--max-workers", "2")
    assert code == 0, told
    assert_whole(place / "found")
    assert set(looked(place).values()) == {1}  # what was done before was not looked at again
    assert results(place / "found") == expected


def test_everything_killed_half_way_and_resumed(place: Path, expected: dict[str, Any]) -> None:
    process = subprocess.Popen(
        [sys.executable, FLOW, "run", "--max-workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 300
    log = place / "kills" / "log"
    while time.monotonic() < end and not (log.exists() and len(log.read_text().splitlines()) >= 25):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert not (place / "found").exists()
    assert 25 <= len(looked(place)) < 58
    code, told = flow("resume", "--max-workers", "2")
    assert code == 0, told
    assert_whole(place / "found")
    # A slide that was kept at the very moment may be missing from the log; none was looked at twice.
    assert set(looked(place).values()) == {1}
    assert results(place / "found") == expected


def test_a_shard_that_fails_for_good_is_caught_and_its_slides_are_told(place: Path, expected: dict[str, Any]) -> None:
    configure(place, machines={"predict_shard": {"catch": True}})
    (place / "kills" / "save-5").touch()  # three are measured: a shard has begun by then, and none is done
    code, told = flow("run", "--max-workers", "2")
    assert code == 0, told
    failed = pd.read_csv(place / "found" / "failed.csv")
    counts = pd.read_csv(place / "found" / "counts.csv")
    assert len(failed) + len(counts) == 60
    of_shard = failed[failed["reason"].str.contains("its shard")]
    assert 0 < len(of_shard) <= 11
    assert set(looked(place)) == set(counts["slide"])
    code, told = flow("run", "--max-workers", "2")  # and looks at these alone
    assert code == 0, told
    assert set(looked(place).values()) == {1}
    assert results(place / "found") == expected


def test_a_wrong_configuration_is_told_in_short(place: Path) -> None:
    configure(place, output="slides")
    code, told = flow("run")
    assert code == 1
    assert "exists and holds other things than predictions" in told
    assert "Traceback" not in told
    configure(place, shards=0, backend="abacus", most_cost=1, price_per_hour=None, colour="red")
    code, told = flow("run")
    assert code == 2
    for key in ("shards", "backend", "colour"):
        assert f"{key}: " in told, told
    assert "Traceback" not in told


def test_slides_and_results_in_the_data_lake(place: Path, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (place / "slides").iterdir():
        s3.put(f"scans/{path.name}", path.read_bytes())
    Lake().push(place / "runs" / "spots" / "pair", RemotePath.parse(f"{s3.address}/pair"))
    monkeypatch.setenv("METAFLOW_DATASTORE_SYSROOT_S3", f"{s3.address}/metaflow")
    output = f"{s3.address}/results/found"
    configure(place, pair=f"{s3.address}/pair", slides=f"{s3.address}/scans", output=output)
    (place / "kills" / "save-30").touch()
    options = ("--datastore", "s3")
    code, told = flow(*options, "run", "--max-workers", "2")
    assert code != 0
    assert s3.etags("results/found.unfinished/parts")
    assert not s3.etags("results/found/")
    code, told = flow(*options, "resume", "--max-workers", "2")
    assert code == 0, told
    # The one that was kept when its task was killed had been pushed by then: it is not looked at again either.
    assert set(looked(place).values()) == {1}
    here = Lake().pull(RemotePath.parse(output), place / "pulled")
    shutil.rmtree(here / ".spore-yolo", ignore_errors=True)
    assert_whole(here, f"{s3.address}/scans")
    assert results(here) == predicted(place, f"{s3.address}/pair", f"{s3.address}/scans")
    assert f"{output}/failed.csv" in told
    assert str(place) not in told.split("predict_shard/")[-1]
