"""Ultralytics' detection trainer, changed in the few places where slides differ from photographs."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler

from spore_yolo.files.cores import core_count
from spore_yolo.inference.ultralytics_setup import import_ultralytics

import_ultralytics()
from ultralytics.models.yolo.detect import DetectionTrainer, DetectionValidator  # noqa: E402  (the settings folder must be set first)
from ultralytics.utils import LOGGER  # noqa: E402
from ultralytics.utils.nms import non_max_suppression  # noqa: E402

VALIDATE_FROM = 0.5
"""Share of the epochs after which validation begins: earlier epochs are never the best, and looking costs time."""


def _pace(trainer: Any) -> None:
    """Begins to validate late, and never stops again, however many epochs the clock will allow."""
    if trainer.epoch + 1 > VALIDATE_FROM * trainer.epochs:
        trainer.args.val = trainer.wants_validation


class SourceSampler(Sampler[int]):
    """Deals out, each epoch, as many tiles as there would be if each source had been exported once.

    Exported variants (flips, grey, brightness) of one source are near copies: going through all of them is one epoch's
    worth of pictures many times over, and sources with more variants would weigh more. Which variants are taken changes
    from epoch to epoch.

    Args:
        sources: Source of each tile, in the order of the data.
        variants: Number of variants of each source.
    """

    def __init__(self, sources: Sequence[str], variants: dict[str, int]) -> None:
        self._tiles: dict[str, list[int]] = defaultdict(list)
        for index, source in enumerate(sources):
            self._tiles[source].append(index)
        self._quota = {s: -(-len(tiles) // max(1, variants.get(s, 1))) for s, tiles in self._tiles.items()}

    def __len__(self) -> int:
        return sum(self._quota.values())

    def __iter__(self) -> Iterator[int]:
        chosen: list[int] = []
        for source, tiles in self._tiles.items():
            order = torch.randperm(len(tiles))[: self._quota[source]]
            chosen += [tiles[index] for index in order.tolist()]
        yield from (chosen[index] for index in torch.randperm(len(chosen)).tolist())


class TileValidator(DetectionValidator):  # type: ignore[misc, unused-ignore]
    """Ultralytics' validator, with all the time that NMS needs.

    The original gives up after two seconds with a warning and leaves the rest of the batch empty; on dense slides that
    would choose the wrong epoch.
    """

    def postprocess(self, preds: Any) -> list[dict[str, torch.Tensor]]:
        """As the original, without the time limit."""
        found = non_max_suppression(
            preds,
            self.args.conf,
            self.args.iou,
            multi_label=True,
            agnostic=self.args.single_cls or self.args.agnostic_nms,
            max_det=self.args.max_det,
            max_time_img=float("inf"),
        )
        if any(len(x) >= self.args.max_det for x in found):
            LOGGER.warning(f"validation: a tile reached the cap of {self.args.max_det} boxes (max_det)")
        return [{"bboxes": x[:, :4], "conf": x[:, 4], "cls": x[:, 5], "extra": x[:, 6:]} for x in found]


class TileTrainer(DetectionTrainer):  # type: ignore[misc, unused-ignore]
    """Trains on tiles cut by :func:`spore_yolo.dataset.tiles.cut_tiles`."""

    images_seen = 0
    wants_validation = True

    def _setup_train(self) -> None:
        """As the original, but on a CPU every core computes: Ultralytics leaves one idle, which is half of two."""
        super()._setup_train()
        if self.device.type == "cpu":
            torch.set_num_threads(core_count())
        self.wants_validation, self.args.val = self.args.val, False
        self.add_callback("on_train_epoch_start", _pace)

    def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
        """As the original, but an epoch takes one variant of each source."""
        loader: Any = super().get_dataloader(dataset_path, batch_size, rank, mode)
        sources_file = Path(self.data["path"]) / "sources.json"
        if mode != "train" or rank != -1 or not sources_file.exists():
            return loader
        content = json.loads(sources_file.read_text(encoding="utf-8"))
        if max(content["variants"].values()) > 1:
            sources = [content["sources"][Path(file).stem] for file in loader.dataset.im_files]
            # The loader repeats this batch sampler for ever; its inner sampler is what decides on an epoch.
            loader.batch_sampler.sampler.sampler = SourceSampler(sources, content["variants"])
        return loader

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As the original, then transposes half of the images.

        With flips left to right and upside down this gives all eight ways in which a slide can lie under a microscope.
        Turning by other angles would widen the boxes, since only their corners can be turned.
        """
        batch = super().preprocess_batch(batch)
        pixels = batch["img"]
        self.images_seen += len(pixels)
        if pixels.shape[2] == pixels.shape[3]:
            turned = torch.rand(len(pixels), device=pixels.device) < 0.5
            pixels[turned] = pixels[turned].transpose(2, 3)
            boxes = turned[batch["batch_idx"].long()]
            batch["bboxes"][boxes] = batch["bboxes"][boxes][:, [1, 0, 3, 2]]
        return batch

    def save_model(self) -> Any:
        """As the original, but a checkpoint appears whole or not at all."""
        with self._whole_checkpoints():
            return super().save_model()

    def final_eval(self) -> None:
        """As the original, which writes both checkpoints once more, but they change whole or not at all."""
        places = self.last, self.best
        with self._whole_checkpoints():
            for place, temporary in zip(places, (self.last, self.best), strict=True):
                if place.exists():
                    shutil.copyfile(place, temporary)
            super().final_eval()

    @contextmanager
    def _whole_checkpoints(self) -> Iterator[None]:
        """Lets Ultralytics write under other names, then renames: whenever it is killed, whole checkpoints are there.

        The last checkpoint comes last, since it is what a training goes on from: the epoch that it holds has been
        compared with the best.
        """
        places = {"best": self.best, "last": self.last}
        temporary = {name: place.with_name(f".{place.name}") for name, place in places.items()}
        try:
            for name, path in temporary.items():
                path.unlink(missing_ok=True)
                setattr(self, name, path)
            yield
            for name, path in temporary.items():
                if path.exists():
                    path.replace(places[name])
        finally:
            for name, place in places.items():
                temporary[name].unlink(missing_ok=True)
                setattr(self, name, place)

    def get_validator(self) -> Any:
        """As the original, with :class:`TileValidator`."""
        return TileValidator(self.test_loader, save_dir=self.save_dir, args=copy(self.args), _callbacks=self.callbacks)
