from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spore_yolo.labels.writers.names import label_paths, safe_names, unique_names


@pytest.mark.parametrize(
    ("slides", "names"),
    [
        pytest.param(["a/1.jpg", "b/2.jpg"], ["1", "2"], id="stems where they tell slides apart"),
        pytest.param(["a/1.jpg", "b/1.jpg", "2.jpg"], ["a__1.jpg", "b__1.jpg", "2"], id="folders where they do not"),
        pytest.param(["../x/1.jpg", "../x/1.png"], ["x__1.jpg", "x__1.png"], id="only the suffix differs"),
        pytest.param(["/s/1.jpg", "/t/1.jpg"], ["s__1.jpg", "t__1.jpg"], id="absolute paths stay inside the folder"),
        pytest.param(["x/A.jpg", "y/a.jpg"], ["x__A.jpg", "y__a.jpg"], id="disks that ignore case"),
        pytest.param(
            ["a.jpg", "A.jpg", "./a.jpg"], ["a.jpg", "A.jpg-2", "a.jpg-3"], id="nothing else tells them apart"
        ),
        pytest.param(["x" * 251 + ".jpg", "b.jpg"], ["x" * 231 + "-cacfb911", "b"], id="long ones"),
    ],
)
def test_unique_names(slides: list[str], names: list[str]) -> None:
    assert list(unique_names(slides).values()) == names


def test_names_of_deep_folders_are_short_enough_and_differ() -> None:
    folders = [f"Überwachung Weizenrost Süddeutschland, Versuchsfläche {number}" for number in range(5)]
    slides = [f"s3://farm/{'/'.join(folders)}/{day}/s.tif" for day in ("monday", "tuesday")]
    names = list(unique_names(slides).values())
    assert len(set(names)) == 2
    assert all(len(f"{name}-99.jpg".encode()) <= 255 for name in names)


@given(slides=st.lists(st.text(alphabet="aA/.ü-2", max_size=9), unique=True, max_size=8))
def test_unique_names_are_as_many_files(slides: list[str]) -> None:
    assert len({name.casefold() for name in unique_names(slides).values()}) == len(slides)


@pytest.mark.parametrize(
    ("names", "safe"),
    [
        pytest.param(["Alternaria alternata", "A. solani"], ["Alternaria alternata", "A. solani"], id="ordinary ones"),
        pytest.param(["../../etc", "a/b", "a\\b"], ["_.._etc", "a_b", "a_b-2"], id="no way out of the folder"),
        pytest.param(["Rust", "rust", "rust-2"], ["Rust", "rust-2", "rust-2-2"], id="disks that ignore case"),
        pytest.param(["", " . ", "..."], ["_", "_-2", "_-3"], id="nothing left"),
        pytest.param(["CON", "aux.b", "Connie"], ["CON_", "aux.b_", "Connie"], id="names of devices"),
        pytest.param(["Рост", "錆", "a\nb?*"], ["Рост", "錆", "a_b__"], id="other letters stay, signs do not"),
        pytest.param(["x" * 300], ["x" * 100], id="long ones"),
    ],
)
def test_safe_names(names: list[str], safe: list[str]) -> None:
    assert safe_names(names) == safe


@given(names=st.lists(st.text(max_size=30), max_size=8))
def test_safe_names_are_as_many_files(names: list[str]) -> None:
    safe = safe_names(names)
    assert len({name.casefold() for name in safe}) == len(names) == len(safe)
    for name in safe:
        assert PurePosixPath(name).name == name == PureWindowsPath(name).name
        assert name not in ("", ".", "..")


@pytest.mark.parametrize(
    ("images", "paths"),
    [
        pytest.param(["train/a.jpg", "b.png"], ["train/a.txt", "b.txt"], id="folders are mirrored"),
        pytest.param(["../../etc/passwd.jpg"], ["etc/passwd.txt"], id="no way up"),
        pytest.param(["/etc/a.jpg"], ["etc/a.txt"], id="absolute"),
        pytest.param(["C:\\x\\a.jpg", "\\\\host\\share\\b.jpg"], ["x/a.txt", "b.txt"], id="Windows"),
        pytest.param(["a.jpg", "a.png"], ["a.jpg.txt", "a.png.txt"], id="one stem"),
        pytest.param(["x/a.jpg", "y/a.jpg"], ["x/a.txt", "y/a.txt"], id="one stem in two folders"),
        pytest.param(["/a.jpg", "a.jpg"], ["a.jpg.txt", "a.jpg-2.txt"], id="one path"),
        pytest.param(["a.txt/b.jpg", "a.jpg"], ["a.txt/b.txt", "a.jpg.txt"], id="a folder that has the name"),
        pytest.param(["images/train/a.jpg"], ["train/a.txt"], id="a folder that is left out"),
        pytest.param(["", "..", "a\n\x00.jpg"], ["_.txt", "_-2.txt", "a__.txt"], id="nothing left, control characters"),
        pytest.param(["ü" * 200 + ".jpg"], ["ü" * 125 + ".txt"], id="too long for a disk"),
        pytest.param(["Спора 1 (a)?.jpg"], ["Спора 1 (a)?.txt"], id="the image's name is kept"),
    ],
)
def test_label_paths(images: list[str], paths: list[str]) -> None:
    assert [path.as_posix() for path in label_paths(images, ".txt", without="images")] == paths


@example(["\\\\:\\"])
@given(st.lists(st.text(alphabet="ab./\\:C \x00é", max_size=9), max_size=8))
def test_label_paths_are_as_many_files_in_the_folder(images: list[str]) -> None:
    paths = label_paths(images, ".txt")
    assert len(set(paths)) == len(images)
    folders = {parent for path in paths for parent in path.parents}
    for path in paths:
        assert not path.is_absolute() and ".." not in path.parts and path not in folders
        assert "\\" not in str(path) and path.suffix == ".txt"
