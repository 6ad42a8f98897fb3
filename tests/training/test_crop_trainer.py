from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from spore_yolo.training.crop_trainer import CropTrainer, sampling_weights


def test_weights_by_hand() -> None:
    targets = [0, 0, 0, 0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    # Four of class 0, nine of class 1, one of class 2: the roots are 2, 3 and 1.
    expected = [1 / 2] * 4 + [1.0] + [1 / 3] * 9
    assert sampling_weights(targets, 0.5).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("balance", "shares"),
    [
        pytest.param(0.0, [16 / 20, 0, 4 / 20], id="as they come"),
        pytest.param(0.5, [4 / 6, 0, 2 / 6], id="by the root"),
        pytest.param(1.0, [1 / 2, 0, 1 / 2], id="equally often"),
    ],
)
def test_how_often_classes_are_drawn(balance: float, shares: list[float]) -> None:
    targets = [0] * 16 + [2] * 4  # of class 1 there is nothing
    weights = sampling_weights(targets, balance)
    drawn = torch.zeros(3, dtype=torch.float64).index_add_(0, torch.tensor(targets), weights)
    assert (drawn / drawn.sum()).tolist() == pytest.approx(shares)


def test_a_class_with_a_single_crop() -> None:
    assert sampling_weights([0], 0.5).tolist() == [1.0]


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """190 crops of a common class and 10 of a rare one; each has its own grey."""
    rng = np.random.default_rng(0)
    for name, count in (("common", 190), ("rare", 10)):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((32, 32, 3), rng.integers(256), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{number}.png")
    return tmp_path / "train"


def make_trainer(workers: int = 0) -> CropTrainer:
    from ultralytics.cfg import get_cfg

    trainer = CropTrainer.__new__(CropTrainer)
    trainer.device = torch.device("cpu")
    trainer.args = get_cfg(overrides={"task": "classify", "imgsz": 32, "workers": workers, "auto_augment": None})
    trainer.data = {"names": {0: "common", 1: "rare"}}
    trainer.model = SimpleNamespace()
    return trainer


def drawn(loader: Any) -> Counter[int]:
    """How often an epoch draws each class."""
    found: Counter[int] = Counter()
    for batch in loader:
        found.update(batch["cls"].tolist())
    return found


@pytest.mark.parametrize("workers", [0, 1])
def test_rare_classes_are_drawn_more_often_from_the_first_epoch_on(crops: Path, workers: int) -> None:
    torch.manual_seed(0)
    trainer = make_trainer(workers)
    trainer.balance = 1.0
    loader = trainer.get_dataloader(str(crops), batch_size=50, rank=-1)
    try:
        for _ in range(2):
            found = drawn(loader)
            assert found.total() == 200
            # Half of 200, give or take; as they come there would be ten.
            assert 70 <= found[1] <= 130
    finally:
        loader.close()


def test_an_epoch_is_not_endless(crops: Path) -> None:
    trainer = make_trainer()
    trainer.most_drawn = 60
    loader = trainer.get_dataloader(str(crops), batch_size=16, rank=-1)
    assert len(loader) == 4
    assert drawn(loader).total() == 60


def test_crops_differ_from_epoch_to_epoch(crops: Path) -> None:
    trainer = make_trainer()
    trainer.most_drawn = 60
    sampler = trainer.get_dataloader(str(crops), batch_size=16, rank=-1).batch_sampler.sampler
    first, second = list(sampler), list(sampler)
    assert [len(batch) for batch in first] == [16, 16, 16, 12]
    assert first != second


def test_validation_sees_each_crop_once(crops: Path) -> None:
    loader = make_trainer().get_dataloader(str(crops), batch_size=16, rank=-1, mode="val")
    assert drawn(loader) == {0: 190, 1: 10}


@pytest.mark.parametrize("count", [65, 129])
def test_no_batch_is_left_with_a_single_crop(tmp_path: Path, count: int) -> None:
    """At 32 pixels the last layers have one value a channel, and one crop alone has no spread to divide by."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for number in range(count):
        Image.new("RGB", (32, 32)).save(tmp_path / "ab"[number % 2] / f"{number}.png")
    loader = make_trainer().get_dataloader(str(tmp_path), batch_size=64, rank=-1)
    sizes = [len(batch) for batch in loader.batch_sampler.sampler]
    assert 1 not in sizes
    assert sum(sizes) == count - 1
    # Ultralytics asks this before it begins, and refuses to train if the answer is 1.
    assert len(loader.sampler) % loader.batch_size != 1


def test_half_of_the_crops_are_transposed() -> None:
    trainer = make_trainer()
    rng = torch.Generator().manual_seed(0)
    pixels = torch.rand(60, 3, 32, 32, generator=rng)
    torch.manual_seed(0)
    batch = trainer.preprocess_batch({"img": pixels.clone(), "cls": torch.arange(60)})
    same = [torch.equal(after, before) for after, before in zip(batch["img"], pixels, strict=True)]
    turned = [torch.equal(after, before.mT) for after, before in zip(batch["img"], pixels, strict=True)]
    assert all(one != other for one, other in zip(same, turned, strict=True))
    assert 18 < sum(turned) < 42
    assert batch["cls"].tolist() == list(range(60))
    trainer.preprocess_batch({"img": pixels[:5].clone(), "cls": torch.arange(5)})
    assert trainer.crops_seen == 65
