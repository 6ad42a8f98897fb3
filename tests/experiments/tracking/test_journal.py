from __future__ import annotations

import json
import multiprocessing
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spore_yolo.experiments.tracking.journal import Journal
from spore_yolo.files.errors import InputProblems, SporeYoloError


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "run")


def test_nothing_is_written_before_the_first_event(journal: Journal, tmp_path: Path) -> None:
    assert journal.read() == []
    assert not (tmp_path / "run").exists()


def test_events_are_read_as_they_were_written(journal: Journal) -> None:
    journal.append("detector", "metrics", {"of": 2, "values": {"loss": 0.1, "nan": float("nan")}, "step": 1})
    begin, event = journal.read()
    assert begin.kind == "begin" and re.fullmatch(r"[0-9a-f]{32}", begin.payload["id"])
    assert (event.number, event.part, event.kind) == (2, "detector", "metrics")
    assert event.payload == {"of": 2, "values": {"loss": 0.1, "nan": "NaN"}, "step": 1}
    # Whatever reads JSON reads it: numbers that JSON has not are text.
    for line in journal.path.read_text().splitlines():
        json.loads(line, parse_constant=lambda constant: pytest.fail(constant))


def test_a_second_process_goes_on_numbering(journal: Journal) -> None:
    journal.append("a", "tags", {"of": 2, "values": {}})
    other = Journal(journal.folder.parent)
    other.append("b", "tags", {"of": 2, "values": {}})
    journal.append("c", "tags", {"of": 2, "values": {}})
    assert [(event.number, event.part) for event in journal.read()] == [(1, ""), (2, "a"), (3, "b"), (4, "c")]


def append_many(folder: Path, name: str) -> None:
    journal = Journal(folder)
    for _ in range(50):
        journal.append(name, "tags", {"of": 2, "values": {"text": "x" * 200}})


def test_processes_that_write_at_once_do_not_mix_their_lines(journal: Journal) -> None:
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=append_many, args=(journal.folder.parent, name)) for name in "ab"]
    for other in others:
        other.start()
    for other in others:
        other.join()
    events = journal.read()
    assert [event.number for event in events] == list(range(1, 102))
    assert sorted(event.part for event in events) == ["", *["a"] * 50, *["b"] * 50]


@given(cut=st.integers(1, 200))
def test_a_line_that_a_killed_process_half_wrote_is_none(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    journal = Journal(tmp_path_factory.mktemp("run"))
    journal.append("a", "tags", {"of": 2, "values": {}})
    whole = journal.path.read_bytes()
    journal.append("half", "tags", {"of": 2, "values": {"text": "x" * 100}})
    last = journal.path.read_bytes()[len(whole) :]
    journal.path.write_bytes(whole + last[: min(cut, len(last) - 1)])
    again = Journal(journal.folder.parent)
    assert [event.part for event in again.read()] == ["", "a"]
    again.append("b", "tags", {"of": 2, "values": {}})
    assert [(event.number, event.part) for event in again.read()] == [(1, ""), (2, "a"), (3, "b")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param("no JSON at all", "found b'no JSON at all'", id="not JSON"),
        pytest.param('{"n": 2}', "found b'", id="another object"),
        pytest.param("[" * 100_000, "damaged", id="nested without end"),
        pytest.param("", "found b''", id="empty"),
        pytest.param("{n7}", "expected the number 2, found 7", id="a line is missing before"),
        pytest.param("{kind}", "found b'", id="unknown kind"),
        pytest.param("{time}", "Invalid isoformat string", id="no time"),
        pytest.param("{keys}", "'values'", id="a key is missing"),
    ],
)
def test_a_damaged_line_is_named_with_file_and_line(journal: Journal, line: str, found: str) -> None:
    journal.append("a", "tags", {"of": 2, "values": {}})
    journal.append("b", "tags", {"of": 2, "values": {}})
    lines = journal.path.read_text().splitlines()
    event = json.loads(lines[1])
    changes: dict[str, dict[str, Any]] = {
        "{n7}": {"n": 7},
        "{kind}": {"kind": "delete"},
        "{time}": {"time": "yesterday"},
        "{keys}": {"payload": {"of": 2}},
    }
    lines[1] = json.dumps({**event, **changes[line]}) if line in changes else line
    journal.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputProblems) as caught:
        journal.read()
    assert f"{journal.path}:2: expected an event of a tracking journal" in str(caught.value)
    assert found in str(caught.value)


def test_all_damaged_lines_are_named_at_once(journal: Journal) -> None:
    for _ in range(3):
        journal.append("a", "tags", {"of": 2, "values": {}})
    lines = journal.path.read_text().splitlines()
    lines[1] = lines[3] = "?"
    journal.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputProblems) as caught:
        journal.read()
    assert [problem.line for problem in caught.value.problems] == [2, 4]


def test_nothing_is_added_behind_a_damaged_line(journal: Journal) -> None:
    journal.append("a", "tags", {"of": 2, "values": {}})
    with journal.path.open("a") as stream:
        stream.write("?\n")
    before = journal.path.read_bytes()
    with pytest.raises(InputProblems, match=r"journal\.jsonl:3: "):
        Journal(journal.folder.parent).append("b", "tags", {"of": 2, "values": {}})
    assert journal.path.read_bytes() == before


def test_a_figure_and_an_artifact_stay_as_they_were(journal: Journal, picture: Path, pair: Path) -> None:
    was = picture.read_bytes()
    figure = journal.keep("a", "figure", picture, "results.png", of=2)
    artifact = journal.keep("a", "artifact", pair, "pair", of=2)
    picture.write_bytes(b"another picture")  # in place, as plots are written
    replaced = pair.with_name("new")
    pair.rename(pair.with_name("old"))  # as a whole, as pairs are written
    replaced.mkdir()
    assert journal.file_of(figure).read_bytes() == was
    kept = journal.file_of(artifact)
    assert (kept / "more" / "detector.pt").read_bytes() == b"weights"
    # It takes no room while the original is there.
    assert (kept / "more" / "detector.pt").stat().st_nlink == 2


def test_an_artifact_takes_nothing_from_outside_its_folder(journal: Journal, pair: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (pair / "link").symlink_to(tmp_path / "secret")
    (pair / "alias.yaml").symlink_to(pair / "pair.yaml")
    kept = journal.file_of(journal.keep("a", "artifact", pair, "pair", of=2))
    assert sorted(path.name for path in kept.iterdir()) == ["alias.yaml", "more", "pair.yaml"]
    assert (kept / "alias.yaml").read_text() == "pair_version: 4\n"


@pytest.mark.parametrize("path", ["/etc/passwd", "../../secret", "files/../../secret", "journal.jsonl", ""])
def test_a_journal_names_only_what_is_kept_beside_it(journal: Journal, path: str) -> None:
    journal.append("a", "artifact", {"of": 2, "path": path, "name": "pair"})
    with pytest.raises(InputProblems, match=r"journal\.jsonl:2: .* leads out of files/"):
        journal.read()


def test_a_link_beside_a_journal_is_not_followed(journal: Journal, pair: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    event = journal.keep("a", "artifact", pair, "pair", of=2)
    (journal.file_of(event) / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(SporeYoloError, match="found a link to elsewhere; it is not sent"):
        journal.file_of(event)


def test_a_kept_file_that_is_gone_is_named(journal: Journal, picture: Path) -> None:
    event = journal.keep("a", "figure", picture, "results.png", of=2)
    journal.file_of(event).unlink()
    with pytest.raises(SporeYoloError, match=r"results\.png: no such file; .*journal\.jsonl:2 speaks of it"):
        journal.file_of(event)
