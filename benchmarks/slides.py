"""How fast, how frugal and how right the pair goes over whole slides, beside other ways to do it with the same weights.

    python benchmarks/slides.py make --dataset magnaporthe --split test --size 8000x4500 --output slides/8000x4500.tif
    python benchmarks/slides.py run --slide slides/8000x4500.tif --pair benchmarks/models/magnaporthe
    python benchmarks/slides.py memory --slide slides/40000x40000.tif --pair benchmarks/models/magnaporthe

`make` puts a slide together from the labelled fields of a split. `run` lets the contestants go over it in turn, each in
a process of its own. A floor is the same forward passes and nothing else, on images that were cut beforehand: nothing
that uses these weights is faster. `memory` says what one run of ours holds at most.

What is compared: ours open, read and decode the slide's file; the others get it decoded, in memory. Ours report all
candidates from 0.01 on; the others report from 0.25 on, which is less work for them, and run once more, untimed, from
0.01 on for AP50, with the same merge, which SAHI by itself would change below 0.1. "AP50 from 0.25" needs no such run.
Recall, precision and doubles are of what has a score of 0.25 or more; debris is left out. All use the pair's tile size,
its least overlap, its NMS within a tile, and all cores. Loading and a warm-up are not timed. The others' OpenVINO is as
Ultralytics sets it up: on processors that can, it computes in bfloat16.

Needs the extra "benchmarks".
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from slides_made import make, parse_size, read_labels

from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.provenance import code_commit, package_versions

OURS = ("ours-detector", "ours-pair")
FLOORS = ("floor-detector", "floor-classifier")
OTHERS = ("sahi", "sahi-nms", "slicer", "slicer-batched", "ultralytics-list")

CONFIDENCE = 0.25
NEAR = 1.5
"""Variants of a floor that are no slower than this many times the fastest run on the whole slide too."""

MOST_DECODED = 400_000_000
"""Pixels; the others would need a larger slide in memory at once."""

EXTRA_PACKAGES = ("sahi", "supervision", "openvino", "onnxruntime", "tifffile", "imagecodecs", "spore-yolo")


@dataclass
class Entry:
    """A contestant on a backend, and what its runs gave.

    Attributes:
        name, backend: Which.
        chosen: The variants that run on the whole slide, and in ``speeds`` how fast each was on a part of it.
        runs: A record a round.
        quality: Of the first round.
        failure: Why it was left out after that.
    """

    name: str
    backend: str
    chosen: list[dict[str, int]] = field(default_factory=list)
    speeds: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    quality: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None

    @property
    def seconds(self) -> list[float]:
        """Of each round; of a floor, those of the variant whose median is the least."""
        if self.name not in FLOORS:
            return [run["seconds"] for run in self.runs]
        by_variant = list(zip(*([one["seconds"] for one in run["variants"]] for run in self.runs), strict=True))
        return min((list(times) for times in by_variant), key=statistics.median, default=[])

    @property
    def median(self) -> float | None:
        """Of the seconds."""
        return statistics.median(self.seconds) if self.runs else None


def entries_of(arguments: argparse.Namespace) -> list[Entry]:
    """The contestants in the order in which they run in each round; a pair runs before its floors."""
    names = arguments.contestants or [*OURS, *FLOORS, *(() if arguments.only_ours else OTHERS)]
    if arguments.only_ours and set(names) & set(OTHERS):
        raise UsageError("--only-ours: expected no others among --contestants, or the option left out")
    if "floor-classifier" in names and "ours-pair" not in names:
        raise UsageError("--contestants: floor-classifier needs to know how many crops ours-pair classifies; add it")
    entries = [Entry(name, backend) for backend in arguments.backends for name in (*OURS, *FLOORS) if name in names]
    return entries + [Entry(name, backend) for backend in arguments.their_backends for name in OTHERS if name in names]


def run(arguments: argparse.Namespace) -> int:
    """Runs all contestants, prints the table and writes the record; 1 if one of them failed."""
    from slides_contestants import all_path, crops_path, point_path
    from slides_scoring import Found, Windows, ap50, quality

    from spore_yolo.inference.slides import open_slide

    entries = entries_of(arguments)
    labels = read_labels(arguments.slide)
    with open_slide(arguments.slide) as slide:
        width, height = slide.width, slide.height
    if width * height > MOST_DECODED and any(entry.name in OTHERS for entry in entries):
        raise UsageError(
            f"--slide: {width} x {height} px are too many for the others, who need them decoded in memory;"
            " use --only-ours"
        )
    arguments.work.mkdir(parents=True, exist_ok=True)
    record = _conditions(arguments, (width, height), len(labels))
    with tempfile.TemporaryDirectory(prefix="slides-") as folder:

        def job(entry: Entry, **more: Any) -> dict[str, Any]:
            found = Path(folder, f"{entry.name}-{entry.backend}.npz")
            crops_of = crops_path(found.with_name(f"ours-pair-{entry.backend}.npz"))
            return {
                "contestant": entry.name,
                "backend": entry.backend,
                "slide": str(arguments.slide),
                "pair": str(arguments.pair),
                "work": str(arguments.work),
                "confidence": CONFIDENCE,
                "found": str(found),
                "crops_of": str(crops_of) if entry.name == "floor-classifier" else None,
                **more,
            }

        for turn in range(arguments.repeat):
            for entry in entries:
                if entry.failure is not None:
                    continue
                try:
                    if turn == 0 and entry.name not in OURS:
                        _choose(entry, job(entry), arguments.near)
                    variant = entry.chosen[0] if entry.name in OTHERS else {}
                    variants = entry.chosen if entry.name in FLOORS else []
                    load = os.getloadavg()[0]
                    one = _in_own_process(
                        "run", job(entry, variant=variant, variants=variants, all_found=turn == 0)
                    ) | {"load_before": round(load, 2)}
                    entry.runs.append(one)
                    if turn == 0 and entry.name not in FLOORS:
                        path = Path(job(entry)["found"])
                        found, windows = Found.read(path), Windows(one["x"], one["y"])
                        everything = Found.read(all_path(path)) if entry.name in OTHERS else found
                        sure = found.where(found.scores >= CONFIDENCE)
                        entry.quality = quality(sure, labels, windows)
                        entry.quality |= {"ap50": ap50(everything, labels), "ap50_sure": ap50(sure, labels)}
                        if entry.name == "ours-pair":
                            at_point = quality(Found.read(point_path(path)), labels, windows)
                            entry.quality["at_operating_point"] = at_point
                    print(f"round {turn + 1}: {entry.name} ({entry.backend}) {entry.seconds[-1]:.2f} s", flush=True)
                except SporeYoloError as error:
                    entry.failure = str(error)
                    print(f"round {turn + 1}: {entry.name} ({entry.backend}) is left out: {error}", flush=True)
            # Each round is kept, whatever happens in the next.
            _write(arguments.output, record | {"rounds": turn + 1, "contestants": [_record(one) for one in entries]})
    _print(entries, record)
    return 1 if any(entry.failure for entry in entries) else 0


def _choose(entry: Entry, job: dict[str, Any], nearness: float) -> None:
    """Finds the fastest variant on a part of the slide; of a floor also those that are nearly as fast."""
    given = _in_own_process("choose", job)
    entry.speeds = given["speeds"]
    if not entry.speeds:
        raise SporeYoloError("none of its variants ran")
    cost = next(key for key in entry.speeds[0] if key.startswith("ms_per_"))
    entry.speeds.sort(key=lambda one: float(one[cost]))
    near = [one for one in entry.speeds if one[cost] <= nearness * entry.speeds[0][cost]]
    kept = near if entry.name in FLOORS else near[:1]
    entry.chosen = [{key: value for key, value in one.items() if key != cost} for one in kept]


def _in_own_process(what: str, job: dict[str, Any]) -> dict[str, Any]:
    """Runs a job in a process of its own, and returns its record.

    Raises:
        SporeYoloError: It failed; with the last of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="slides-") as folder:
        output = Path(folder, "record.json")
        command = [sys.executable, __file__, "one", what, json.dumps(job), str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not output.exists():
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
            raise SporeYoloError(f"exit code {done.returncode}: {' / '.join(said[-3:])}")
        record: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return record


def one(arguments: argparse.Namespace) -> int:
    """The inside of :func:`_in_own_process`."""
    from slides_contestants import Job, choose
    from slides_contestants import run as run_contestant
    from slides_floors import choose_floor, run_floor

    job = Job.of(json.loads(arguments.job))
    floor = job.contestant in FLOORS
    if arguments.what == "run":
        record = run_floor(job) if floor else run_contestant(job)
    else:
        record = {"speeds": choose_floor(job) if floor else choose(job)}
    write_text(arguments.output, json.dumps(record))
    return 0


def memory(arguments: argparse.Namespace) -> int:
    """Prints the most memory that one run of ours held, and its time a megapixel."""
    from spore_yolo.inference.slides import open_slide

    with open_slide(arguments.slide) as slide:
        width, height = slide.width, slide.height
    rows = []
    for backend in arguments.backends:
        with tempfile.TemporaryDirectory(prefix="slides-") as folder:
            job = {
                "contestant": "ours-detector" if arguments.detector_only else "ours-pair",
                "backend": backend,
                "slide": str(arguments.slide),
                "pair": str(arguments.pair),
                "work": folder,
                "confidence": CONFIDENCE,
                "found": str(Path(folder, "found.npz")),
                "crops_of": None,
            }
            given = _in_own_process("run", job)
        megapixels = width * height / 1e6
        seconds = given["seconds"]
        row = [backend, f"{width} x {height}", given["tiles"], seconds, 1000 * seconds / megapixels]
        rows.append([*row, given["peak_mb"], given["peak_before_mb"], 3 * megapixels])
    from tabulate import tabulate

    headers = ["backend", "slide", "tiles", "s", "ms a megapixel", "peak MB", "peak MB before", "slide decoded MB"]
    print(tabulate(rows, headers, floatfmt=".1f", tablefmt="github"))
    print('"peak MB before": once the networks were loaded and had looked at a few tiles.')
    return 0


def _conditions(arguments: argparse.Namespace, size: tuple[int, int], labels: int) -> dict[str, Any]:
    from spore_yolo.inference.backends.machine import this_machine

    versions = package_versions()
    for name in EXTRA_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "commit": code_commit(),
        "machine": this_machine().model_dump(),
        "versions": versions,
        "slide": {"file": arguments.slide.name, "width": size[0], "height": size[1], "labels": labels},
        "conditions": " ".join((__doc__ or "").split("What is compared: ")[-1].split("\n\n")[0].split()),
    }


