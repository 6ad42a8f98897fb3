from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.evaluation.classifier import classifier_figures, look_at_labels
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint
from spore_yolo.labels.table import COORDINATES, boxes_table
from tests.evaluation.hand_worked import stated


class DarkIsRust:
    """Stands in for a pair: names a box by the grey at its centre, which is also how sure it is."""

    def __init__(self) -> None:
        self.slides_seen: list[tuple[int, ...]] = []

    def classify(self, pixels: Any, boxes: Any) -> tuple[Any, Any]:
        self.slides_seen.append(pixels.shape)
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(int)
        grey = pixels[centres[:, 1], centres[:, 0], 0]
        names = np.where(grey == 0, "rust", np.where(grey == 255, DEBRIS, "smut"))
        return names, np.where(grey == 60, 0.3, 0.9)


@pytest.fixture
def slides(tmp_path: Path) -> list[tuple[str, Path]]:
    pixels = np.full((40, 100, 3), 255, dtype=np.uint8)
    pixels[:, :20], pixels[:, 20:40], pixels[:, 40:60] = 0, 60, 120
    for name in ("1.png", "2.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    return [(name, tmp_path / name) for name in ("1.png", "2.png")]


def labelled(*rows: tuple[str, str, float, bool]) -> pd.DataFrame:
    """Boxes of 20 x 20 pixels: image, class, left side, ignored."""
    return boxes_table([(image, name, x, 0, x + 20, 20, ignored, "l.csv", 1) for image, name, x, ignored in rows])


def images_in_groups(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"image": names, "group": names})


def test_labels_are_called_at_the_operating_point(slides: list[tuple[str, Path]]) -> None:
    pair = DarkIsRust()
    boxes = labelled(
        ("1.png", "rust", 0, False),
        ("1.png", "smut", 20, False),  # named smut, but not surely enough
        ("1.png", "smut", 40, False),
        ("1.png", "rust", 80, False),  # named debris
        ("1.png", "rust", 60, True),  # ignored: not asked
    )
    # The detector's threshold, however high, has no part in it: people found these.
    point = OperatingPoint.model_validate({"detector": 0.99, "class": {"smut": 0.4}})
    calls = look_at_labels(boxes, slides, cast(Any, pair), point)
    assert calls["called"].tolist() == ["rust", DEBRIS, "smut", DEBRIS]
    assert calls["class"].tolist() == ["rust", "smut", "smut", "rust"]
    assert calls["class_score"].tolist() == [0.9, 0.3, 0.9, 0.9]
    assert calls["slide"].unique().tolist() == ["1.png"]
    assert calls[COORDINATES].to_numpy()[:, 0].tolist() == [0, 20, 40, 80]
    assert pair.slides_seen == [(40, 100, 3)]  # a slide without labels is not even read


def test_no_labels_at_all(slides: list[tuple[str, Path]]) -> None:
    calls = look_at_labels(boxes_table(), slides, cast(Any, DarkIsRust()))
    figures = stated(classifier_figures(calls, ["rust"], images_in_groups("1.png")))
    assert figures["overall"]["accuracy"] == {"value": None, "n": 0}
    assert figures["per_class"]["rust"]["recall"] == {"value": None, "n": 0}


def test_without_a_classifier_only_the_sharpness_is_told(slides: list[tuple[str, Path]]) -> None:
    boxes = labelled(("1.png", "rust", 10, False), ("1.png", "rust", 60, True), ("2.png", "rust", 70, False))
    looks = look_at_labels(boxes, slides)
    assert looks.index.tolist() == [0, 2]
    assert looks["called"].tolist() == ["", ""]
    assert looks["class_score"].isna().all()
    # The first lies on an edge, the second on nothing.
    assert looks["sharpness"].iloc[0] > looks["sharpness"].iloc[1] == 0


def test_figures_agree_with_scikit_learn() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c", DEBRIS], dtype=object)
    calls = pd.DataFrame({"slide": "1.png", "class": rng.choice(names[:3], 200), "called": rng.choice(names, 200)})
    figures = classifier_figures(calls, ["a", "b", "c"], images_in_groups("1.png"))
    truth, said = calls["class"].tolist(), calls["called"].tolist()
    assert figures["overall"]["accuracy"]["value"] == sklearn_metrics.accuracy_score(truth, said)
    recall = sklearn_metrics.recall_score(truth, said, labels=["a", "b", "c"], average=None)
    assert [figures["per_class"][name]["recall"]["value"] for name in "abc"] == recall.tolist()
    matrix = sklearn_metrics.confusion_matrix(truth, said, labels=["a", "b", "c", DEBRIS])
    debris = matrix[:3, 3] / matrix[:3].sum(axis=1)
    assert [figures["per_class"][name]["called_debris"]["value"] for name in "abc"] == debris.tolist()
