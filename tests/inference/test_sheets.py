"""Crops on sheets; `benchmarks/sheets.py` measures them beside batches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.sheet_runner import FILLS, SheetRunner
from spore_yolo.files.errors import UsageError
from spore_yolo.inference.backends.runner import Runner, pool_for
from spore_yolo.inference.backends.torch_runner import TorchRunner

SIZE = 64


def random_crops(count: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Crops that differ in colour and texture."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (count, 1, 1, 3))
    return np.clip(ground + rng.integers(-40, 40, (count, size, size, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def runner(untrained_classifier: Path) -> TorchRunner:
    """The untrained classifier, its normalisation set to crops; as it comes, all crops look the same to it."""
    import torch

    runner = TorchRunner(untrained_classifier, "classify", "cpu")
    content = torch.load(untrained_classifier, weights_only=False)
    network = content["model"].train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean over all batches seen
    with torch.no_grad():
        network(torch.from_numpy(random_crops(16, seed=1)).permute(0, 3, 1, 2).float() / 255)
    runner.network = runner._run = network.fuse(verbose=False).eval()
    return runner


def colour_runner() -> Any:
    """Stands in for a classifier; its logits are the mean red, green and blue of what it takes for the crop."""
    import torch

    mean = torch.nn.Conv2d(3, 3, 32, stride=32, bias=False)
    with torch.no_grad():
        mean.weight[:] = torch.eye(3)[:, :, None, None] / 32**2
    linear = torch.nn.Identity()
    linear.out_features = 3
    head = SimpleNamespace(conv=torch.nn.Identity(), pool=torch.nn.AdaptiveAvgPool2d(1), linear=linear)

    class Network:
        def __getitem__(self, at: Any) -> Any:
            return head if at == -1 else torch.nn.Sequential(mean)

    return SimpleNamespace(
        network=SimpleNamespace(model=Network()), device=torch.device("cpu"), precision="float32", workers=1
    )


@settings(max_examples=40)
@given(
    st.integers(0, 15), st.sampled_from([32, 64, 96]), st.integers(96, 300), st.sampled_from([0, 32, 64, 96]), st.data()
)
def test_each_crop_has_its_own_cells(count: int, size: int, side: int, gutter: int, data: st.DataObject) -> None:
    fill = data.draw(st.sampled_from([fill for fill in FILLS if fill != "mirror" or gutter // 2 < size]))
    crops = random_crops(count, size)
    seen = SheetRunner(colour_runner(), size, side, gutter, fill)(crops)
    np.testing.assert_allclose(seen, crops.mean(axis=(1, 2)) / 255, atol=1e-4)


@settings(max_examples=40)
@given(st.integers(1, 9), st.sampled_from([0, 32, 64]), st.sampled_from(FILLS))
def test_crops_lie_row_by_row_with_gutters_between_them(count: int, gutter: int, fill: Any) -> None:
    crops = random_crops(count)
    sheet = SheetRunner(colour_runner(), SIZE, 3 * SIZE + 2 * gutter, gutter, fill).pack(crops)
    columns, rows, pitch = min(count, 3), (count + 2) // 3, SIZE + gutter
    assert sheet.shape == (rows * pitch - gutter, columns * pitch - gutter, 3)
    left = np.ones(sheet.shape[:2], dtype=bool)
    for number, crop in enumerate(crops):
        y, x = number // 3 * pitch, number % 3 * pitch
        np.testing.assert_array_equal(sheet[y : y + SIZE, x : x + SIZE], crop)
        left[y : y + SIZE, x : x + SIZE] = False
    if fill in ("black", "grey", "zero"):
        assert set(sheet[left].ravel().tolist()) <= {114 if fill == "grey" else 0}


def test_a_gutter_shows_half_of_either_neighbour() -> None:
    one, other = random_crops(2)
    edges = SheetRunner(colour_runner(), SIZE, 256, 32, "edge").pack(np.stack([one, other]))
    np.testing.assert_array_equal(edges[:, 64:80], np.repeat(one[:, -1:], 16, axis=1))
    np.testing.assert_array_equal(edges[:, 80:96], np.repeat(other[:, :1], 16, axis=1))
    mirrors = SheetRunner(colour_runner(), SIZE, 256, 32, "mirror").pack(np.stack([one, other]))
    np.testing.assert_array_equal(mirrors[:, 64:80], one[:, 47:63][:, ::-1])
    np.testing.assert_array_equal(mirrors[:, 80:96], other[:, 1:17][:, ::-1])


@pytest.mark.parametrize(
    ("side", "gutter", "batch"),
    [
        pytest.param(64, 0, 1, id="one crop"),
        pytest.param(127, 0, 1, id="almost two"),
        pytest.param(128, 0, 4, id="two"),
        pytest.param(128, 32, 1, id="not with a gutter between them"),
        pytest.param(160, 32, 4, id="just so"),
        pytest.param(1024, 0, 256, id="many"),
        pytest.param(1024, 32, 121, id="fewer with gutters"),
    ],
)
def test_how_many_crops_fit(side: int, gutter: int, batch: int) -> None:
    assert SheetRunner(colour_runner(), SIZE, side, gutter).batch == batch


@pytest.mark.parametrize("count", [1, 2, 4, 7, 13])
@pytest.mark.parametrize("gutter", [32, 64])
def test_gutters_of_zero_give_what_batches_give(runner: TorchRunner, count: int, gutter: int) -> None:
    crops = random_crops(count)
    expected = runner(crops)
    np.testing.assert_allclose(SheetRunner(runner, SIZE, 256, gutter)(crops), expected, atol=1e-4)
    assert count == 1 or np.ptp(expected, axis=0).max() > 0.05, "the crops must not all look the same to it"


@pytest.mark.parametrize("size", [32, 96])
def test_crops_of_other_sizes(runner: TorchRunner, size: int) -> None:
    crops = random_crops(5, size)
    np.testing.assert_allclose(SheetRunner(runner, size, 256, 32)(crops), runner(crops), atol=1e-4)


@pytest.mark.parametrize("fill", FILLS)
def test_a_crop_alone_on_a_sheet_is_a_batch_of_one(runner: TorchRunner, fill: Any) -> None:
    crops = random_crops(3)
    np.testing.assert_allclose(SheetRunner(runner, SIZE, SIZE, 32, fill)(crops), runner(crops), atol=1e-4)


@pytest.mark.parametrize(
    ("gutter", "fill", "alike"),
    [
        pytest.param(0, "zero", False, id="without a gutter"),
        pytest.param(32, "black", False, id="a narrow gutter, which deep layers see across"),
        pytest.param(32, "zero", True, id="a narrow gutter that no layer sees across"),
        pytest.param(224, "grey", True, id="wider than the network sees from a crop's edge: 199 px"),
    ],
)
def test_whether_neighbours_matter(runner: TorchRunner, gutter: int, fill: Any, alike: bool) -> None:
    sheets = SheetRunner(runner, SIZE, 3 * SIZE + 2 * gutter, gutter, fill)
    crops, others = random_crops(9), random_crops(9, seed=2)
    others[4] = crops[4]
    assert np.allclose(sheets(crops)[4], sheets(others)[4], atol=1e-5) == alike


def test_black_is_not_what_lies_beyond_an_image(runner: TorchRunner) -> None:
    # Bias and activation make something of black, so not even the widest black gutter gives what a batch gives.
    crops = random_crops(4)
    seen = SheetRunner(runner, SIZE, 2 * SIZE + 224, 224, "black")(crops)
    assert np.abs(seen - runner(crops)).max() > 1e-3


def test_logits_come_in_the_order_of_the_crops(runner: TorchRunner) -> None:
    sheets, crops = SheetRunner(runner, SIZE, 160, 32), random_crops(11)
    order = np.random.default_rng(3).permutation(11)
    np.testing.assert_allclose(sheets(crops[order]), sheets(crops)[order], atol=1e-4)


def test_no_crops(runner: TorchRunner) -> None:
    assert SheetRunner(runner, SIZE)(random_crops(0)).shape == (0, 3)


def test_the_classifier_stays_as_it_is(runner: TorchRunner) -> None:
    crops = random_crops(4)
    before = runner(crops)
    SheetRunner(runner, SIZE, 160, 32)(crops)
    np.testing.assert_array_equal(runner(crops), before)
    assert not any(layer._forward_pre_hooks for layer in runner.network.modules())


def test_workers_call_it_side_by_side(runner: TorchRunner) -> None:
    sheets: Runner = SheetRunner(runner, SIZE, 160, 32)
    crops = random_crops(16)
    with pool_for(sheets) as pool:
        parts = list(pool.map(sheets, np.split(crops, 4)))
    np.testing.assert_allclose(np.concatenate(parts), sheets(crops), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"crop_size": 48}, "multiple of 32 px, found 48 and 0", id="half a cell"),
        pytest.param({"crop_size": 0}, "multiple of 32 px, found 0 and 0", id="nothing"),
        pytest.param({"gutter": 16}, "multiple of 32 px, found 64 and 16", id="a gutter of half a cell"),
        pytest.param({"gutter": -32}, "found 64 and -32", id="an overlap"),
        pytest.param({"side": 63}, "at least a crop, 64 px, found 63", id="no room"),
        pytest.param({"fill": "pink"}, "black, grey, edge, mirror, zero in the gutter, found 'pink'", id="a colour"),
        pytest.param({"gutter": 128, "fill": "mirror"}, "a mirror of 64 px", id="a mirror wider than the crop"),
    ],
)
def test_sheets_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SheetRunner(colour_runner(), **{"crop_size": SIZE, **changes})


def test_crops_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match="crops of 64 x 64 px, found"):
        SheetRunner(colour_runner(), SIZE)(random_crops(2, 32))
