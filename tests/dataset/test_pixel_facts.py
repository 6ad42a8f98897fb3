"""Facts of pixels, and their cache."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from spore_yolo.dataset import pixel_facts as module
from spore_yolo.dataset.checks.base import PixelFacts
from spore_yolo.dataset.pixel_facts import cache_folder, pixel_facts


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def paths(tmp_path: Path, cache: Path) -> dict[str, Path]:
    """A picture, the same smaller as JPEG, another one with a scale bar, a blank one, a damaged one."""
    (tmp_path / "slides").mkdir()
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(60, 200, (90, 120), dtype=np.uint8)) for _ in range(2)]
    first, second = (image.filter(ImageFilter.GaussianBlur(6)).convert("RGB") for image in noise)
    first = first.point(lambda value: max(0, min(255, 10 * (value - 130) + 128)))
    second = second.point(lambda value: max(70, min(180, 10 * (value - 130) + 128)))
    marked = np.array(second)
    marked[80:84, 60:110] = 0
    blank = Image.new("RGB", (40, 30), (200, 200, 200))
    images = {"a.png": first, "small.jpg": first.resize((60, 45)), "b.png": Image.fromarray(marked), "blank.png": blank}
    for name, image in images.items():
        image.save(tmp_path / "slides" / name)
    content = (tmp_path / "slides" / "a.png").read_bytes()
    (tmp_path / "slides" / "damaged.png").write_bytes(content[: len(content) // 2])
    return {name: tmp_path / "slides" / name for name in [*images, "damaged.png", "missing.png"]}


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are decoded from now on."""
    decoded: list[Path] = []
    original = module.read_image
    monkeypatch.setattr(module, "read_image", lambda path: (decoded.append(path), original(path))[1])
    return decoded


def test_facts(paths: dict[str, Path]) -> None:
    facts = pixel_facts(paths, quiet=True)
    assert list(facts) == list(paths)
    assert facts["a.png"].sha256 == hashlib.sha256(paths["a.png"].read_bytes()).hexdigest()
    hashes = {name: one.perceptual_hash for name, one in facts.items()}
    assert hashes["a.png"] is not None and hashes["small.jpg"] is not None and hashes["b.png"] is not None
    assert (hashes["a.png"] ^ hashes["small.jpg"]).bit_count() <= 6 < (hashes["a.png"] ^ hashes["b.png"]).bit_count()
    assert hashes["blank.png"] is hashes["damaged.png"] is hashes["missing.png"] is None
    assert {name: one.markings for name, one in facts.items() if one.markings} == {"b.png": ((60, 80, 110, 84),)}
    assert "truncated" in facts["damaged.png"].damage and str(paths["damaged.png"]) not in facts["damaged.png"].damage
    assert facts["missing.png"] == PixelFacts("", damage="cannot be read (No such file or directory)")


def test_second_look_decodes_nothing(paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = pixel_facts(paths, quiet=True)
    moved = {name: path.rename(path.with_name(f"x_{name}")) for name, path in paths.items() if path.exists()}
    decoded = count_decoded(monkeypatch)
    assert pixel_facts(moved, quiet=True) == {name: first[name] for name in moved}, "the content counts, not the name"
    assert not decoded
    Image.new("RGB", (9, 9)).save(moved["a.png"])
    assert pixel_facts(moved, quiet=True)["a.png"] != first["a.png"]
    assert decoded == [moved["a.png"]]


@pytest.mark.parametrize("spoil", ["garbage", "cut", "row", "other table"])
def test_damaged_cache_is_begun_anew(
    paths: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    expected = pixel_facts(paths, quiet=True)
    (file,) = cache.iterdir()
    if spoil == "garbage":
        file.write_bytes(b"this is no database" * 1000)
    elif spoil == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    else:
        with sqlite3.connect(file) as base:
            base.execute("UPDATE facts SET facts = '[1'" if spoil == "row" else "ALTER TABLE facts RENAME TO others")
        base.close()
    for _ in range(2):
        assert pixel_facts(paths, quiet=True) == expected
    decoded = count_decoded(monkeypatch)
    pixel_facts(paths, quiet=True)
    assert not decoded, "and works again"


def test_cache_that_cannot_be_written_only_costs_time(
    paths: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = pixel_facts(paths, quiet=True)
    cache.rename(cache.with_name("moved"))
    cache.write_text("a file in place of the folder")
    assert pixel_facts(paths, quiet=True) == expected


def test_cache_that_another_process_locks_only_costs_time(
    paths: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.05)
    pixel_facts({"blank.png": paths["blank.png"]}, quiet=True)
    (file,) = cache.iterdir()
    other = sqlite3.connect(file)
    other.execute("BEGIN EXCLUSIVE")
    facts = pixel_facts(paths, quiet=True)
    other.rollback()
    other.close()
    assert facts == pixel_facts(paths, quiet=True)


def test_several_processes_at_once(paths: dict[str, Path], cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spore_yolo.dataset.pixel_facts import pixel_facts;"
        "print(pixel_facts({p: Path(p) for p in sys.argv[1:]}, True))"
    )
    command = [sys.executable, "-c", code, *map(str, paths.values())]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0] for process in running}
    assert len(answers) == 1 and answers.pop().startswith("{")


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"SPORE_YOLO_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/spore-yolo"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/spore-yolo"),
    ],
)
def test_cache_folder(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str) -> None:
    for name in ("SPORE_YOLO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)
