from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.dataset.checks import CHECKS

Run = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def spoilt(drawn: Any) -> Any:
    """The drawn slides with a box without area, one that is turned round, and one that stands twice."""
    rows = drawn.labels.read_text().splitlines()
    rows += ["slide_0.png,5,5,5,9,rust", "slide_1.png,30,5,20,15,rust", rows[1]]
    drawn.labels.write_text("\n".join(rows) + "\n")
    return drawn


def test_findings_stand_by_code_with_their_places(spore_yolo: Run, spoilt: Any) -> None:
    code, out, err = spore_yolo("check", spoilt.labels, "--images", spoilt.folder, "--fast")
    assert code == 1
    assert "2 errors remain" in err
    last = len(spoilt.labels.read_text().splitlines())
    assert f"{spoilt.labels}:{last - 2}: SPR013 expected a box with an area" in out
    assert f"{spoilt.labels}:{last - 1}: SPR012 " in out
    assert f"{spoilt.labels}:{last}: SPR018 " in out
    assert out.index("SPR012") < out.index("SPR013") < out.index("SPR018")
    assert re.search(r"^SPR013 +1 +box without area$", out, re.MULTILINE)
    assert f"next: spore-yolo check {spoilt.labels} --images {spoilt.folder} --fix mended" in out


def test_fix_mends_and_says_what_to_do_next(spore_yolo: Run, spoilt: Any, tmp_path: Path) -> None:
    before = spoilt.labels.read_bytes()
    base = ["check", spoilt.labels, "--images", spoilt.folder]
    code, out, err = spore_yolo(*base, "--fix", "mended")
    assert code == 0, err
    assert "mended: 1 SPR012, 1 SPR013, 1 SPR018; new labels: mended/labels.csv" in out
    assert spoilt.labels.read_bytes() == before
    changes = pd.read_csv(tmp_path / "mended" / "changes.csv")
    assert changes["code"].tolist() == ["SPR013", "SPR012", "SPR018"]
    (command,) = re.findall(r"^next: spore-yolo (import .*)$", out, re.MULTILINE)
    code, out, err = spore_yolo(*command.replace("NAME", "toy").split())
    assert code == 0, err
    assert len(pd.read_csv(tmp_path / "data" / "toy" / "boxes.csv")) == len(before.splitlines()) - 1 - 1 - 2
    code, _, err = spore_yolo(*base, "--fix", "mended")
    assert (code, "replace it with --force" in err) == (2, True)
    assert spore_yolo(*base, "--fix", "mended", "--force")[0] == 0


