"""Label files that nobody means well with: each ends in a clear message, soon, and nothing is written elsewhere."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.label_mutations import DOCTYPES, YAML_BOMB
from benchmarks.label_seeds import IMAGES, Files, Seed, save_images, seeds
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.labels.class_map import ClassMap
from spore_yolo.labels.label_set import LabelSet, classes_of, images_of
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.source import LabelSource, open_labels
from spore_yolo.labels.table import COORDINATES, CheckedBoxes, check_boxes
from spore_yolo.labels.writers import WRITERS, write_labels

SEEDS: dict[str, Seed] = {}
for one in seeds():
    SEEDS.setdefault(one.label_format, one)
JSON = ["coco", "darwin", "labelme", "label-studio", "via", "createml"]
XML = ["voc", "cvat"]
TEXT = ["yolo", "csv", "points"]
FOLDERS = [name for name, seed in SEEDS.items() if not seed.path]
LONGEST = 20_000
"""Letters of the longest message of a whole file: the first 200 problems of many."""

Labels = tuple[LabelSource, CheckedBoxes]


class Bench:
    """A folder with images, and labels that are put beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.labels = folder / "labels"

    def put(self, seed: Seed, files: Files) -> Path:
        """Writes label files; gives the path that a user would give."""
        for name, content in files.items():
            path = self.labels / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.labels / seed.path

    def read(self, seed: Seed, with_images: bool = True) -> Labels:
        source = open_labels(
            self.labels / seed.path,
            seed.label_format,
            self.images if with_images else None,
            ReadOptions(**seed.options),
        )
        return source, check_boxes(source.labels.boxes, source.sizes)

    def messages(self, seed: Seed, with_images: bool = True) -> str:
        """What is said about labels that are not right; empty where nothing is said."""
        try:
            source, checked = self.read(seed, with_images)
        except SporeYoloError as error:
            text = str(error)
            assert len(text) <= LONGEST + 200 * len(str(self.folder))
            return text
        problems = [*source.labels.problems, *checked.problems]
        assert all(len(problem.message) <= 1000 for problem in problems), max(problems, key=lambda p: len(p.message))
        assert all(problem.code for problem in problems)
        return "\n".join(str(problem) for problem in problems)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    save_images(tmp_path / "images")
    return Bench(tmp_path)


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Nothing here takes long; what hangs is stopped."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError("the test hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def soon() -> Iterator[None]:
    """What is refused by its size alone is refused before it is read."""
    begin, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - begin < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 100_000, "kB"


def files_with(seed: Seed, change: Callable[[bytes], bytes]) -> Files:
    """The files of a seed, those that are labels changed."""
    return {name: content if name.endswith("yaml") else change(content) for name, content in seed.files.items()}


@pytest.mark.parametrize("label_format", SEEDS)
def test_the_seeds_are_valid(bench: Bench, label_format: str) -> None:
    """So that what happens below comes from the change."""
    seed = SEEDS[label_format]
    bench.put(seed, seed.files)
    source, checked = bench.read(seed)
    assert not source.labels.problems and not checked.problems
    assert len(checked.table) >= 2
    assert source.labels.labelled_images <= set(IMAGES)


@pytest.mark.parametrize("doctype", DOCTYPES, ids=["laughs", "file", "dtd", "parameter", "quadratic", "plain"])
@pytest.mark.parametrize("label_format", XML)
@pytest.mark.usefixtures("soon")
def test_document_types_and_entities(bench: Bench, label_format: str, doctype: str) -> None:
    seed = SEEDS[label_format]
    use = {"laughs": b"&l8;", "file": b"&x;"}.get("laughs" if "lolz" in doctype else "file", b"")
    bench.put(seed, files_with(seed, lambda data: data.replace(b"?>", b"?>" + doctype.encode()).replace(b"rust", use)))
    assert "SPR001" in bench.messages(seed)
    assert "root:" not in bench.messages(seed)


