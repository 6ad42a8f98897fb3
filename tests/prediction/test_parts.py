from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.images import ImageSize
from spore_yolo.inference.contact_sheet import Crop
from spore_yolo.inference.manifest import OperatingPoint
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS, MEASURE_COLUMNS
from spore_yolo.prediction.output import PredictionOutput
from spore_yolo.prediction.parts import FileMark, SlidePart, UnfinishedRun
from spore_yolo.prediction.scale import Scale
from tests.conftest import spot_manifest

NUMBERS = [name for name in CANDIDATE_COLUMNS + MEASURE_COLUMNS[:3] if name not in ("slide", "class", "detector_class")]


def table(slide: str, numbers: list[float], *, measured: bool = False) -> pd.DataFrame:
    columns = CANDIDATE_COLUMNS + (MEASURE_COLUMNS if measured else [])
    content: dict[str, Any] = {name: np.array(numbers, dtype=np.float64) for name in columns if name in NUMBERS}
    text = {"slide": slide, "class": 'Čerň, "x"', "detector_class": "spore", "measured_by": "outline"}
    content |= {name: pd.Series([text[name]] * len(numbers), dtype="str") for name in columns if name in text}
    return pd.DataFrame(content)[columns]


def part(slide: str, numbers: list[float], *, measured: bool = False) -> SlidePart:
    return SlidePart(
        slide=slide,
        file=FileMark(7, 1_700_000_000_123_456_789),
        size=ImageSize(300, 200),
        scale=Scale(0.1 + 0.2, "stated", 0.25) if measured else Scale(None, "unknown"),
        resampled=measured,
        skipped_tiles=0,
        capped=False,
        oversized=True,
        candidates=table(slide, numbers),
        detections=table(slide, numbers, measured=measured),
        crops=[
            Crop("rust", number, (number, 2.5), 24, bytes([place % 256] * place))
            for place, number in enumerate(numbers)
        ],
        computed_by={
            "backend": "openvino",
            "precision": "float32",
            "--batch": 8,
            "exported detector.onnx (SHA-256)": "5e" * 32,
        },
    )


def same(one: SlidePart, other: SlidePart) -> None:
    for name in ("candidates", "detections"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)
    assert str(replace(one, candidates=None, detections=None)) == str(replace(other, candidates=None, detections=None))  # type: ignore[arg-type]


@given(st.lists(st.floats(width=64), max_size=5), st.booleans(), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_part_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float], measured: bool, slide: str
) -> None:
    path = tmp_path_factory.mktemp("parts") / "one.npz"
    written = part(slide, numbers, measured=measured)
    written.write(path)
    same(SlidePart.read(path), written)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"nothing", None])
def test_a_damaged_part_is_an_error_and_then_gone(tmp_path: Path, damage: bytes | None) -> None:
    run = UnfinishedRun(tmp_path / "found")
    run.begin({}, ["a.png"])
    run.save(part("a.png", [0.5]), None)
    path = next((run.folder / "parts").glob("*.npz"))
    path.write_bytes(path.read_bytes()[:-50] if damage is None else damage)
    with pytest.raises(SporeYoloError, match="damaged"):
        run.load("a.png")
    assert not run.is_done("a.png")


def test_slides_of_any_name_have_parts_of_their_own(tmp_path: Path) -> None:
    names = ["a.png", "A.png", "x/a.png", "../a.png", "a" * 300, "Ä ö\n.png", "con"]
    run = UnfinishedRun(tmp_path / "found")
    run.begin({}, names)
    for place, name in enumerate(names):
        run.save(part(name, [0.5] * place), b"jpeg of " + name.encode())
    for place, name in enumerate(names):
        found = run.load(name)
        assert (found.slide, len(found.candidates)) == (name, place)
        assert run.marked(name).read_bytes() == b"jpeg of " + name.encode()


def test_memory_holds_the_candidates_of_one_slide(tmp_path: Path) -> None:
    class Looked:
        folder, manifest = tmp_path, spot_manifest(classes=["rust"])

    big = replace(part("a.png", [0.5] * 2_000), detections=table("a.png", []), crops=[])
    folder = tmp_path / "found"
    folder.mkdir()
    names = {f"{number}.png": str(number) for number in range(12)}
    output = PredictionOutput(folder, Looked(), OperatingPoint(detector=0.5), names, images=False, options={})  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        peaks, kept = [], []
        for name in names:
            tracemalloc.reset_peak()
            output.add(replace(big, slide=name), None)
            peaks.append(tracemalloc.get_traced_memory()[1])
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert kept[-1] - kept[5] < 6 * 10_000  # of 160,000 bytes of candidates a slide
    assert max(peaks[6:]) < 1.2 * max(peaks[:6])
    assert len(pd.read_csv(folder / "candidates.csv")) == 12 * 2_000
