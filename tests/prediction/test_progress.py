from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from spore_yolo.prediction import progress as prediction_progress
from spore_yolo.prediction.progress import LookingBar


@pytest.fixture
def slides(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths[:3]:
        Image.new("RGB", (1000, 1000)).save(path)
    paths[3].write_bytes(b"of a kind whose header only its reader knows")
    return paths


def test_megapixels_are_counted_over_all_slides(slides: list[Path]) -> None:
    with LookingBar(slides, 2, 6) as bar:
        assert bar._bar.total == pytest.approx(4.0)  # the fourth counts as large as the others
        bar.open(slides[0], 1_000_000)
        bar.advance(250_000)
        bar.advance(250_000)
        assert bar._bar.n == pytest.approx(0.5)
        bar.close_slide(slides[0])
        assert (bar._bar.n, bar._bar.total) == (pytest.approx(1.0), pytest.approx(4.0))
        assert "3/6 slides" in str(bar._bar)
        bar.open(slides[3], 7_000_000)
        assert bar._bar.total == pytest.approx(10.0)


def test_a_slide_that_failed_is_told_at_once_and_counts_no_more(
    slides: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with LookingBar(slides, 0, 4) as bar:
        bar.open(slides[0], 1_000_000)
        bar.advance(700_000)
        bar.close_slide(slides[0], "0.png: broken")
        assert "failed: 0.png: broken" in capsys.readouterr().err
        assert bar._bar.n == pytest.approx(0.0)
        assert bar._bar.total == pytest.approx(3.0)
        bar.close_slide(slides[3], "3.png: unknown")
        assert bar._bar.total == pytest.approx(2.0)
        assert "0/4 slides, 2 failed" in str(bar._bar)


def test_headers_are_read_no_longer_than_for_a_moment(slides: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    now, read = 0.0, []

    def slow(path: Path) -> object:
        nonlocal now
        now += 0.05
        read.append(path)
        return original(path)

    original = prediction_progress.read_size
    monkeypatch.setattr(prediction_progress, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(prediction_progress, "read_size", slow)
    monkeypatch.setattr(prediction_progress, "GLANCE", 0.07)
    many = [slides[0].with_name(f"{number}-th.png") for number in range(1000)]
    with LookingBar([*slides[:3], *many], 0, 1003) as bar:
        assert read == slides[:2]
        assert bar._bar.total == pytest.approx(1003.0)