@pytest.mark.parametrize("label_format", JSON)
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'], ids=["lists", "objects", "both"])
def test_json_nested_very_deeply(bench: Bench, label_format: str, opening: str) -> None:
    seed = SEEDS[label_format]
    bench.put(seed, files_with(seed, lambda data: opening.encode() * 100_000))
    assert "nested too deeply" in bench.messages(seed)
    bench.put(
        seed,
        files_with(
            seed, lambda data: data.replace(FIRST_COORDINATE[label_format].split()[-1], opening.encode() * 100_000, 1)
        ),
    )
    assert bench.messages(seed)


@pytest.mark.parametrize("label_format", XML)
def test_xml_nested_very_deeply(bench: Bench, label_format: str) -> None:
    seed = SEEDS[label_format]
    bench.put(seed, files_with(seed, lambda data: b"<annotations>" + b"<image>" * 100_000))
    assert "SPR001" in bench.messages(seed)


@pytest.mark.parametrize("label_format", SEEDS)
@pytest.mark.usefixtures("soon")
def test_a_gigabyte(bench: Bench, label_format: str) -> None:
    seed = SEEDS[label_format]
    bench.put(seed, seed.files)
    for name in seed.files:
        if not name.endswith("yaml"):
            os.truncate(bench.labels / name, 1024**3)  # takes no room on the disk
    message = bench.messages(seed)
    assert "512 MB" in message and "1,024 MB" in message


def test_ten_million_empty_lists(bench: Bench) -> None:
    seed = SEEDS["coco"]
    bench.put(seed, {"labels.json": b'{"images": [' + b"[]," * 10_000_000 + b"[]]}"})
    begin = time.process_time()
    assert "10,000,000 lists" in bench.messages(seed)
    assert time.process_time() - begin < 5


ESCAPES = [
    "../../etc/passwd",
    "../a.jpg",
    "x/../../../a.jpg",
    "/etc/passwd",
    "//server/share/a.jpg",
    "C:\\Windows\\win.ini.jpg",
    "C:a.jpg",
    "..\\..\\a.jpg",
    "\\\\server\\share\\a.jpg",
    "\\\\?\\C:\\a.jpg",
    "a\0.jpg",
    "a" * 5000 + ".jpg",
    "b/" * 3000 + "a.jpg",
    "b/" * 90 + "a.jpg",
    "~/a.jpg",
    "file:///etc/passwd",
    "..",
    "/",
    "\ud800.jpg",
]
NAMING = [name for name in SEEDS if name not in ("yolo", "points")]
"""Formats whose files say the names of their images."""


def named(seed: Seed, name: str) -> Files:
    """The files of a seed with another name for a.jpg."""
    if seed.label_format in XML:
        clean = name.encode("utf-8", "replace").replace(b"&", b"&amp;")
        return files_with(seed, lambda data: data.replace(b"a.jpg", clean))
    if seed.label_format == "parquet":
        import io

        import pandas as pd

        table = pd.read_parquet(io.BytesIO(seed.files["labels.parquet"]))
        table["image"] = [name.encode("utf-8", "replace").decode() if old == "a.jpg" else old for old in table["image"]]
        stream = io.BytesIO()
        table.to_parquet(stream)
        return {"labels.parquet": stream.getvalue()}
    text = json.dumps(name)[1:-1] if seed.label_format in JSON else name.encode("utf-8", "replace").decode()
    return files_with(seed, lambda data: data.replace(b"a.jpg", text.encode()))


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("label_format", NAMING)
def test_names_that_lead_elsewhere(bench: Bench, label_format: str) -> None:
    """Without the images every name is one; what is written then stays in its folder."""
    seed = SEEDS[label_format]
    target = bench.folder / "deep" / "down" / "out"
    target.mkdir(parents=True)
    for number, name in enumerate(ESCAPES):
        bench.put(seed, named(seed, name))
        before = everything_below(bench.folder)
        try:
            source, checked = bench.read(seed, with_images=False)
        except SporeYoloError:
            continue
        assert all(not image.startswith("/") and ".." not in image.split("/") for image in source.sizes), name
        labels = LabelSet(images_of(source.sizes), checked.table, classes_of(source.labels.classes, checked.table))
        for writer in WRITERS if number % 4 == 0 else ("voc", "darwin"):
            try:
                write_labels(labels, target / writer, writer)
            except (SporeYoloError, OSError):  # the command line turns an error of the system into a message
                continue
        assert everything_below(bench.folder) - before <= {f"deep/down/out/{path}" for path in everything_below(target)}
    assert not (bench.folder / "deep" / "a.jpg").exists()


