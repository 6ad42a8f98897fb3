"""Feeds hostile label files to every reader and sees whether all of them end in labels or in a clear message.

    python -m benchmarks.label_fuzzing --cases 100000            # half an hour on two cores
    python -m benchmarks.label_fuzzing --cases 4000 --seconds 30
    python -m benchmarks.label_fuzzing --again coco:4711         # one case, with its traceback

Each case is a valid file that was changed at random, or one that was grown (`label_mutations.py`), in a folder of its
own. It is read with images and without them, its boxes are checked, and of some cases the format is guessed and what
was read is written in another format. A case fails if that

- raises something else than a `SporeYoloError`, takes longer than --limit seconds, more memory than --memory, or ends
  the process;
- opens a file for writing, or makes, moves or removes one, outside of its folder; opens one elsewhere for reading;
  reaches for the network; starts a program or unpickles anything;
- leaves a box in the table that does not lie on its image, or gives a problem without a code or with a message of more
  than 2,000 letters.

Failures are stored with their number in --failures, made as small as a short search makes them. Exits with 1 if there
are any.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.label_guard import Forbidden, Guard
from benchmarks.label_mutations import mutated
from benchmarks.label_seeds import Files, Seed, save_images, seeds

LONGEST_MESSAGE = 2000
SMALLER = 200
"""Attempts at making a failure smaller."""


class TooSlow(BaseException):
    """A case took longer than it may; no ``except Exception`` keeps it."""


@dataclass
class Failure:
    """A case that failed, by what went wrong."""

    case: str
    reason: str
    count: int = 1


@dataclass
class Tally:
    """What became of the cases of one format."""

    cases: int = 0
    read: int = 0
    refused: int = 0
    boxes: int = 0
    outside: int = 0
    slowest: float = 0.0
    slowest_case: str = ""
    peak_mb: float = 0.0
    failures: dict[str, Failure] = field(default_factory=dict)


class Runner:
    """Runs cases of one format, one after the other, in one process.

    Args:
        root: A folder of this process alone.
        limit: Seconds that a case may take.
    """

    def __init__(self, root: Path, limit: float) -> None:
        self.root = root
        self.limit = limit
        self.images = root / "images"
        save_images(self.images)
        self._warm_up()
        self.guard = Guard(self.images)

    def _warm_up(self) -> None:
        """Reads all seeds, so that everything is imported before anybody watches."""
        for seed in seeds():
            self._use(self._written(seed, seed.files), seed, random.Random(0), everything=True)
        gc.collect()

    def _written(self, seed: Seed, files: Files) -> Path:
        case = self.root / "case"
        shutil.rmtree(case, ignore_errors=True)
        for name, content in files.items():
            path = case / "labels" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return case

    def attempt(self, seed: Seed, files: Files, rng: random.Random) -> tuple[str, str, int]:
        """Runs one case.

        Returns:
            ``read``, ``refused`` or ``failed``; what failed; how many boxes were read.
        """
        case = self._written(seed, files)
        signal.setitimer(signal.ITIMER_REAL, self.limit)
        boxes = 0
        try:
            with self.guard.watching(case):
                boxes = self._use(case, seed, rng)
            outcome = ("read", "") if boxes >= 0 else ("refused", "")
        except Forbidden as error:
            outcome = ("failed", f"forbidden: {error}")
        except TooSlow:
            outcome = ("failed", f"slower than {self.limit:g} s at {_place()}")
        except BaseException as error:
            outcome = ("failed", f"{type(error).__name__} at {_place()}: {error!s:.300}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self.guard.broken and outcome[0] != "failed":
            outcome = ("failed", f"forbidden: {self.guard.broken[0]}")  # and somebody kept the exception
        if outcome[0] != "failed" and sorted(os.listdir(self.root)) != ["case", "images"]:
            outcome = ("failed", f"forbidden: wrote beside its folder: {os.listdir(self.root)}")
        return *outcome, max(boxes, 0)

    def _use(self, case: Path, seed: Seed, rng: random.Random, everything: bool = False) -> int:
        """Reads, checks, recognises and writes; the number of boxes that were read, -1 if the file was refused."""
        from spore_yolo.files.errors import SporeYoloError
        from spore_yolo.labels.readers.options import ReadOptions
        from spore_yolo.labels.readers.recognise import recognise
        from spore_yolo.labels.source import open_labels
        from spore_yolo.labels.table import check_boxes

        path = case / "labels" / seed.path
        settings = dict(seed.options)
        if "ids_file" in settings:
            settings["ids_file"] = case / "labels" / settings["ids_file"]
        if rng.random() < 0.1:
            settings["scores"] = not settings.get("scores", False)
        folder = None if rng.random() < 0.3 else self.images
        if everything or rng.random() < 0.2:
            try:
                recognise(path)
            except SporeYoloError as error:
                _check_text(str(error), 20 * LONGEST_MESSAGE)
        try:
            source = open_labels(path, seed.label_format, folder, ReadOptions(**settings))
            checked = check_boxes(source.labels.boxes, source.sizes)
        except SporeYoloError as error:
            _check_text(str(error), 200 * LONGEST_MESSAGE)
            return -1
        for problem in [*source.labels.problems, *checked.problems]:
            _check_text(problem.message, LONGEST_MESSAGE)
            assert re.fullmatch(r"SPR\d{3}", problem.code), f"a problem without a code: {problem.message:.200}"
            assert problem.line is None or problem.line >= 1, f"line {problem.line}"
        for note in source.labels.notes:
            _check_text(note, LONGEST_MESSAGE)
        _check_table(checked.table, source.sizes)
        if everything or rng.random() < 0.3:
            self._write(case, source, checked, rng, everything)
        return len(source.labels.boxes)

    def _write(self, case: Path, source: Any, checked: Any, rng: random.Random, everything: bool) -> None:
        from spore_yolo.files.errors import SporeYoloError
        from spore_yolo.labels.label_set import LabelSet, classes_of, images_of
        from spore_yolo.labels.writers import WRITERS, write_labels

        labels = LabelSet(images_of(source.sizes), checked.table, classes_of(source.labels.classes, checked.table))
        for name in sorted(WRITERS) if everything else [rng.choice(sorted(WRITERS))]:
            try:
                write_labels(labels, case / "out" / name, name)
            except SporeYoloError as error:
                _check_text(str(error), 200 * LONGEST_MESSAGE)


def _check_text(text: str, longest: int) -> None:
    assert len(text) <= longest, f"a message of {len(text):,} letters: {text[:200]!r}"


def _check_table(table: Any, sizes: Any) -> None:
    for image, x_min, y_min, x_max, y_max in zip(
        table["image"], *(table[name] for name in ("x_min", "y_min", "x_max", "y_max")), strict=True
    ):
        size = sizes[image]
        width, height = (size.width, size.height) if size.width else (math.inf, math.inf)
        fits = 0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height and math.isfinite(x_max + y_max)
        assert fits, f"a box that does not lie on its image: {(x_min, y_min, x_max, y_max)} on {(width, height)}"


def _place() -> str:
    """The last line of the package that a traceback went through."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    own = [frame for frame in frames if "/spore_yolo/" in frame.filename] or frames
    return f"{own[-1].filename.split('/spore_yolo/')[-1]}:{own[-1].lineno}"


