from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.inference.ultralytics_setup import import_ultralytics
from spore_yolo.training import starting
from spore_yolo.training.starting import check_weights, load_model, plain, shipped_weights, starting_model

DETECTOR, CLASSIFIER = "yolov8n-sample.pt", "yolov8n-cls-sample.pt"


@pytest.fixture
def shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untrained_checkpoint: Path, untrained_classifier: Path
) -> Path:
    """The folder of the shipped weights, with untrained ones."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    shutil.copy(untrained_checkpoint, folder / DETECTOR)
    shutil.copy(untrained_classifier, folder / CLASSIFIER)
    monkeypatch.setattr(starting, "SHIPPED", folder)
    return folder


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., tuple[Any, str]]:
    """Calls :func:`starting_model` with Ultralytics, whose pretrained weights would lie in ``pretrained``."""
    (tmp_path / "pretrained").mkdir()
    settings = {"weights_dir": str(tmp_path / "pretrained")}
    ultralytics = SimpleNamespace(YOLO=import_ultralytics().YOLO, settings=settings)

    def call(model: str = "yolov8n", weights: str | None = None, classes: int = 1) -> tuple[Any, str]:
        return starting_model(ultralytics, model, weights, classes)

    return call


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralytics.utils import downloads

    def unreachable(*arguments: object, **options: object) -> None:
        raise ConnectionError("no\nnetwork")

    for name in ("safe_download", "get_github_assets"):
        monkeypatch.setattr(downloads, name, unreachable)


def tensors(source: Any) -> dict[str, torch.Tensor]:
    """The weights of a model or of a checkpoint's file."""
    network = torch.load(source, weights_only=False)["model"] if isinstance(source, Path) else source.model
    state: dict[str, torch.Tensor] = network.state_dict()
    return state


def equal_ones(first: Any, second: Any) -> int:
    ours, theirs = tensors(first), tensors(second)
    return sum(name in theirs and torch.equal(value, theirs[name]) for name, value in ours.items())


def test_weights_of_the_same_model_are_taken(begin: Callable[..., Any], untrained_checkpoint: Path) -> None:
    model, start = begin(weights=str(untrained_checkpoint))
    assert start == "the weights in untrained.pt (355 of 355 tensors)"
    assert equal_ones(model, untrained_checkpoint) == 355


def test_a_head_of_other_classes_begins_anew(begin: Callable[..., Any], untrained_checkpoint: Path) -> None:
    model, start = begin(weights=str(untrained_checkpoint), classes=3)
    assert start == "the weights in untrained.pt (349 of 355 tensors)"
    # The biases of three classes are new, all that comes before them is taken.
    assert model.model.yaml["nc"] == 3
    assert equal_ones(model, untrained_checkpoint) == 349


def test_a_classifier_starts_from_a_classifier(begin: Callable[..., Any], untrained_classifier: Path) -> None:
    model, start = begin("yolov8n-cls", str(untrained_classifier), classes=3)
    assert start == "the weights in untrained-cls.pt (158 of 158 tensors)"
    assert equal_ones(model, untrained_classifier) == 158
    assert begin("yolov8n-cls", str(untrained_classifier), classes=7)[1].endswith("(156 of 158 tensors)")


def test_that_loading_runs_code_is_said(
    begin: Callable[..., Any], untrained_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(weights=str(untrained_checkpoint))
    assert "loading it runs code in it; use only files you trust" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["yolov8s", "yolov8s-cls"])
def test_weights_of_another_size_are_refused(begin: Callable[..., Any], untrained_checkpoint: Path, model: str) -> None:
    with pytest.raises(SporeYoloError, match=f"tensors of {model} fit; expected a checkpoint of the same model"):
        begin(model, str(untrained_checkpoint))


@pytest.mark.parametrize(
    "model", [pytest.param("yolov8n-p2", id="a fourth head"), pytest.param("yolov8n-cls", id="a classifier")]
)
def test_other_heads_on_the_same_backbone_may_start(
    begin: Callable[..., Any], untrained_checkpoint: Path, model: str
) -> None:
    started, start = begin(model, str(untrained_checkpoint))
    fitting = equal_ones(started, untrained_checkpoint)
    assert fitting >= 150
    assert fitting < len(tensors(started))
    assert start.startswith("the weights in untrained.pt (")


def test_scratch_takes_nothing(begin: Callable[..., Any], shipped: Path, untrained_checkpoint: Path) -> None:
    model, start = begin(weights="scratch")
    assert start == "scratch"
    # What is equal all the same are counts, norms and biases, which begin with fixed numbers.
    weights = [name for name, value in tensors(model).items() if value.ndim == 4 and name.endswith("conv.weight")]
    theirs = tensors(untrained_checkpoint)
    assert weights
    assert not any(torch.equal(tensors(model)[name], theirs[name]) for name in weights if theirs[name].numel() > 16)


@pytest.mark.parametrize(("model", "file", "count"), [("yolov8n", DETECTOR, 355), ("yolov8n-cls", CLASSIFIER, 158)])
def test_the_shipped_weights(
    begin: Callable[..., Any], shipped: Path, capsys: pytest.CaptureFixture[str], model: str, file: str, count: int
) -> None:
    started, start = begin(model, "sample", classes=3 if model.endswith("cls") else 1)
    assert start == f"the shipped weights {file}, last trained on drawn slides ({count} of {count} tensors)"
    assert equal_ones(started, shipped / file) == count
    assert "note:" not in (out := capsys.readouterr().out), "they are ours, and may run code"
    assert "warning:" not in out