@pytest.mark.parametrize("label_format", NAMING)
def test_names_that_lead_elsewhere_are_not_among_the_images(bench: Bench, label_format: str) -> None:
    seed = SEEDS[label_format]
    for name in ESCAPES[:10]:
        bench.put(seed, named(seed, name.replace("a.jpg", "other.jpg")))
        if label_format in ("voc", "labelme", "darwin"):  # these are found by the name of the label file as well
            (bench.labels / "a.xml").exists() and (bench.labels / "a.xml").rename(bench.labels / "other.xml")
            (bench.labels / "a.json").exists() and (bench.labels / "a.json").rename(bench.labels / "other.json")
        assert "SPR002" in bench.messages(seed), name


NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e300", b"-1e300", b"1e999", b"9" * 400]
FIRST_COORDINATE = {
    "coco": b"11.25",
    "voc": b"<xmin>11",
    "yolo": b"0.5",
    "csv": b"10",
    "darwin": b"10.5",
    "labelme": b"10.5",
    "cvat": b"10.50",
    "label-studio": b'"x": 10',
    "via": b'"x": 10',
    "createml": b'"x": 25',
    "points": b"20",
}


@pytest.mark.parametrize("label_format", FIRST_COORDINATE)
def test_numbers_that_are_no_places(bench: Bench, label_format: str) -> None:
    seed, old = SEEDS[label_format], FIRST_COORDINATE[label_format]
    bench.put(seed, seed.files)
    whole = len(bench.read(seed)[1].table)
    for number in NUMBERS:
        new = old[: len(old.rstrip(b"0123456789."))] + number
        bench.put(seed, files_with(seed, lambda data, new=new: data.replace(old, new, 1)))
        source, checked = bench.read(seed)
        assert len(checked.table) < whole, number
        assert np.isfinite(checked.table[COORDINATES].to_numpy()).all()
        codes = {problem.code for problem in [*source.labels.problems, *checked.problems]}
        assert codes and codes <= {"SPR001", "SPR011"}, (number, codes)


def test_a_million_classes(bench: Bench) -> None:
    """A class that is not in a long list is told without the list."""
    categories = b",".join(b'{"id":%d,"name":"c%d"}' % (number, number) for number in range(10, 50_010))
    coco = b'{"images":[{"id":1,"file_name":"a.jpg"}],"annotations":[{"image_id":1,"category_id":3,"bbox":[1,2,3,4]}],'
    bench.put(SEEDS["coco"], {"labels.json": coco + b'"categories":[' + categories + b"]}"})
    assert "SPR021" in bench.messages(SEEDS["coco"])
    names = "\n".join(f"c{number}" for number in range(200_000)).encode()
    bench.put(SEEDS["yolo"], {"a.txt": b"1000000 .5 .5 .1 .1\n", "classes.txt": names})
    assert "SPR021" in bench.messages(SEEDS["yolo"])
    names = "\n".join(f"c{number}" for number in range(1_000_000)).encode()
    (bench.labels / "data.yaml").write_bytes(b"names:\n- " + names.replace(b"\n", b"\n- "))
    assert "found 9 MB" in bench.messages(SEEDS["yolo"])


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "utf-8 with a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "utf-16": lambda data: data.decode().replace('encoding="utf-8"', 'encoding="utf-16"').encode("utf-16"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("label_format", [*JSON, *XML, *TEXT])
def test_byte_order_marks(bench: Bench, label_format: str, encoding: str) -> None:
    seed = SEEDS[label_format]
    bench.put(seed, seed.files)
    plain = bench.read(seed)[1].table
    bench.put(seed, files_with(seed, ENCODINGS[encoding]))
    read = bench.read(seed)[1].table
    assert read[COORDINATES].equals(plain[COORDINATES]) and read["class"].equals(plain["class"])


