from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from spore_yolo.training.tile_trainer import DetectionTrainer, SourceSampler, TileTrainer, TileValidator, _pace


def test_an_epoch_takes_each_source_as_often_as_one_variant_has_tiles() -> None:
    # Source a: 3 variants of 4 tiles; source b: a single image of 4 tiles.
    sampler = SourceSampler(["a"] * 12 + ["b"] * 4, {"a": 3, "b": 1})
    assert len(sampler) == 8
    drawn = list(sampler)
    assert len(drawn) == len(set(drawn)) == 8
    assert Counter("a" if index < 12 else "b" for index in drawn) == {"a": 4, "b": 4}


def test_epochs_take_other_variants() -> None:
    sampler = SourceSampler(["a"] * 30, {"a": 10})
    assert len({tuple(sorted(sampler)) for _ in range(10)}) > 1


def test_every_tile_has_its_turn() -> None:
    sampler = SourceSampler(["a"] * 12, {"a": 4})
    assert set().union(*(set(sampler) for _ in range(100))) == set(range(12))


@pytest.fixture
def trainer() -> TileTrainer:
    trainer = TileTrainer.__new__(TileTrainer)
    trainer.device = torch.device("cpu")
    trainer.args = SimpleNamespace(multi_scale=0.0)
    return trainer


def batch_of(count: int, height: int, width: int) -> dict[str, Any]:
    """Images with one bright rectangle each, and its box."""
    pixels = torch.zeros(count, 3, height, width, dtype=torch.uint8)
    pixels[:, :, 10:20, 30:60] = 255
    box = torch.tensor([45 / width, 15 / height, 30 / width, 10 / height])
    return {"img": pixels, "bboxes": box.repeat(count, 1), "batch_idx": torch.arange(count).float()}


def test_boxes_follow_the_turned_pixels(trainer: TileTrainer) -> None:
    torch.manual_seed(0)
    batch = trainer.preprocess_batch(batch_of(40, 96, 96))
    turned = 0
    for index in range(40):
        rows, columns = torch.nonzero(batch["img"][index, 0], as_tuple=True)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        x, y, w, h = (batch["bboxes"][index] * 96).tolist()
        assert [float(side) for side in found] == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        turned += h > w
    assert 8 < turned < 32
    assert trainer.images_seen == 40


def test_images_that_are_not_square_stay(trainer: TileTrainer) -> None:
    batch = trainer.preprocess_batch(batch_of(8, 64, 96))
    assert batch["img"].shape == (8, 3, 64, 96)
    assert (batch["bboxes"][:, 2] * 96 > batch["bboxes"][:, 3] * 64).all()


def test_a_batch_without_boxes(trainer: TileTrainer) -> None:
    batch = {"img": torch.zeros(4, 3, 64, 64), "bboxes": torch.zeros(0, 4), "batch_idx": torch.zeros(0)}
    assert trainer.preprocess_batch(batch)["bboxes"].shape == (0, 4)


def test_validation_begins_late_and_does_not_stop_again() -> None:
    arguments = SimpleNamespace(val=False)
    trainer = SimpleNamespace(args=arguments, wants_validation=True, epochs=10, epoch=0)
    _pace(trainer)
    assert not arguments.val
    trainer.epoch = 5
    _pace(trainer)
    assert arguments.val
    trainer.epochs = 100  # the clock allows more epochs than it seemed
    _pace(trainer)
    assert arguments.val


def test_validation_that_is_not_wanted_stays_off() -> None:
    arguments = SimpleNamespace(val=False)
    _pace(SimpleNamespace(args=arguments, wants_validation=False, epochs=10, epoch=9))
    assert not arguments.val


def test_nms_takes_the_time_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Ultralytics' limit the second image of the batch would come back empty."""
    import ultralytics.utils.nms as nms

    clock = iter(range(0, 10_000, 1000))
    monkeypatch.setattr(nms.time, "time", lambda: float(next(clock)))
    validator = TileValidator.__new__(TileValidator)
    validator.args = SimpleNamespace(conf=0.01, iou=0.7, single_cls=False, agnostic_nms=False, max_det=300)
    prediction = torch.tensor([[50.0], [50.0], [20.0], [20.0], [0.9]]).repeat(2, 1, 1)
    assert [len(found["conf"]) for found in validator.postprocess(prediction)] == [1, 1]


@pytest.fixture
def saving(trainer: TileTrainer, tmp_path: Path) -> TileTrainer:
    """With checkpoints of an epoch that was the best so far."""
    trainer.last, trainer.best = tmp_path / "last.pt", tmp_path / "best.pt"
    for path in (trainer.last, trainer.best):
        path.write_text("epoch 1")
    return trainer


def content(trainer: TileTrainer) -> dict[str, str]:
    """Of the folder of checkpoints."""
    return {path.name: path.read_text() for path in trainer.last.parent.iterdir()}


@pytest.mark.parametrize("best", [True, False])
def test_checkpoints_of_the_next_epoch(saving: TileTrainer, monkeypatch: pytest.MonkeyPatch, best: bool) -> None:
    def save(trainer: TileTrainer) -> bool:
        trainer.last.write_text("epoch 2")
        if best:
            trainer.best.write_text("epoch 2")
        return True

    monkeypatch.setattr(DetectionTrainer, "save_model", save)
    assert saving.save_model()
    assert content(saving) == {"last.pt": "epoch 2", "best.pt": "epoch 2" if best else "epoch 1"}
    assert (saving.last.name, saving.best.name) == ("last.pt", "best.pt")


@pytest.mark.parametrize("written", [1, 2])
def test_a_full_disk_leaves_the_checkpoints_of_the_epoch_before(
    saving: TileTrainer, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    def save(trainer: TileTrainer) -> None:
        for path in (trainer.last, trainer.best)[:written]:
            path.write_text("epo")
        raise OSError("no space left on device")

    monkeypatch.setattr(DetectionTrainer, "save_model", save)
    with pytest.raises(OSError, match="no space left"):
        saving.save_model()
    assert content(saving) == {"last.pt": "epoch 1", "best.pt": "epoch 1"}


def test_what_a_kill_left_is_never_taken_for_a_checkpoint(saving: TileTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    (saving.last.parent / ".best.pt").write_text("epo")
    monkeypatch.setattr(DetectionTrainer, "save_model", lambda trainer: trainer.last.write_text("epoch 2"))
    saving.save_model()
    assert content(saving) == {"last.pt": "epoch 2", "best.pt": "epoch 1"}


def test_the_last_look_changes_the_checkpoints_whole_or_not_at_all(
    saving: TileTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strip(trainer: TileTrainer) -> None:
        assert trainer.best.read_text() == "epoch 1"
        trainer.last.write_text("stripped")
        if breaks:
            raise KeyboardInterrupt

    monkeypatch.setattr(DetectionTrainer, "final_eval", strip)
    breaks = True
    with pytest.raises(KeyboardInterrupt):
        saving.final_eval()
    assert content(saving) == {"last.pt": "epoch 1", "best.pt": "epoch 1"}
    breaks = False
    saving.final_eval()
    assert content(saving) == {"last.pt": "stripped", "best.pt": "epoch 1"}