def _kind(reason: str) -> str:
    """What tells failures apart: the exception and its place, or the sentence without its values."""
    placed = re.match(r"\w+ at [\w/.]+:\d+|slower.*", reason)
    return placed[0] if placed else re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "#", reason)[:100]


def case_of(seed: int, label_format: str, number: int) -> tuple[Seed, Files, random.Random]:
    """Everything about one case, from its number alone."""
    rng = random.Random(f"{seed} {label_format} {number}")
    of_format = [one for one in seeds() if one.label_format == label_format]
    chosen = rng.choice(of_format)
    return chosen, mutated(chosen, rng), rng


def smaller(runner: Runner, seed: Seed, files: Files, rng: random.Random, reason: str) -> Files:
    """The files of a failure with parts left out that it does not need."""
    state = rng.getstate()

    def fails(candidate: Files) -> bool:
        fresh = random.Random()
        fresh.setstate(state)
        outcome, why, _ = runner.attempt(seed, candidate, fresh)
        return outcome == "failed" and _kind(why) == _kind(reason)

    attempts = SMALLER
    for name in sorted(files):
        size = max(1, len(files[name]) // 2)
        while size >= 1 and attempts > 0:
            begin = 0
            while begin < len(files[name]) and attempts > 0:
                attempts -= 1
                candidate = files | {name: files[name][:begin] + files[name][begin + size :]}
                if fails(candidate):
                    files = candidate
                else:
                    begin += size
            size //= 2
    return files


def work(
    label_format: str, numbers: range, arguments: argparse.Namespace, seconds: float, results: Connection, current: Any
) -> None:
    """Runs some cases of one format and sends what became of them; a process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (arguments.memory * 2**20, arguments.memory * 2**20))
    signal.signal(signal.SIGALRM, _too_slow)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="labels-") as folder:
        runner = Runner(Path(folder), arguments.limit)
        end = time.time() + seconds
        for number in numbers:
            if time.time() > end:
                break
            current.value = number
            seed, files, rng = case_of(arguments.seed, label_format, number)
            state = rng.getstate()
            begin = time.perf_counter()
            outcome, reason, boxes = runner.attempt(seed, files, rng)
            seconds = time.perf_counter() - begin
            tally.cases += 1
            tally.boxes += boxes
            tally.read += outcome == "read"
            tally.refused += outcome == "refused"
            tally.outside += reason.startswith("forbidden")
            if seconds > tally.slowest:
                tally.slowest, tally.slowest_case = seconds, f"{label_format}:{number}"
            if outcome == "failed":
                known = tally.failures.get(_kind(reason))
                if known:
                    known.count += 1
                else:
                    tally.failures[_kind(reason)] = Failure(f"{label_format}:{number}", reason)
                    rng.setstate(state)
                    if not reason.startswith("slower"):
                        files = smaller(runner, seed, files, rng, reason)
                    _save(arguments.failures, f"{label_format}-{number}", files)
    current.value = -1
    tally.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.send(asdict(tally))


def _save(folder: Path, name: str, files: Files) -> None:
    for file, content in files.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow


def run_format(label_format: str, arguments: argparse.Namespace, cases: int, seconds: float) -> Tally:
    """Runs the cases of one format on several processes; a process that dies goes on behind the case it died of."""
    context = multiprocessing.get_context("spawn")
    total = Tally()
    end = time.time() + seconds  # of the cases; a process that begins has its own time for that
    shares = [range(first, cases, arguments.workers) for first in range(arguments.workers)]
    running: list[tuple[range, Any, Connection, Any]] = []

    def start(numbers: range) -> None:
        receive, send = context.Pipe(duplex=False)
        current = context.Value("q", -1, lock=False)
        process = context.Process(
            target=work, args=(label_format, numbers, arguments, max(0.0, end - time.time()), send, current)
        )
        process.start()
        send.close()
        running.append((numbers, process, receive, current))

    for share in shares:
        start(share)
    while running:
        numbers, process, receive, current = running.pop(0)
        try:
            while not receive.poll(1):
                stuck_since = (current.value, time.time())
                while not receive.poll(0.2) and current.value == stuck_since[0]:
                    if current.value >= 0 and time.time() - stuck_since[1] > 10 * arguments.limit + 60:
                        process.kill()
            _add(total, receive.recv())
        except EOFError:
            process.join()
            died_of = current.value
            if died_of < 0:
                raise SystemExit(f"{label_format}: the process could not begin; see above") from None
            reason = f"the process ended with {process.exitcode}"
            total.failures.setdefault(reason, Failure(f"{label_format}:{died_of}", reason, 0)).count += 1
            _save(arguments.failures, f"{label_format}-{died_of}", case_of(arguments.seed, label_format, died_of)[1])
            rest = range(died_of + numbers.step, numbers.stop, numbers.step)
            if rest and time.time() < end:
                start(rest)
        process.join()
    return total


def _add(total: Tally, part: dict[str, Any]) -> None:
    for name in ("cases", "read", "refused", "boxes", "outside"):
        setattr(total, name, getattr(total, name) + part[name])
    if part["slowest"] > total.slowest:
        total.slowest, total.slowest_case = part["slowest"], part["slowest_case"]
    total.peak_mb = max(total.peak_mb, part["peak_mb"])
    for kind, failure in part["failures"].items():
        if kind in total.failures:
            total.failures[kind].count += failure["count"]
        else:
            total.failures[kind] = Failure(**failure)


def again(text: str, arguments: argparse.Namespace) -> None:
    """Runs one case without a net, so that its traceback is seen."""
    label_format, _, number = text.partition(":")
    seed, files, rng = case_of(arguments.seed, label_format, int(number))
    for name, content in files.items():
        print(f"{name}: {len(content):,} bytes: {content[:2000]!r}")
    with tempfile.TemporaryDirectory(prefix="labels-") as folder:
        runner = Runner(Path(folder), arguments.limit)
        case = runner._written(seed, files)
        begin = time.perf_counter()
        try:
            print(f"{runner._use(case, seed, rng)} boxes")
        finally:
            print(f"{time.perf_counter() - begin:.3f} s")


def main() -> int:
    from spore_yolo.files.cores import core_count
    from spore_yolo.labels.readers import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000, help="of all formats together (%(default)s)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after these, beside those to begin")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", choices=list(READERS), default=list(READERS))
    parser.add_argument("--failures", type=Path, default=Path("failures"), help="folder for failures (%(default)s)")
    parser.add_argument("--workers", type=int, default=core_count())
    parser.add_argument("--limit", type=float, default=5.0, help="seconds that a case may take (%(default)s)")
    parser.add_argument(
        "--memory", type=int, default=6000, help="MB of addresses that a process may have (%(default)s)"
    )
    parser.add_argument("--again", metavar="FORMAT:NUMBER", help="run one case")
    arguments = parser.parse_args()
    if arguments.again:
        again(arguments.again, arguments)
        return 0

    from tabulate import tabulate

    from spore_yolo.files.provenance import code_commit, package_versions

    print(f"commit {code_commit()}; {package_versions()}")
    print(f"{' '.join(sys.argv)}; {arguments.workers} processes", flush=True)
    begin = time.time()
    rows, failures = [], []
    whole: Counter[str] = Counter()
    share = len(arguments.formats)
    for name in arguments.formats:
        tally = run_format(name, arguments, -(-arguments.cases // share), arguments.seconds / share)
        if not tally.cases:
            raise SystemExit(f"{name}: no time for a single case; give more --seconds")
        tracebacks = sum(failure.count for failure in tally.failures.values()) - tally.outside
        counts = [tally.cases, tally.read, tally.refused, tally.boxes, tracebacks, tally.outside]
        whole.update(dict(enumerate(counts)))
        rows.append([name, *counts, f"{tally.slowest:.2f} s ({tally.slowest_case})", f"{tally.peak_mb:.0f}"])
        for failure in tally.failures.values():
            print(f"FAILED {failure.case} (x{failure.count}): {failure.reason}", flush=True)
            failures.append(asdict(failure))
    rows.append(["all", *(whole[place] for place in range(6)), "", ""])
    headers = ["format", "cases", "read", "refused", "boxes", "failed", "forbidden", "slowest", "peak MB"]
    print(tabulate(rows, headers, tablefmt="github", intfmt=","))
    print(f"{time.time() - begin:.0f} s")
    if failures:
        arguments.failures.mkdir(parents=True, exist_ok=True)
        (arguments.failures / "failures.json").write_text(json.dumps(failures, indent=1))
        print(f"{len(failures)} kinds of failures, stored in {arguments.failures}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
