from __future__ import annotations

import threading
from pathlib import Path

from spore_yolo.files.locking import locked


def test_only_one_at_a_time_holds_it(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "lock"
    with locked(place) as held, locked(place, wait=False) as other:
        assert held and not other
    with locked(place, wait=False) as held:
        assert held


def test_who_waited_for_a_file_that_was_removed_locks_the_new_one(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    got: list[bool] = []

    def waits() -> None:
        with locked(place), locked(place, wait=False) as other:  # asks for the file that others would find
            got.append(other)

    with locked(place):
        waiting = threading.Thread(target=waits)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        place.unlink()
    waiting.join(60)
    assert not waiting.is_alive()
    assert got == [False]
