from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spore_yolo.inference import contact_sheet
from spore_yolo.inference.contact_sheet import (
    CAPTION,
    CELL,
    GAP,
    HEAD,
    BestScores,
    ContactSheets,
    Crop,
    _font,
    _round_length,
    _shortened,
    cut,
)

Pixels = npt.NDArray[np.uint8]

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 30), (30, 30, 200)


@dataclass
class Found:
    """What was found on a slide: boxes, scores and classes."""

    boxes: Sequence[Sequence[float]]
    scores: Sequence[float]
    names: Sequence[str]


def found(boxes: Sequence[Sequence[float]], scores: Sequence[float], names: Sequence[str] | None = None) -> Found:
    return Found(boxes, scores, ["rust"] * len(boxes) if names is None else names)


class Sheets(ContactSheets):
    """Cuts what :class:`BestScores` lets through, and takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.best, self.place, self.cut = BestScores(), 0, 0

    def take(self, name: str, pixels: Pixels, seen: Found, um_per_px: float | None = None) -> None:
        chosen = self.best.can_be_shown(self.place, seen.names, np.array(seen.scores, dtype=np.float64))
        boxes = np.array(seen.boxes, dtype=np.float64).reshape(-1, 4)
        crops = [cut(pixels, (0, 0), boxes[row], seen.names[row], seen.scores[row]) for row in np.flatnonzero(chosen)]
        self.best.add(self.place, crops)
        self.place, self.cut = self.place + 1, self.cut + len(crops)
        self.add(name, crops, Counter(seen.names), um_per_px)


def slide(*spots: tuple[Sequence[int], Sequence[int]], size: tuple[int, int] = (400, 300)) -> Pixels:
    """A white slide with rectangles: corners and colour of each."""
    pixels = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
    for (x_min, y_min, x_max, y_max), colour in spots:
        pixels[y_min:y_max, x_min:x_max] = colour
    return pixels


def cell(sheet: Pixels, row: int, column: int) -> Pixels:
    y, x = HEAD + row * (CELL + CAPTION + GAP), GAP + column * (CELL + GAP)
    return sheet[y : y + CELL, x : x + CELL]


def extent(part: Pixels, colour: Sequence[int]) -> tuple[int, int]:
    """Width and height of what has about that colour."""
    like = np.abs(part.astype(int) - np.array(colour)).max(axis=2) < 70
    return int(like.any(axis=0).sum()), int(like.any(axis=1).sum())


def test_crops_by_falling_score_over_all_slides() -> None:
    sheets = Sheets()
    sheets.take(
        "one",
        slide(((40, 40, 60, 60), RED), ((140, 40, 160, 60), GREEN)),
        found([[40, 40, 60, 60], [140, 40, 160, 60]], [0.5, 0.9]),
    )
    sheets.take("two", slide(((40, 40, 60, 60), BLUE)), found([[40, 40, 60, 60]], [0.7]))
    assert sheets.pages() == [("rust", 1)]
    sheet = sheets.draw("rust")
    middles = [cell(sheet, 0, column)[CELL // 2, CELL // 2] for column in range(3)]
    np.testing.assert_allclose(middles, [GREEN, BLUE, RED], atol=30)
    assert (cell(sheet, 0, 3) == cell(sheet, 0, 3)[0, 0]).all()


def test_sizes_compare_and_the_bar_has_the_stated_length() -> None:
    sheets = Sheets()
    boxes = [[30, 30, 50, 50], [130, 30, 170, 70]]
    sheets.take("s", slide((boxes[0], RED), (boxes[1], RED)), found(boxes, [0.9, 0.8]), 0.5)
    sheet = sheets.draw("rust")
    small, large = extent(cell(sheet, 0, 0), RED), extent(cell(sheet, 0, 1), RED)
    assert large[0] == pytest.approx(2 * small[0], abs=2)
    assert large[0] == pytest.approx(large[1], abs=1)
    # The bar lies in the head's right corner; 20 px of the slide are 10 µm.
    bar = (sheet[38, -2 * CELL :] == 20).all(axis=1).sum()
    assert bar / small[0] == pytest.approx(_round_length(CELL / (small[0] / 20) * 0.5) / 10, rel=0.05)


def test_without_a_scale_the_bar_is_in_pixels() -> None:
    boxes = [[30, 30, 50, 50]]
    heads = []
    for scale in (None, 1.0):
        sheets = Sheets()
        sheets.take("s", slide((boxes[0], RED)), found(boxes, [0.9]), scale)
        heads.append(sheets.draw("rust")[:HEAD])
    # The same length, another unit.
    np.testing.assert_array_equal(heads[0][35:], heads[1][35:])
    assert (heads[0] != heads[1]).any()


def test_slides_of_different_scales_are_shown_at_one() -> None:
    sheets = Sheets()
    sheets.take("fine", slide(([40, 40, 80, 80], RED)), found([[40, 40, 80, 80]], [0.9]), 0.25)
    sheets.take("coarse", slide(([40, 40, 60, 60], BLUE)), found([[40, 40, 60, 60]], [0.8]), 0.5)
    sheet = sheets.draw("rust")
    assert extent(cell(sheet, 0, 0), RED)[0] == pytest.approx(extent(cell(sheet, 0, 1), BLUE)[0], abs=2)


def test_where_one_scale_is_unknown_pixels_are_compared() -> None:
    sheets = Sheets()
    sheets.take("known", slide(([40, 40, 80, 80], RED)), found([[40, 40, 80, 80]], [0.9]), 0.25)
    sheets.take("unknown", slide(([40, 40, 60, 60], BLUE)), found([[40, 40, 60, 60]], [0.8]))
    sheet = sheets.draw("rust")
    assert extent(cell(sheet, 0, 0), RED)[0] == pytest.approx(2 * extent(cell(sheet, 0, 1), BLUE)[0], abs=2)


def test_a_huge_detection_does_not_make_the_others_tiny() -> None:
    boxes = [[10, 10, 30, 30], [50, 10, 70, 30], [90, 10, 110, 30], [10, 50, 210, 250]]
    sheets = Sheets()
    sheets.take("s", slide(*((box, RED) for box in boxes)), found(boxes, [0.9, 0.8, 0.7, 0.6]))
    sheet = sheets.draw("rust")
    assert extent(cell(sheet, 0, 0), RED)[0] > CELL / 4
    assert extent(cell(sheet, 0, 3), RED) == (CELL, CELL)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([0, 0, 20, 20], id="first corner"),
        pytest.param([380, 280, 400, 300], id="last corner"),
        pytest.param([-5, 100, 15, 120], id="beyond the border"),
        pytest.param([100, 100, 104, 103], id="much smaller than the smallest crop"),
    ],
)
def test_boxes_at_the_border_stay_in_the_middle_of_their_cell(box: list[float]) -> None:
    sheets = Sheets()
    sheets.take("s", slide((np.clip(box, 0, 400).astype(int).tolist(), RED)), found([box], [0.9]))
    middle = cell(sheets.draw("rust"), 0, 0)[CELL // 2, CELL // 2].astype(int)
    assert middle[0] > middle[2] + 50


def test_only_the_best_are_kept_and_what_is_left_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "CROPS_A_SHEET", 3)
    monkeypatch.setattr(contact_sheet, "SHEETS_A_CLASS", 2)
    rng = np.random.default_rng(0)
    scores = rng.permutation(np.linspace(0.05, 0.95, 10)).tolist()
    sheets = Sheets()
    for score in scores:
        grey = (round(255 * score), 0, 0)
        sheets.take("s", slide(([40, 40, 80, 80], grey)), found([[40, 40, 80, 80]], [score]))
    sheets.take("s", slide(([40, 40, 80, 80], GREEN)), found([[40, 40, 80, 80]], [0.1], ["smut"]))
    assert sheets.pages() == [("rust", 1), ("rust", 2), ("smut", 1)]
    assert sheets.left_out() == {"rust": 4}
    shown = [
        cell(sheets.draw("rust", page), 0, column)[CELL // 2, CELL // 2, 0] for page in (1, 2) for column in range(3)
    ]
    np.testing.assert_allclose(shown, 255 * np.sort(scores)[::-1][:6], atol=6)


def test_a_large_crop_takes_little_memory_until_it_is_drawn() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    sheets = Sheets()
    sheets.take("s", noise, found([[40, 40, 240, 240]], [0.9]))
    assert len(sheets._classes["rust"].best[0][-1].jpeg) < 20_000


def test_among_equal_scores_the_first_seen_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "CROPS_A_SHEET", 2)
    monkeypatch.setattr(contact_sheet, "SHEETS_A_CLASS", 1)
    sheets = Sheets()
    for colour in (RED, GREEN, BLUE):
        sheets.take("s", slide(([40, 40, 80, 80], colour)), found([[40, 40, 80, 80]], [0.5]))
    sheet = sheets.draw("rust")
    middles = [cell(sheet, 0, column)[CELL // 2, CELL // 2] for column in range(2)]
    np.testing.assert_allclose(middles, [RED, GREEN], atol=30)


@given(
    slides=st.lists(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), max_size=8), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_what_is_not_cut_has_no_place_whatever_the_order_of_the_slides(slides: list[list[float]], order: Any) -> None:
    places = list(range(len(slides)))
    order.shuffle(places)
    best, cut_of = BestScores(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contact_sheet, "CROPS_A_SHEET", 3)
        patch.setattr(contact_sheet, "SHEETS_A_CLASS", 1)
        for place in places:
            scores = np.array(slides[place], dtype=np.float64)
            chosen = np.flatnonzero(best.can_be_shown(place, ["rust"] * len(scores), scores))
            cut_of[place] = chosen.tolist()
            best.add(place, [Crop("rust", float(scores[row]), (1, 1), 1, b"") for row in chosen])
    all_rows = [(-score, place, row) for place, scores in enumerate(slides) for row, score in enumerate(scores)]
    for _, place, row in sorted(all_rows)[:3]:
        assert row in cut_of[place]
    assert all(len(rows) <= 3 for rows in cut_of.values())


def test_few_crops_are_cut_of_many_slides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "CROPS_A_SHEET", 10)
    monkeypatch.setattr(contact_sheet, "SHEETS_A_CLASS", 1)
    sheets = Sheets()
    for _ in range(20):
        sheets.take("s", slide(), found([[40, 40, 60, 60]] * 50, [0.5] * 50))
    assert (sheets.cut, sheets.left_out()) == (10, {"rust": 990})


def test_a_part_of_the_slide_gives_the_same_crop_as_all_of_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    box = np.array([150.3, 101.7, 190.2, 120.4])
    assert cut(pixels, (0, 0), box, "rust", 0.5) == cut(pixels[60:170, 120:220], (120, 60), box, "rust", 0.5)


def test_a_sheet_is_a_picture_file(tmp_path: Path) -> None:
    sheets = Sheets()
    sheets.take("s", slide(([40, 40, 80, 80], RED)), found([[40, 40, 80, 80]] * 30, [0.5] * 30))
    sheets.write(tmp_path / "rust.jpg", "rust")
    with Image.open(tmp_path / "rust.jpg") as picture:
        assert (picture.height, picture.width) == sheets.draw("rust").shape[:2]


def test_slides_without_detections_leave_no_sheet() -> None:
    sheets = Sheets()
    sheets.take("s", slide(), found([], []))
    assert sheets.pages() == []


@given(text=st.text(max_size=60), width=st.integers(20, 200))
def test_captions_stay_within_their_cell(text: str, width: int) -> None:
    font = _font(11)
    shorter = _shortened(text, font, width)
    assert font.getlength(shorter) <= width
    assert shorter.isprintable()
    if text.isprintable() and shorter != text:
        beginning, _, end = shorter.partition("…")
        assert text.startswith(beginning) and text.endswith(end)


@given(longest=st.floats(1e-3, 1e6))
def test_bars_have_round_lengths(longest: float) -> None:
    length = _round_length(longest)
    assert longest / 2.5 * 0.999 <= length <= longest
    assert f"{length:.0e}"[0] in "125"


@pytest.mark.parametrize("letter", "µéñßŁЖπ…")
def test_the_font_has_letters_beyond_ascii(letter: str) -> None:
    def drawn(text: Any) -> bytes:
        return bytes(_font(12).getmask(text))

    assert drawn(letter) != drawn("\uffff")
