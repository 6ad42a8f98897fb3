from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.pipeline.configuration import PredictionConfiguration, TrainingConfiguration
from spore_yolo.pipeline.reading import (
    parse_prediction,
    parse_training,
    parse_training_line,
    read_configuration,
)

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

FIVE_ERRORS = """\
name: night run
data: {sample: {fields: 20}, formt: coco}
machines:
  train_detector: {gpus: 1}
  evaluate: {environment: {API_TOKEN: hidden-4711}}
schedule: {cron: 99 0 * * *}
seeds: [1, 1]
recipes:
  quick: {detector: {epochs: many}}
"""

LINES = {
    1: "name: expected letters, digits, dots, dashes and underscores (found 'night run')",
    2: "data.formt: Extra inputs are not permitted (found 'coco')",
    4: "machines.train_detector.gpus: Extra inputs are not permitted (found 1)",
    5: "machines.evaluate.environment.API_TOKEN",
    6: "schedule.cron: minute: expected 0 to 59, found 99",
    7: "seeds: expected each seed once (found [1, 1])",
    9: "recipes.quick.detector.epochs: Input should be a valid integer",
}


def problems(text: str, form: type = TrainingConfiguration) -> InputProblems:
    with pytest.raises(InputProblems) as error:
        read_configuration(text, form, Path("pipeline.yaml"))
    return error.value


def test_all_errors_of_a_file_are_told_at_once_each_with_its_line() -> None:
    error = problems(FIVE_ERRORS)
    assert [problem.line for problem in error.problems] == sorted(LINES)
    for problem, expected in zip(error.problems, LINES.values(), strict=True):
        assert problem.message.startswith(expected)
    assert str(error).count("pipeline.yaml:") == len(LINES)
    assert "hidden-4711" not in str(error)


