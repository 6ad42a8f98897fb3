from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from spore_yolo.inference.backends.runner import Floats, Pixels
from spore_yolo.inference.backends.speeds import Speed, cache_file, measure, remembered_speed


class BusyRunner:
    """Takes a fixed time of the processor a call and an image, and remembers who called."""

    backend = "openvino"
    batch = 1

    def __init__(self, workers: int = 2, call: float = 0.01, image: float = 0.001) -> None:
        self.workers, self.call, self.image = workers, call, image
        self.calls = 0
        self.at_once = self.most_at_once = self.entered = 0
        self._lock = threading.Lock()

    def enter_thread(self) -> None:
        with self._lock:
            self.entered += 1

    def __call__(self, batch: Pixels) -> Floats:
        with self._lock:
            self.calls += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        end = time.thread_time() + self.call + self.image * len(batch)
        while time.thread_time() < end:
            time.sleep(0)  # lets the other threads go on
        with self._lock:
            self.at_once -= 1
        return np.zeros((len(batch), 1), dtype=np.float32)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_file() == tmp_path / "spore-yolo" / "speeds.json"
    return cache_file()


def test_time_a_call_makes_large_batches_fast() -> None:
    runner = BusyRunner()
    speed = measure(runner, 32)
    assert list(speed.ms_per_image) == [1, 2, 4, 8]
    assert speed.batch == 8
    # Two threads at once: an image of 8 takes half of (10 ms a call / 8 + 1 ms), one alone half of (10 ms + 1 ms).
    assert 1.1 <= speed.ms_per_image[8] < 2.5
    assert 5.5 <= speed.ms_per_image[1] < 12


def test_as_many_threads_call_as_the_network_wants() -> None:
    runner = BusyRunner(workers=3)
    measure(runner, 32, [1])
    assert runner.most_at_once == runner.entered == 3


def test_a_slow_network_is_not_measured_with_every_batch() -> None:
    runner = BusyRunner(call=0, image=0.05)
    assert list(measure(runner, 32, seconds=0.1).ms_per_image) == [1]
    assert runner.calls == 1 + 2 * 4 * runner.workers


@pytest.mark.parametrize(
    ("speeds", "batch"),
    [
        pytest.param({1: 10.0, 2: 9.9, 4: 9.8}, 1, id="hardly faster"),
        pytest.param({1: 10.0, 2: 9.0, 4: 9.0}, 2, id="faster up to two"),
        pytest.param({1: 10.0, 2: 9.8, 4: 9.0}, 4, id="faster from four on"),
        pytest.param({2: 9.0, 4: 10.0}, 2, id="one was not measured"),
    ],
)
def test_the_batch_to_take(speeds: dict[int, float], batch: int) -> None:
    assert Speed(speeds).batch == batch


def test_what_was_measured_is_not_measured_again(cache: Path) -> None:
    runner = BusyRunner(call=0.001, image=0.001)
    first = remembered_speed(runner, "a" * 64, 32)
    calls = runner.calls
    assert remembered_speed(runner, "a" * 64, 32).ms_per_image == first.ms_per_image
    assert runner.calls == calls
    remembered_speed(runner, "b" * 64, 32)
    assert runner.calls > calls, "another network"
    calls = runner.calls
    remembered_speed(runner, "a" * 64, 64)
    assert runner.calls > calls, "another size"
    calls = runner.calls
    remembered_speed(runner, "a" * 64, 32)
    assert runner.calls == calls, "the others did not push it out"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe", b'{"a": 1, "b": {"x": 2}, "c": {"1": "fast"}}', b"[" * 100_000],
)
def test_a_broken_cache_is_measured_over(content: bytes, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)
    runner = BusyRunner(call=0.001, image=0.001)
    assert set(remembered_speed(runner, "a" * 64, 32).ms_per_image) == {1, 2, 4, 8}
    calls = runner.calls
    remembered_speed(runner, "a" * 64, 32)
    assert runner.calls == calls


@pytest.mark.parametrize("value", ["NaN", "0", "-1", "Infinity"])
def test_a_speed_that_is_none_is_not_believed(value: str, cache: Path) -> None:
    runner = BusyRunner(call=0.001, image=0.001)
    remembered_speed(runner, "a" * 64, 32)
    text = cache.read_text()
    first = text.index('"1": ') + len('"1": ')
    cache.write_text(text[:first] + value + text[text.index(",", first) :])
    calls = runner.calls
    remembered_speed(runner, "a" * 64, 32)
    assert runner.calls > calls


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert remembered_speed(BusyRunner(call=0.001, image=0.001), "a" * 64, 32).batch >= 1
