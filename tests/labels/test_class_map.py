"""The class map."""

from __future__ import annotations

from pathlib import Path

import pytest

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.class_map import ClassMap
from spore_yolo.labels.table import RawBox, RawLabels


def labels(boxes: list[tuple[str, bool]], classes: list[str]) -> RawLabels:
    """Labels with a box for each class and whether it is ignored, an image a box."""
    return RawLabels(
        [
            RawBox(f"{number}.jpg", name, 0, 0, 1, 1, ignored, Path("a.csv"), number)
            for number, (name, ignored) in enumerate(boxes)
        ],
        classes,
        {f"{number}.jpg" for number in range(len(boxes))} | {"negative.jpg"},
        [Problem("a.csv", 99, "no box")],
    )


@pytest.mark.parametrize(
    ("class_map", "expected_boxes", "expected_classes"),
    [
        pytest.param({}, [("rbc", False), ("wbc", False), ("dust", True)], ["rbc", "wbc", "dust"], id="nothing named"),
        pytest.param(
            {"rename": {"rbc": "red"}},
            [("red", False), ("wbc", False), ("dust", True)],
            ["red", "wbc", "dust"],
            id="a new name, in the old place",
        ),
        pytest.param(
            {"rename": {"rbc": "cell", "wbc": "cell"}},
            [("cell", False), ("cell", False), ("dust", True)],
            ["cell", "dust"],
            id="one new name for two merges them",
        ),
        pytest.param(
            {"rename": {"wbc": "rbc"}},
            [("rbc", False), ("rbc", False), ("dust", True)],
            ["rbc", "dust"],
            id="merged into a class that is there",
        ),
        pytest.param(
            {"rename": {"rbc": "wbc", "wbc": "rbc"}},
            [("wbc", False), ("rbc", False), ("dust", True)],
            ["wbc", "rbc", "dust"],
            id="two names exchanged",
        ),
        pytest.param(
            {"drop": ["rbc"]}, [("wbc", False), ("dust", True)], ["wbc", "dust"], id="a dropped class has no boxes"
        ),
        pytest.param(
            {"ignore": ["rbc"]},
            [("rbc", True), ("wbc", False), ("dust", True)],
            ["wbc", "dust"],
            id="an ignored class keeps its boxes and is no class",
        ),
        pytest.param(
            {"rename": {"dust": "dirt"}},
            [("rbc", False), ("wbc", False), ("dirt", True)],
            ["rbc", "wbc", "dirt"],
            id="a box that was ignored stays ignored",
        ),
    ],
)
def test_apply(
    class_map: dict[str, object], expected_boxes: list[tuple[str, bool]], expected_classes: list[str]
) -> None:
    before = labels([("rbc", False), ("wbc", False), ("dust", True)], ["rbc", "wbc", "dust"])
    after = ClassMap.model_validate(class_map).apply(before)
    assert [(box.class_name, box.ignored) for box in after.boxes] == expected_boxes
    assert after.classes == expected_classes
    assert after.labelled_images == before.labelled_images, "images stay, as negatives, when their boxes go"
    assert after.problems == before.problems
    assert [box.class_name for box in before.boxes] == ["rbc", "wbc", "dust"], "what was read is not changed"


def test_apply_to_a_class_that_is_only_listed() -> None:
    after = ClassMap(drop=["debris"]).apply(labels([("rbc", False)], ["rbc", "debris"]))
    assert after.classes == ["rbc"]


@pytest.mark.parametrize("part", [{"rename": {"RBC": "red"}}, {"drop": ["RBC"]}, {"ignore": ["RBC"]}], ids=str)
def test_a_class_that_no_label_has_is_a_typing_error(part: dict[str, object]) -> None:
    with pytest.raises(InputProblems, match="RBC") as caught:
        ClassMap.model_validate(part).apply(labels([("rbc", False)], ["rbc", "wbc"]), Path("map.yaml"))
    assert "rbc, wbc" in str(caught.value), "the classes there are listed"
    assert [problem.file for problem in caught.value.problems] == [Path("map.yaml")]


def test_read(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text('rename: {0: rust, "Alternaria sp.": Alternaria}\ndrop: [1, dust]\nignore: []\n')
    class_map = ClassMap.read(tmp_path / "map.yaml")
    assert class_map.rename == {"0": "rust", "Alternaria sp.": "Alternaria"}, "class numbers are names too"
    assert class_map.drop == ["1", "dust"]
    assert class_map.ignore == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("drop: [a]\nignore: [a]\n", "class a .*more than one part", id="dropped and ignored"),
        pytest.param("drop: [a]\nrename: {a: b}\n", "class a .*more than one part", id="dropped and renamed"),
        pytest.param("ignore: [1]\nrename: {1: b}\n", "class 1 .*more than one part", id="ignored and renamed"),
        pytest.param("renames: {a: b}\n", "renames", id="a part with a typing error"),
        pytest.param("drop: a\n", "drop", id="a name in place of a list"),
        pytest.param("rename: [a, b]\n", "rename", id="a list in place of pairs"),
        pytest.param("drop: [a\n", "map.yaml:2", id="not YAML"),
    ],
)
def test_read_fails(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "map.yaml").write_text(content)
    with pytest.raises(InputProblems, match=message):
        ClassMap.read(tmp_path / "map.yaml")
