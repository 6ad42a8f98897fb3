"""Loading, checking and splitting in the training flow."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.files.lake import LakeVersion
from spore_yolo.pipeline.loading import check, load, split
from tests.conftest import Drawn
from tests.lake_server import Bucket
from tests.pipeline.toy_flow import configuration


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "cache"))


def data_of(drawn: Drawn, **more: object) -> dict[str, object]:
    return {"images": str(drawn.folder), "labels": str(drawn.labels), "format": "csv", **more}


def test_the_version_is_that_of_the_files(drawn: Drawn) -> None:
    loaded = load(configuration(drawn))
    assert loaded.version("images") == LakeVersion.of_folder(drawn.folder).version
    (drawn.folder / "slide_0.png").write_bytes((drawn.folder / "slide_1.png").read_bytes())
    assert load(configuration(drawn)).version("images") != loaded.version("images")


def test_another_version_than_the_one_asked_for_stops_the_flow(drawn: Drawn) -> None:
    version = LakeVersion.of_folder(drawn.folder).version
    load(configuration(drawn, data=data_of(drawn, version=version)))
    (drawn.folder / "slide_0.png").unlink()
    with pytest.raises(SporeYoloError, match=f"data.version: expected version {version} .*found"):
        load(configuration(drawn, data=data_of(drawn, version=version)))


@pytest.mark.slow
def test_the_sample_is_drawn_once_and_imported_as_its_own_advice_says(drawn: Drawn, tmp_path: Path) -> None:
    configured = configuration(drawn, data={"sample": {"fields": 12, "seed": 1}})
    loaded = load(configured)
    place = tmp_path / "data" / "drawn-12-1"
    since = (place / "labels.json").stat().st_mtime_ns
    assert load(configured) == loaded
    assert (place / "labels.json").stat().st_mtime_ns == since
    imported = split(configured, loaded)
    assert imported["targets"] == ["Alternaria"]
    groups = pd.read_csv(place / "groups.csv")
    assert imported["counts"]["groups"]["all"] == groups["group"].nunique()


def test_labels_without_errors_pass_and_their_warnings_are_handed_on(drawn: Drawn) -> None:
    report = check(load(configuration(drawn)))
    assert (report["images"], report["boxes"]) == (10, sum(len(boxes) for boxes in drawn.boxes.values()))
    assert all(not row["counts"]["error"] for row in report["findings"])


def test_errors_stop_the_flow_and_are_listed_with_their_lines(drawn: Drawn) -> None:
    with drawn.labels.open("a") as stream:
        stream.write("slide_0.png,50,50,40,60,rust\nslide_1.png,900,900,950,950,rust\n")
    loaded = load(configuration(drawn))
    with pytest.raises(InputProblems) as caught:
        check(loaded)
    lines = drawn.labels.read_text().count("\n")
    assert {(problem.code, problem.line) for problem in caught.value.problems} == {
        ("SPR012", lines - 1),
        ("SPR014", lines),
    }
    assert "data.skip_bad: true" in str(caught.value) and "data.allow: [SPR012, SPR014]" in str(caught.value)


def test_bad_boxes_can_be_left_out_as_in_an_import(drawn: Drawn, tmp_path: Path) -> None:
    with drawn.labels.open("a") as stream:
        stream.write("slide_0.png,50,50,40,60,rust\n")
    configured = configuration(drawn, data=data_of(drawn, skip_bad=True))
    loaded = load(configured)
    assert sum(row["counts"]["error"] for row in check(loaded)["findings"]) == 1
    imported = split(configured, loaded)
    assert any("1 bad boxes or images left out" in note for note in imported["notes"])
    assert len(pd.read_csv(tmp_path / "data" / "toy" / "skipped.csv")) == 1


def test_equal_slides_are_an_error_of_the_dataset_that_only_allow_passes(drawn: Drawn) -> None:
    (drawn.folder / "slide_1.png").write_bytes((drawn.folder / "slide_0.png").read_bytes())
    # A split that tears them apart makes it an error; without one it is a warning, and the import deals them together.
    report = check(load(configuration(drawn, data=data_of(drawn, skip_bad=True))))
    assert next(row["counts"] for row in report["findings"] if row["code"] == "SPR006")["warning"] == 1


@pytest.mark.parametrize("part", ["images", "labels", "groups", "classes", "split"])
def test_what_changed_since_the_load_belongs_to_no_step(drawn: Drawn, tmp_path: Path, part: str) -> None:
    names = sorted(path.name for path in drawn.folder.iterdir())
    tables = {"group_by": "groups.csv", "classes": "classes.yaml", "split": "split.csv"}
    splits = ["train", "val", "test", *["train"] * len(names)]
    Path("groups.csv").write_text("image,group\n" + "".join(f"{name},{name}\n" for name in names))
    Path("classes.yaml").write_text("rename: {rust: rust}\n")
    Path("split.csv").write_text("group,split\n" + "".join(f"{a},{b}\n" for a, b in zip(names, splits, strict=False)))
    configured = configuration(drawn, data=data_of(drawn, **tables))
    loaded = load(configured)
    assert set(loaded.versions) == {"images", "labels", "groups", "classes", "split"}
    split(configured, loaded)
    changed = {"images": drawn.folder / "slide_3.png", "labels": drawn.labels}.get(part) or tmp_path / loaded.addresses[
        part
    ]
    changed.write_bytes(changed.read_bytes() + b"\n")
    with pytest.raises(SporeYoloError, match=rf"found files that were changed.*{changed.name}.*start a new run"):
        split(configured, loaded)


def test_groups_keep_their_split_when_slides_are_added(drawn: Drawn, tmp_path: Path) -> None:
    configured = configuration(drawn)
    split(configured, load(configured))
    before = json.loads((tmp_path / "data" / "toy" / "manifest.json").read_text())["groups"]
    import numpy as np
    from PIL import Image

    Image.fromarray(np.full((220, 300, 3), 190, np.uint8)).save(drawn.folder / "slide_new.png")
    with drawn.labels.open("a") as stream:
        stream.write("slide_new.png,10,10,30,30,rust\n")
    imported = split(configured, load(configured))
    after = json.loads((tmp_path / "data" / "toy" / "manifest.json").read_text())["groups"]
    assert imported["counts"]["images"]["all"] == 11
    assert {group: after[group] for group in before} == before


def test_slides_that_came_after_the_load_belong_to_no_step(drawn: Drawn, s3: Bucket, tmp_path: Path) -> None:
    for path in drawn.folder.iterdir():
        s3.put(f"slides/{path.name}", path.read_bytes())
    data = {"images": f"{s3.address}/slides", "labels": str(drawn.labels), "format": "csv"}
    configured = configuration(drawn, data=data, imports=f"{s3.address}/data", datasets=f"{s3.address}/datasets.yaml")
    loaded = load(configured)
    s3.put("slides/late.png", (drawn.folder / "slide_0.png").read_bytes())
    assert split(configured, loaded)["counts"]["images"]["all"] == 10
    # One that was changed behind the run's back is told.
    s3.put("slides/slide_0.png", (drawn.folder / "slide_1.png").read_bytes())
    with pytest.raises(SporeYoloError, match=r"slide_0\.png"):
        split(configured, loaded)
