from __future__ import annotations

import pytest

from spore_yolo.pipeline.configuration import PredictionConfiguration
from spore_yolo.pipeline.engines import engine_of, problems_of_command, resumes

PLACES = {"pair": "s3://lake/pair", "slides": "s3://lake/slides", "output": "s3://lake/out"}


def configured(compute: str, **content: object) -> PredictionConfiguration:
    return PredictionConfiguration.model_validate({"name": "n", "compute": compute, **PLACES, **content})


@pytest.mark.parametrize(
    ("words", "engine"),
    [
        ("flow.py argo-workflows create --only-json", "argo-workflows"),
        ("flow.py --datastore s3 step-functions create", "step-functions"),
        ("flow.py airflow create dag.py", "airflow"),
        ("flow.py argo-workflows trigger", None),
        ("flow.py run", None),
    ],
)
def test_the_engine_of_a_command(words: str, engine: str | None) -> None:
    assert engine_of(words.split()) == engine


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        ("local", "flow.py run"),
        ("batch", "flow.py run"),
        ("batch", "flow.py step-functions create"),
        ("kubernetes", "flow.py resume"),
        ("kubernetes", "flow.py argo-workflows create"),
        ("kubernetes", "flow.py airflow create dag.py"),
    ],
)
def test_what_fits_is_let_through(compute: str, words: str) -> None:
    assert problems_of_command(configured(compute), words.split(), "s3") == []


@pytest.mark.parametrize(
    ("compute", "engine"),
    [
        ("local", "step-functions"),
        ("kubernetes", "step-functions"),
        ("local", "argo-workflows"),
        ("batch", "argo-workflows"),
        ("batch", "airflow"),
    ],
)
def test_steps_must_run_where_the_engine_runs_them(compute: str, engine: str) -> None:
    [problem] = problems_of_command(configured(compute), ["flow.py", engine, "create"], "s3")
    assert f"{engine} create: expected compute:" in problem
    assert problem.endswith(f"found compute: {compute}")


def test_other_machines_need_a_datastore_that_they_see(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = configured("batch")
    [problem] = problems_of_command(batch, ["flow.py", "run"], "local")
    assert "METAFLOW_DEFAULT_DATASTORE=s3" in problem
    assert problems_of_command(batch, ["flow.py", "--datastore=s3", "run"], "local") == []
    assert problems_of_command(batch, ["flow.py", "--datastore", "s3", "run"], "local") == []
    assert len(problems_of_command(batch, ["flow.py", "--datastore", "local", "run"], "s3")) == 1
    assert problems_of_command(configured("local"), ["flow.py", "run"], "local") == []
    assert problems_of_command(batch, ["flow.py", "show"], "local") == []
    monkeypatch.setenv("METAFLOW_DATASTORE", "s3")
    assert problems_of_command(batch, ["flow.py", "run"], "local") == []


def test_argo_runs_a_flow_in_metaflow_s_namespace() -> None:
    words = ["flow.py", "argo-workflows", "create"]
    other = configured("kubernetes", kubernetes={"namespace": "spores"})
    [problem] = problems_of_command(other, words, "s3", "default")
    assert "set METAFLOW_KUBERNETES_NAMESPACE=spores" in problem
    assert problems_of_command(other, words, "s3", "spores") == []
    assert problems_of_command(other, ["flow.py", "run"], "s3", "default") == []


def test_packages_need_an_environment_that_metaflow_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metaflow's own message names neither the key nor the place of the option."""
    asked = configured("local", packages={"manager": "pypi"})
    [problem] = problems_of_command(asked, ["flow.py", "run"], "local")
    assert "packages: manager: pypi: expected --environment=pypi before the command" in problem
    for words in ("flow.py --environment=pypi run", "flow.py --quiet --environment conda step start"):
        assert problems_of_command(asked, words.split(), "local") == []
    assert problems_of_command(asked, ["flow.py", "run"], "local", environment="conda") == []
    monkeypatch.setenv("METAFLOW_ENVIRONMENT", "pypi")
    assert problems_of_command(asked, ["flow.py", "run"], "local") == []


@pytest.mark.parametrize(
    ("words", "does"),
    [
        ("flow.py resume", True),
        ("flow.py --datastore s3 resume --origin-run-id 1", True),
        ("flow.py run --tag resume", False),
        ("flow.py argo-workflows create", False),
        ("flow.py", False),
    ],
)
def test_a_command_that_goes_on_is_known(words: str, does: bool) -> None:
    assert resumes(words.split()) is does


def test_everything_that_airflow_would_not_get_is_named() -> None:
    configuration = configured(
        "kubernetes",
        machines={"predict_shard": {"catch": True, "shared_memory_gb": 8}},
        kubernetes={"secrets": ["s"], "tolerations": [{"key": "gpu"}], "image_pull_secrets": ["p"]},
        schedule={"cron": "0 0 * * *", "timezone": "UTC"},
    )
    assert len(problems_of_command(configuration, ["flow.py", "airflow", "create"], "s3")) == 6
    assert problems_of_command(configuration, ["flow.py", "argo-workflows", "create"], "s3") == []
