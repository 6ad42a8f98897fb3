from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.lake import Lake, RemotePath
from spore_yolo.inference.backends.torch_runner import TorchRunner
from spore_yolo.pipeline import prediction_steps as steps
from spore_yolo.pipeline.configuration import PredictionConfiguration
from spore_yolo.pipeline.prediction_card import prediction_card
from spore_yolo.pipeline.prediction_plan import Plan, Results, of_branches
from spore_yolo.pipeline.slides import CannotBring
from spore_yolo.prediction import deciding
from spore_yolo.prediction.slide import SlideLooker
from tests.cli.predicted import results
from tests.conftest import Drawn
from tests.lake_server import Bucket
from tests.prediction.test_point import PROMISED

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def broken(drawn: Drawn) -> Drawn:
    """Ten slides, two of which are damaged."""
    cut = drawn.folder / "slide_4.png"
    cut.write_bytes(cut.read_bytes()[:300])
    (drawn.folder / "slide_8.png").write_bytes(b"")
    return drawn


def configured(**changes: Any) -> PredictionConfiguration:
    known: dict[str, Any] = {
        "name": "spots",
        "pair": "runs/spots/pair",
        "slides": "slides",
        "output": "found",
        "shards": 3,
        "um_per_px": 0.3,
    }
    return PredictionConfiguration(**{**known, **changes})


