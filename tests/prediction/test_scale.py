from __future__ import annotations

import pytest

from spore_yolo.prediction.scale import Scale, scale_notes, scale_of


@pytest.mark.parametrize(
    ("stated", "of_file", "of_pair", "expected", "of_slide"),
    [
        pytest.param(0.5, 0.25, 0.4, Scale(0.5, "stated", 0.25), 0.5, id="what was stated goes before all"),
        pytest.param(None, 0.25, 0.4, Scale(0.25, "file", 0.25), 0.25, id="then what the file says"),
        pytest.param(None, None, 0.4, Scale(0.4, "pair"), None, id="the pair's is only assumed"),
        pytest.param(None, None, None, Scale(None, "unknown"), None, id="nobody knows"),
    ],
)
def test_whose_word_counts(
    stated: float | None, of_file: float | None, of_pair: float | None, expected: Scale, of_slide: float | None
) -> None:
    scale = scale_of(stated, of_file, of_pair)
    assert (scale, scale.of_slide) == (expected, of_slide)


def test_each_thing_is_told_once_with_the_number_of_slides() -> None:
    scales = [Scale(0.25, "file", 0.25)] * 3 + [Scale(0.4, "pair")] * 2 + [Scale(0.8, "file", 0.8)] * 5
    notes = scale_notes(scales, 0.4, [True] * 3 + [False] * 2 + [True] * 5)
    assert [note.split(":")[0] for note in notes] == ["warning", "note"]
    assert "the scale of 2 slides is not known: 0.4 µm per pixel" in notes[0]
    assert "8 slides of 0.25 to 0.8 µm per pixel were resampled to the pair's 0.4" in notes[1]


def test_a_scale_that_differs_by_no_more_than_training_varies_needs_no_word() -> None:
    assert scale_notes([Scale(0.44, "file", 0.44)], 0.4, [False]) == []
    (note,) = scale_notes([Scale(0.8, "file", 0.8), Scale(0.2, "file", 0.2)], 0.4, [False, False])
    assert "spores are 0.5 to 2 times as large in pixels there" in note


def test_a_stated_scale_that_agrees_with_the_file_needs_no_word() -> None:
    assert scale_notes([Scale(0.25, "stated", 0.2501)], 0.25, [False]) == []
