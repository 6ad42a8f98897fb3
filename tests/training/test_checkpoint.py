from __future__ import annotations

import copy
from pathlib import Path

import torch

from spore_yolo.inference.classifier import Classifier
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
    assert Detector.load(target).names == ["spore"]


def test_a_classifier_learns_the_names_of_its_classes(untrained_classifier: Path, tmp_path: Path) -> None:
    target = tmp_path / "classifier.pt"
    finish_checkpoint(untrained_classifier, target, 96, "classify", ["debris", "P. striiformis", "a/b"])
    finished = torch.load(target, map_location="cpu", weights_only=False)
    assert finished["train_args"]["imgsz"] == 96
    assert finished["train_args"]["task"] == "classify"
    assert finished["model"].names == {0: "debris", 1: "P. striiformis", 2: "a/b"}
    assert Classifier.load(target).names == ["debris", "P. striiformis", "a/b"]


def test_without_names_those_of_the_training_stay(untrained_classifier: Path, tmp_path: Path) -> None:
    target = tmp_path / "classifier.pt"
    finish_checkpoint(untrained_classifier, target, 32, "classify")
    assert Classifier.load(target).names == ["debris", "rust", "smut"]


def test_the_averaged_weights_are_taken(untrained_classifier: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(untrained_classifier, map_location="cpu", weights_only=False)
    averaged = copy.deepcopy(checkpoint["model"])
    torch.nn.init.constant_(averaged.model[-1].linear.bias, 0.5)
    torch.save({**checkpoint, "ema": averaged}, tmp_path / "last.pt")
    finish_checkpoint(tmp_path / "last.pt", tmp_path / "classifier.pt", 32, "classify")
    finished = torch.load(tmp_path / "classifier.pt", map_location="cpu", weights_only=False)
    assert finished["model"].model[-1].linear.bias.tolist() == [0.5, 0.5, 0.5]
    assert finished["ema"] is None