@pytest.mark.parametrize("label_format", [*JSON, *XML, "csv"])
def test_other_encodings(bench: Bench, label_format: str) -> None:
    seed = SEEDS[label_format]
    bench.put(seed, files_with(seed, lambda data: data.replace(b"rust", b"r\xfcst")))
    assert "SPR001" in bench.messages(seed)
    bench.put(seed, files_with(seed, lambda data: data.decode().encode("utf-16-le")))
    assert bench.messages(seed)


@pytest.mark.parametrize("label_format", XML)
def test_encodings_that_are_none(bench: Bench, label_format: str) -> None:
    seed = SEEDS[label_format]
    for name in (b"zip", b"rot13", b"idna", b"undefined", b"punycode", b"unknown", b"x" * 1000, b"utf-7"):
        bench.put(seed, files_with(seed, lambda data, name=name: data.replace(b'"utf-8"', b'"' + name + b'"')))
        assert "SPR001" in bench.messages(seed), name


def test_folders_in_circles(bench: Bench) -> None:
    (bench.images / "loop").symlink_to(bench.images, target_is_directory=True)
    (bench.images / "self.jpg").symlink_to(bench.images / "self.jpg")
    for label_format in FOLDERS:
        seed = SEEDS[label_format]
        bench.labels = bench.folder / label_format
        bench.put(seed, seed.files)
        (bench.labels / "loop").symlink_to(bench.labels, target_is_directory=True)
        for suffix in ("txt", "json", "xml"):
            (bench.labels / f"self.{suffix}").symlink_to(bench.labels / f"self.{suffix}")
        source, checked = bench.read(seed)
        assert len(checked.table) >= 2
        assert set(source.known.sizes) == set(IMAGES)
        assert source.labels.labelled_images <= set(IMAGES)


@pytest.mark.parametrize("label_format", SEEDS)
def test_what_is_no_file(bench: Bench, label_format: str) -> None:
    """A pipe is not waited for, and a folder or a device is not read."""
    seed = SEEDS[label_format]
    os.mkfifo(bench.images / "pipe.jpg")
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)):
        bench.put(seed, seed.files)
        for name in seed.files:
            if not name.endswith("yaml"):
                (bench.labels / name).unlink()
                make(bench.labels / name)
        message = bench.messages(seed)
        assert message or seed.label_format in FOLDERS
        for name in seed.files:
            path = bench.labels / name
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("label_format", SEEDS)
def test_empty_files(bench: Bench, label_format: str) -> None:
    seed = SEEDS[label_format]
    for content in (b"", b"\n", b" ", b"\xef\xbb\xbf", b"\0", b"\0" * 5000):
        bench.put(seed, files_with(seed, lambda data, content=content: content))
        message = bench.messages(seed)
        # An empty text file is an image without boxes.
        assert message or (label_format in ("yolo", "points") and b"\0" not in content), content


@pytest.mark.parametrize("label_format", [*JSON, *XML, *TEXT])
def test_numbers_of_millions_of_digits(bench: Bench, label_format: str) -> None:
    seed, old = SEEDS[label_format], FIRST_COORDINATE[label_format]
    start = old[: len(old.rstrip(b"0123456789."))]
    for digits in (b"9" * 5000, b"9" * 3_000_000):
        bench.put(seed, files_with(seed, lambda data, digits=digits: data.replace(old, start + digits, 1)))
        assert bench.messages(seed)


def test_masks_that_unfold(bench: Bench) -> None:
    seed = SEEDS["coco"]
    for size, counts in (
        ([9_999_999, 9_999_999], [99999980000001]),
        ([40, 60], "P" * 400_000),
        ([40, 60], [1] * 300_000),
    ):
        mask = {"size": size, "counts": counts}
        annotation = {"id": 1, "image_id": 7, "category_id": 3, "segmentation": mask}
        content: dict[str, Any] = json.loads(seed.files["labels.json"]) | {"annotations": [annotation]}
        bench.put(seed, {"labels.json": json.dumps(content).encode()})
        begin = time.process_time()
        assert bench.messages(seed)
        assert time.process_time() - begin < 2


