"""Which format labels are in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from spore_yolo.files.errors import InputProblems, SporeYoloError
from spore_yolo.labels.formats import LABEL_FORMATS
from spore_yolo.labels.readers.recognise import recognise

COCO: dict[str, Any] = {
    "info": {},
    "licenses": [{"id": 1, "name": "CC0", "url": ""}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
    "categories": [{"id": 1, "name": "rust"}],
}
DARWIN = {"version": "2.0", "schema_ref": "x", "item": {"name": "a.jpg", "path": "/", "slots": []}, "annotations": []}
LABELME: dict[str, Any] = {"version": "5.0.1", "flags": {}, "shapes": [], "imagePath": "a.jpg", "imageData": None}
REGIONS = {"filename": "a.jpg", "size": 9, "regions": [], "file_attributes": {}}
TASK = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": []}]}
MIN_SHAPE = {"x": 1, "y": 1, "width": 3, "height": 3, "original_width": 9, "original_height": 9}

FILES: list[Any] = [
    pytest.param("l.json", json.dumps(COCO), "coco", id="COCO"),
    pytest.param("l.json", json.dumps(dict(reversed(COCO.items())), indent=2), "coco", id="COCO the other way round"),
    pytest.param("l.json", json.dumps({"images": [], "annotations": [], "categories": []}), "coco", id="empty COCO"),
    pytest.param("l.json", json.dumps(COCO["annotations"]), "coco", id="a results list"),
    pytest.param("l.json", json.dumps(DARWIN), "darwin", id="Darwin"),
    pytest.param("l.json", json.dumps(LABELME), "labelme", id="LabelMe"),
    pytest.param("l.json", json.dumps(dict(reversed(LABELME.items()))), "labelme", id="LabelMe the other way round"),
    pytest.param("l.json", json.dumps({"shapes": [{"label": "rust", "points": []}]}), "labelme", id="half a LabelMe"),
    pytest.param("l.json", json.dumps([TASK]), "label-studio", id="Label Studio"),
    pytest.param("l.json", json.dumps([{"image": "a.jpg", "label": [MIN_SHAPE]}]), "label-studio", id="JSON-MIN"),
    pytest.param("l.json", json.dumps({"a.jpg9": REGIONS}), "via", id="VIA"),
    pytest.param("l.json", json.dumps({"_via_settings": {}, "_via_img_metadata": {}}), "via", id="a project of VIA"),
    pytest.param("l.json", json.dumps([{"image": "a.jpg", "annotations": []}]), "createml", id="CreateML"),
    pytest.param("l.xml", "<?xml version='1.0'?>\n<!-- <annotations> -->\n<annotation>", "voc", id="VOC"),
    pytest.param("l.xml", "<?xml version='1.0'?><annotations><version>1.1</version>", "cvat", id="CVAT"),
    pytest.param("l.txt", "0 .5 .5 .1 .1\n1 0.2 0.3 0.1 1\n", "yolo", id="YOLO"),
    pytest.param("l.txt", "0 .5 .5 .1 .1 .9\n", "yolo", id="YOLO with scores"),
    pytest.param("l.txt", "0 .5 .5 .1 .1 .9 .9\n", "yolo", id="YOLO polygons"),
    pytest.param("l.txt", "594 95 0\n601 151 12\n", "points", id="points"),
    pytest.param("l.csv", "image,class,xmin,ymin,xmax,ymax\n", "csv", id="CSV"),
    pytest.param("l.tsv", "image\tclass\tx\ty\n", "csv", id="TSV with points"),
    pytest.param("l.csv", "was,wo,a,b,c,d\n", "csv", id="CSV whose columns nobody can tell"),
    pytest.param("l", "image,class,xmin,ymin,xmax,ymax\n", "csv", id="CSV without a suffix"),
    pytest.param("l", json.dumps(COCO), "coco", id="COCO without a suffix"),
]


@pytest.mark.parametrize(("name", "content", "label_format"), FILES)
def test_file_and_folder(tmp_path: Path, name: str, content: str, label_format: str) -> None:
    file = tmp_path / "labels" / name
    file.parent.mkdir()
    file.write_text(content, encoding="utf-8-sig")
    found = recognise(file)
    assert (found.label_format, found.path) == (label_format, file)
    assert found.reason
    Image.new("L", (9, 9)).save(file.parent / "a.jpg")
    (file.parent / "README.txt").write_text("Labels of spores.")
    if "." in name:
        found = recognise(file.parent)
        assert found.label_format == label_format
        assert found.path == (file if label_format == "coco" else file.parent)


def test_every_format_is_recognised() -> None:
    assert {case.values[2] for case in FILES} | {"parquet"} == set(LABEL_FORMATS)


def test_parquet(tmp_path: Path) -> None:
    pd.DataFrame({"image": ["a.jpg"]}).to_parquet(tmp_path / "l.parquet")
    assert recognise(tmp_path / "l.parquet").label_format == "parquet"
    found = recognise(tmp_path)
    assert (found.label_format, found.path) == ("parquet", tmp_path / "l.parquet")
    assert "took" in str(found)
    assert "Parquet" in str(found)


def test_two_formats(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1\n")
    (tmp_path / "a.xml").write_text("<annotation/>")
    with pytest.raises(SporeYoloError, match=r"several formats.*YOLO.*a\.txt.*VOC.*a\.xml.*--format F"):
        recognise(tmp_path)


def test_several_files_of_a_format_that_has_one(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(COCO))
    with pytest.raises(SporeYoloError, match=r"several files that are COCO JSON: a\.json, b\.json; give one"):
        recognise(tmp_path)


def test_a_table_that_is_no_label_table_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1\n")
    (tmp_path / "images.csv").write_text("image,width,height,group\na.jpg,9,9,g\n")
    assert recognise(tmp_path).label_format == "yolo"


def test_images_only(tmp_path: Path) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "a.jpg")
    with pytest.raises(SporeYoloError, match="found 1 images and no labels"):
        recognise(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("l.txt", "Dear reader,\n", "cannot tell the format", id="prose"),
        pytest.param("l.txt", "0 100 100 200 200\n", "cannot tell the format", id="pixels in place of fractions"),
        pytest.param("l.txt", "", "cannot tell the format", id="empty"),
        pytest.param("l.json", "{}", "cannot tell the format", id="an empty object"),
        pytest.param("l.json", '{"a": [1, 2]}', "cannot tell the format", id="other JSON"),
        pytest.param("l.xml", "<svg/>", "cannot tell the format", id="other XML"),
        pytest.param("l.json", '{"images": ', "not valid JSON", id="broken JSON"),
        pytest.param("l.json", "[" * 200_000, "nested too deeply", id="nested JSON"),
        pytest.param("l.pdf", "%PDF-1.4\n\0\0", "cannot tell the format", id="PDF"),
    ],
)
def test_unknown(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SporeYoloError, match=message):
        recognise(tmp_path / name)
    with pytest.raises(SporeYoloError, match=message):
        recognise(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SporeYoloError, match="no such file or folder"):
        recognise(tmp_path / "nowhere")
    with pytest.raises(SporeYoloError, match="found none"):
        recognise(tmp_path)


def test_a_broken_file_beside_good_ones_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(DARWIN))
    (tmp_path / "b.json").write_text("{")
    assert recognise(tmp_path).label_format == "darwin"
    (tmp_path / "a.json").unlink()
    with pytest.raises(InputProblems, match=r"b\.json"):
        recognise(tmp_path)
