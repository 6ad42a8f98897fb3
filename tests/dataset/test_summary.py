from __future__ import annotations

from collections.abc import Callable

import pytest

from spore_yolo.dataset.statistics import statistics_of
from spore_yolo.dataset.store import Dataset
from spore_yolo.dataset.summary import MIN_GROUPS, sizes_text, summarise, summary_text

Make = Callable[..., Dataset]
Images = dict[str, tuple[str, str, str, int, int]]


def _images(train: int = 3, val: int = 1, test: int = 1) -> Images:
    """Each image its own group and source."""
    rows: Images = {}
    for split, number in (("train", train), ("val", val), ("test", test)):
        rows |= {f"{split}{i}.png": (split, f"{split}-g{i}", f"{split}{i}", 40, 30) for i in range(number)}
    return rows


def test_summarise__table(make_dataset: Make) -> None:
    images = _images() | {
        "train9.png": ("train", "train-g0", "train9", 40, 30),
        "spare.png": ("spare", "val-g0", "val0", 40, 30),
    }
    boxes = [
        *[("train0.png", "Alternaria", 1, 1, 9, 9)] * 5,
        ("train0.png", "Botrytis", 1, 1, 9, 9),
        ("val0.png", "Botrytis", 1, 1, 9, 9),
        ("test0.png", "Alternaria", 1, 1, 9, 9),
        ("test0.png", "Alternaria", 1, 1, 9, 9, True),
        ("train1.png", "unsure", 1, 1, 9, 9, True),
        *[("spare.png", "Botrytis", 1, 1, 9, 9)] * 7,
    ]
    summary = summarise(make_dataset(images, boxes))
    assert summary.table.to_dict("index") == {
        "images": {"train": 4, "val": 1, "test": 1, "all": 6},
        "groups": {"train": 3, "val": 1, "test": 1, "all": 5},
        "boxes: Alternaria": {"train": 5, "val": 0, "test": 1, "all": 6},
        "boxes: Botrytis": {"train": 1, "val": 1, "test": 0, "all": 2},
    }
    assert summary.empty_share == pytest.approx(2 / 6), "an image with only ignored boxes is not empty"
    assert summary.imbalance == pytest.approx(3.0)
    assert (summary.ignored, summary.spare) == (2, 1)


def test_summarise__calibration_is_a_column_in_its_place(make_dataset: Make) -> None:
    images = {"c.png": ("calibration", "c", "c", 40, 30)} | _images()
    table = summarise(make_dataset(images, [("c.png", "Alternaria", 1, 1, 9, 9)])).table
    assert list(table.columns) == ["train", "val", "test", "calibration", "all"]


@pytest.mark.parametrize(
    ("boxes", "imbalance"),
    [
        pytest.param([], None, id="no boxes"),
        pytest.param([("train0.png", "Alternaria", 1, 1, 9, 9)], None, id="a class alone has no imbalance"),
        pytest.param(
            [("train0.png", "Alternaria", 1, 1, 9, 9), ("val0.png", "Botrytis", 1, 1, 9, 9)], 1.0, id="two equal ones"
        ),
    ],
)
def test_summarise__imbalance(make_dataset: Make, boxes: list[tuple[object, ...]], imbalance: float | None) -> None:
    assert summarise(make_dataset(_images(), boxes)).imbalance == imbalance


@pytest.mark.parametrize(
    ("number", "warned"),
    [pytest.param(MIN_GROUPS - 1, True, id="seven groups"), pytest.param(MIN_GROUPS, False, id="eight groups")],
)
def test_summarise__too_few_groups(make_dataset: Make, number: int, warned: bool) -> None:
    images = _images(train=2, val=10, test=10)
    boxes: list[tuple[object, ...]] = [("train0.png", "Alternaria", 1, 1, 9, 9)]
    boxes += [(f"val{i}.png", "Alternaria", 1, 1, 9, 9) for i in range(10)]
    boxes += [(f"test{i}.png", "Alternaria", 1, 1, 9, 9) for i in range(number)] * 3
    warnings = summarise(make_dataset(images, boxes, classes=["Alternaria"])).warnings
    assert any("too few groups in test" in w and f"Alternaria {number}" in w for w in warnings) == warned
    assert not any("train" in w or "in val" in w for w in warnings)


def test_summarise__absent_class(make_dataset: Make) -> None:
    boxes = [(f"{split}0.png", "Alternaria", 1, 1, 9, 9) for split in ("train", "val", "test")]
    boxes += [("train0.png", "Botrytis", 1, 1, 9, 9)]
    warnings = summarise(make_dataset(_images(), boxes)).warnings
    assert [w for w in warnings if w.startswith("no box")] == [
        "no box of Botrytis in val",
        "no box of Botrytis in test",
    ]


@pytest.mark.parametrize(
    ("group_by", "shared", "warned"),
    [
        pytest.param(None, False, True, id="no rule, each image its own group"),
        pytest.param("(x)", False, False, id="the user said what a group is"),
        pytest.param(None, True, False, id="groups hold several sources"),
    ],
)
def test_summarise__warns_where_groups_are_single_images(
    make_dataset: Make, group_by: str | None, shared: bool, warned: bool
) -> None:
    images = _images()
    if shared:
        images["train1.png"] = ("train", "train-g0", "train1", 40, 30)
    warnings = summarise(make_dataset(images, [], group_by=group_by)).warnings
    assert any("--group-by" in warning for warning in warnings) == warned


def test_summary_text(make_dataset: Make) -> None:
    images = _images() | {"spare.png": ("spare", "val-g0", "val0", 40, 30)}
    boxes = [("train0.png", "Alternaria", 1, 1, 9, 9)] * 1200
    boxes += [("val0.png", "Botrytis", 1, 1, 9, 9), ("val0.png", "Botrytis", 1, 1, 9, 9, True)]
    text = summary_text(make_dataset(images, boxes, targets=["Botrytis"]))
    for words in (
        "1,200",
        "empty slides: 60.0%",
        "1200.0 : 1",
        "targets: Botrytis",
        "ignored boxes: 1",
        "one a source): 1",
        "warning: no box of Alternaria in val",
    ):
        assert words in text
    plain = summary_text(make_dataset(_images(), [("train0.png", "Alternaria", 1, 1, 9, 9)]))
    for words in ("targets", "ignored", "variants left out", "imbalance"):
        assert words not in plain


def test_sizes_text__is_of_the_statistics(make_dataset: Make) -> None:
    dataset = make_dataset(
        _images(), [("train0.png", "Alternaria", 0, 0, 10, 20), ("val0.png", "Alternaria", 0, 0, 4, 30)]
    )
    lines = sizes_text(statistics_of(dataset)).splitlines()
    (row,) = [line for line in lines if line.startswith("Alternaria")]
    assert row.split("  ")[-1].strip() == "4.75 (2.27 to 7.22)", "30 by 4 and 20 by 10"
    assert "25 (20.5 to 29.5)" in row
    (empty,) = [line for line in lines if line.startswith("Botrytis")]
    assert empty.split() == ["Botrytis", "-", "-", "-", "-"]
    assert lines[-1] == "boxes that touch another one: 0.0%; overlap it: 0.0%"
