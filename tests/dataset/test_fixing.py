from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spore_yolo.dataset.checking import chosen_checks, material_of_files, run_checks
from spore_yolo.dataset.checks.base import Material, Severity
from spore_yolo.dataset.fixing import MENDED, Mended, check_target, mend, write_mended
from spore_yolo.files.errors import UsageError
from spore_yolo.labels.table import COORDINATES
from tests.dataset.checks.conftest import build_material
from tests.dataset.conftest import folder_state

SIZE = {"a.png": (100, 80)}


def _corners(material: Material) -> list[tuple[float, ...]]:
    return list(material.boxes[COORDINATES].itertuples(index=False, name=None))


def _mend(*boxes: Sequence[Any], codes: frozenset[str] = MENDED) -> tuple[Material, pd.DataFrame]:
    return mend(build_material([("a.png", "rust", *box) for box in boxes], SIZE), codes)


@pytest.mark.parametrize(
    ("box", "mended", "codes"),
    [
        pytest.param((5, 6, 20, 21), (5, 6, 20, 21), [], id="a good box stays"),
        pytest.param((20, 6, 5, 21), (5, 6, 20, 21), ["SPR012"], id="x turned round"),
        pytest.param((20, 21, 5, 6), (5, 6, 20, 21), ["SPR012"], id="both turned round"),
        pytest.param((90, 6, 120, 21), (90, 6, 100, 21), ["SPR015"], id="beyond the right border"),
        pytest.param((-5, -6, 20, 90), (0, 0, 20, 80), ["SPR015"], id="beyond three borders"),
        pytest.param((120, 6, 90, 21), (90, 6, 100, 21), ["SPR012", "SPR015"], id="turned round and beyond"),
        pytest.param((5, 6, 5, 21), None, ["SPR013"], id="no width"),
        pytest.param((20, 6, 5, 6), None, ["SPR012", "SPR013"], id="turned round, no height"),
    ],
)
def test_mend__places(box: tuple[float, ...], mended: tuple[float, ...] | None, codes: list[str]) -> None:
    material, changes = _mend(box)
    assert _corners(material) == ([] if mended is None else [mended])
    assert changes["code"].tolist() == codes
    assert material.checked.problems == []


@pytest.mark.parametrize(
    ("box", "code"),
    [
        pytest.param((150, 6, 170, 21), "SPR014", id="outside"),
        pytest.param((170, 6, 150, 21), "SPR014", id="outside once swapped"),
        pytest.param((float("nan"), 6, 20, 21), "SPR011", id="no number"),
        pytest.param((5, 6, 1e300, 21), "SPR011", id="no place"),
    ],
)
def test_mend__what_would_need_a_guess_is_left(box: tuple[float, ...], code: str) -> None:
    material, _ = _mend((5, 6, 20, 21), box)
    assert _corners(material) == [(5, 6, 20, 21)]
    assert [problem.code for problem in material.checked.problems] == [code]


def test_mend__the_later_of_two_same_boxes_goes() -> None:
    material, changes = _mend((5, 6, 20, 21), (30, 6, 40, 21), (20, 6, 5, 21))
    assert _corners(material) == [(5, 6, 20, 21), (30, 6, 40, 21)]
    assert changes["code"].tolist() == ["SPR012", "SPR018"]
    assert changes["line"].tolist() == [4, 4]


def test_mend__names_get_the_commonest_spelling() -> None:
    places = [(x, 6, x + 5, 21) for x in (5, 20, 40, 60)]
    names = ["rust", "Rust ", "rust", "smut"]
    boxes = [("a.png", name, *place) for name, place in zip(names, places, strict=True)]
    material, changes = mend(build_material(boxes, SIZE, classes=["Rust ", "rust", "smut"]))
    assert material.boxes["class"].tolist() == ["rust", "rust", "rust", "smut"]
    assert material.classes == ("rust", "smut")
    assert changes[["code", "line", "class", "before", "after"]].to_numpy().tolist() == [
        ["SPR022", 3, "Rust ", "Rust ", "rust"]
    ]


def test_mend__names_one_letter_apart_need_a_person() -> None:
    boxes = [("a.png", "Fusarium", 5, 6, 20, 21), ("a.png", "Fusariun", 40, 6, 60, 21)]
    material, changes = mend(build_material(boxes, SIZE))
    assert changes.empty
    assert material.boxes["class"].tolist() == ["Fusarium", "Fusariun"]


def test_mend__only_what_was_asked_for() -> None:
    material, changes = _mend((20, 6, 5, 21), (5, 6, 5, 21), (90, 6, 120, 21), codes=frozenset({"SPR013"}))
    assert changes["code"].tolist() == ["SPR013"]
    assert [problem.code for problem in material.checked.problems] == ["SPR012", "SPR015"]


def test_mend__a_change_says_what_was_and_what_is() -> None:
    _, changes = _mend((90.5, 6, 120, 21))
    assert changes.to_dict("records") == [
        {
            "code": "SPR015",
            "file": "labels.csv",
            "line": 2,
            "image": "a.png",
            "class": "rust",
            "before": "90.5 6 120 21",
            "after": "90.5 6 100 21",
            "why": "it reached 20 pixels beyond the border",
        }
    ]