def test_fix_with_nothing_to_mend(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    code, out, _ = spore_yolo("check", drawn.labels, "--images", drawn.folder, "--fast", "--fix", "mended")
    assert code == 0
    assert "nothing to mend" in out
    assert not (tmp_path / "mended").exists()


def test_json_is_all_of_standard_output(spore_yolo: Run, spoilt: Any) -> None:
    code, out, _ = spore_yolo("check", spoilt.labels, "--images", spoilt.folder, "--fast", "--json")
    document = json.loads(out)
    assert code == 1
    assert (document["schema"], document["format"], document["images"], document["pixels"]) == (1, "csv", 10, False)
    assert (document["summary"]["errors"], document["summary"]["codes"]["SPR018"]["count"]) == (2, 1)
    (twice,) = [finding for finding in document["findings"] if finding["code"] == "SPR018"]
    last = len(spoilt.labels.read_text().splitlines())
    assert {key: twice[key] for key in ("severity", "file", "line", "image")} == {
        "severity": "warning",
        "file": str(spoilt.labels),
        "line": last,
        "image": "slide_0.png",
    }
    assert [box["line"] for box in twice["boxes"]] == [last, 2]
    assert twice["boxes"][0]["box"] == list(spoilt.boxes["slide_0.png"][0])


def test_json_to_a_file_beside_the_text(spore_yolo: Run, spoilt: Any, tmp_path: Path) -> None:
    _, out, _ = spore_yolo(
        "check", spoilt.labels, "--images", spoilt.folder, "--fast", "--fix", "mended", "--json", "found.json"
    )
    assert "mended:" in out
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["fixed"] == {"labels": "mended/labels.csv", "format": "csv", "changes": 3, "skipped": 0}
    assert document["summary"]["errors"] == 0


def test_select_and_ignore(spore_yolo: Run, spoilt: Any) -> None:
    base = ["check", spoilt.labels, "--images", spoilt.folder, "--fast", "--json"]
    codes = {f["code"] for f in json.loads(spore_yolo(*base, "--select", "spr012,SPR013")[1])["findings"]}
    assert codes == {"SPR012", "SPR013"}
    code, out, _ = spore_yolo(*base, "--ignore", "SPR012,SPR013")
    assert code == 0
    assert not {f["code"] for f in json.loads(out)["findings"]} & {"SPR012", "SPR013"}


def test_many_findings_of_a_code_are_shortened(spore_yolo: Run, drawn: Any) -> None:
    rows = drawn.labels.read_text().splitlines()
    drawn.labels.write_text("\n".join([*rows, *["slide_0.png,5,5,5,9,rust"] * 14]) + "\n")
    base = ["check", drawn.labels, "--images", drawn.folder, "--fast"]
    out = spore_yolo(*base)[1]
    assert out.count(": SPR013 ") == 10
    assert "… and 4 more (--all shows them)" in out
    assert spore_yolo(*base, "--all")[1].count(": SPR013 ") == 14


def test_a_registered_dataset_with_its_pixels(spore_yolo: Run, drawn: Any) -> None:
    spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels)
    code, out, err = spore_yolo("check", "toy")
    assert code == 0, err
    assert "images were not decoded" not in out
    assert "SPR024" in out
    assert "next: spore-yolo train-detector --dataset toy" in out
    code, _, err = spore_yolo("check", "toy", "--images", drawn.folder)
    assert (code, "--images: the register says it of toy" in err) == (2, True)
    slide = drawn.folder / "slide_3.png"
    slide.write_bytes(slide.read_bytes()[:-60])
    code, out, _ = spore_yolo("check", "toy", "--select", "SPR004")
    assert code == 1
    assert "slide_3.png: SPR004" in out


def test_what_was_said_about_the_labels_goes_into_the_next_command(spore_yolo: Run, drawn: Any) -> None:
    drawn.labels.write_text(drawn.labels.read_text().replace("image,", "picture of,", 1))
    options = ["--columns", "image=picture of", "--group-by", "(slide_[0-9])"]
    code, out, err = spore_yolo("check", drawn.labels, "--images", drawn.folder, "--fast", *options)
    assert code == 0, err
    assert "--format csv --columns 'image=picture of' --group-by '(slide_[0-9])'" in out


def test_labels_without_images(spore_yolo: Run, drawn: Any, tmp_path: Path) -> None:
    drawn.folder.rename(tmp_path / "elsewhere")
    code, out, err = spore_yolo("check", drawn.labels)
    assert code == 0, err
    assert "checked 10 images" in out and "images were not decoded" in out


def test_labels_that_are_none(spore_yolo: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"images": [')
    code, out, err = spore_yolo("check", "labels.json", "--format", "coco", "--json")
    assert code == 1
    assert [finding["code"] for finding in json.loads(out)["findings"]] == ["SPR001"]
    assert "Traceback" not in err


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_explain(spore_yolo: Run, check: Any) -> None:
    code, out, _ = spore_yolo("check", "--explain", check.code.lower())
    assert code == 0
    assert check.code in out and check.effect in out and check.mend in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "expected NAME or PATH", id="nothing"),
        pytest.param(["moss"], "found 'moss'", id="neither a dataset nor a path"),
        pytest.param(["--explain", "SPR999"], "found SPR999", id="unknown code"),
        pytest.param(["raw.csv", "--select", "E501"], "found E501", id="unknown code to select"),
    ],
)
def test_wrong_usage(spore_yolo: Run, arguments: list[str], message: str) -> None:
    code, _, err = spore_yolo("check", *arguments)
    assert code == 2
    assert message in err


def test_the_table_in_the_docs_is_that_of_the_checks() -> None:
    text = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| SPR")]
    assert rows == [
        f"| {check.code} | {check.severity} | {check.title} | {check.effect} | {check.mend} |" for check in CHECKS
    ]