@pytest.mark.parametrize(
    ("model", "theirs"),
    [("yolov8s", "yolov8n"), ("yolov8s-p2", "yolov8n"), ("yolov8s-cls", "yolov8n-cls")],
)
def test_the_shipped_weights_of_another_size_are_scratch_and_it_is_said(
    begin: Callable[..., Any], shipped: Path, capsys: pytest.CaptureFixture[str], model: str, theirs: str
) -> None:
    _, start = begin(model, "sample")
    assert start == "scratch"
    assert f"warning: the shipped weights are of {theirs} and do not fit {model}" in capsys.readouterr().out


def test_the_shipped_weights_serve_a_fourth_head_too(begin: Callable[..., Any], shipped: Path) -> None:
    assert begin("yolov8n-p2", "sample")[1].startswith(f"the shipped weights {DETECTOR}")


def test_which_file_is_shipped_for_what() -> None:
    assert (shipped_weights(False).name, shipped_weights(True).name) == (DETECTOR, CLASSIFIER)
    assert shipped_weights(False).parent == Path(starting.__file__).parent / "weights"


@pytest.mark.parametrize(
    ("model", "pretrained", "shipped_file"),
    [
        ("yolov8n", "yolov8n.pt", DETECTOR),
        ("yolov8n-p2", "yolov8n.pt", DETECTOR),
        ("yolov8n-cls", "yolov8n-cls.pt", CLASSIFIER),
    ],
)
def test_without_a_network_the_shipped_weights_are_taken(
    begin: Callable[..., Any],
    shipped: Path,
    no_network: None,
    capsys: pytest.CaptureFixture[str],
    model: str,
    pretrained: str,
    shipped_file: str,
) -> None:
    started, start = begin(model)
    assert start.startswith(f"the shipped weights {shipped_file}, last trained on drawn slides")
    printed = capsys.readouterr().out
    assert f"warning: the pretrained weights {pretrained} cannot be reached (" in printed
    assert printed.count("warning:") == 1
    assert equal_ones(started, shipped / shipped_file) > 100


def test_without_a_network_a_larger_model_starts_from_scratch(
    begin: Callable[..., Any], shipped: Path, no_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert begin("yolov8s")[1] == "scratch"
    printed = capsys.readouterr().out
    assert "warning: the pretrained weights yolov8s.pt cannot be reached" in printed
    assert "Give a checkpoint with --weights" in printed


@pytest.mark.parametrize("classifier", [False, True])
def test_what_is_shipped_is_what_its_record_says(begin: Callable[..., Any], classifier: bool) -> None:
    path = shipped_weights(classifier)
    record = yaml.safe_load(path.with_suffix(".yaml").read_text())
    assert record["file"] == path.name
    assert record["sha256"] == sha256_file(path)
    for place in (b"/home/", b"/root/", b"/tmp/"):
        assert place not in path.read_bytes()
    model, start = begin("yolov8n-cls" if classifier else "yolov8n", "sample", classes=4)
    assert start.startswith(f"the shipped weights {path.name}")
    # They are stored in half precision, which has no room for large numbers.
    assert all(torch.isfinite(value).all() for value in tensors(model).values())


@pytest.mark.parametrize("model", ["yolov8n", "yolov8n-p2"])
def test_pretrained_weights_win_over_the_shipped_ones(
    begin: Callable[..., Any], shipped: Path, no_network: None, tmp_path: Path, untrained_checkpoint: Path, model: str
) -> None:
    shutil.copy(untrained_checkpoint, tmp_path / "pretrained" / "yolov8n.pt")
    (shipped / DETECTOR).unlink()
    assert begin(model)[1].startswith("the pretrained weights yolov8n.pt (")


@pytest.mark.parametrize("weights", [None, "sample", "scratch"])
def test_words_need_no_file(weights: str | None) -> None:
    check_weights(weights)


def test_weights_that_are_there(untrained_checkpoint: Path) -> None:
    check_weights(str(untrained_checkpoint))


@pytest.mark.parametrize("weights", ["none.pt", "Sample", ".", ""])
def test_weights_that_are_not_there(weights: str) -> None:
    with pytest.raises(SporeYoloError, match="expected a YOLOv8 checkpoint .*or sample or scratch"):
        check_weights(weights)


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SporeYoloError, match="no such file; expected a YOLOv8 checkpoint"):
        load_model(import_ultralytics(), tmp_path / "none.pt")


@pytest.mark.parametrize("content", [b"", b"hello" * 50], ids=["empty", "of another kind"])
def test_a_file_that_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(SporeYoloError, match=r"a\.pt: expected a YOLOv8 checkpoint, found something else"):
        load_model(import_ultralytics(), tmp_path / "a.pt")


def test_half_a_checkpoint(tmp_path: Path, untrained_classifier: Path) -> None:
    (tmp_path / "a.pt").write_bytes(untrained_classifier.read_bytes()[:50_000])
    with pytest.raises(SporeYoloError, match=r"a\.pt: expected a YOLOv8 checkpoint, found something else or a damaged"):
        load_model(import_ultralytics(), tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(ValueError("one\n  two\tthree "), "one two three", id="on one line"),
        pytest.param(ValueError("x" * 1000), "x" * 300, id="of bearable length"),
        pytest.param(MemoryError(), "MemoryError", id="without words its name"),
    ],
)
def test_plain(error: Exception, expected: str) -> None:
    assert plain(error) == expected
