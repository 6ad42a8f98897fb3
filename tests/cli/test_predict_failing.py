"""Slides that cannot be read, among others that can."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.slides import Slide
from tests.cli.predicted import results

Run = Callable[..., tuple[int, str, str]]


def truncated_jpeg(path: Path, good: Path) -> None:
    Image.open(good).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:-2000])


def empty_file(path: Path, good: Path) -> None:
    path.write_bytes(b"")


def text(path: Path, good: Path) -> None:
    path.write_text("not a picture")


def tiff_with_bad_offsets(path: Path, good: Path) -> None:
    """Its strips are said to lie far behind the end of the file."""
    with Image.open(good) as picture:
        picture.save(path, format="TIFF")
        width, height = picture.size
    content = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    for place in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, values, value = struct.unpack_from("<HHII", content, place)
        if tag == 273:  # StripOffsets
            size = {3: 2, 4: 4}[kind]
            inline = size * values <= 4
            for number in range(values):
                where = (place + 8 if inline else value) + size * number
                struct.pack_into("<H" if size == 2 else "<I", content, where, 0xFFF0 if size == 2 else 0x7FFFFFF0)
    assert width * height
    path.write_bytes(content)


def immense_header(path: Path, good: Path) -> None:
    """A PNG of 100,000 x 100,000 pixels by its header, with a few bytes of data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))


def opencv_error(code: int) -> cv2.error:
    error = cv2.error("OpenCV: an error")
    error.code = code
    return error


BAD = {
    "bad_0.jpg": truncated_jpeg,
    "bad_1.png": empty_file,
    "bad_2.png": text,
    "bad_3.tif": tiff_with_bad_offsets,
    "bad_4.png": immense_header,
}
REASONS = {
    "bad_0.jpg": "truncated or damaged",
    "bad_1.png": "expected",
    "bad_2.png": "expected",
    "bad_3.tif": "truncated",
    "bad_4.png": "100000 x 100000",
}


@pytest.fixture
def mixed(drawn: Any) -> Any:
    """The drawn slides, and bad ones between and around them."""
    for name, make in BAD.items():
        make(drawn.folder / name, drawn.folder / "slide_0.png")
    return drawn


def test_bad_slides_are_told_and_the_others_go_on(spore_yolo: Run, spot_pair: Path, mixed: Any, tmp_path: Path) -> None:
    base = ["predict", "--pair", spot_pair, "--source", mixed.folder, "--mpp", "0.5", "--output"]
    code, out, err = spore_yolo(*base, "found")
    assert code == 1
    assert "Traceback" not in err
    found = tmp_path / "found"
    failed = pd.read_csv(found / "failed.csv")
    assert failed.columns.tolist() == ["slide", "reason"]
    assert [Path(slide).name for slide in failed["slide"]] == list(BAD)
    for slide, reason in failed.itertuples(index=False):
        assert REASONS[Path(slide).name] in reason and slide not in reason
        assert f"failed: {slide}: {reason}" in err
    assert "5 of 15 slides failed, see found/failed.csv" in err
    assert "10/15 slides, 5 failed" in err
    about = json.loads((found / "prediction.json").read_text())
    assert about["failed"] == failed.to_dict("records")
    assert (about["slides"], about["detections"]) == (10, 81)
    assert about["notes"][0] == "warning: 5 slides failed and nothing there was counted; failed.csv says why"
    # The table of failures comes first, and no slide that failed counts as one without spores.
    assert out.splitlines()[0].split() == ["failed", "why"]
    assert out.index("bad_4.png") < out.index("slide_0.png")
    assert pd.read_csv(found / "counts.csv")["all"].tolist() == [9] * 9 + [0]
    book = pd.read_excel(found / "counts.xlsx", sheet_name=None)
    assert len(book["counts"]) == 10 + 1
    assert (book["about"]["what"] == "failed").sum() == 5
    assert len(json.loads((found / "predictions.coco.json").read_text())["images"]) == 10
    for folder in ("labels", "images"):
        assert not [path for path in (found / folder).iterdir() if "bad" in path.name]

    for name in BAD:
        (mixed.folder / name).unlink()
    assert spore_yolo(*base, "without")[0] == 0
    with_bad, without = results(found), results(tmp_path / "without")
    differing = {name for name in with_bad if with_bad[name] != without.get(name)}
    assert differing == {"failed.csv", "prediction.json", "counts.xlsx"}
    assert not (tmp_path / "without" / "failed.csv").exists()


