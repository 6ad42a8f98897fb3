from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from spore_yolo.files.errors import UsageError
from spore_yolo.prediction.finding import find_slides


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """Two slides, the results of Monday, and a folder that holds only one of the files by which results are known."""
    for name in ("a.jpg", "field/b.jpg", "monday/images/a.jpg", "monday/contact_sheets/rust.jpg", "table/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    for name in ("monday/candidates.csv", "monday/prediction.json", "table/candidates.csv"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize("source", ["", "**/*.jpg", "*"])
def test_results_of_earlier_predictions_are_no_slides_and_are_told(
    farm: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    found = find_slides([str(farm / source)], farm / "tuesday", farm / "tuesday.unfinished")
    assert [slide.relative_to(farm).as_posix() for slide in found] == ["a.jpg", "field/b.jpg", "table/c.jpg"]
    told = "note: 2 images are results of earlier predictions, not slides: those in {}; they are left out\n"
    assert capsys.readouterr().err == told.format(farm / "monday")


def test_nothing_is_told_where_there_are_none(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(find_slides([str(farm)], farm / "monday")) == 3  # the output is left out as ever
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("source", ["monday", "monday/images/a.jpg"])
def test_results_alone_are_an_error(farm: Path, source: str) -> None:
    with pytest.raises(UsageError, match="--source: all .* are results of earlier predictions.*monday"):
        find_slides([str(farm / source)], farm / "tuesday")
