from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spore_yolo.evaluation.fiftyone_dataset import build_dataset
from spore_yolo.evaluation.fiftyone_views import COLOURS, FEW_CLASSES
from tests.evaluation.fiftyone_case import by_hand, by_hand_built, fiftyone


@pytest.fixture
def built() -> Any:
    return by_hand_built()


def boxes_of(view: Any, path: str) -> list[tuple[str, str, str]]:
    """Slide, label and outcome of the box of each patch."""
    return [(sample.slide, sample[path].label, sample[path].eval) for sample in view]


def test_missed_boxes_rare_classes_first(built: Any) -> None:
    assert boxes_of(built.load_saved_view("missed"), "ground_truth") == [
        ("s2.jpg", "smut", "fn"),
        ("s2.jpg", "smut", "fn"),
        ("s1.jpg", "rust", "fn"),
        ("s1.jpg", "rust", "fn"),
        ("s3.jpg", "rust", "fn"),
    ]


def test_false_alarms_surest_first(built: Any) -> None:
    view = built.load_saved_view("false alarms")
    # c1, c3, c2, c10, c8, c11 of the table in hand_worked.py, by falling score.
    assert boxes_of(view, "predictions") == [
        ("s1.jpg", "rust", "fp"),
        ("s2.jpg", "rust", "fp"),
        ("s1.jpg", "rust", "fp"),
        ("s4.jpg", "rust", "fp"),
        ("s3.jpg", "smut", "fp"),
        ("s4.jpg", "ergot", "fp"),
    ]
    scores = [sample.predictions.confidence for sample in view]
    assert scores == sorted(scores, reverse=True)


def test_confused_boxes_say_what_is_labelled_there(built: Any) -> None:
    (sample,) = built.load_saved_view("confused")
    assert (sample.slide, sample.predictions.label, sample.predictions.labelled) == ("s2.jpg", "rust", "smut")


def test_rare_classes_are_the_targets(built: Any) -> None:
    view = built.load_saved_view("rare classes")
    assert boxes_of(view, "ground_truth") == [
        ("s1.jpg", "rust", "fn"),
        ("s1.jpg", "rust", "fn"),
        ("s3.jpg", "rust", "fn"),
        ("s1.jpg", "rust", "tp"),
    ]


def test_without_targets_the_rarest_class_is_shown() -> None:
    dataset = build_dataset(fiftyone(), "no-targets", replace(by_hand(), targets=[]))
    view = dataset.load_saved_view("rare classes")
    assert {sample.ground_truth.label for sample in view} == {"smut"}


def test_many_classes_have_colours_but_no_views_of_their_own() -> None:
    names = [f"class-{number}" for number in range(FEW_CLASSES)]
    case = by_hand()
    many = build_dataset(fiftyone(), "many", replace(case, classes=[*case.classes, *names]))
    assert not [name for name in many.list_saved_views() if name.startswith("class ")]
    colours = many.app_config.color_scheme.fields[0]["valueColors"]
    assert len(colours) == len(names) + 3 > len(COLOURS)


def test_empty_slides_with_alarms_leave_out_slides_that_are_only_unsure(built: Any) -> None:
    assert built.load_saved_view("empty slides with alarms").values("slide") == ["s4.jpg"]


def test_imbalance_shows_all_boxes_rare_classes_first(built: Any) -> None:
    labels = [sample.ground_truth.label for sample in built.load_saved_view("imbalance")]
    assert labels == ["smut"] * 3 + ["rust"] * 4


def test_splits_groups_and_classes(built: Any) -> None:
    assert built.load_saved_view("split val").values("slide") == ["s1.jpg", "s3.jpg", "s5.jpg"]
    assert sorted(built.load_saved_view("groups").values("group")) == ["g1", "g2", "g3", "g4"]
    assert boxes_of(built.load_saved_view("class smut"), "ground_truth")[-1] == ("s2.jpg", "smut", "tp")
    assert len(built.load_saved_view("class ergot")) == 0


def test_patches_say_where_they_come_from(built: Any) -> None:
    first = built.load_saved_view("missed").first()
    assert (first.slide, first.split, first.group) == ("s2.jpg", "test", "g1")


def test_a_class_has_one_colour(built: Any) -> None:
    fields = {field["path"]: field["valueColors"] for field in built.app_config.color_scheme.fields}
    full = {entry["value"]: entry["color"] for entry in fields["predictions"]}
    assert list(full) == ["ergot", "rust", "smut"]
    assert len(set(full.values())) == 3
    assert full.items() <= {entry["value"]: entry["color"] for entry in fields["candidates"]}.items()
    for entry in fields["ground_truth"]:
        # The same hue at half of its brightness: 8 bits round.
        bright = [int(full[entry["value"]][place : place + 2], 16) for place in (1, 3, 5)]
        dark = [int(entry["color"][place : place + 2], 16) for place in (1, 3, 5)]
        assert all(abs(two - one / 2) <= 1 for one, two in zip(bright, dark, strict=True))


def test_candidates_are_there_but_hidden(built: Any) -> None:
    assert built.app_config.active_fields.paths == ["ground_truth", "predictions", "ignored"]
    groups = {group.name: group.paths for group in built.app_config.sidebar_groups}
    assert groups["labels"] == ["ground_truth", "predictions", "ignored", "candidates"]
    assert "um_per_px" not in groups["slide"]


def test_workspaces(built: Any) -> None:
    assert built.list_workspaces() == ["imbalance", "evaluation"]
    samples, beside = built.load_workspace("imbalance").children
    assert [panel.type for panel in (*samples.children, *beside.children)] == ["Samples", "Histograms"]
    assert beside.children[0].state == {"path": "ground_truth.detections.label"}