def _record(entry: Entry) -> dict[str, Any]:
    """What is written of a contestant; its grid is described by the number of tiles."""
    runs = [{key: value for key, value in one.items() if key not in ("x", "y")} for one in entry.runs]
    return {
        "contestant": entry.name,
        "backend": entry.backend,
        "seconds": entry.seconds if entry.runs else [],
        "median": entry.median,
        "on_a_part": entry.speeds,
        "quality": entry.quality,
        "failure": entry.failure,
        "runs": runs,
    }


def _print(entries: list[Entry], record: dict[str, Any]) -> None:
    from tabulate import tabulate

    medians = {(entry.name, entry.backend): entry.median for entry in entries}

    def ratio(entry: Entry, *others: tuple[str, str]) -> float | None:
        times = [medians.get(other) for other in others]
        total = sum(time for time in times if time is not None)
        return None if entry.median is None or None in times or not total else entry.median / total

    times: list[list[Any]] = []
    found: list[list[Any]] = []
    for entry in entries:
        name = f"{entry.name} ({entry.backend})"
        if not entry.runs:
            times.append([name])
            continue
        floors = [(floor, entry.backend) for floor in (FLOORS if entry.name == "ours-pair" else FLOORS[:1])]
        is_floor = entry.name in FLOORS
        times.append(
            [name, entry.runs[0].get("tiles") or entry.runs[0].get("count"), entry.median]
            + [min(entry.seconds), max(entry.seconds)]
            + (
                [None] * 4
                if is_floor
                else [
                    ratio(entry, *floors),
                    ratio(entry, ("sahi", "torch")),
                    ratio(entry, ("sahi", entry.backend)),
                    ratio(entry, ("slicer", "torch")),
                ]
            )
            + [max(run["peak_mb"] for run in entry.runs), _setting(entry)]
        )
        if entry.quality:
            keys = ["detections", "recall", "precision", "recall_at_precision", "ap50", "ap50_sure"]
            keys += ["doubles_per_1000", "doubles", "doubles_at_borders"]
            found.append([name, *(entry.quality[key] for key in keys)])
            if "at_operating_point" in entry.quality:
                there = entry.quality["at_operating_point"] | dict.fromkeys(["ap50", "ap50_sure"])
                found.append([f"{name} at its operating point", *(there[key] for key in keys)])
    slide, machine = record["slide"], record["machine"]
    print(f"\n{slide['file']}: {slide['width']} x {slide['height']} px, {slide['labels']} labelled boxes")
    print(f"{machine['cpu']}, {machine['cores']} cores; {record['command']}")
    print(", ".join(f"{name} {version}" for name, version in record["versions"].items()))
    headers = [
        "contestant",
        "tiles or crops",
        "s",
        "min",
        "max",
        "/ floor",
        "/ sahi on torch",
        "/ sahi",
        "/ slicer on torch",
    ]
    print("\n" + tabulate(times, [*headers, "peak MB", "how"], floatfmt=".2f", tablefmt="github"))
    headers = [
        "contestant",
        "detections",
        "recall",
        "precision",
        "recall at precision 0.9",
        "AP50",
        "AP50 from 0.25",
        "doubles a 1,000",
        "doubles",
        "at borders",
    ]
    print("\n" + tabulate(found, headers, floatfmt=".4g", tablefmt="github"))
    for entry in entries:
        limits = sum(len(run.get("nms_time_limits", [])) for run in entry.runs)
        if limits:
            print(f"{entry.name} ({entry.backend}): Ultralytics' NMS gave up {limits} times and left tiles empty")
        if entry.failure:
            print(f"{entry.name} ({entry.backend}) failed: {entry.failure}")
    print("\n" + record["conditions"])


