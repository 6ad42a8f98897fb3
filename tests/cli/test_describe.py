from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def test_text_and_page(toy: Run, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    code, out, err = toy("describe", "toy", "--output", tmp_path / "page")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("Dataset toy: ")
    assert any(line.startswith("boxes a slide: ") for line in lines)
    assert lines[-1] == "look at the labels: spore-yolo browse --dataset toy"
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["describe.html", "describe.json"]
    figures = json.loads((tmp_path / "page" / "describe.json").read_text(encoding="utf-8"))
    assert figures["dataset"] == "toy"
    assert f"{figures['whole']['boxes']:,}</strong> labelled" in (tmp_path / "page" / "describe.html").read_text()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before


def test_text_alone_writes_nothing(toy: Run, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert toy("describe", "toy")[0] == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_without_the_images(toy: Run, tmp_path: Path, drawn: object) -> None:
    shutil.move(drawn.folder, tmp_path / "elsewhere")  # type: ignore[attr-defined]
    code, _, err = toy("describe", "toy", "--output", tmp_path / "page")
    assert code == 0, err
    assert "No picture could be cut" in (tmp_path / "page" / "describe.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("data/toy/page", "lies in the import's own folder"),
        ("datasets.yaml", "expected a folder, found a file"),
    ],
)
def test_places_that_do_not_do(toy: Run, tmp_path: Path, output: str, message: str) -> None:
    code, _, err = toy("describe", "toy", "--output", tmp_path / output)
    assert code == 2
    assert message in err


def test_unknown_dataset(toy: Run) -> None:
    code, _, err = toy("describe", "no")
    assert code == 2
    assert "unknown dataset 'no'" in err
