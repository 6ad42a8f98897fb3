from __future__ import annotations

import pytest
from pydantic import ValidationError

from spore_yolo.pipeline.machines import FlowConfiguration, Machine, Place


class ThreeSteps(FlowConfiguration):
    """A flow of three steps, which can go on without the second."""

    results: Place = "results"

    @classmethod
    def steps(cls) -> tuple[str, ...]:
        return ("start", "work", "end")

    @classmethod
    def catchable(cls) -> tuple[str, ...]:
        return ("work",)


def configured(**content: object) -> ThreeSteps:
    return ThreeSteps.model_validate({"name": "n", **content})


def problems(**content: object) -> str:
    with pytest.raises(ValidationError) as error:
        configured(**content)
    return "\n".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.value.errors())


def test_a_step_says_more_than_default_and_default_more_than_nothing() -> None:
    configuration = configured(machines={"default": {"cpu": 2, "retries": 1}, "work": {"cpu": 6, "memory_gb": 16}})
    assert configuration.machine("work") == Machine(cpu=6, memory_gb=16, retries=1)
    assert configuration.machine("end") == Machine(cpu=2, memory_gb=4, retries=1)
    assert configured().machine("end") == Machine()


def test_a_configuration_that_was_written_out_still_means_the_same() -> None:
    """Metaflow hands it on as plain values, in which defaults must not win over ``default``."""
    configuration = configured(machines={"default": {"retries": 2, "timeout_minutes": 60}, "work": {"cpu": 6}})
    read = ThreeSteps.model_validate(configuration.model_dump(mode="json"))
    assert read == configuration
    assert read.machine("work") == Machine(cpu=6, retries=2, timeout_minutes=60)


def test_catch_holds_for_steps_that_the_flow_can_go_on_without() -> None:
    configuration = configured(machines={"default": {"catch": True}})
    assert [configuration.machine(step).catch for step in ("start", "work", "end")] == [False, True, False]
    assert "expected steps that the flow can go on without, found end, start" in problems(
        machines={name: {"catch": True} for name in ("start", "work", "end")}
    )


def test_a_machine_that_cannot_be_is_refused() -> None:
    found = problems(
        machines={"default": {"cpu": 0, "gpu": -1, "memory_gb": 0, "retries": 5, "minutes_between_retries": 0.5}}
    )
    for name in ("cpu", "gpu", "memory_gb", "retries", "minutes_between_retries"):
        assert f"machines.default.{name}: " in found


def test_a_step_that_there_is_not_is_refused() -> None:
    assert "machines: Value error, expected steps of the flow (start, work, end) or default, found wrok" in problems(
        machines={"wrok": {"cpu": 2}}
    )


def test_a_secret_does_not_belong_into_what_is_deployed() -> None:
    variables = {"WANDB_API_KEY": "hidden-4711", "OMP_NUM_THREADS": "4", "no name": "1"}
    found = problems(machines={"work": {"environment": variables}})
    assert "machines.work.environment.WANDB_API_KEY.[key]: Value error, expected no secrets" in found
    assert "machines.work.environment.no name.[key]: Value error, expected the name of a variable" in found
    assert "OMP_NUM_THREADS" not in found


@pytest.mark.parametrize(
    "name",
    [
        *("WANDB_API_KEY", "WANDB_KEY", "KEY", "AWS_ACCESS_KEY_ID", "SSH_PRIVATE_KEY", "apikey", "AWS_SECRET"),
        *("PGPASS", "PGPASSWORD", "DB_PASS", "MYSQL_PWD", "KEY_PASSPHRASE", "AUTH", "REGISTRY_AUTH", "GITHUB_OAUTH"),
        *("HF_TOKEN", "AWS_SESSION_TOKEN", "TOKEN_OF_MINE", "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_a_variable_that_sounds_like_a_secret_is_refused(name: str) -> None:
    assert "expected no secrets" in problems(machines={"work": {"environment": {name: "hidden-4711"}}})


@pytest.mark.parametrize(
    "name",
    [
        *("TOKENIZERS_PARALLELISM", "GIT_AUTHOR_NAME", "SSH_AUTH_SOCK", "KEYBOARD", "MONKEY", "PASSES", "COMPASS"),
        *("PROXY_BYPASS", "OMP_NUM_THREADS", "MLFLOW_TRACKING_URI", "AWS_DEFAULT_REGION", "PATH"),
    ],
)
def test_a_harmless_variable_is_taken(name: str) -> None:
    assert configured(machines={"work": {"environment": {name: "1"}}})


def test_a_password_in_the_value_of_a_variable_is_refused_and_not_told() -> None:
    variables = {"MLFLOW_TRACKING_URI": "https://me:hidden-4711@mlflow.example.org", "PLACE": "s3://bucket/a:b@c"}
    found = problems(machines={"work": {"environment": variables}})
    assert "machines.work.environment.MLFLOW_TRACKING_URI: Value error, expected no secrets" in found
    assert "PLACE" not in found and "hidden-4711" not in found


def test_conda_wants_its_own_names_of_packages() -> None:
    assert "packages: expected names and versions for manager: conda" in problems(packages={"manager": "conda"})
    assert configured(packages={"manager": "conda", "packages": {"pytorch": "2.5"}}).packages is not None
    assert configured(packages={"manager": "pypi"}).packages is not None


@pytest.mark.parametrize("compute", ["batch", "kubernetes"])
def test_other_machines_must_see_every_place(compute: str) -> None:
    assert "results: Value error, expected an s3:// address" in problems(compute=compute, results="results")
    assert "results: Value error, expected an s3:// address" in problems(compute=compute)  # the default too
    assert configured(compute=compute, results="s3://lake/results").results == "s3://lake/results"
    assert configured(results="anywhere").results == "anywhere"


def test_what_aws_cannot_do_is_said_at_once() -> None:
    found = problems(
        compute="batch",
        results="s3://lake/results",
        machines={"work": {"timeout_minutes": 0.5}},
        schedule={"cron": "0 0 * * *", "timezone": "Europe/Zurich"},
    )
    assert "work.timeout_minutes: AWS Batch takes 1 at least, found 0.5" in found
    assert "schedule: Value error, timezone: AWS Step Functions" in found
    assert "found both" in problems(
        compute="batch", results="s3://lake/results", schedule={"cron": "0 0 1 * 1", "timezone": "UTC"}
    )
    assert configured(schedule={"cron": "0 0 1 * 1", "timezone": "Europe/Zurich"}).schedule is not None


def test_a_name_is_a_folder_s() -> None:
    for name in ("../up", "a b", "", ".hidden", "a/b"):
        assert "expected letters, digits, dots, dashes and underscores" in problems(name=name)
