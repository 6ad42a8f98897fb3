from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.inference.proposals import CANDIDATE_SCORE, proposals, suppressed


def raw_output(rng: np.random.Generator, classes: int, anchors: int) -> npt.NDArray[np.float32]:
    """As a detector gives it: crowded boxes, most of them unlikely."""
    centres, sizes = rng.uniform(0, 200, (2, anchors)), rng.uniform(8, 50, (2, anchors))
    scores = rng.uniform(0, 1, (classes, anchors)) ** 4
    return np.concatenate([centres, sizes, scores]).astype(np.float32)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 4), iou=st.sampled_from([0.3, 0.6, 0.9]))
def test_the_same_as_ultralytics(seed: int, classes: int, iou: float) -> None:
    import torch
    from ultralytics.utils.nms import non_max_suppression

    raw = raw_output(np.random.default_rng(seed), classes, 400)
    ours = proposals(raw, iou, 150)
    theirs = non_max_suppression(
        torch.from_numpy(raw[None].copy()), CANDIDATE_SCORE, iou, max_det=150, max_time_img=float("inf")
    )[0].numpy()
    assert ours.shape == theirs.shape
    # Theirs moves each class by 7,680 pixels before it compares, which rounds.
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_nothing_likely_is_nothing_found() -> None:
    raw = np.zeros((6, 84), dtype=np.float32)
    assert proposals(raw, 0.6, 300).shape == (0, 6)


def test_the_best_of_too_many_stay() -> None:
    rng = np.random.default_rng(1)
    raw = raw_output(rng, 2, 300)
    every, some = proposals(raw, 0.6, 10_000), proposals(raw, 0.6, 20)
    assert len(some) == 20 < len(every)
    assert some.tolist() == every[:20].tolist()
    assert (np.diff(every[:, 4]) <= 0).all()


def test_suppression_goes_across_classes() -> None:
    rows = np.array([[10, 10, 40, 30, 0.8, 1], [11, 10, 40, 30, 0.9, 0], [60, 10, 90, 30, 0.7, 1]], dtype=np.float64)
    assert suppressed(rows, 0.6).tolist() == [rows[1].tolist(), rows[2].tolist()]
    assert suppressed(rows[:0], 0.6).shape == (0, 6)
