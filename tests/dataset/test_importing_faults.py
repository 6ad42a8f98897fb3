from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from spore_yolo.dataset import importing
from spore_yolo.dataset.importing import ImportResult
from spore_yolo.files.errors import InputProblems, SporeYoloError, UsageError
from tests.dataset.conftest import folder_state

Add = Callable[..., Path]
Run = Callable[..., ImportResult]


def _spoil(slides: Path, labels: Path) -> list[tuple[str, int | None]]:
    """Puts one of each kind of bad line into labels of good images; the places of the problems."""
    (labels / "i0.txt").write_text(
        "0 0.5 0.5 0.2 0.2\n0 0.9 0.5 0.4 0.2\n7 0.5 0.5 0.2 0.2\n0 0.5\n0 0.5 0.5 0 0.2\n0 x 0.5 0.1 0.1\n"
    )
    (labels / "nobody.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    whole = (slides / "i1.png").read_bytes()
    (slides / "i1.png").write_bytes(whole[: len(whole) - 40])
    (slides / "i2.png").write_bytes(b"no image")
    return [
        (str(labels / "i0.txt"), 2),
        (str(labels / "i0.txt"), 3),
        (str(labels / "i0.txt"), 4),
        (str(labels / "i0.txt"), 5),
        (str(labels / "i0.txt"), 6),
        (str(labels / "nobody.txt"), None),
        (str(slides / "i1.png"), None),
        (str(slides / "i2.png"), None),
    ]


def test_import__all_problems_at_once_and_nothing_written(
    add_plain: Callable[[int], None], run_import: Run, slides: Path, labels: Path, tmp_path: Path
) -> None:
    add_plain(8)
    places = _spoil(slides, labels)
    before = folder_state(tmp_path)
    with pytest.raises(InputProblems, match="8 problems; nothing was imported") as caught:
        run_import()
    found = [(str(problem.file), problem.line) for problem in caught.value.problems]
    assert sorted(found, key=str) == sorted(places, key=str)
    assert folder_state(tmp_path) == before


def test_import__skip_bad(
    add_plain: Callable[[int], None], run_import: Run, slides: Path, labels: Path, tmp_path: Path
) -> None:
    add_plain(8)
    places = _spoil(slides, labels)
    result = run_import(skip_bad=True)
    dataset = result.dataset
    skipped = pd.read_csv(dataset.folder / "skipped.csv", dtype={"line": "Int64"})
    rows = zip(skipped["file"], skipped["line"], strict=True)
    listed = [(file, None if pd.isna(line) else int(line)) for file, line in rows]
    assert sorted(listed, key=str) == sorted(places, key=str)
    assert (skipped["reason"].str.len() > 0).all()
    assert len(result.skipped) == len(places)
    assert sorted(dataset.images["image"]) == ["i0.png", "i3.png", "i4.png", "i5.png", "i6.png", "i7.png"]
    assert dataset.boxes["image"].value_counts().to_dict() == dict.fromkeys(dataset.images["image"], 1)
    assert dataset.boxes.set_index("image").loc["i0.png", "line"] == 1
    before = folder_state(tmp_path)
    assert not run_import(skip_bad=True).changed
    assert folder_state(tmp_path) == before


def test_import__without_problems_there_is_no_skipped_file(add_plain: Callable[[int], None], run_import: Run) -> None:
    add_plain(4)
    assert not (run_import(skip_bad=True).dataset.folder / "skipped.csv").exists()


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["Ctrl-C", "disk full"]
)
@pytest.mark.parametrize("again", [False, True], ids=["first import", "over a previous one"])
def test_import__interrupted_leaves_all_as_it_was(
    add_plain: Callable[[int], None],
    add_image: Add,
    run_import: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    again: bool,
) -> None:
    add_plain(6)
    (tmp_path / "data").mkdir()
    if again:
        run_import()
        add_image("new.png")
    before = folder_state(tmp_path)

    def write_half(folder: Path, *_: object) -> None:
        (folder / "images" / "train").mkdir(parents=True)
        (folder / "images" / "train" / "half.png").write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(importing, "write_layout", write_half)
        with pytest.raises(type(error)):
            run_import()
    after = folder_state(tmp_path)
    assert list(after) == list(before), "neither a new entry nor a temporary folder"
    assert {k: v for k, v in after.items() if k != "data"} == {k: v for k, v in before.items() if k != "data"}
    assert run_import().changed, "the next import works"


def test_import__interrupted_while_reading_images(
    add_plain: Callable[[int], None], run_import: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_plain(6)
    before = folder_state(tmp_path)

    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "read_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_import()
    assert folder_state(tmp_path) == before


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_import__truncated_image(
    add_plain: Callable[[int], None], add_image: Add, run_import: Run, suffix: str
) -> None:
    add_plain(4)
    path = add_image(f"cut{suffix}", size=(400, 300))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputProblems, match="truncated") as caught:
        run_import()
    (problem,) = caught.value.problems
    assert problem.file == path
    dataset = run_import(skip_bad=True).dataset
    assert path.name not in set(dataset.images["image"]) | set(dataset.boxes["image"])


def test_import__empty_label_folder(add_image: Add, run_import: Run, tmp_path: Path) -> None:
    for i in range(4):
        add_image(f"i{i}.png", labelled=False)
    with pytest.raises(SporeYoloError, match="expected YOLO text files"):
        run_import()
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "datasets.yaml").exists()


def test_import__labels_without_boxes(add_image: Add, run_import: Run, tmp_path: Path) -> None:
    for i in range(4):
        add_image(f"i{i}.png", [])
    with pytest.raises(SporeYoloError, match="expected boxes, found none"):
        run_import()
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "datasets.yaml").exists()


def test_import__no_image_is_left(add_image: Add, run_import: Run, slides: Path) -> None:
    add_image("a.png")
    (slides / "a.png").write_bytes(b"no image")
    with pytest.raises(SporeYoloError, match="no image is left"):
        run_import(skip_bad=True)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        pytest.param("Fusarium", "Alternaria, Botrytis", id="no such class; the classes are listed"),
        pytest.param("dust", "dust", id="listed by the class file, but without a box"),
    ],
)
def test_import__unknown_target(
    add_plain: Callable[[int], None], run_import: Run, tmp_path: Path, target: str, words: str
) -> None:
    add_plain(4)
    before = folder_state(tmp_path)
    with pytest.raises(UsageError, match=f"--targets.*{target}") as caught:
        run_import(targets=("Alternaria", target))
    assert words in str(caught.value)
    assert folder_state(tmp_path) == before


def test_import__too_few_groups(add_plain: Callable[[int], None], run_import: Run, tmp_path: Path) -> None:
    add_plain(3)
    before = folder_state(tmp_path)
    with pytest.raises(UsageError, match="at least 4 groups"):
        run_import(shares=(40, 20, 20, 20))
    assert folder_state(tmp_path) == before
