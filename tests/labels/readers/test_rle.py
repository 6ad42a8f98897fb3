"""Masks of COCO, with the COCO API itself as the witness."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spore_yolo.labels.readers.rle import mask_box, mask_size

Mask = npt.NDArray[np.uint8]

MASKS = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1), fill=st.integers(0, 1)
)


def packed(mask: Mask) -> dict[str, Any]:
    rle = pycocotools.mask.encode(np.asfortranarray(mask))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}


def unpacked(mask: Mask) -> dict[str, Any]:
    """Run lengths that are counted one pixel after the other."""
    counts, value = [0], np.uint8(0)
    for pixel in mask.flatten(order="F"):
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


@settings(max_examples=150)
@given(MASKS)
def test_box_round_a_mask(mask: Mask) -> None:
    ys, xs = np.nonzero(mask)
    expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else None
    assert mask_box(packed(mask)) == expected
    assert mask_box(unpacked(mask)) == expected
    x, y, width, height = pycocotools.mask.toBbox(pycocotools.mask.encode(np.asfortranarray(mask)))
    assert (expected or (0, 0, 0, 0)) == (x, y, x + width, y + height)


@settings(max_examples=100)
@given(MASKS, st.data())
def test_damaged_text_gives_a_box_on_the_mask_or_a_message(mask: Mask, data: st.DataObject) -> None:
    rle = packed(mask)
    place = data.draw(st.integers(0, len(rle["counts"]) - 1))
    letters = data.draw(st.text(max_size=3))
    rle["counts"] = rle["counts"][:place] + letters + rle["counts"][place + data.draw(st.integers(0, 2)) :]
    height, width = rle["size"]
    try:
        box = mask_box(rle)
    except ValueError:
        return  # refused
    assert box is None or (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # A mask of 3 x 4 pixels: 4 columns of 3.
        pytest.param([4, 1, 7], (1, 1, 2, 2), id="one pixel"),
        pytest.param([0, 12], (0, 0, 4, 3), id="all"),
        pytest.param([0, 0, 4, 1, 7], (1, 1, 2, 2), id="a run of nothing"),
        pytest.param([4, 1, 0, 1, 6], (1, 1, 2, 3), id="a run that is cut in two"),
        pytest.param([5, 2, 5], (1, 0, 3, 3), id="a run from the foot of a column to the head of the next"),
        pytest.param([3, 3, 6], (1, 0, 2, 3), id="a whole column"),
        pytest.param([11, 1], (3, 2, 4, 3), id="the last pixel"),
        pytest.param([12], None, id="nothing"),
        pytest.param([12, 0], None, id="nothing, with a run of it"),
    ],
)
def test_runs(counts: list[int], expected: tuple[float, ...] | None) -> None:
    assert mask_box({"size": [3, 4], "counts": counts}) == expected


def test_a_mask_of_many_pixels_takes_no_memory_for_them() -> None:
    size = [10_000_000, 10_000_000]
    assert mask_box({"size": size, "counts": [10**14 - 10, 10]}) == (9_999_999, 9_999_990, 10_000_000, 10_000_000)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        pytest.param([11], "sum to its 12 pixels", id="too few"),
        pytest.param([11, 2], "sum to its 12 pixels", id="too many"),
        pytest.param([], "sum to its 12 pixels", id="no runs"),
        pytest.param("", "sum to its 12 pixels", id="no text"),
        pytest.param([20, -8], "sum to its 12 pixels", id="a negative run"),
        pytest.param([2**63 - 1, 2**63 - 1, 14], "sum to its 12 pixels", id="a sum that is 12 in 64 bits"),
        pytest.param([10**30], "sum to its 12 pixels", id="a number without end"),
        pytest.param([11.0, 1], "whole numbers or their packed text", id="no whole numbers"),
        pytest.param([11, True], "whole numbers or their packed text", id="true"),
        pytest.param(None, "whole numbers or their packed text", id="null"),
        pytest.param({"a": 1}, "whole numbers or their packed text", id="an object"),
        pytest.param("4 1", "packed 'counts'", id="a blank"),
        pytest.param("41p", "packed 'counts'", id="a letter behind the last of the format"),
        pytest.param("41ä", "packed 'counts'", id="a letter beyond ASCII"),
        pytest.param("41\ud800", "packed 'counts'", id="half a letter"),
        pytest.param("41T", "packed 'counts'", id="cut off inside a number"),
        pytest.param("4" + "T" * 13 + "1", "packed 'counts'", id="a packed number without end"),
        pytest.param("4" + "o" * 11 + "?", "sum to its 12 pixels", id="the largest packed number"),
    ],
)
def test_bad_runs(counts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_box({"size": [3, 4], "counts": counts})


@pytest.mark.parametrize(
    "size", [None, [3], [3, 4, 5], "34", [3, "4"], [0, 4], [3, -4], [3, 10_000_001], [3, float("nan")], [3.5, 4]]
)
def test_bad_size(size: Any) -> None:
    with pytest.raises(ValueError, match=r"'size' \[height, width\], found"):
        mask_size({"size": size, "counts": [12]})


def test_size() -> None:
    assert mask_size({"size": [3, 4]}) == (4, 3)
