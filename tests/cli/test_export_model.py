from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spore_yolo.cli import backend_verification
from spore_yolo.cli.backend_verification import difference
from spore_yolo.cli.quantisation_samples import as_detector_input, training_tiles
from spore_yolo.dataset.store import load_dataset
from spore_yolo.inference.manifest import ClassifierPart, OperatingPoint, read_manifest
from spore_yolo.inference.pair import tiling_of, write_pair
from spore_yolo.labels.table import COORDINATES
from tests.conftest import spot_manifest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def imported(spore_yolo: Run, drawn: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The dataset ``toy``; speeds are measured shortly."""
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "60,20,20"]
    code, _, err = spore_yolo("import", "toy", *options)
    assert code == 0, err
    from spore_yolo.inference.backends import speeds

    monkeypatch.setattr(speeds, "BATCHES", (1, 2))
    monkeypatch.setattr("spore_yolo.cli.quantisation_samples.TILES", 4)
    return spore_yolo


@pytest.fixture
def pair(tmp_path: Path, untrained_checkpoint: Path, untrained_classifier: Path) -> Path:
    """A real pair that was never trained."""
    part = ClassifierPart(
        file="classifier.pt",
        sha256="",
        model="yolov8n-cls",
        classes=["debris", "rust", "smut"],
        crop_size=32,
        margin=0.25,
        temperature=1.0,
    )
    manifest = spot_manifest(classes=["rust", "smut"], classifier=part, operating_point=OperatingPoint(detector=0.01))
    folder = tmp_path / "runs" / "untrained" / "pair"
    write_pair(folder, manifest, untrained_checkpoint, untrained_classifier)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is found, the backend has a lower AP50 than torch."""
    original = backend_verification.figures_of
    shares = iter([0.9, 0.89] * 9)

    def figures_of(*arguments: Any) -> Any:
        return original(*arguments).model_copy(update={"ap50": next(shares)})

    monkeypatch.setattr(backend_verification, "figures_of", figures_of)


def test_a_pair_is_exported_compared_and_kept(imported: Run, pair: Path) -> None:
    before = read_manifest(pair)
    code, out, err = imported("export-model", "--run", "runs/untrained", "--backend", "openvino", "--dataset", "toy")
    assert code == 0, err
    manifest = read_manifest(pair)
    assert manifest.model_copy(update={"backends": {}}) == before
    part = manifest.backends["openvino"]
    assert set(part.files) == {"detector.onnx", "classifier.onnx"}
    (record,) = part.verified
    assert (record.dataset, record.split) == ("toy", "val")
    assert record.dataset_fingerprint == load_dataset("toy", Path("datasets.yaml")).fingerprint
    assert record.torch == record.backend
    assert record.difference.score < 1e-4
    assert set(record.ms_per_tile["backend"]) == set(record.ms_per_tile["torch"]) == {1, 2}
    assert record.batch in (1, 2)
    assert {"torch", "openvino", "ultralytics"} <= set(record.versions)
    assert re.search(r"^torch +0\.0+ ", out, re.MULTILINE)
    assert "next: spore-yolo predict --pair runs/untrained/pair --backend openvino" in out
    # The other takes the same files.
    kept = files_of(pair)
    code, _, err = imported("export-model", "--pair", pair, "--backend", "onnxruntime", "--dataset", "toy")
    assert code == 0, err
    assert {name: text for name, text in files_of(pair).items() if name != "pair.yaml"} == {
        name: text for name, text in kept.items() if name != "pair.yaml"
    }
    assert set(read_manifest(pair).backends) == {"openvino", "onnxruntime"}


@pytest.mark.slow
def test_8_bits_say_what_they_were_calibrated_on(imported: Run, pair: Path) -> None:
    arguments = ["export-model", "--pair", pair, "--backend", "openvino", "--int8", "--dataset", "toy"]
    code, _, err = imported(*arguments, "--allow-drop", "--seed", "3")
    assert code == 0, err
    part = read_manifest(pair).backends["openvino-int8"]
    about = part.made["calibrated_on"]
    assert (about["dataset"], about["split"], about["seed"], about["tiles"]) == ("toy", "train", 3, 4)
    assert set(part.files) == {"detector-int8.xml", "detector-int8.bin", "classifier.onnx"}
    assert not (pair / "detector.onnx").exists()


@pytest.mark.slow
def test_a_backend_that_finds_less_is_refused(imported: Run, pair: Path, worse: None) -> None:
    before = files_of(pair)
    arguments = ["export-model", "--pair", pair, "--backend", "openvino", "--dataset", "toy"]
    code, out, err = imported(*arguments)
    assert code == 1
    assert "with openvino, AP50 or recall falls by 1.00 points below torch's, expected at most 0.5" in err
    assert "--allow-drop" in err
    assert "0.8900" in out, "the figures are shown all the same"
    assert files_of(pair) == before
    code, out, err = imported(*arguments, "--allow-drop")
    assert code == 0, err
    assert "--backend auto does not take it" in out
    assert not read_manifest(pair).backends["openvino"].verified[0].holds


@pytest.mark.slow
def test_verifying_again_adds_a_record(imported: Run, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["export-model", "--pair", pair, "--backend", "openvino", "--dataset", "toy"]
    assert imported(*arguments)[0] == 0
    before = files_of(pair)
    from spore_yolo.inference.backends import machine

    here = machine.this_machine()
    monkeypatch.setattr(machine, "this_machine", lambda: here.model_copy(update={"cpu": "Another CPU"}))
    code, _, err = imported(*arguments, "--verify-only")
    assert code == 0, err
    assert [one.machine.cpu for one in read_manifest(pair).backends["openvino"].verified] == [here.cpu, "Another CPU"]
    after = files_of(pair)
    assert {name for name in after if after[name] != before.get(name)} == {"pair.yaml"}


def test_there_is_nothing_to_verify_again(imported: Run, pair: Path) -> None:
    arguments = ["export-model", "--pair", pair, "--backend", "openvino", "--dataset", "toy", "--verify-only"]
    code, _, err = imported(*arguments)
    assert code == 2
    assert "the pair has no openvino, it has torch; export it: spore-yolo export-model" in err


@pytest.mark.slow
def test_a_damaged_file_is_not_verified(imported: Run, pair: Path) -> None:
    arguments = ["export-model", "--pair", pair, "--backend", "openvino", "--dataset", "toy"]
    assert imported(*arguments)[0] == 0
    (pair / "detector.onnx").write_bytes(b"damaged")
    code, _, err = imported(*arguments, "--verify-only")
    assert code == 1
    assert "detector.onnx" in err and "SHA-256 differs" in err
    code, _, err = imported(*arguments)
    assert code == 0, err
    assert (pair / "detector.onnx").stat().st_size > 10_000, "it is exported anew, not taken over"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--backend", "onnxruntime", "--int8"], "--int8: goes with --backend openvino", id="8 bits"),
        pytest.param(["--backend", "tensorflow"], "invalid choice: 'tensorflow'", id="no backend"),
        pytest.param(["--backend", "openvino", "--int8", "--bf16"], "not allowed with", id="both"),
        pytest.param([], "--backend", id="none"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, imported: Run, pair: Path) -> None:
    code, _, err = imported("export-model", "--pair", pair, "--dataset", "toy", *arguments)
    assert code == 2
    assert message in err


def test_a_backend_that_does_not_run_here(imported: Run, pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    code, _, err = imported("export-model", "--pair", pair, "--dataset", "toy", "--backend", "openvino")
    assert code == 1
    assert "openvino does not run here" in err and "pip install openvino" in err


def test_tiles_for_8_bits_are_of_the_training_split_half_of_them_with_spores(imported: Run, drawn: Any) -> None:
    from PIL import Image

    dataset = load_dataset("toy", Path("datasets.yaml"))
    part = spot_manifest().detector
    tiles = training_tiles(dataset, part, count=12, seed=1)
    again, other = training_tiles(dataset, part, count=12, seed=1), training_tiles(dataset, part, count=12, seed=2)
    assert len(tiles) == 12
    assert all(np.array_equal(one, two) for one, two in zip(tiles, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(tiles, other, strict=True))
    slides = [np.array(Image.open(drawn.folder / image)) for image in dataset.split("train")[0]["image"]]
    windows = {
        slide[tile.y_min : tile.y_max, tile.x_min : tile.x_max].tobytes()
        for slide in slides
        for tile in tiling_of(part).grid(slide.shape[1], slide.shape[0]).tiles
    }
    assert all(tile.tobytes() in windows for tile in tiles)
    assert sum(bool((tile < 100).any()) for tile in tiles) >= 6


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_tile_is_filled_up_as_the_detector_gets_it(scale: float) -> None:
    part = replace_scale(scale)
    batch = as_detector_input(np.full((100, 90, 3), 7, dtype=np.uint8), part)
    height, width = round(100 * scale), round(90 * scale)
    assert batch.shape == (1, 32 * -(-height // 32), 32 * -(-width // 32), 3)
    assert (batch[0, :height, :width] == 7).all()
    assert (batch[0, height:] == 114).all() and (batch[0, :, width:] == 114).all()


def replace_scale(scale: float) -> Any:
    return spot_manifest().detector.model_copy(update={"scale": scale})


def candidates(*rows: tuple[str, str, float, float, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [(slide, kind, score, sure, *box) for slide, kind, score, sure, box in rows],
        columns=["slide", "class", "detector_score", "class_score", *COORDINATES],
    )


def test_the_difference_of_two_sets_of_candidates() -> None:
    torch = candidates(
        ("a", "rust", 0.9, 0.8, [0, 0, 10, 10]),
        ("a", "smut", 0.5, 0.6, [2, 0, 12, 10]),
        ("b", "rust", 0.3, 0.9, [0, 0, 10, 10]),
        ("b", "rust", 0.02, 0.9, [50, 50, 60, 60]),
    )
    backend = candidates(
        ("a", "smut", 0.45, 0.9, [2, 0, 12, 10]),
        ("a", "rust", 0.9, 0.7, [0, 0, 10, 11]),
        ("b", "smut", 0.3, 0.2, [0, 0, 10, 10]),
        ("c", "rust", 0.04, 0.9, [50, 50, 60, 60]),
    )
    found = difference(torch, backend, ["a", "b", "c"])
    assert found.score == 0.05
    assert found.class_score == 0.3, "only of those that are named alike"
    assert found.box == 1.0
    assert (found.named_otherwise, found.only_torch, found.only_backend) == (1, 1, 1)
    assert found.highest_alone == 0.04


def test_the_difference_without_candidates_or_classifier() -> None:
    nothing = candidates().astype(dict.fromkeys(["detector_score", "class_score", *COORDINATES], "float64"))
    one = candidates(("a", "spore", 0.9, np.nan, [0, 0, 10, 10]))
    assert difference(nothing, nothing, ["a"]).highest_alone == 0
    assert difference(one, nothing, ["a"]).only_torch == 1
    same = difference(one, one, ["a"])
    assert (same.score, same.class_score, same.only_torch) == (0, None, 0)


def test_scripts_and_program_know_the_command(spore_yolo: Run) -> None:
    code, out, _ = spore_yolo("export-model", "--help")
    assert code == 0
    assert "--verify-only" in out


@pytest.mark.parametrize(("backend", "device"), [("openvino", "cpu"), ("onnxruntime", "cpu"), ("tensorrt", "0")])
def test_torch_is_compared_where_the_backend_runs(
    backend: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU torch would win against every backend for the CPU, also on machines of that processor without one."""
    from spore_yolo.inference import pair

    class Stop(Exception):
        pass

    def load(folder: Path, on: str | None) -> Any:
        raise Stop(on)

    monkeypatch.setattr(pair, "load", load)
    with pytest.raises(Stop, match=f"^{device}$"):
        backend_verification.verify(tmp_path, backend, None, "0")  # type: ignore[arg-type]
