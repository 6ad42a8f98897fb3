from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from spore_yolo.dataset.groups import groups_of, source_of, sources_of
from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError

HASH = "0a4c69c9906fdcc27502e7714f99e828"
OTHER = "ffffffff906fdcc27502e7714f99e828"


@pytest.mark.parametrize(
    ("image", "source"),
    [
        pytest.param("field_1.jpg", "field_1", id="a plain image is its own source"),
        pytest.param("day_1/field_1.jpg", "day_1/field_1", id="folders tell plain images apart"),
        pytest.param("train/field_1.jpg", "train/field_1", id="also split folders, for plain images"),
        pytest.param("field.1.jpg", "field.1", id="a dot in the name stays"),
        pytest.param(f"field_1_png.rf.{HASH}.jpg", "field_1_png", id="variant: the name before .rf."),
        pytest.param(f"train/images/a.rf.{HASH}.jpg", "a", id="variant: the folders of an export say nothing"),
        pytest.param(f"Valid/images/a.rf.{HASH}.jpg", "a", id="variant: in whatever case"),
        pytest.param(f"day_1/test/a.rf.{HASH}.jpg", "day_1/a", id="variant: other folders do"),
        pytest.param(f"a.rf.b.rf.{HASH}.jpg", "a.rf.b", id="only the last .rf. counts"),
        pytest.param("a.rf.abc.jpg", "a.rf.abc", id="three letters are no hash"),
        pytest.param(f"a.rf.{HASH}-2.jpg", f"a.rf.{HASH}-2", id="a dash is in no hash"),
    ],
)
def test_source_of(image: str, source: str) -> None:
    assert source_of(image) == source


def test_sources_of__variants_in_all_export_folders_share_one() -> None:
    images = [
        f"{folder}/images/a_jpg.rf.{digits}.jpg"
        for folder, digits in (("train", HASH), ("valid", OTHER), ("test", HASH[::-1]))
    ]
    assert set(sources_of(images).values()) == {"a_jpg"}


@pytest.mark.parametrize(
    ("images", "count"),
    [
        pytest.param(["a.jpg", "a.png"], 2, id="only the suffix differs"),
        pytest.param(["a.jpg", "a.png", "a.tif"], 3, id="three suffixes"),
        pytest.param(["d/a.jpg", "d/a.png", "e/a.jpg"], 3, id="in folders"),
        pytest.param([f"a.rf.{HASH}.jpg", f"a.rf.{HASH}.png"], 1, id="variants stay one source"),
        pytest.param([], 0, id="no images"),
    ],
)
def test_sources_of__how_many(images: Sequence[str], count: int) -> None:
    sources = sources_of(images)
    assert list(sources) == list(images)
    assert len(set(sources.values())) == count


def test_groups_of__without_a_rule_each_source_is_a_group() -> None:
    sources = {f"a.rf.{HASH}.jpg": "a", f"a.rf.{OTHER}.jpg": "a", "b.jpg": "b"}
    assert groups_of(sources, None) == sources


@pytest.mark.parametrize(
    ("group_by", "group"),
    [
        pytest.param("(trap_[0-9]+)", "trap_7", id="searched, not matched from the start"),
        pytest.param("^([^/]+)/", "farm_2", id="the folder"),
        pytest.param("(?:farm)_([0-9])/(trap)", "2", id="the first bracket of two"),
        pytest.param("(?P<day>[0-9]{8})", "20240501", id="a named bracket"),
    ],
)
def test_groups_of__first_bracket(group_by: str, group: str) -> None:
    image = "farm_2/trap_7_20240501.jpg"
    assert groups_of(sources_of([image]), group_by) == {image: group}


@pytest.mark.parametrize(
    "group_by",
    [
        pytest.param("(trap", id="no regular expression"),
        pytest.param("trap", id="no bracket"),
        pytest.param("(?:trap)", id="a bracket that keeps nothing"),
    ],
)
def test_groups_of__wrong_rule(group_by: str) -> None:
    with pytest.raises(UsageError, match="--group-by"):
        groups_of({"trap_1.jpg": "trap_1"}, group_by)


def test_groups_of__every_image_without_a_group_is_named() -> None:
    sources = sources_of(["trap_1.jpg", "field.jpg", "trap_.jpg"])
    with pytest.raises(InputProblems) as caught:
        groups_of(sources, "trap_([0-9]*)")
    assert [problem.file for problem in caught.value.problems] == ["field.jpg", "trap_.jpg"]


@pytest.mark.parametrize("group_by", ["^(train|valid)", "rf[.](.)"], ids=["by split folder", "by hash"])
def test_groups_of__a_rule_that_tears_variants_apart(group_by: str) -> None:
    first, second = f"train/images/a.rf.{HASH}.jpg", f"valid/images/a.rf.{OTHER}.jpg"
    with pytest.raises(InputProblems) as caught:
        groups_of(sources_of([first, second]), group_by)
    (problem,) = caught.value.problems
    assert problem.file == second
    assert first in problem.message


def test_groups_of__a_table_gives_groups(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text(
        "image,group\nday/a.jpg,trap_1\nb.rf.12345678.jpg,trap_2\nb.rf.abcdefgh.jpg,trap_2\nz.jpg,trap_9\n"
    )
    images = ["day/a.jpg", "b.rf.12345678.jpg", "b.rf.abcdefgh.jpg"]
    groups = groups_of(sources_of(images), str(table))
    assert groups == dict(zip(images, ["trap_1", "trap_2", "trap_2"], strict=True))
    table.write_text(table.read_text().replace("h.jpg,trap_2", "h.jpg,trap_3"))
    with pytest.raises(InputProblems, match="of the same source is in trap_2"):
        groups_of(sources_of(images), str(table))
    with pytest.raises(InputProblems, match="c.jpg: --group-by .* finds no group"):
        groups_of(sources_of(["c.jpg"]), str(table))
    with pytest.raises(SporeYoloError, match="no such file"):
        groups_of(sources_of(images), str(tmp_path / "none.csv"))
