from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spore_yolo.dataset import checking
from spore_yolo.dataset.checking import chosen_checks, material_of_dataset, material_of_files, run_checks, with_pixels
from spore_yolo.dataset.checks import CHECKS
from spore_yolo.dataset.checks.base import PixelFacts, Severity
from spore_yolo.dataset.importing import ImportResult
from spore_yolo.files.errors import UsageError

Add = Callable[..., Path]


def _codes(findings: list[Any]) -> list[str]:
    return [finding.code for finding in findings]


def test_files__every_bad_line_is_found_and_every_good_box_kept(add_image: Add, slides: Path, labels: Path) -> None:
    add_image("a.png", [(0, 5, 5, 15, 15), (0, 5, 5, 15, 15), (1, 20, 5, 30, 15)])
    with (labels / "a.txt").open("a") as stream:
        stream.write("0 0.5 0.5 0 0.2\n7 0.5 0.5 0.2 0.2\n0 0.5\n0 3 3 0.1 0.1\n0 0.95 0.5 0.2 0.1\n")
    (labels / "nobody.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    material = material_of_files(labels, "yolo", slides)
    findings = [f for f in run_checks(material) if f.severity != Severity.NOTE]
    places = [(finding.code, Path(finding.file or "").name, finding.line) for finding in findings]
    assert places == [
        ("SPR001", "a.txt", 6),
        ("SPR002", "nobody.txt", None),
        ("SPR013", "a.txt", 4),
        ("SPR014", "a.txt", 7),
        ("SPR015", "a.txt", 8),
        ("SPR018", "a.txt", 2),
        ("SPR021", "a.txt", 5),
    ]
    assert len(material.boxes) == 3


def test_files__images_that_nobody_labelled_or_can_read(add_image: Add, slides: Path, labels: Path) -> None:
    add_image("a.png")
    add_image("b.png", labelled=False)
    (slides / "c.png").write_bytes(b"no image")
    material = material_of_files(labels, "yolo", slides)
    assert material.unnamed == {"b.png"}
    assert list(material.unreadable) == ["c.png"]
    assert {"SPR003", "SPR005"} <= set(_codes(run_checks(material)))


def test_files__splits_come_from_folders_and_groups_from_the_user(add_image: Add, slides: Path, labels: Path) -> None:
    add_image("train/trap1_a.png")
    add_image("test/trap1_b.png")
    assert "SPR026" not in _codes(run_checks(material_of_files(labels, "yolo", slides)))
    material = material_of_files(labels, "yolo", slides, group_by="(trap[0-9]+)")
    (torn,) = [finding for finding in run_checks(material) if finding.code == "SPR026"]
    assert torn.message == "group trap1 lies in train (1 image), test (1 image)"


def test_files__labels_that_cannot_be_read_as_a_whole_are_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text("{")
    (finding,) = run_checks(material_of_files(path, "coco", None))
    assert (finding.code, finding.severity, finding.file) == ("SPR001", Severity.ERROR, str(path))


def test_dataset__groups_and_splits_are_those_of_the_import(
    add_plain: Callable[[int], None],
    add_image: Add,
    run_import: Callable[..., ImportResult],
    register: Path,
    labels: Path,
    tmp_path: Path,
) -> None:
    add_plain(6)
    class_map = tmp_path / "map.yaml"
    class_map.write_text("rename: {Alternaria: Botrytis}\n")
    dataset = run_import(class_map=class_map, group_by="(i[0-9])").dataset
    add_image("i9.png", [(0, 5, 5, 15, 15), (0, 5, 5, 15, 15)])
    material = material_of_dataset("spores", register)
    dealt = dict(zip(dataset.images["image"], dataset.images["split"], strict=True))
    assert dict(zip(material.images["image"], material.images["split"], strict=True)) == {**dealt, "i9.png": ""}
    assert material.images.set_index("image")["group"]["i3.png"] == "i3"
    assert set(material.boxes["class"]) == {"Botrytis"}
    assert set(material_of_dataset("spores", register, mapped=False).boxes["class"]) == {"Alternaria", "Botrytis"}
    assert "SPR018" in _codes(run_checks(material))


def test_findings_are_sorted_by_code_file_and_line(add_image: Add, slides: Path, labels: Path) -> None:
    box = (0, 5, 5, 15, 15)
    for name in ("b.png", "a.png"):
        add_image(name, [box] * 12)
    findings = [f for f in run_checks(material_of_files(labels, "yolo", slides)) if f.code == "SPR018"]
    assert [(Path(f.file or "").name, f.line) for f in findings] == [
        (name, line) for name in ("a.txt", "b.txt") for line in range(2, 13)
    ]


def test_checks_of_pixels_run_only_with_pixels(
    add_image: Add, slides: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_image("a.png")
    (slides / "b.png").write_bytes((slides / "a.png").read_bytes())
    asked: list[str] = []

    def facts(paths: dict[str, Path], quiet: bool) -> dict[str, PixelFacts]:
        asked.extend(paths)
        return {image: PixelFacts(str(len(path.read_bytes()))) for image, path in paths.items()}

    monkeypatch.setattr(checking, "pixel_facts", facts)
    material = material_of_files(labels, "yolo", slides)
    assert "SPR006" not in _codes(run_checks(material))
    assert asked == []
    assert "SPR006" in _codes(run_checks(with_pixels(material, quiet=True)))
    assert asked == ["a.png", "b.png"]


def test_chosen_checks() -> None:
    assert [check.code for check in chosen_checks(["SPR018", "SPR013"])] == ["SPR013", "SPR018"]
    assert len(chosen_checks(ignore=["SPR018"])) == len(CHECKS) - 1
    with pytest.raises(UsageError, match=r"expected codes of checks \(SPR001, .*found SPR999"):
        chosen_checks(["SPR999"])
