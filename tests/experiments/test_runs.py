from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.dataset.store import IMAGE_COLUMNS, Dataset
from spore_yolo.evaluation.intervals import figure
from spore_yolo.experiments.runs import (
    check_same_dataset,
    in_place_of,
    made,
    seen_images,
    um_per_px,
    validation_figures,
)
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.labels.table import boxes_table


def begun(folder: Path) -> bool:
    return (folder / "last.pt").exists()


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A run that is finished."""
    run = tmp_path / "runs" / "toy"
    (run / "pair").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "pair" / "pair.yaml").write_text("precious")
    return run


OLD = {"run.json": "{}", "pair/pair.yaml": "precious"}


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty folder"])
@pytest.mark.parametrize("force", [False, True])
def test_a_new_run(tmp_path: Path, force: bool, there: bool) -> None:
    run = tmp_path / "runs" / "new"
    if there:
        run.mkdir(parents=True)
    with in_place_of(run, force, begun):
        (run / "run.json").write_text("{}")
    assert content(run) == {"run.json": "{}"}
    assert [path.name for path in run.parent.iterdir()] == ["new"]


def test_a_run_is_replaced_with_force_only(old_run: Path) -> None:
    message = "take another --name, go on with --resume, or replace it with --force"
    with pytest.raises(UsageError, match=message), in_place_of(old_run, False, begun):
        pytest.fail("the block must not run")
    assert content(old_run) == OLD
    with in_place_of(old_run, True, begun):
        assert content(old_run) == {}
        (old_run / "run.json").write_text("new")
    assert content(old_run) == {"run.json": "new"}
    assert [path.name for path in old_run.parent.iterdir()] == ["toy"]


def test_what_is_no_run_is_not_replaced_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is not a run of ours"), in_place_of(tmp_path / "thesis", True, begun):
        pytest.fail("the block must not run")
    assert content(tmp_path / "thesis") == {"chapter.txt": "dear"}


@pytest.mark.parametrize("error", [SporeYoloError("no"), KeyboardInterrupt()], ids=["an error", "Ctrl-C"])
def test_the_old_run_comes_back_if_the_new_one_never_begins(old_run: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), in_place_of(old_run, True, begun):
        (old_run / "run.json").write_text("new")
        raise error
    assert content(old_run) == OLD
    assert [path.name for path in old_run.parent.iterdir()] == ["toy"]


def test_a_training_that_has_begun_stays(old_run: Path) -> None:
    with pytest.raises(KeyboardInterrupt), in_place_of(old_run, True, begun):
        (old_run / "last.pt").write_text("half trained")
        raise KeyboardInterrupt
    assert content(old_run) == {"last.pt": "half trained"}
    assert [path.name for path in old_run.parent.iterdir()] == ["toy"]


@pytest.mark.parametrize("progress", [False, True])
def test_a_new_folder_goes_again_if_nothing_has_begun(tmp_path: Path, progress: bool) -> None:
    run = tmp_path / "new"
    with pytest.raises(SporeYoloError), in_place_of(run, False, begun):
        (run / "run.json").write_text("{}")
        if progress:
            (run / "last.pt").write_text("half trained")
        raise SporeYoloError("no")
    assert run.exists() == progress


def test_what_an_earlier_crash_left_beside_is_cleared_away(old_run: Path) -> None:
    aside = old_run.with_name(".toy.replaced")
    aside.mkdir()
    (aside / "old.txt").write_text("older still")
    with in_place_of(old_run, True, begun):
        (old_run / "run.json").write_text("new")
    assert [path.name for path in old_run.parent.iterdir()] == ["toy"]


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """A dataset in memory, of images ``(name, group, split, um_per_px)``."""

    def make(*images: tuple[str, str, str, float | None]) -> Dataset:
        rows = [(name, 100, 80, group, name, split, um, f"hash of {name}") for name, group, split, um in images]
        return Dataset(
            name="toy",
            folder=tmp_path,
            images_root=tmp_path,
            images=pd.DataFrame(rows, columns=IMAGE_COLUMNS).astype({"um_per_px": "float64"}),
            boxes=boxes_table(),
            classes=["rust"],
            targets=[],
            fingerprint="abc",
            manifest={},
        )

    return make


def test_a_dataset_that_changed_is_not_trained_on_further(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = make_dataset(("a.png", "a", "train", None))
    (tmp_path / "run.json").write_text(json.dumps({"dataset_fingerprint": "abc"}))
    check_same_dataset(dataset, tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"dataset_fingerprint": "abd"}))
    with pytest.raises(SporeYoloError, match="dataset toy was imported anew since .* train again without --resume"):
        check_same_dataset(dataset, tmp_path)


def test_spare_variants_of_groups_that_were_seen_count_as_seen(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(
        ("a.png", "a", "train", None),
        ("b.png", "b", "val", None),
        ("b-grey.png", "b", "spare", None),
        ("c.png", "c", "test", None),
        ("c-grey.png", "c", "spare", None),
        ("d.png", "d", "calibration", None),
    )
    assert sorted(seen_images(dataset)) == ["hash of a.png", "hash of b-grey.png", "hash of b.png"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0.25, 0.25], 0.25, id="all alike"),
        pytest.param([0.25, None], 0.25, id="one does not say"),
        pytest.param([0.25, 0.5], None, id="different ones"),
        pytest.param([None, None], None, id="nobody knows"),
    ],
)
def test_scale_of_the_slides(
    make_dataset: Callable[..., Dataset], values: list[float | None], expected: float | None
) -> None:
    assert um_per_px(make_dataset(*((f"{n}.png", "g", "train", um) for n, um in enumerate(values)))) == expected


def test_how_a_part_was_made(make_dataset: Callable[..., Dataset]) -> None:
    settings = {"dataset": "toy", "datasets": Path("/home/me/datasets.yaml"), "weights": "/home/me/a.pt", "epochs": 3}
    about = made(make_dataset(("a.png", "a", "train", None)), "scratch", 100.0, settings, seed=7, crops_seen=5)
    assert (about["dataset"], about["dataset_fingerprint"]) == ("toy", "abc")
    assert (about["start"], about["minutes"], about["seed"], about["crops_seen"]) == ("scratch", 1.7, 7, 5)
    assert about["settings"] == {"epochs": 3}
    assert "torch" in about["versions"]
    assert "commit" in about
    assert "/home/me" not in json.dumps(about)


def test_figures_of_validation_say_what_they_were_measured_on() -> None:
    images = pd.DataFrame({"image": ["a", "b", "c"], "group": ["x", "x", "y"]})
    metrics: dict[str, Any] = {
        "overall": {"recall": figure(0.123456, 7, 2, None), "ap50": figure(None, 7, 2, None), "boxes": 7},
        "per_class": {"rust": {"recall_crops": figure(2 / 3, 3, 2, None), "counts": {"sd": 0.1}, "recall_by": {}}},
        "per_group": {"x": {"recall": 1.0}},
    }
    assert validation_figures(metrics, images) == {
        "split": "val",
        "slides": 3,
        "groups": 2,
        "recall": {"value": 0.1235, "n": 7},
        "ap50": {"value": None, "n": 7},
        "boxes": 7,
        "per_class": {"rust": {"recall_crops": {"value": 0.6667, "n": 3}}},
    }
    assert metrics["overall"]["recall"]["value"] == 0.123456, "what was measured is left as it was"