def program(script: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a flow's script as a user does."""
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *words],
        cwd=cwd,
        env={**os.environ, "METAFLOW_USER": "tester"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("words", [["run"], ["--config", "config", "other.yaml", "run"], ["show"]])
def test_the_real_program_lists_all_errors_and_ends_with_exit_code_2(words: list[str], tmp_path: Path) -> None:
    name = "other.yaml" if "other.yaml" in words else "pipeline.yaml"
    (tmp_path / name).write_text(FIVE_ERRORS)
    done = program("pipeline.py", *words, cwd=tmp_path)
    assert done.returncode == 2
    for line, message in LINES.items():
        assert f"{name}:{line}: {message}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".metaflow").exists() or not list((tmp_path / ".metaflow").glob("TrainingFlow/[0-9]*"))


def test_a_command_that_goes_on_does_not_look_at_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metaflow takes the configuration that the run began with; the one of the day may be broken."""
    for parse in (parse_training, parse_training_line, parse_prediction):
        monkeypatch.setattr(sys, "argv", ["pipeline.py", "resume"])
        assert parse(FIVE_ERRORS) == {}
        monkeypatch.setattr(sys, "argv", ["pipeline.py", "run"])
        with pytest.raises(SystemExit):
            parse(FIVE_ERRORS)


@pytest.mark.slow  # two processes, each with a task
def test_the_real_program_goes_on_where_the_file_is_wrong_by_now(tmp_path: Path) -> None:
    def start(command: str) -> str:
        done = program("predict_pipeline.py", "--no-pylint", command, cwd=tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout + done.stderr

    (tmp_path / "predict_pipeline.yaml").write_text("name: n\npair: gone\nslides: none\noutput: out\n")
    assert "slides: none: no such file" in start("run")
    (tmp_path / "predict_pipeline.yaml").write_text("nothing: of this\n")
    assert "slides: none: no such file" in start("resume")


@pytest.mark.parametrize(("given", "device"), [("0", "0"), ("'0'", "0"), ("cpu", "cpu"), ("null", None)])
def test_a_gpu_may_be_named_by_its_number(given: str, device: str | None) -> None:
    text = f"name: n\ndata: {{sample: {{}}}}\ndevice: {given}\nrecipes: {{a: {{detector: {{device: {given}}}}}}}\n"
    training = read_configuration(text, TrainingConfiguration, Path("pipeline.yaml"))
    assert training.device == device
    assert training.recipes["a"].detector_options("d", Path("datasets.yaml"), 0).device == device
    text = f"name: n\npair: p\nslides: s\noutput: o\ndevice: {given}\n"
    assert read_configuration(text, PredictionConfiguration, Path("predict_pipeline.yaml")).device == device


def test_a_device_is_no_switch() -> None:
    assert "device: Input should be a valid string (found True)" in str(
        problems("name: n\ndata: {sample: {}}\ndevice: true\n")
    )


def test_catch_holds_where_there_are_other_branches() -> None:
    text = "name: n\ndata: {sample: {}}\nmachines: {default: {catch: true}}\n"
    path = Path("pipeline.yaml")
    assert not read_configuration(text, TrainingConfiguration, path).machine("train_detector").catch
    several = read_configuration(text + "seeds: [0, 1]\n", TrainingConfiguration, path)
    assert [step for step in several.steps() if several.machine(step).catch] == list(several.catchable())


def test_the_shipped_file_lets_other_branches_go_on() -> None:
    text = (ROOT / "pipeline.yaml").read_text().replace("seeds: [0]", "seeds: [0, 1]")
    configuration = read_configuration(text, TrainingConfiguration, Path("pipeline.yaml"))
    assert all(configuration.machine(step).catch for step in configuration.catchable())
    assert not any(configuration.machine(step).retries for step in configuration.steps())


@pytest.mark.parametrize("path", [DEPLOY / "predict-batch.yaml", DEPLOY / "predict-kubernetes.yaml"])
def test_what_measures_has_the_machine_of_what_is_estimated(path: Path) -> None:
    configuration = read_configuration(path.read_text(), PredictionConfiguration, path)
    start, shard = configuration.machine("start"), configuration.machine("predict_shard")
    for need in ("cpu", "gpu", "memory_gb", "disk_gb", "shared_memory_gb", "image", "queue", "environment"):
        assert getattr(start, need) == getattr(shard, need), need


def test_every_local_place_of_a_remote_flow_is_named() -> None:
    text = "name: n\ncompute: batch\ndata: {images: slides, labels: s3://lake/labels}\nruns: s3://lake/runs\n"
    error = problems(text)
    assert {problem.message.split(":")[0] for problem in error.problems} == {"data", "datasets", "imports"}
    for problem in error.problems:
        assert "expected an s3:// address: compute: batch runs steps on machines" in problem.message
    predict = "name: n\ncompute: kubernetes\npair: runs/a/pair\nslides: [s3://lake/a, b]\noutput: out\n"
    assert [(one.line, one.message.split(":")[0]) for one in problems(predict, PredictionConfiguration).problems] == [
        (3, "pair"),
        (4, "slides.1"),
        (5, "output"),
    ]


def test_what_is_no_mapping_or_no_yaml_is_told(tmp_path: Path) -> None:
    assert "the file" in str(problems("- 1\n"))
    with pytest.raises(SporeYoloError, match=r"pipeline\.yaml"):
        read_configuration("a: [1\n", TrainingConfiguration, Path("pipeline.yaml"))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("pipeline-batch", TrainingConfiguration),
        ("pipeline-kubernetes", TrainingConfiguration),
        ("pipeline-airflow", TrainingConfiguration),
        ("predict-batch", PredictionConfiguration),
        ("predict-kubernetes", PredictionConfiguration),
    ],
)
def test_the_examples_are_configurations(name: str, form: type) -> None:
    path = DEPLOY / f"{name}.yaml"
    configuration = read_configuration(path.read_text(), form, path)
    assert configuration.compute in name or name == "pipeline-airflow"
