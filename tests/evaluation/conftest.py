from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from spore_yolo.labels.table import COORDINATES, boxes_table
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS


@pytest.fixture
def make_images() -> Callable[..., pd.DataFrame]:
    def make(groups: dict[str, str], width: int = 1000, height: int = 500) -> pd.DataFrame:
        return pd.DataFrame({"image": list(groups), "group": list(groups.values()), "width": width, "height": height})

    return make


@pytest.fixture
def make_boxes() -> Callable[..., pd.DataFrame]:
    def make(rows: list[tuple[str, str, float, float, float, float]], ignored: tuple[int, ...] = ()) -> pd.DataFrame:
        return boxes_table([(*row, number in ignored, "labels.csv", 1) for number, row in enumerate(rows)])

    return make


@pytest.fixture
def make_candidates() -> Callable[..., pd.DataFrame]:
    """Candidates of a detector alone, whose score is the detector_score."""

    def make(rows: list[tuple[str, str, float, float, float, float, float]]) -> pd.DataFrame:
        table = pd.DataFrame(rows, columns=["slide", "class", "score", *COORDINATES])
        table = table.astype({"slide": "str", "class": "str"} | dict.fromkeys(["score", *COORDINATES], "float64"))
        table = table.assign(detector_class=table["class"], detector_score=table["score"], class_score=np.nan)
        return table[CANDIDATE_COLUMNS]

    return make


@pytest.fixture
def make_pair_candidates() -> Callable[..., pd.DataFrame]:
    """Candidates of a one-class detector with a classifier: slide, class, detector_score, class_score and the box."""

    def make(rows: list[tuple[str, str, float, float, float, float, float, float]]) -> pd.DataFrame:
        table = pd.DataFrame(rows, columns=["slide", "class", "detector_score", "class_score", *COORDINATES])
        scores = dict.fromkeys(["detector_score", "class_score", *COORDINATES], "float64")
        table = table.astype({"slide": "str", "class": "str"} | scores)
        table = table.assign(score=table["detector_score"] * table["class_score"], detector_class="spore")
        return table[CANDIDATE_COLUMNS]

    return make


@pytest.fixture
def random_split(
    make_images: Callable[..., pd.DataFrame],
    make_boxes: Callable[..., pd.DataFrame],
    make_candidates: Callable[..., pd.DataFrame],
) -> Callable[[int], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]:
    """Labels, some ignored, and candidates that find most of them, with doubles and false alarms."""

    def make(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        rng = np.random.default_rng(seed)
        images = make_images({f"{i}.jpg": f"g{i // 2}" for i in range(8)})
        rows, found = [], []
        for image in images["image"][:-1]:  # the last slide is empty
            for _ in range(int(rng.integers(1, 40))):
                x, y, w, h = rng.uniform(0, 900), rng.uniform(0, 400), rng.uniform(8, 60), rng.uniform(8, 60)
                name = str(rng.choice(["a", "b"], p=[0.9, 0.1]))
                rows.append((image, name, x, y, x + w, y + h))
                for _ in range(int(rng.integers(0, 3))):
                    dx, dy, dw, dh = rng.normal(0, 0.12, 4)
                    box = (x + dx * w, y + dy * h, x + (1 + dw) * w, y + (1 + dh) * h)
                    found.append((image, name, float(rng.uniform(0.01, 1)), *box))
        for _ in range(40):
            x, y = rng.uniform(0, 900), rng.uniform(0, 400)
            image = str(rng.choice(images["image"]))
            found.append((image, str(rng.choice(["a", "b"])), float(rng.uniform(0.01, 1)), x, y, x + 20, y + 20))
        ignored = tuple(int(i) for i in rng.choice(len(rows), len(rows) // 10, replace=False))
        return make_candidates(found), make_boxes(rows, ignored), images

    return make