def _setting(entry: Entry) -> str:
    """How it ran, in a few words."""
    if entry.name in FLOORS:
        variants = entry.runs[0]["variants"]
        best = min(
            range(len(variants)),
            key=lambda place: statistics.median([run["variants"][place]["seconds"] for run in entry.runs]),
        )
        ways = "workers side by side" if variants[best]["side_by_side"] else "one call at a time"
        return f"batch {variants[best]['batch']}, {ways}"
    setting = entry.runs[0]["setting"]
    return ", ".join(f"{key} {setting[key]}" for key in ("batch", "workers") if key in setting)


def _write(path: Path | None, record: dict[str, Any]) -> None:
    if path is not None:
        write_text(path, json.dumps(record, indent=1) + "\n")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="make | run | memory")

    making = commands.add_parser("make", help="put a slide together from the fields of a split")
    making.add_argument("--dataset", required=True)
    making.add_argument("--datasets", type=Path, default=Path("datasets.yaml"))
    making.add_argument("--split", default="test")
    making.add_argument("--size", required=True, help="WIDTHxHEIGHT in pixels, such as 8000x4500")
    making.add_argument("--output", type=Path, required=True)
    making.add_argument("--compression", choices=("jpeg", "deflate", "none"), default="jpeg")
    making.add_argument("--tile", type=int, choices=(256, 512), default=512, help="side of the file's tiles")
    making.add_argument("--seed", type=int, default=0, help="decides which field lies where")

    running = commands.add_parser("run", help="let contestants go over a slide in turn")
    running.add_argument("--contestants", nargs="+", choices=(*OURS, *FLOORS, *OTHERS), help="all by default")
    running.add_argument("--only-ours", action="store_true", help="ours and the floors, for slides of any size")
    running.add_argument("--their-backends", nargs="+", choices=("torch", "openvino"), default=["torch", "openvino"])
    running.add_argument("--repeat", type=int, default=5, help="rounds (%(default)s)")
    running.add_argument(
        "--near",
        type=float,
        default=NEAR,
        help="variants of a floor no slower than so many times the fastest on a part run on all (%(default)s)",
    )
    running.add_argument("--work", type=Path, default=Path("runs/slides"), help="where exported weights lie")
    running.add_argument("--output", type=Path, help="a JSON file for all figures")

    remembering = commands.add_parser("memory", help="the most memory that one run of ours holds")
    remembering.add_argument("--detector-only", action="store_true", help="leave the classifier out")
    for command in (running, remembering):
        command.add_argument("--slide", type=Path, required=True)
        command.add_argument("--pair", type=Path, required=True)
        command.add_argument("--backends", nargs="+", default=["torch"], help="what runs ours (%(default)s)")

    inside = commands.add_parser("one")
    inside.add_argument("what", choices=("run", "choose"))
    inside.add_argument("job")
    inside.add_argument("output", type=Path)
    return parser


def main() -> int:
    arguments = build_parser().parse_args()
    try:
        if arguments.command == "make":
            size = parse_size(arguments.size)
            boxes = make(
                arguments.dataset,
                arguments.datasets,
                arguments.split,
                size,
                arguments.output,
                compression=arguments.compression,
                tile=arguments.tile,
                seed=arguments.seed,
            )
            print(f"{arguments.output}: {size[0]} x {size[1]} px, {boxes} labelled boxes")
            return 0
        return {"run": run, "memory": memory, "one": one}[arguments.command](arguments)
    except SporeYoloError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
