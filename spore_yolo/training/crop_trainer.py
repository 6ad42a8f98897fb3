"""Ultralytics' classification trainer, changed in the few places where crops of spores differ from photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import WeightedRandomSampler

from spore_yolo.files.cores import core_count
from spore_yolo.inference.ultralytics_setup import import_ultralytics

import_ultralytics()
from ultralytics.models.yolo.classify import ClassificationTrainer  # noqa: E402  (the settings folder must be set first)

BALANCE = 0.5
"""How far rare classes are drawn more often: 0 as they come, 1 all classes equally often.

Drawn equally often, a class with a dozen crops is learnt by heart; as they come, it is hardly seen. The root lies
between.
"""


def sampling_weights(targets: Sequence[int], balance: float = BALANCE) -> torch.Tensor:
    """How likely each crop is to be drawn.

    Args:
        targets: Class number of each crop.
        balance: The exponent; see :data:`BALANCE`.

    Returns:
        ``(N,)``, ``1 / n ** balance`` with n the number of crops of the same class.
    """
    numbers = torch.as_tensor(targets, dtype=torch.long)
    counts = torch.bincount(numbers).clamp_min(1).double()
    return counts[numbers].pow(-balance)


class CropTrainer(ClassificationTrainer):  # type: ignore[misc, unused-ignore]
    """Trains on crops cut by :func:`spore_yolo.dataset.crops.write_crops`."""

    crops_seen = 0
    balance = BALANCE
    most_drawn = 20_000

    def _setup_train(self) -> None:
        """As the original, but on a CPU every core computes: Ultralytics leaves one idle, which is half of two."""
        super()._setup_train()
        if self.device.type == "cpu":
            torch.set_num_threads(core_count())

    def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
        """As the original, but rare classes are drawn more often."""
        loader: Any = super().get_dataloader(dataset_path, batch_size, rank, mode)
        if mode == "train" and rank == -1:
            weights = sampling_weights([sample[1] for sample in loader.dataset.samples], self.balance)
            drawn = min(self.most_drawn, len(weights))
            # At 32 pixels a last batch of a single crop gives batch normalisation nothing to divide by.
            drawn -= drawn % loader.batch_size == 1
            sampler = WeightedRandomSampler(weights.tolist(), drawn)
            # The loader repeats this batch sampler for ever; its inner sampler is what decides on an epoch.
            loader.batch_sampler.sampler.sampler = sampler
            # torch forbids to assign this one; Ultralytics asks it how large the last batch will be.
            object.__setattr__(loader, "sampler", sampler)
        return loader

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As the original, then transposes half of the crops; with the flips, all eight ways a spore can lie."""
        batch = super().preprocess_batch(batch)
        pixels = batch["img"]
        self.crops_seen += len(pixels)
        turned = torch.rand(len(pixels), device=pixels.device) < 0.5
        pixels[turned] = pixels[turned].transpose(2, 3)
        return batch
