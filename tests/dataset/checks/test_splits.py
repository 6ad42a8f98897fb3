from __future__ import annotations

from collections.abc import Callable

from spore_yolo.dataset.checks.base import Material
from spore_yolo.dataset.checks.splits import groups_that_hold, splits_of

Build = Callable[..., Material]


def test_splits_stand_in_their_order_and_spare_is_none(material: Build) -> None:
    splits = {"a.png": "val", "b.png": "train", "c.png": "spare"}
    assert splits_of(material((), [*splits, "d.png"], splits=splits)) == ["train", "val"]


def test_groups_that_hold__counts_groups_not_boxes(material: Build) -> None:
    box = (5, 5, 20, 20)
    images = ["a1.png", "a2.png", "b.png", "c.png"]
    boxes = [
        *[(image, "rust", *box) for image in images],
        ("a1.png", "rust", 50, 50, 60, 60),
        ("c.png", "smut", *box),
        ("b.png", "dust", *box, True),
    ]
    looked_at = material(
        boxes,
        splits=dict(zip(images, ["train", "train", "train", "val"], strict=True)),
        groups={"a1.png": "a", "a2.png": "a"},
    )
    table = groups_that_hold(looked_at)
    assert table.to_dict("index") == {"rust": {"train": 2, "val": 1}, "smut": {"train": 0, "val": 1}}