def test_slides_that_failed_are_tried_again_on_resume(
    spore_yolo: Run, spot_pair: Path, drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ["predict", "--pair", spot_pair, "--source", drawn.folder, "--output"]
    assert spore_yolo(*base, "whole")[0] == 0
    good = drawn.folder / "slide_4.png"
    shutil.move(good, tmp_path / "good.png")
    truncated_jpeg(good, tmp_path / "good.png")
    assert spore_yolo(*base, "found")[0] == 1
    assert len(pd.read_csv(tmp_path / "found" / "counts.csv")) == 9
    code, _, err = spore_yolo(*base, "found")
    assert code == 2 and "add --resume" in err
    assert spore_yolo(*base, "found", "--resume")[0] == 1
    shutil.move(tmp_path / "good.png", good)

    opened: list[str] = []
    from spore_yolo.prediction import running

    original = running.open_slide
    monkeypatch.setattr(
        running, "open_slide", lambda path, **options: (opened.append(path.name), original(path, **options))[1]
    )
    code, _, err = spore_yolo(*base, "found", "--resume")
    assert code == 0, err
    assert opened == ["slide_4.png"]
    assert results(tmp_path / "found") == results(tmp_path / "whole")
    assert not (tmp_path / "found.unfinished").exists()


def test_nothing_is_written_where_all_slides_fail(spore_yolo: Run, spot_pair: Path, mixed: Any, tmp_path: Path) -> None:
    bad = [mixed.folder / name for name in BAD]
    code, out, err = spore_yolo("predict", "--pair", spot_pair, "--source", *bad, "--output", "found")
    assert code == 1
    assert err.count("failed: ") == 5
    assert "none of the 5 slides could be looked at; nothing was written" in err
    assert out == ""
    assert not [path for path in tmp_path.iterdir() if "found" in path.name]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(MemoryError(), "does not fit into memory", id="memory"),
        pytest.param(MemoryError("that of the GPU"), "does not fit into memory (that of the GPU)", id="its own words"),
        pytest.param(opencv_error(cv2.Error.StsNoMem), "does not fit into memory", id="memory of OpenCV"),
        pytest.param(OSError(5, "Input/output error"), "Input/output error", id="disk"),
        pytest.param(SporeYoloError("an object\nis too large"), "an object is too large", id="ours"),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["while it is looked at", "while it is marked"])
def test_whatever_goes_wrong_while_a_slide_is_read_costs_that_slide_alone(
    spore_yolo: Run,
    spot_pair: Path,
    drawn: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reason: str,
    late: bool,
) -> None:
    from spore_yolo.inference.pair import Pair
    from spore_yolo.prediction import slide as prediction_slide

    owner, name = (prediction_slide, "marked_jpeg") if late else (Pair, "candidates")
    original = getattr(owner, name)

    def fail(*arguments: Any, **options: Any) -> Any:
        slide = next(argument for argument in arguments if isinstance(argument, Slide))
        if slide.name.endswith("slide_3.png"):
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, fail)
    assert spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found")[0] == 1
    failed = pd.read_csv(tmp_path / "found" / "failed.csv")
    assert failed["reason"].tolist() == [reason]
    assert len(pd.read_csv(tmp_path / "found" / "counts.csv")) == 9
    with Image.open(tmp_path / "found" / "contact_sheets" / "spore.jpg") as sheet:
        assert np.asarray(sheet).std() > 10


def test_results_stay_where_all_slides_fail(spore_yolo: Run, spot_pair: Path, mixed: Any, tmp_path: Path) -> None:
    base = ["predict", "--pair", spot_pair, "--output", "found", "--source"]
    assert spore_yolo(*base, mixed.folder / "slide_0.png")[0] == 0
    before = results(tmp_path / "found")
    assert spore_yolo(*base, mixed.folder / "bad_0.jpg", "--force")[0] == 1
    assert results(tmp_path / "found") == before


def test_a_fault_of_the_program_is_not_taken_for_one_of_a_slide(
    spore_yolo: Run, spot_pair: Path, drawn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.prediction import slide as prediction_slide

    def fail(*arguments: Any) -> Any:
        raise opencv_error(cv2.Error.StsBadArg)

    monkeypatch.setattr(prediction_slide, "marked_jpeg", fail)
    with pytest.raises(cv2.error):
        spore_yolo("predict", "--pair", spot_pair, "--source", drawn.folder, "--output", "found")