def test_mend__boxes_of_turned_images_are_mended_as_displayed(tmp_path: Path, paint: Callable[..., Path]) -> None:
    # Stored 40 x 30, displayed 30 x 40, turned to the right; the labels state the stored size.
    paint(tmp_path / "slides" / "t.png", size=(40, 30), orientation=6)
    document = (
        '{"images": [{"id": 1, "file_name": "t.png", "width": 40, "height": 30}],'
        ' "categories": [{"id": 1, "name": "r"}],'
        ' "annotations": [{"image_id": 1, "category_id": 1, "bbox": [30, 5, 20, 10]},'
        ' {"image_id": 1, "category_id": 1, "bbox": [5, 5, 10, 10]}]}'
    )
    (tmp_path / "labels.json").write_text(document)
    material, changes = mend(material_of_files(tmp_path / "labels.json", "coco", tmp_path / "slides"))
    assert _corners(material) == [(15, 30, 25, 40), (15, 5, 25, 15)]
    assert changes["after"].tolist() == ["15 30 25 40"]


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(-30, 130)] * 4), max_size=8))
def test_mend__mended_labels_have_nothing_left_that_is_mended(boxes: list[tuple[int, int, int, int]]) -> None:
    material, changes = _mend(*boxes)
    assert not [f for f in run_checks(material, chosen_checks(MENDED)) if f.severity != Severity.NOTE]
    assert len(material.boxes) + len(material.checked.problems) + changes["after"].eq("").sum() == len(boxes)


# Writing


@pytest.fixture
def broken(tmp_path: Path, paint: Callable[..., Path]) -> Path:
    """Labels as CSV with one fault that is mended and one that is not."""
    for name in ("a.png", "b.png", "nobody.png"):
        paint(tmp_path / "slides" / name)
    rows = ["a.png,20,5,5,15,rust", "a.png,900,5,950,15,rust", "a.png,5,20,15,30,smut", "b.png,,,,,"]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["image,x_min,y_min,x_max,y_max,class", *rows]) + "\n")
    return path


def _write(path: Path, target: Path, label_format: str = "csv") -> Mended:
    material = replace(material_of_files(path, "csv", path.parent / "slides"), label_format=label_format)
    fixed, changes = mend(material)
    return write_mended(fixed, changes, target)


@pytest.mark.parametrize("label_format", ["csv", "yolo", "coco", "voc", "points"])
def test_write__new_labels_hold_the_mended_boxes_and_the_log_the_rest(
    broken: Path, tmp_path: Path, label_format: str
) -> None:
    before = folder_state(tmp_path)
    mended = _write(broken, tmp_path / "mended", label_format)
    assert mended.label_format == ("coco" if label_format == "points" else label_format)
    assert mended.labels is not None
    material = material_of_files(mended.labels, mended.label_format, tmp_path / "slides")
    boxes = material.boxes.sort_values("class")
    assert boxes[["image", "class", *COORDINATES]].round(3).to_numpy().tolist() == [
        ["a.png", "rust", 5, 5, 20, 15],
        ["a.png", "smut", 5, 20, 15, 30],
    ]
    assert not [f for f in run_checks(material) if f.severity == Severity.ERROR]
    # An image that was looked at stays one, and one that nobody named does not become one.
    assert material.unnamed == {"nobody.png"}
    assert len(pd.read_csv(tmp_path / "mended" / "changes.csv")) == 1
    skipped = pd.read_csv(tmp_path / "mended" / "skipped.csv")
    assert skipped[["code", "line"]].to_numpy().tolist() == [["SPR014", 3]]
    assert mended.skipped == 1
    after = folder_state(tmp_path)
    assert {name: state for name, state in after.items() if not name.startswith("mended")} == before


def test_write__nothing_to_mend_writes_nothing(broken: Path, tmp_path: Path) -> None:
    broken.write_text("image,x_min,y_min,x_max,y_max,class\na.png,5,5,20,15,rust\n")
    assert _write(broken, tmp_path / "mended").labels is None
    assert not (tmp_path / "mended").exists()


def test_check_target(broken: Path, tmp_path: Path) -> None:
    material = material_of_files(broken, "csv", tmp_path / "slides")
    check_target(tmp_path / "new", material, force=False)
    for wrong in (tmp_path / "slides" / "new", tmp_path / "slides", tmp_path, broken):
        with pytest.raises(UsageError, match="apart from the labels and images"):
            check_target(wrong, material, force=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("dear")
    with pytest.raises(UsageError, match="no --fix made it"):
        check_target(tmp_path / "thesis", material, force=True)
    with pytest.raises(UsageError, match="found a file"):
        check_target(tmp_path / "thesis" / "chapter.txt", material, force=True)
    _write(broken, tmp_path / "mended")
    with pytest.raises(UsageError, match="replace it with --force"):
        check_target(tmp_path / "mended", material, force=False)
    check_target(tmp_path / "mended", material, force=True)
