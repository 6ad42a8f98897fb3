"""However often a delivery is killed, and wherever: the store holds what an undisturbed delivery gives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spore_yolo.experiments.tracking import Tracking, TrackingSettings
from tests.experiments.tracking.conftest import Content, content_of, told_run

CALLS = ("create_experiment", "create_run", "log_batch", "log_inputs", "log_artifact", "log_artifacts", "update_run")


class Killed(BaseException):
    """Stands for a kill: nothing in the program may take notice of it."""


@contextmanager
def killed_at(call: int, done: bool) -> Iterator[None]:
    """MLflow's client and the journal's bookkeeping break off at the n-th call that changes something.

    Args:
        call: Which call, from 0 on.
        done: Whether the change itself still took place.
    """
    from mlflow import MlflowClient

    from spore_yolo.experiments.tracking import delivery

    counted = 0

    def breaking(original: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal counted
            counted += 1
            if counted - 1 == call and not done:
                raise Killed
            result = original(*arguments, **options)
            if counted - 1 == call:
                raise Killed
            return result

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name in (*CALLS, "set_terminated"):
            patch.setattr(MlflowClient, name, breaking(getattr(MlflowClient, name)))
        patch.setattr(delivery, "write_state", breaking(delivery.write_state))
        yield


def deliver_killed(run: Path, call: int, done: bool) -> bool:
    """Delivers with a kill; gives whether the delivery got so far that it was killed."""
    with killed_at(call, done):
        try:
            assert Tracking(run, TrackingSettings()).deliver(final=True) == []
        except Killed:
            return True
    return False


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Path, Content]:
    """A run that is in no store yet, and what an undisturbed delivery of it gives."""
    from PIL import Image

    root = tmp_path_factory.mktemp("told")
    (root / "pair").mkdir()
    (root / "pair" / "pair.yaml").write_text("pair_version: 4\n")
    Image.new("RGB", (4, 4)).save(root / "results.png")
    run = root / "runs" / "toy"
    told_run(run, root / "results.png", root / "pair")
    reference = root / "reference" / "toy"
    shutil.copytree(run, reference)
    shutil.copy(empty_store, reference.parent / "mlflow.db")
    assert Tracking(reference, TrackingSettings()).deliver(final=True) == []
    content = content_of(f"sqlite:///{reference.parent / 'mlflow.db'}", root)
    assert len(content) == 3
    return run, content


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(kills=st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=4))
def test_kills_change_nothing(
    told: tuple[Path, Content],
    empty_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    kills: list[tuple[int, bool]],
) -> None:
    source, expected = told
    root = tmp_path_factory.mktemp("killed")
    run = root / "runs" / "toy"
    shutil.copytree(source, run)
    shutil.copy(empty_store, run.parent / "mlflow.db")
    for call, done in kills:
        deliver_killed(run, call, done)
    assert Tracking(run, TrackingSettings()).deliver(final=True) == []
    assert content_of(f"sqlite:///{run.parent / 'mlflow.db'}", root) == expected
    shutil.rmtree(root)


@pytest.mark.slow
def test_a_kill_at_every_single_place(
    told: tuple[Path, Content], empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source, expected = told
    root = tmp_path_factory.mktemp("everywhere")
    call = 0
    while True:
        run = root / str(call) / "toy"
        shutil.copytree(source, run)
        shutil.copy(empty_store, run.parent / "mlflow.db")
        reached = deliver_killed(run, call // 2, done=bool(call % 2))
        assert Tracking(run, TrackingSettings()).deliver(final=True) == []
        assert content_of(f"sqlite:///{run.parent / 'mlflow.db'}", root) == expected, call
        shutil.rmtree(run.parent)
        if not reached:
            break
        call += 1
    assert call > 60
