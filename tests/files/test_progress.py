"""Progress on the terminal."""

from __future__ import annotations

import pytest

from spore_yolo.files.progress import MANY, progress


@pytest.mark.parametrize(
    ("count", "shown"), [pytest.param(MANY - 1, False, id="few"), pytest.param(MANY, True, id="many")]
)
def test_only_long_work_shows_its_progress(count: int, shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter(range(count)), count, "reading labels", "file")) == list(range(count))
    captured = capsys.readouterr()
    assert ("reading labels" in captured.err, captured.out) == (shown, "")