def test_a_table_that_unfolds(bench: Bench) -> None:
    """A Parquet file of some kilobytes with twenty million rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 1_000_000
    column = pa.repeat(1.0, rows)
    text = pa.DictionaryArray.from_arrays(pa.repeat(0, rows), pa.array(["a.jpg"]))
    names = {"image": text, "x_min": column, "y_min": column, "x_max": column, "y_max": column, "class": text}
    table = pa.table(names)
    bench.labels.mkdir()
    with pq.ParquetWriter(bench.labels / "labels.parquet", table.schema) as writer:
        for _ in range(20):
            writer.write_table(table)
    begin = time.process_time()
    assert "20,000,000 rows" in bench.messages(SEEDS["parquet"])
    assert time.process_time() - begin < 1


YAML = {
    "laughs": f"{YAML_BOMB}names: *a8\n",
    "ring": "names: &a [*a]\n",
    "deep": "names: " + "[" * 100_000,
    "python": "names: !!python/object/apply:os.system ['touch hit']\n",
    "base 60": "names: {" + ":".join(["1"] * 100_000) + ": rust}",
}


@pytest.mark.parametrize("name", YAML)
def test_yaml(bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.folder)
    seed = SEEDS["yolo"]
    bench.put(seed, dict(seed.files) | {"data.yaml": YAML[name].encode()})
    begin = time.process_time()
    assert "data.yaml" in bench.messages(seed)
    (bench.folder / "map.yaml").write_text(YAML[name].replace("names:", "drop:"))
    with pytest.raises(SporeYoloError, match=r"map\.yaml"):
        ClassMap.read(bench.folder / "map.yaml")
    assert time.process_time() - begin < 3
    assert not (bench.folder / "hit").exists()


@pytest.mark.parametrize("label_format", JSON)
def test_text_that_is_no_text(bench: Bench, label_format: str) -> None:
    r"""JSON may escape half of a letter, \ud800, which no file can hold."""
    seed = SEEDS[label_format]
    bench.put(seed, files_with(seed, lambda data: data.replace(b"rust", b"\\ud800")))
    bench.messages(seed)


@pytest.mark.parametrize(
    ("label_format", "content"),
    [
        pytest.param("coco", b'{"images":' + b"[" * 100_000, id="deep JSON"),
        pytest.param("coco", b"{}", id="nothing"),
        pytest.param(
            "voc", b"<?xml version='1.0'?>" + DOCTYPES[0].encode() + b"<annotation>&l8;</annotation>", id="XML"
        ),
        pytest.param("csv", b"\xff\xfe\x00", id="other bytes"),
        pytest.param("cvat", b"<annotations><image name='../../x.jpg'/></annotations>", id="another place"),
    ],
)
def test_the_program_says_it_without_a_traceback(
    bench: Bench, spore_yolo: Callable[..., tuple[int, str, str]], label_format: str, content: bytes
) -> None:
    seed = SEEDS[label_format]
    path = bench.put(seed, {next(iter(seed.files)): content})
    before = everything_below(bench.folder)
    code, _, errors = spore_yolo("export", path, "--from-format", label_format, "--format", "voc", "--output", "out")
    assert code == 1
    assert "spore-yolo: error: " in errors and "Traceback" not in errors
    code, _, errors = spore_yolo(
        "import", "hostile", "--images", bench.images, "--labels", path, "--format", label_format
    )
    assert code == 1
    assert "spore-yolo: error: " in errors and "Traceback" not in errors
    assert {path for path in everything_below(bench.folder) - before if not path.startswith("data")} == set()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process there")
def test_memory_is_bounded(bench: Bench) -> None:
    """A file of 20 MB whose one item is five million numbers."""
    code = (
        "import re, sys\n"
        "from spore_yolo.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        # Not ru_maxrss: a child begins with the peak of its parent.
        "print(code, int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) // 1024)\n"
    )
    path = bench.put(SEEDS["coco"], {"labels.json": b'{"images":[[' + b"0.1," * 5_000_000 + b"0]]}"})
    command = [sys.executable, "-c", code, "export", str(path), "--from-format", "coco", "--format", "csv"]
    command += ["--output", str(bench.folder / "out.csv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=bench.folder)
    assert "Traceback" not in done.stderr and "expected a list 'images'" in done.stderr
    exit_code, megabytes = map(int, done.stdout.split()[-2:])
    assert exit_code == 1
    assert megabytes < 600
