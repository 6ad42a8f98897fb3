from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spore_yolo.evaluation.fiftyone_appearance import COLOURS
from spore_yolo.evaluation.fiftyone_dataset import build_dataset
from spore_yolo.evaluation.fiftyone_views import FEW
from spore_yolo.inference.manifest import OperatingPoint
from tests.evaluation.fiftyone_case import by_hand, by_hand_built, fiftyone

# Each starts a database of its own.
pytestmark = pytest.mark.slow

SIZES = ["missed: small", "missed: medium", "missed: large"]


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
    names = [f"class-{number}" for number in range(FEW)]
    case = by_hand()
    boxes = pd.concat([case.boxes] * 3, ignore_index=True)
    boxes.loc[len(case.boxes) :, "class"] = (names * 2)[: 2 * len(case.boxes)]
    many = build_dataset(fiftyone(), "many", replace(case, boxes=boxes, classes=[*case.classes, *names]))
    assert [name for name in many.list_saved_views() if name.startswith("missed: ")] == SIZES
    colours = many.app_config.color_scheme.fields[0]["valueColors"]
    assert len(colours) == len(names) + 3 > len(COLOURS)


def test_empty_slides_with_alarms_leave_out_slides_that_are_only_unsure(built: Any) -> None:
    assert built.load_saved_view("empty slides with alarms").values("slide") == ["s4.jpg"]


def test_imbalance_shows_all_boxes_rare_classes_first(built: Any) -> None:
    labels = [sample.ground_truth.label for sample in built.load_saved_view("imbalance")]
    assert labels == ["smut"] * 3 + ["rust"] * 4


def test_splits_and_groups(built: Any) -> None:
    assert built.load_saved_view("split val").values("slide") == ["s1.jpg", "s3.jpg", "s5.jpg"]
    assert sorted(built.load_saved_view("groups").values("group")) == ["g1", "g2", "g3", "g4"]


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
    assert groups["labels"] == ["ground_truth", "predictions", "ignored", "candidates", "crops"]
    assert "um_per_px" not in groups["slide"]


def test_workspaces(built: Any) -> None:
    assert built.list_workspaces() == ["imbalance", "evaluation", "embeddings"]
    samples, beside = built.load_workspace("imbalance").children
    assert [panel.type for panel in (*samples.children, *beside.children)] == ["Samples", "Histograms"]
    assert beside.children[0].state == {"path": "ground_truth.detections.label"}
    _, beside = built.load_workspace("embeddings").children
    assert [panel.type for panel in beside.children] == ["Embeddings"]


def test_missed_by_size_and_class(built: Any) -> None:
    """The median side is 20: those of smut, 40, are large, and R2, R3, R4 of 20 medium."""
    assert len(built.load_saved_view("missed: small")) == 0
    medium, large = (boxes_of(built.load_saved_view(f"missed: {size}"), "ground_truth") for size in ("medium", "large"))
    assert medium == [("s1.jpg", "rust", "fn"), ("s1.jpg", "rust", "fn"), ("s3.jpg", "rust", "fn")]
    assert large == [("s2.jpg", "smut", "fn"), ("s2.jpg", "smut", "fn")]
    assert boxes_of(built.load_saved_view("missed: rust"), "ground_truth") == medium
    assert boxes_of(built.load_saved_view("missed: smut"), "ground_truth") == large
    assert "missed: ergot" not in built.list_saved_views()


def test_confused_pairs_most_frequent_first() -> None:
    """Detections on s2's labels: two of smut called rust, one called ergot."""
    case = by_hand()
    named = case.candidates.assign(class_score=0.9)
    named.loc[[3, 4, 5], "class"] = ["ergot", "rust", "rust"]
    dataset = build_dataset(fiftyone(), "pairs", replace(case, candidates=named))
    pairs = [name for name in dataset.list_saved_views() if name.startswith("confused: ")]
    assert pairs == ["confused: smut as rust", "confused: smut as ergot"]
    assert [len(dataset.load_saved_view(name)) for name in pairs] == [2, 1]
    view = dataset.load_saved_view(pairs[0])
    assert {(sample.predictions.labelled, sample.predictions.label) for sample in view} == {("smut", "rust")}


