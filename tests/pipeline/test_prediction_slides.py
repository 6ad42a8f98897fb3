from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.lake import Lake, RemotePath, mirror_of
from spore_yolo.pipeline.slides import CannotBring, at_hand, dealt, found_slides
from spore_yolo.prediction.parts import FileMark
from tests.conftest import Drawn, draw_slides
from tests.lake_server import Bucket

slides_of_any_size = st.lists(st.integers(0, 10**12), min_size=1, max_size=80).map(
    lambda sizes: {f"slide_{place}.png": size for place, size in enumerate(sizes)}
)


@given(slides=slides_of_any_size, count=st.integers(1, 30))
def test_each_slide_is_dealt_once_and_shards_differ_by_no_more_than_the_largest_slide(
    slides: dict[str, int], count: int
) -> None:
    shards = dealt(slides, count)
    assert sorted(name for shard in shards for name in shard.slides) == sorted(slides)
    left = sum(size > 0 for size in slides.values())
    assert len(shards) == max(1, min(count, left))
    assert [shard.number for shard in shards] == list(range(1, len(shards) + 1))
    loads = [sum(slides[name] for name in shard.slides) for shard in shards]
    assert loads == [shard.bytes for shard in shards]
    # Whoever got the last slide had the least before: no shard is above another by more than one slide.
    assert max(loads) - min(loads) <= max(slides.values())
    assert left == 0 or all(any(slides[name] for name in shard.slides) for shard in shards)
    for shard in shards:
        assert [name for name in slides if name in set(shard.slides)] == list(shard.slides)


@given(slides=slides_of_any_size, count=st.integers(1, 30))
def test_the_same_slides_are_always_dealt_in_the_same_way(slides: dict[str, int], count: int) -> None:
    assert dealt(slides, count) == dealt(dict(slides), count)


def test_large_slides_are_dealt_first() -> None:
    slides = {"a": 5, "b": 9, "done": 0, "c": 4, "d": 8}
    shards = dealt(slides, 2)
    assert [shard.slides for shard in shards] == [("b", "c"), ("a", "done", "d")] or [
        shard.slides for shard in shards
    ] == [("b", "done", "c"), ("a", "d")]
    assert [shard.bytes for shard in shards] == [13, 13]


