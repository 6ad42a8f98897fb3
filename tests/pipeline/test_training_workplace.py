"""Where things lie: on disk they stay where they are, in the data lake only what changed is moved."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from metaflow.exception import MetaflowException

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.pipeline.failing import StepFailed, told_in_short
from spore_yolo.pipeline.workplace import beneath, brought, local_of, run_at_hand, taken_back
from tests.lake_server import Bucket


def test_on_disk_nothing_is_copied(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    assert brought(str(tmp_path / "slides")) == tmp_path / "slides"
    with run_at_hand(str(tmp_path / "run")) as folder:
        assert folder == tmp_path / "run" and not folder.exists()
    taken_back(str(tmp_path / "slides"))
    assert [path.name for path in tmp_path.iterdir()] == ["slides"]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SporeYoloError, match="no such file or folder"):
        brought(str(tmp_path / "gone"))
    assert brought(str(tmp_path / "gone"), optional=True) == tmp_path / "gone"


def test_addresses_grow_by_names() -> None:
    assert beneath("runs", "a", "b") == str(Path("runs/a/b"))
    assert beneath("s3://bucket/runs/", "a") == "s3://bucket/runs/a"


def test_a_run_goes_back_to_the_lake_but_for_what_is_made_anew(s3: Bucket) -> None:
    address = f"{s3.address}/runs/a"
    with run_at_hand(address) as folder:
        for name in (
            "pair/pair.yaml",
            "tiles/train/1.png",
            "classifier/crops/x.png",
            "classifier/training/results.csv",
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
    assert [key for key in sorted(s3.etags("runs/")) if ".spore-yolo" not in key] == [
        "runs/a/classifier/training/results.csv",
        "runs/a/pair/pair.yaml",
    ]


def test_a_run_goes_back_to_the_lake_also_when_the_work_failed(s3: Bucket) -> None:
    with pytest.raises(ZeroDivisionError), run_at_hand(f"{s3.address}/runs/a") as folder:
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        raise ZeroDivisionError
    assert s3.get("runs/a/run.json") == b"{}"


def test_the_first_error_is_told_where_the_lake_fails_too(s3: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), run_at_hand(f"{s3.address}/runs/a") as folder:
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        s3.client.delete_bucket(Bucket=s3.name)
        raise ZeroDivisionError
    assert "warning: what was done so far is not in the data lake" in capsys.readouterr().out


def test_a_file_that_a_step_removed_goes_from_the_lake_too(s3: Bucket) -> None:
    s3.put("runs/a/of-others.txt", b"x")
    with run_at_hand(f"{s3.address}/runs/a") as folder:
        (folder / "detector.pt").write_text("x")
    assert "runs/a/detector.pt" in s3.etags()
    with run_at_hand(f"{s3.address}/runs/a") as folder:
        (folder / "detector.pt").unlink()
    assert "runs/a/detector.pt" not in s3.etags() and "runs/a/of-others.txt" in s3.etags()


def test_the_mirror_is_where_the_lake_says(s3: Bucket, tmp_path: Path) -> None:
    assert local_of(f"{s3.address}/runs/a") == tmp_path / "cache" / "lake" / "s3" / s3.name / "runs" / "a"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(SporeYoloError("expected a, found b"), "expected a, found b", id="of ours"),
        pytest.param(
            OSError(errno.ENOSPC, "No space left", "runs/x"), "runs/x: the disk is full; make room", id="full"
        ),
        pytest.param(OSError(errno.EACCES, "Permission denied", "data"), "data: no permission", id="forbidden"),
        pytest.param(MemoryError(), "memory ran out", id="memory"),
    ],
)
def test_a_step_fails_with_one_message(error: BaseException, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepFailed) as caught, told_in_short():
        raise error
    assert told in caught.value.message
    err = capsys.readouterr().err
    assert err.startswith("spore-yolo: error: ") and told in err and "Traceback" not in err
    assert isinstance(caught.value, MetaflowException)  # of which Metaflow prints no traceback


def test_a_fault_of_the_program_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), told_in_short():
        raise KeyError("x")
    assert "Traceback" in capsys.readouterr().err
