from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.evaluation.gallery import MOST, PICTURE, SMALLEST_WINDOW, Failure, cut_pictures, pick_failures
from spore_yolo.labels.table import COORDINATES

Row = tuple[str, str, str, str, float | None, tuple[float, float, float, float]]


def matches(rows: list[Row]) -> pd.DataFrame:
    """Slide, group, class, outcome, score and box."""
    flat = [(*row[:5], *row[5]) for row in rows]
    table = pd.DataFrame(flat, columns=["slide", "group", "class", "outcome", "score", *COORDINATES])
    return table.astype({"score": "float64"})


def square(x: float, side: float = 20) -> tuple[float, float, float, float]:
    return (x, 0.0, x + side, side)


def noise(height: int = 400, width: int = 600, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(uri: str) -> npt.NDArray[np.int64]:
    head, data = uri.split(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGB"), dtype=np.int64)


@pytest.mark.parametrize(
    ("others", "found", "other"),
    [
        pytest.param([], "nothing was detected there", "", id="nothing"),
        pytest.param([("fp", "rust", square(18))], "nothing was detected there", "", id="a touch is nothing"),
        # 20 x 20 boxes, shifted by 5: 300 of 500 in common, IoU 0.6; by 10: 200 of 600, 0.333.
        pytest.param([("fp", "smut", square(5))], "it was called", "smut", id="another name"),
        pytest.param([("tp", "smut", square(5))], "it was called", "smut", id="a name that is right for a neighbour"),
        pytest.param(
            [("fp", "rust", square(10))],
            "a detection covers only part of it (overlap 0.33), called",
            "rust",
            id="a bad box",
        ),
        pytest.param(
            [("fp", "smut", square(10)), ("tp", "rust", square(5))],
            "its detection went to a neighbour that overlaps it, also",
            "rust",
            id="the best of several",
        ),
        pytest.param([("ignored", "rust", square(0))], "nothing was detected there", "", id="what is ignored"),
    ],
)
def test_what_lies_on_a_miss(
    others: list[tuple[str, str, tuple[float, float, float, float]]], found: str, other: str
) -> None:
    rows: list[Row] = [("s", "g", "rust", "fn", None, square(0))]
    rows += [("s", "g", name, outcome, 0.5, box) for outcome, name, box in others]
    # The same place of another slide is another place.
    rows += [("t", "g", "smut", "fp", 0.9, square(0))]
    (missed,) = [one for one in pick_failures(matches(rows), []) if one.kind == "missed"]
    assert (missed.found, missed.other, missed.score) == (found, other, None)


@pytest.mark.parametrize(
    ("others", "found", "other"),
    [
        pytest.param([], "experts labelled nothing there", "", id="nothing"),
        pytest.param([("fn", "smut", square(5))], "experts labelled it", "smut", id="another class, missed"),
        pytest.param([("tp", "smut", square(5))], "experts labelled it", "smut", id="another class, found"),
        pytest.param(
            [("tp", "rust", square(5))], "a second box on one that was found already:", "rust", id="counted twice"
        ),
        pytest.param(
            [("fn", "rust", square(10))],
            "it covers only part (overlap 0.33) of a labelled",
            "rust",
            id="a bad box",
        ),
        pytest.param([("fp", "smut", square(0))], "experts labelled nothing there", "", id="two false alarms"),
    ],
)
def test_what_lies_under_a_false_alarm(
    others: list[tuple[str, str, tuple[float, float, float, float]]], found: str, other: str
) -> None:
    rows: list[Row] = [("s", "g", "rust", "fp", 0.75, square(0))]
    rows += [("s", "g", name, outcome, 0.5, box) for outcome, name, box in others]
    (alarm,) = [one for one in pick_failures(matches(rows), []) if one.kind == "false alarm" and one.score == 0.75]
    assert (alarm.found, alarm.other, alarm.class_name) == (found, other, "rust")


def test_an_overlap_below_the_bound_never_looks_like_it() -> None:
    rows: list[Row] = [("s", "g", "rust", "fn", None, (0, 0, 1000, 1)), ("s", "g", "rust", "fp", 0.9, (0, 0, 499, 1))]
    missed = pick_failures(matches(rows), [])[0]
    assert missed.found == "a detection covers only part of it (overlap 0.49), called"


def test_worst_first_and_targets_before_all_others() -> None:
    rows: list[Row] = [
        ("s", "g", "rust", "fp", 0.4, square(0)),
        ("s", "g", "rust", "fp", 0.9, square(100)),
        ("s", "g", "rust", "fn", None, square(200, 10)),
        ("s", "g", "rust", "fn", None, square(300, 30)),  # larger, and nothing on it either
        ("s", "g", "rust", "fn", None, square(400)),  # called something
        ("s", "g", "smut", "fp", 0.99, square(405)),
        ("s", "g", "rust", "tp", 0.99, square(500)),
        ("s", "g", "rust", "ignored", 0.99, square(600)),
    ]
    chosen = pick_failures(matches(rows), ["rust", "no such class"])
    assert [(one.kind, one.class_name, one.box[0]) for one in chosen] == [
        ("missed", "rust", 300),
        ("missed", "rust", 200),
        ("missed", "rust", 400),
        ("false alarm", "rust", 100),
        ("false alarm", "rust", 0),
        ("false alarm", "smut", 405),
    ]


def test_one_bad_slide_does_not_fill_the_gallery() -> None:
    rows: list[Row] = [("bad", "a", "rust", "fp", 0.9 + place / 1000, square(50 * place)) for place in range(50)]
    rows += [(f"{number}", "a", "rust", "fp", 0.5, square(0)) for number in range(3)]
    rows += [("far", "b", "rust", "fp", 0.1, square(0))]
    chosen = pick_failures(matches(rows), ["rust"], per_class=4)
    # The worst of each group, then the next of each from slides that have not been shown.
    assert [one.slide for one in chosen] == ["bad", "0", "1", "far"]
    assert chosen[0].box[0] == 50 * 49


def test_numbers_are_bounded_for_any_number_of_classes() -> None:
    names = [f"class {number}" for number in range(30)]
    rows: list[Row] = [
        (f"{slide}", f"g{slide}", name, outcome, 0.5, square(30 * place))
        for slide in range(5)
        for place, name in enumerate(names)
        for outcome in ("fn", "fp")
        for _ in range(3)
    ]
    table = matches(rows)
    assert len(pick_failures(table, names)) <= MOST
    assert {one.class_name for one in pick_failures(table, names)} == set(names)
    others = pick_failures(table, [])
    assert [one.kind for one in others] == ["missed"] * 12 + ["false alarm"] * 12
    assert len({one.class_name for one in others[:12]}) == 12
    both = pick_failures(table, names[:1])
    assert sum(one.class_name == names[0] for one in both) == 24
    assert len(both) == 48


def test_nothing_went_wrong() -> None:
    assert pick_failures(matches([("s", "g", "rust", "tp", 0.9, square(0))]), ["rust"]) == []
    assert pick_failures(matches([]), ["rust"]) == []
    assert cut_pictures([], lambda slide: noise()) == []


def test_without_scores_and_with_a_scale() -> None:
    table = matches([("s", "g", "a", "fp", None, square(0)), ("s", "g", "a", "fn", None, square(90))])
    missed, alarm = pick_failures(table.assign(side_um=[np.nan, 8.5]), [])
    assert (alarm.score, alarm.side_um, missed.side_um) == (None, None, 8.5)


def failure(slide: str, box: tuple[float, float, float, float]) -> Failure:
    return Failure("missed", "rust", slide, "g", box, None, "nothing was detected there")


def test_each_slide_is_opened_once_and_the_order_is_kept() -> None:
    opened = []

    def open_slide(name: str) -> npt.NDArray[np.uint8]:
        opened.append(name)
        return noise()

    failures = [failure(name, square(40 * place)) for place, name in enumerate("abacab")]
    pictures = cut_pictures(failures, open_slide)
    assert opened == ["a", "b", "c"]
    assert [picture.failure for picture in pictures] == failures
    for picture in pictures:
        assert pixels(picture.uri).shape == (PICTURE, PICTURE, 3)


@pytest.mark.parametrize(
    ("side", "window"),
    [
        pytest.param(10, SMALLEST_WINDOW, id="small: the least window"),
        pytest.param(24, 96, id="at the bound"),
        pytest.param(60, 240, id="four times the box"),
    ],
)
def test_the_box_is_framed_in_the_middle_and_its_inside_is_not_hidden(side: int, window: int) -> None:
    slide = np.full((600, 600, 3), 128, dtype=np.uint8)
    slide[300 - side // 2 : 300 + side // 2, 300 - side // 2 : 300 + side // 2] = (200, 60, 60)
    box = (300 - side / 2, 300 - side / 2, 300 + side / 2, 300 + side / 2)
    (picture,) = cut_pictures([failure("s", box)], lambda name: slide)
    assert picture.side == window
    image, half = pixels(picture.uri), side / 2 * PICTURE / window
    inner = slice(int(PICTURE / 2 - half) + 3, int(PICTURE / 2 + half) - 3)
    assert np.abs(image[inner, inner] - (200, 60, 60)).mean() < 12
    # The frame: dark outside of light, on all four sides.
    middle, edge = PICTURE // 2, round(PICTURE / 2 - half)
    for line in (image[middle], image[:, middle], image[middle, ::-1], image[::-1, middle]):
        grey = line.mean(axis=1)[edge - 6 : edge + 1]
        assert grey.min() < 70
        assert grey.max() > 160
    assert np.abs(image[:20, :20] - 128).max() < 12


def test_at_the_edge_of_the_slide_lies_paper() -> None:
    slide = np.zeros((200, 200, 3), dtype=np.uint8)
    (corner,) = cut_pictures([failure("s", (0, 0, 20, 20))], lambda name: slide)
    image = pixels(corner.uri)
    # The window begins at -38: 38 of 96 pixels of it are no slide.
    paper = int(38 / 96 * PICTURE)
    assert image[: paper - 8].min() > 230
    assert image[:, : paper - 8].min() > 230
    assert image[paper + 80 :, paper + 80 :].max() < 30
    (tiny,) = cut_pictures([failure("s", (0, 0, 5, 5))], lambda name: slide[:5, :5])
    assert pixels(tiny.uri).shape == (PICTURE, PICTURE, 3)