def test_slides_on_disk_are_found_as_predict_finds_them(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slides" / "found").mkdir()
    (tmp_path / "slides" / "found" / "marked.jpg").write_bytes(b"a result, no slide")
    (tmp_path / "slides" / "found.unfinished").mkdir()
    (tmp_path / "slides" / "found.unfinished" / "x.png").write_bytes(b"neither")
    found = found_slides(["slides", "slides/slide_1.png"], "slides/found")
    assert list(found) == [f"slides/slide_{number}.png" for number in range(10)]
    assert found["slides/slide_3.png"] == FileMark.of(drawn.folder / "slide_3.png")
    with pytest.raises(UsageError, match="no such file, folder or glob match"):
        found_slides(["nowhere"], "found")


def filled(bucket: Bucket, folder: Path) -> Drawn:
    drawn = draw_slides(folder, 3)
    for path in sorted(drawn.folder.iterdir()):
        bucket.put(f"scans/day 1/{path.name}", path.read_bytes())
    bucket.put("scans/notes.txt", b"no slide")
    bucket.put("scans/found/images/marked.jpg", b"a result")
    bucket.put("scans/found.unfinished/x.png", b"neither")
    return drawn


def test_slides_in_the_lake_are_found_without_being_moved(s3: Bucket, tmp_path: Path) -> None:
    drawn = filled(s3, tmp_path)
    place = f"{s3.address}/scans"
    found = found_slides([place, f"{place}/day 1/slide_2.png"], f"{place}/found")
    assert list(found) == [f"{place}/day 1/slide_{number}.png" for number in range(3)]
    assert [mark.size for mark in found.values()] == [path.stat().st_size for path in sorted(drawn.folder.iterdir())]
    assert not [request for request in s3.asked() if request.startswith("GET /scans/day")]
    for source, why in ((f"{place}/nothing", "nothing there"), (f"{place}/notes.txt", "expected slides")):
        with pytest.raises(UsageError, match=why):
            found_slides([source], f"{place}/found")
    with pytest.raises(UsageError, match="counts as results"):
        found_slides([f"{place}/found"], f"{place}/found")


def test_results_of_earlier_predictions_in_the_lake_are_no_slides(
    s3: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(s3, tmp_path)
    place = f"{s3.address}/scans"
    for name in ("candidates.csv", "prediction.json"):
        s3.put(f"scans/found/{name}", b"")
    assert list(found_slides([place], f"{place}/tuesday")) == [
        *(f"{place}/day 1/slide_{number}.png" for number in range(3)),
        f"{place}/found.unfinished/x.png",
    ]
    assert f"note: 1 images are results of earlier predictions, not slides: those in {place}/found;" in (
        capsys.readouterr().err
    )
    for source in (f"{place}/found", f"{place}/found/images", f"{place}/found/images/marked.jpg"):
        with pytest.raises(UsageError, match="all 1 images are results of earlier predictions"):
            found_slides([source], f"{place}/tuesday")


def test_a_slide_comes_from_the_lake_and_goes_again(s3: Bucket, tmp_path: Path) -> None:
    drawn = filled(s3, tmp_path)
    name = f"{s3.address}/scans/day 1/slide_1.png"
    here = mirror_of(RemotePath.parse(name))
    mark = found_slides([name], "found")[name]
    with at_hand(name, Lake()):
        assert here.read_bytes() == (drawn.folder / "slide_1.png").read_bytes()
        assert FileMark.of(here) == mark  # whoever looks at it later, and elsewhere, finds the same
    assert not here.exists()


def test_what_lay_here_before_stays(s3: Bucket, tmp_path: Path) -> None:
    filled(s3, tmp_path)
    name = f"{s3.address}/scans/day 1/slide_1.png"
    here = Lake().pull_file(RemotePath.parse(name))
    with at_hand(name, Lake()):
        assert here.exists()
    assert here.exists()


def test_a_slide_of_several_files_comes_whole(s3: Bucket, tmp_path: Path) -> None:
    for key in ("scans/a.mrxs", "scans/a/Slidedat.ini", "scans/a/Data0001.dat", "scans/b.png"):
        s3.put(key, key.encode())
    name = f"{s3.address}/scans/a.mrxs"
    assert list(found_slides([f"{s3.address}/scans"], "found")) == [name, f"{s3.address}/scans/b.png"]
    here = mirror_of(RemotePath.parse(name))
    with at_hand(name, Lake()):
        files = sorted(path.relative_to(here.parent).as_posix() for path in here.parent.rglob("*") if path.is_file())
        assert [file for file in files if not file.startswith(".")] == ["a.mrxs", "a/Data0001.dat", "a/Slidedat.ini"]
    assert not here.exists()
    assert not here.with_suffix("").exists()


def test_a_slide_that_lists_its_files_comes_whole_to_a_machine_that_never_saw_it(s3: Bucket) -> None:
    s3.put("scans/a.vms", b"[Virtual Microscope Specimen]\nImageFile=b.jpg\nMapFile=c/../../d.jpg\n")
    s3.put("scans/b.jpg", b"")
    name = f"{s3.address}/scans/a.vms"
    here = mirror_of(RemotePath.parse(name))
    with at_hand(name, Lake()):
        assert sorted(path.name for path in here.parent.iterdir()) == ["a.vms", "b.jpg"]
    assert not list(here.parent.iterdir())


def test_a_slide_that_is_gone_is_the_slides_fault_and_a_server_that_is_gone_is_not(
    s3: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SporeYoloError, match="no such file"), at_hand(f"{s3.address}/scans/gone.png", Lake()):
        pass
    filled(s3, tmp_path)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    with pytest.raises(CannotBring, match="credentials"), at_hand(f"{s3.address}/scans/day 1/slide_1.png", Lake()):
        pass
