from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.detector import Detector
from spore_yolo.inference.pair import load
from spore_yolo.inference.tiling import TilingSettings


def settings(**changes: Any) -> TilingSettings:
    values: dict[str, Any] = {
        "tile_size": 96,
        "scale": 1.0,
        "largest_box": 26,
        "nms_iou": 0.6,
        "max_detections_per_tile": 300,
    }
    return TilingSettings(**{**values, **changes})


def slide_with(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (300, 220)) -> np.ndarray:
    pixels = np.full((size[1], size[0], 3), 200, dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        pixels[y0:y1, x0:x1] = 40
    return pixels


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5, 1.3])
def test_boxes_come_back_in_pixels_of_the_slide(spot_pair: Path, scale: float) -> None:
    boxes = [(10, 20, 34, 40), (140, 100, 164, 124), (270, 190, 294, 214)]
    found = load(spot_pair).detector.slide(slide_with(*boxes), settings(scale=scale, tile_size=128))
    assert len(found.boxes) == 3
    order = np.argsort(found.boxes[:, 0])
    assert np.abs(found.boxes[order] - np.array(boxes)).max() <= 1.5 / min(scale, 1)


@pytest.mark.parametrize("size", [(20, 20), (96, 96), (97, 30), (500, 33)])
def test_slides_of_odd_sizes(spot_pair: Path, size: tuple[int, int]) -> None:
    found = load(spot_pair).detector.slide(slide_with((2, 3, 16, 18), size=size), settings())
    assert found.boxes.round().tolist() == [[2, 3, 16, 18]]


def test_least_score_of_the_command_line_is_where_candidates_begin() -> None:
    from spore_yolo.cli.options import LEAST_SCORE
    from spore_yolo.inference.proposals import CANDIDATE_SCORE

    assert LEAST_SCORE == CANDIDATE_SCORE


def test_an_empty_slide(spot_pair: Path) -> None:
    found = load(spot_pair).detector.slide(slide_with(), settings())
    assert found.boxes.shape == (0, 4)
    assert (found.capped_tiles, found.oversized.tolist()) == (0, [])


def test_a_cap_that_is_reached_is_told(spot_pair: Path) -> None:
    boxes = [(x, y, x + 12, y + 12) for x in (2, 22, 42) for y in (2, 22, 42)]
    detector = load(spot_pair).detector
    assert detector.slide(slide_with(*boxes), settings(max_detections_per_tile=300)).capped_tiles == 0
    capped = detector.slide(slide_with(*boxes), settings(max_detections_per_tile=4))
    assert capped.capped_tiles >= 1


def test_objects_larger_than_the_overlap_allows_are_told(spot_pair: Path) -> None:
    found = load(spot_pair).detector.slide(slide_with((10, 10, 60, 60)), settings())
    assert found.oversized.tolist() == [True]


def test_several_nms_thresholds_at_once_are_as_one_by_one(spot_pair: Path) -> None:
    detector = load(spot_pair).detector
    slide = slide_with((10, 20, 34, 40), (140, 100, 164, 124))
    together = detector.slide_at(slide, settings(), [0.3, 0.7])
    alone = [detector.slide(slide, settings(nms_iou=iou)) for iou in (0.3, 0.7)]
    for one, other in zip(together, alone, strict=True):
        assert one.boxes.tolist() == other.boxes.tolist()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a checkpoint", id="text"),
        pytest.param(b"PK\x03\x04", id="zip"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "detector.pt"
    path.write_bytes(content)
    with pytest.raises(SporeYoloError, match="no YOLOv8 detector"):
        Detector.load(path)


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SporeYoloError, match="no such file"):
        Detector.load(tmp_path / "detector.pt")


def test_the_real_network_agrees_with_ultralytics_own_prediction(untrained_checkpoint: Path) -> None:
    """One tile of exactly the model's size, through our way and through plain Ultralytics."""
    from ultralytics import YOLO

    pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    detector = Detector.load(untrained_checkpoint, "cpu")
    ours = detector.slide(pixels, settings(tile_size=96, max_detections_per_tile=3000))
    theirs = YOLO(str(untrained_checkpoint)).predict(
        np.ascontiguousarray(pixels[:, :, ::-1]),
        imgsz=96,
        conf=0.01,
        iou=0.6,
        max_det=3000,
        verbose=False,
        device="cpu",
    )[0]
    expected = theirs.boxes.data.cpu().numpy()
    assert len(ours.boxes) == len(expected)
    assert np.allclose(ours.scores, expected[:, 4], atol=1e-4)
    assert np.allclose(ours.boxes, expected[:, :4], atol=0.05)