def test_false_alarms_by_look_keep_alike_ones_together() -> None:
    """Ten false alarms that the classifier sees in two ways; a class comes in one piece, a look of it too."""
    case = by_hand()
    corners = [[x, 300.0, x + 20.0, 320.0] for x in range(0, 500, 50)]
    alarms = pd.DataFrame(corners, columns=["x_min", "y_min", "x_max", "y_max"]).assign(
        slide="s5.jpg", detector_class="spore", detector_score=0.9, class_score=0.9, sharpness=1.0, score=0.8
    )
    alarms["class"] = ["rust", "smut"] * 5

    def features(crops: pd.DataFrame) -> np.ndarray:
        """Every third place is seen as something else."""
        kind = (crops["x_min"] // 50 % 3 == 0).to_numpy()
        return np.where(kind[:, None], [1.0, 0.0], [0.0, 1.0])

    dataset = build_dataset(fiftyone(), "looks", replace(case, candidates=alarms, features=features))
    seen = [
        (sample.predictions.label, sample.predictions.look, round(sample.predictions.bounding_box[0] * 20) % 3 == 0)
        for sample in dataset.load_saved_view("false alarms by look")
    ]
    assert [row[:2] for row in seen] == sorted(row[:2] for row in seen)
    # Four of ten are seen as the other thing, which is the smaller look.
    assert {row[1:] for row in seen} == {("look 1", False), ("look 2", True)}


def test_touching_spores() -> None:
    """R1 gets a neighbour that shares its border, and I1, which is ignored, one that lies in it."""
    case = by_hand()
    corners = ["x_min", "y_min", "x_max", "y_max"]
    case.boxes.loc[1, corners] = [20.0, 0.0, 40.0, 20.0]
    case.boxes.loc[6, corners] = [210.0, 210.0, 230.0, 230.0]
    dataset = build_dataset(fiftyone(), "touching", case)
    assert boxes_of(dataset.load_saved_view("touching spores"), "ground_truth") == [
        ("s1.jpg", "rust", "fn"),
        ("s3.jpg", "rust", "fn"),
        ("s1.jpg", "rust", "tp"),
    ]


def test_worst_slides_first(built: Any) -> None:
    view = built.load_saved_view("worst slides")
    # s1 has 2 misses and 2 false alarms, s2 2 and 1, s3 1 and 1, s4 0 and 2, s5 none.
    assert view.values("slide")[:2] == ["s1.jpg", "s2.jpg"]
    assert view.values("mistakes") == [4, 3, 2, 2]


def test_likely_label_errors(built: Any) -> None:
    """R2 has no candidate, R3 one of IoU 0.3; S1 is called rust with 0.42, less than the only hit of rust, 0.81."""
    found = [
        (sample.slide, sample.ground_truth.label, sample.ground_truth.doubt)
        for sample in built.load_saved_view("likely label errors")
    ]
    assert found == [("s1.jpg", "rust", "nothing there")] * 2
    case = by_hand()
    case.candidates.loc[3, "score"] = 0.9
    dataset = build_dataset(fiftyone(), "doubted", case)
    first = dataset.load_saved_view("likely label errors").first()
    assert (first.slide, first.ground_truth.label, first.ground_truth.doubt) == ("s2.jpg", "smut", "other class")
    assert first.ground_truth.mistakenness == pytest.approx(0.95)


def test_likely_forgotten_labels() -> None:
    """c10 on the empty slide, as sure as c0, the only hit of rust; c8, of no more than 0.18, is less sure than c5."""
    case = by_hand()
    case.candidates.loc[10, "score"] = 0.81
    dataset = build_dataset(fiftyone(), "forgotten", case)
    (sample,) = dataset.load_saved_view("likely forgotten labels")
    assert (sample.slide, sample.predictions.label, sample.predictions.doubt) == ("s4.jpg", "rust", "not labelled")


def test_names_that_give_the_same_address_are_numbered() -> None:
    case = by_hand()
    renamed = {"rust": "small", "smut": "ржавчина", "ergot": "!"}
    dataset = build_dataset(
        fiftyone(),
        "addresses",
        replace(
            case,
            candidates=case.candidates.replace({"class": renamed}),
            boxes=case.boxes.replace({"class": renamed}),
            classes=list(renamed.values()),
            targets=[],
            point=OperatingPoint(detector=0.2),
        ),
    )
    names = dataset.list_saved_views()
    assert {"missed: small", "missed: small 2", "missed", "missed: ржавчина 2"} <= set(names)
    assert [box[1] for box in boxes_of(dataset.load_saved_view("missed: small 2"), "ground_truth")] == ["small"] * 3


def test_all_crops_are_a_view(built: Any) -> None:
    assert len(built.load_saved_view("crops")) == 13
