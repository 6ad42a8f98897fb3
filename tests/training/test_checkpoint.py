from __future__ import annotations

from pathlib import Path

import torch

from spore_yolo.inference.detector import Detector
from spore_yolo.training.checkpoint import finish_checkpoint


def test_finished_checkpoint(untrained_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(untrained_checkpoint, map_location="cpu", weights_only=False)
    checkpoint["train_args"] |= {"project": "/home/somebody/runs", "data": "/home/somebody/data.yaml"}
    checkpoint["model"].args = dict(checkpoint["train_args"])
    checkpoint["git"] = {"root": "/home/somebody"}
    checkpoint["optimizer"] = {"state": [1, 2, 3]}
    source, target = tmp_path / "best.pt", tmp_path / "detector.pt"
    torch.save(checkpoint, source)
    finish_checkpoint(source, target, 2016)
    assert b"somebody" not in target.read_bytes()
    finished = torch.load(target, map_location="cpu", weights_only=False)
    assert finished["train_args"]["imgsz"] == 2016
    assert finished["optimizer"] is None
    assert next(finished["model"].parameters()).dtype == torch.float16
    assert Detector(target).names == ["spore"]
