"""The rules of the house: rooms import only rooms above them, and light rooms stay light."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "spore_yolo"
ROOMS = [
    "files",
    "labels",
    "inference",
    "dataset",
    "training",
    "evaluation",
    "prediction",
    "experiments",
    "pipeline",
    "cli",
]
"""From the ground floor up; a room may import those before it in this list."""

HEAVY = {"torch", "torchvision", "ultralytics"}


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def rooms_imported(path: Path) -> set[str]:
    parts = [name.split(".") for name in imports_of(path)]
    return {part[1] for part in parts if part[0] == "spore_yolo" and len(part) > 1 and part[1] in ROOMS}


def python_files(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_above_it(room: str) -> None:
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    if room == "inference":
        allowed = {"files", "inference"}  # it is deployed alone
    wrong = {str(path.relative_to(ROOT)): rooms_imported(path) - allowed for path in python_files(room)}
    assert not {path: rooms for path, rooms in wrong.items() if rooms}


def test_every_folder_of_the_package_is_a_room() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(ROOMS)


@pytest.mark.parametrize("room", ["files", "labels", "dataset"])
def test_light_rooms_import_without_torch(room: str) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in python_files(room)
    ]
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not HEAVY & set(result.stdout.split())


def test_inference_knows_neither_pandas_nor_fiftyone() -> None:
    for path in python_files("inference"):
        assert not {name.split(".")[0] for name in imports_of(path)} & {"pandas", "fiftyone"}, path


def test_scripts_do_not_hide_modules_of_python() -> None:
    names = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert names
    assert not names & sys.stdlib_module_names


def test_scripts_are_thin() -> None:
    for path in (ROOT / "scripts").glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 10, path


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-c", "import spore_yolo"], id="import"),
        pytest.param(["-m", "spore_yolo.cli.main", "--help"], id="help"),
        pytest.param(["-m", "spore_yolo.cli.main", "train-detector", "--help"], id="help of the heaviest command"),
    ],
)
def test_answers_in_under_a_second(arguments: list[str]) -> None:
    def seconds() -> float:
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True, cwd=ROOT)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime

    # Of the processor, not of the clock, which other programs share; and the best of three, since they slow it down.
    assert min(seconds() for _ in range(3)) < 1.0