def run(configuration: PredictionConfiguration, lost: Mapping[int, str] | None = None) -> Results:
    """All steps but the last, without Metaflow."""
    plan = steps.start(configuration)
    lost = lost or {}
    reports = [
        steps.predict_shard(configuration, plan, number) for number in reversed(plan.numbers) if number not in lost
    ]
    return steps.join(configuration, plan, reports, lost)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The slides that were looked at, in their order; those that cannot be opened are not among them."""
    seen: list[str] = []
    original = SlideLooker.look

    def look(self: SlideLooker, name: str, *rest: Any) -> Any:
        found = original(self, name, *rest)
        seen.append(name)
        return found

    monkeypatch.setattr(SlideLooker, "look", look)
    return seen


@pytest.fixture
def expected(spore_yolo: Run, spot_pair: Path, broken: Drawn, tmp_path: Path) -> dict[str, Any]:
    """What ``spore-yolo predict`` writes."""
    command = ["predict", "--pair", "runs/spots/pair", "--source", "slides", "--output", "found", "--mpp", "0.3"]
    code, _, err = spore_yolo(*command)
    assert code == 1, err
    assert "2 of 10 slides failed" in err
    found = results(tmp_path / "found")
    shutil.rmtree(tmp_path / "found")
    shutil.rmtree(tmp_path / "found.unfinished")
    return found


def test_the_steps_give_byte_for_byte_what_predict_gives(
    expected: dict[str, Any], tmp_path: Path, looked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = configured()
    plan = steps.start(configuration)
    told = capsys.readouterr().out
    assert "10 slides, of which 3 are done, in 3 shards" in told
    assert len(looked) == 3
    assert sorted(name for shard in plan.shards for name in shard.slides) == [
        f"slides/slide_{n}.png" for n in range(10)
    ]
    reports = [steps.predict_shard(configuration, plan, number) for number in (2, 3, 1)]
    assert len(looked) == len(set(looked)) == 8  # each once, those that were measured included
    found = steps.join(configuration, plan, reports, {})
    assert results(tmp_path / "found") == expected
    assert len(pd.read_csv(tmp_path / "found" / "counts.csv")) == 8
    assert [failure.slide for failure in found.failures] == ["slides/slide_4.png", "slides/slide_8.png"]
    assert found.slides == 8
    steps.end(configuration, plan, found)
    told = capsys.readouterr().out
    assert "slides/slide_8.png  expected an image" in told
    assert str(Path("found") / "counts.xlsx") in told
    assert "2 of 10 slides failed, see found/failed.csv" in told
    assert "took " in told
    assert len(prediction_card(plan, found)) > 8


def test_once_the_slides_are_mended_they_alone_are_looked_at(
    expected: dict[str, Any], broken: Drawn, tmp_path: Path, looked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = steps.start(configured())
    steps.end(configured(), plan, run(configured()))
    assert (tmp_path / "found.unfinished").exists()
    looked.clear()
    for number in (4, 8):
        shutil.copy(broken.folder / "slide_0.png", broken.folder / f"slide_{number}.png")
    again = run(configured())
    assert sorted(looked) == ["slides/slide_4.png", "slides/slide_8.png"]
    assert again.slides == 10
    assert not again.failures
    capsys.readouterr()
    steps.end(configured(), plan, again)
    assert not (tmp_path / "found.unfinished").exists()
    assert not (tmp_path / "found" / "failed.csv").exists()
    with pytest.raises(UsageError, match="output: .*found holds predictions already.* force: true"):
        steps.start(configured())
    assert run(configured(force=True)).slides == 10


def test_a_shard_that_is_done_again_looks_at_nothing_and_says_the_same(
    spot_pair: Path, broken: Drawn, looked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = steps.start(configured())
    first = [steps.predict_shard(configured(), plan, number) for number in plan.numbers]
    looked.clear()
    second = [steps.predict_shard(configured(), plan, number) for number in plan.numbers]
    assert looked == []
    assert [report.failures for report in first] == [report.failures for report in second]
    steps.join(configured(), plan, first, {})
    whole = results(tmp_path / "found")
    steps.join(configured(), plan, second, {})  # so is a join
    assert results(tmp_path / "found") == whole


def test_a_shard_that_failed_for_good_loses_its_slides_alone(
    spot_pair: Path, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configuration = configured()
    plan = steps.start(configuration)
    branches: list[Any] = [
        SimpleNamespace(report=steps.predict_shard(configuration, plan, 1)),
        SimpleNamespace(failure=SimpleNamespace(exception="the machine\nwas taken away")),
        SimpleNamespace(report=steps.predict_shard(configuration, plan, 3), failure=None),
    ]
    reports, lost = of_branches(plan, branches)
    assert [report.number for report in reports] == [1, 3]
    assert lost == {2: "the machine was taken away"}
    measured = set(plan.estimate.measured)
    found = steps.join(configuration, plan, reports, lost)
    assert {failure.slide for failure in found.failures} == set(plan.shards[1].slides) - measured
    assert {failure.reason for failure in found.failures} == {"its shard, 2 of 3, failed: the machine was taken away"}
    assert found.slides == 10 - len(found.failures)


def test_a_slide_that_nobody_looked_at_is_an_error(
    spot_pair: Path, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = steps.start(configured())
    reports = [steps.predict_shard(configured(), plan, number) for number in (1, 2)]
    with pytest.raises(SporeYoloError, match="neither looked at nor failed"):
        steps.join(configured(), plan, reports, {})
    assert not (tmp_path / "found").exists()
    twice = Plan(plan.output, [*plan.shards, plan.shards[0]], plan.estimate)
    with pytest.raises(SporeYoloError, match="in several shards"):
        steps.join(configured(), twice, reports, {})


def test_what_would_cost_too_much_stops_before_any_shard(
    spot_pair: Path, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SporeYoloError, match=r"above most_cost: 0\.01 EUR; raise it"):
        steps.start(configured(price_per_hour=1e6, currency="EUR", most_cost=0.01))
    measured = list(looked)
    assert steps.start(configured(price_per_hour=1e6, currency="EUR", most_cost=1e7)).estimate.done == 6
    assert len(looked) == len(set(looked)) == 2 * len(measured)  # the first three were kept


def test_a_run_of_another_kind_is_not_gone_on_with(
    spot_pair: Path, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = steps.start(configured())
    with pytest.raises(UsageError, match=r"made in another way:\n  at then|um_per_px: 0\.3 then, 0\.4 now"):
        steps.start(configured(um_per_px=0.4))
    manifest = spot_pair / "pair.yaml"
    manifest.write_text(manifest.read_text().replace("detector: 0.5", "detector: 0.6"))
    with pytest.raises(
        SporeYoloError, match=r"the pair changed since the flow began:\n  operating point: .*0\.5.*0\.6"
    ):
        steps.predict_shard(configured(), plan, 1)


def test_machines_may_differ_and_results_say_which_looked(
    spot_pair: Path, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = spot_pair / "pair.yaml"
    content = yaml.safe_load(manifest.read_text())
    content["operating_points"] = {"recall-0.95": PROMISED}
    manifest.write_text(yaml.safe_dump(content))
    configuration = configured(operating_point="recall-0.95", batch_size=2)
    plan = steps.start(configuration)
    reports = [steps.predict_shard(configuration, plan, number) for number in plan.numbers[:-1]]
    with monkeypatch.context() as patch:
        patch.setattr(TorchRunner, "backend", "openvino-int8")
        patch.setattr(TorchRunner, "precision", "int8")
        patch.setattr(deciding, "package_versions", lambda: {"numpy": "0.1"})
        reports.append(steps.predict_shard(configuration, plan, plan.numbers[-1]))
    found = steps.join(configuration, plan, reports, {})
    said = json.loads((tmp_path / "found" / "prediction.json").read_text())
    here, there = sorted(said["computed_by"], key=lambda one: one["backend"], reverse=True)
    assert (here["backend"], there["backend"]) == ("torch", "openvino-int8")
    assert (here["precision"], there["precision"]) == ("float32", "int8")
    assert here["slides"] + there["slides"] == 10
    assert there["version of numpy"] == "0.1" != here["version of numpy"]
    assert there["--batch"] == 2 and said["options"]["--operating-point"] == "recall-0.95"
    steps.end(configuration, plan, found)
    told = capsys.readouterr().out
    assert "looked at with several backends (openvino-int8, torch), whose scores differ a little" in told
    assert "what recall-0.95 promises does not hold here: it was made in float32, and this was computed in int8" in told
    assert "promised with" not in told


def test_failed_slides_let_the_flow_fail_where_that_is_wished(
    spot_pair: Path, broken: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configuration = configured(fail_on_failed_slides=True)
    plan = steps.start(configuration)
    reports = [steps.predict_shard(configuration, plan, number) for number in plan.numbers]
    found = steps.join(configuration, plan, reports, {})
    with pytest.raises(SporeYoloError, match="2 of 10 slides failed, see found/failed.csv"):
        steps.end(configuration, plan, found)
    assert len(pd.read_csv(tmp_path / "found" / "failed.csv")) == 2


def test_the_output_may_bear_the_date(
    spot_pair: Path, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = steps.start(configured(output="found/{date}"))
    assert pd.Timestamp(plan.output.removeprefix("found/")) <= pd.Timestamp.now(tz="UTC").tz_localize(None)
    assert (tmp_path / f"{plan.output}.unfinished" / "state.json").exists()


def in_the_lake(bucket: Bucket, drawn: Drawn, pair: Path) -> dict[str, Any]:
    for path in drawn.folder.iterdir():
        bucket.put(f"scans/{path.name}", path.read_bytes())
    Lake().push(pair, RemotePath.parse(f"{bucket.address}/pair"))
    return {
        "slides": f"{bucket.address}/scans",
        "pair": f"{bucket.address}/pair",
        "output": f"{bucket.address}/results/found",
    }


@pytest.mark.slow
def test_the_same_from_and_to_the_data_lake(
    s3: Bucket, spot_pair: Path, broken: Drawn, spore_yolo: Run, tmp_path: Path, looked: list[str]
) -> None:
    places = in_the_lake(s3, broken, spot_pair)
    configuration = configured(**places)
    plan = steps.start(configuration)
    looked_at_first = set(looked)
    reports = [steps.predict_shard(configuration, plan, number) for number in plan.numbers]
    assert len(looked) == len(set(looked)) == 8
    assert looked_at_first <= set(looked)
    assert all(name.startswith(f"{s3.address}/scans/slide_") for name in looked)
    again = steps.predict_shard(configuration, plan, 1)
    assert not again.looked
    assert len(looked) == 8
    found = steps.join(configuration, plan, reports, {})
    assert places["output"] in found.text
    assert str(tmp_path) not in found.text
    here = Lake().pull(RemotePath.parse(places["output"]), tmp_path / "pulled")
    shutil.rmtree(here / ".spore-yolo", ignore_errors=True)
    steps.end(configuration, plan, found)
    assert s3.etags("results/found.unfinished/parts")  # two slides may be mended
    command = ["predict", "--pair", places["pair"], "--source", places["slides"], "--output", tmp_path / "one"]
    code, _, err = spore_yolo(*command, "--mpp", "0.3")
    assert code == 1, err
    assert results(here) == results(tmp_path / "one")
    for number in (4, 8):
        s3.put(f"scans/slide_{number}.png", (broken.folder / "slide_0.png").read_bytes())
    looked.clear()
    whole = run(configuration)
    assert sorted(Path(name).name for name in looked) == ["slide_4.png", "slide_8.png"]
    steps.end(configuration, plan, whole)
    assert not s3.etags("results/found.unfinished")
    with pytest.raises(UsageError, match=f"output: {places['output']} holds predictions already"):
        steps.start(configuration)


@pytest.mark.slow
def test_a_server_that_goes_away_fails_the_shard_and_not_its_slides(
    s3: Bucket, spot_pair: Path, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = configured(**in_the_lake(s3, drawn, spot_pair))
    plan = steps.start(configuration)

    def gone(self: Lake, remote: RemotePath, *rest: Any, **options: Any) -> Path:
        if remote.name.startswith("slide_"):
            raise SporeYoloError(f"{remote}: S3 cannot be reached")
        return original(self, remote, *rest, **options)

    original = Lake.pull
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "pull", gone)
        with pytest.raises(SporeYoloError, match="S3 cannot be reached") as error:
            steps.predict_shard(configuration, plan, 1)
    assert not isinstance(error.value, CannotBring)
    assert not steps.predict_shard(configuration, plan, 1).failures


def test_what_others_put_into_the_lake_is_not_replaced(
    s3: Bucket, spot_pair: Path, drawn: Drawn, tmp_path: Path
) -> None:
    places = in_the_lake(s3, drawn, spot_pair)
    with pytest.raises(UsageError, match="output: .*/scans exists and holds other things than predictions"):
        steps.start(configured(**places | {"output": places["slides"]}, force=True))
    s3.put("results/found.unfinished/thesis.tex", b"mine")
    with pytest.raises(UsageError, match=r"results/found\.unfinished holds other things than an unfinished run"):
        steps.start(configured(**places, force=True))
    assert s3.get("results/found.unfinished/thesis.tex") == b"mine"


@pytest.mark.slow
def test_a_damaged_part_is_looked_at_anew(
    s3: Bucket, spot_pair: Path, drawn: Drawn, tmp_path: Path, looked: list[str]
) -> None:
    configuration = configured(**in_the_lake(s3, drawn, spot_pair))
    run(configuration)
    key = next(key for key in s3.etags("results/found.unfinished/parts") if key.endswith(".npz"))
    s3.put(key, s3.get(key)[:-200])
    for kept in s3.etags("results/found/"):
        s3.client.delete_object(Bucket=s3.name, Key=kept)
    looked.clear()
    assert run(configuration).slides == 10
    assert len(looked) == 1
