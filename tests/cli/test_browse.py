from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.cli.browse import dataset_name, port_number
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.manifest import read_manifest
from spore_yolo.labels.table import COORDINATES

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def imported(spore_yolo: Run, drawn: Any) -> Run:
    code, _, err = spore_yolo("import", "toy", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")
    assert code == 0, err
    return spore_yolo


class FakeDataset:
    info = {"crops": {"shown": 20, "of": 30}}  # noqa: RUF012

    @staticmethod
    def list_saved_views() -> list[str]:
        return ["missed", "false alarms"]

    list_workspaces = list_saved_views


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands in for FiftyOne, which tests/slow/test_browse.py has for real; what it was given to show."""
    given: list[Any] = []

    @contextmanager
    def own_fiftyone() -> Iterator[str]:
        yield "fiftyone"

    def build_dataset(fiftyone: str, name: str, shown: Any) -> FakeDataset:
        given.append((fiftyone, name, shown))
        return FakeDataset()

    def serve_app(listener: socket.socket, ready: Callable[[], None]) -> None:
        ready()
        listener.close()

    monkeypatch.setattr("spore_yolo.evaluation.fiftyone_database.own_fiftyone", own_fiftyone)
    monkeypatch.setattr("spore_yolo.evaluation.fiftyone_dataset.build_dataset", build_dataset)
    monkeypatch.setattr("spore_yolo.evaluation.fiftyone_labelled.build_labelled", build_dataset)
    monkeypatch.setattr("spore_yolo.evaluation.fiftyone_app.serve_app", serve_app)
    return given


def test_what_is_shown_and_said(imported: Run, spot_pair: Path, tmp_path: Path, built: list[Any]) -> None:
    code, out, err = imported("browse", "--run", "runs/spots", "--dataset", "toy", "--no-browser")
    assert code == 0, err
    ((fiftyone, name, shown),) = built
    assert (fiftyone, name) == ("fiftyone", "spore-yolo-toy-spots")
    assert set(shown.images["image"]) == set(pd.read_csv(tmp_path / "data" / "toy" / "images.csv")["image"])
    assert len(shown.boxes) == 81
    # The pair finds spots, whatever they are, so labels are merged to its one class.
    assert (shown.classes, set(shown.boxes["class"])) == (["spore"], {"spore"})
    assert shown.point.detector == 0.5
    assert len(shown.candidates) == 81
    assert shown.info["dataset"] == "toy"
    lines = out.splitlines()
    (address,) = [line for line in lines if line.startswith("http")]
    assert address.startswith("http://127.0.0.1:")
    assert address.endswith("/datasets/spore-yolo-toy-spots")
    assert "saved views: missed, false alarms" in lines
    assert "embeddings: none, since the pair has no classifier that could say what looks alike" in lines
    assert shown.features is None
    assert (len(shown.boxes["sharpness"].dropna()), len(shown.candidates["sharpness"].dropna())) == (81, 81)
    assert lines[-1] == "stopped; nothing was left running"


def test_labels_alone_need_no_pair(imported: Run, built: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spore_yolo.inference.pair.load", lambda *_: pytest.fail("no model is needed"))
    code, out, err = imported("browse", "--dataset", "toy", "--no-browser")
    assert code == 0, err
    ((_, name, shown),) = built
    assert name == "spore-yolo-toy-labels"
    assert len(shown.boxes) == 81
    assert set(shown.files) == set(shown.images["image"])
    assert all(path.is_absolute() for path in shown.files.values())
    assert "laying out 81 labelled boxes" in out
    assert out.splitlines()[-1] == "stopped; nothing was left running"


@pytest.mark.parametrize("option", [("--at", "0.5"), ("--operating-point", "recall-0.95")])
def test_labels_alone_have_no_thresholds(imported: Run, option: tuple[str, str]) -> None:
    code, _, err = imported("browse", "--dataset", "toy", *option)
    assert code == 2
    assert f"{option[0]}: goes with --run or --pair" in err


def test_one_split_at_another_threshold_from_memory(
    imported: Run, spot_pair: Path, tmp_path: Path, built: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    test = images[images["split"] == "test"]
    (spot_pair / "trained_on.txt").write_text(f"{test['sha256'].iloc[0]}\n")
    base = ["browse", "--pair", spot_pair, "--dataset", "toy", "--split", "test", "--no-browser"]
    code, out, _ = imported(*base, "--at", "0.95")
    assert code == 0
    shown = built[0][2]
    assert shown.images["image"].tolist() == test["image"].tolist()
    assert set(shown.boxes["image"]) <= set(test["image"])
    assert shown.point.detector == 0.95
    assert "note: 1 of these slides trained the pair or chose its operating point" in out
    assert "as the pair found them" not in out
    monkeypatch.setattr("spore_yolo.inference.pair.load", lambda *_: pytest.fail("no model is needed"))
    code, out, _ = imported(*base)
    assert code == 0
    assert "candidates of 2 slides: as the pair found them on 20" in out
    assert built[1][2].point.detector == 0.5


def test_a_classifier_says_what_looks_alike(imported: Run, whole_pair: Path, built: list[Any]) -> None:
    code, out, err = imported("browse", "--pair", whole_pair, "--dataset", "toy", "--split", "test", "--no-browser")
    assert code == 0, err
    shown = built[0][2]
    assert shown.features(shown.candidates[["slide", *COORDINATES]]).shape == (len(shown.candidates), 1280)
    assert "embeddings: 20 of 30 crops, as many as a browser draws with ease" in out


def test_thresholds_that_were_stored_under_a_name(imported: Run, spot_pair: Path, built: list[Any]) -> None:
    manifest = read_manifest(spot_pair)
    stored = {"detector": 0.25, "class": {}}
    promise = {
        **{"recall": 0.95, "confidence": 0.9, "targets": ["spore"], "groups": {"spore": 40}, "bound": "betting"},
        **{"dataset": "toy", "dataset_fingerprint": "", "split": "val", "miss_rate_seen": {"spore": 0.0}},
        **{"highest_promise": 0.97, "specificity": {}, "stored_point_specificity": {}, "notes": [], "date": ""},
    }
    content = manifest.model_dump(by_alias=True, mode="json")
    content["operating_points"] = {"recall-0.95": {"point": stored, "promise": promise}}
    write_yaml(spot_pair / "pair.yaml", content)
    base = ["browse", "--pair", spot_pair, "--dataset", "toy", "--split", "test", "--no-browser"]
    code, _, err = imported(*base, "--operating-point", "recall-0.95")
    assert code == 0, err
    assert built[0][2].point.detector == 0.25
    assert built[0][2].info["operating_point_name"] == "recall-0.95"
    code, _, err = imported(*base, "--operating-point", "recall-1")
    assert code == 2
    assert "(recall-0.95), found 'recall-1'" in err


def test_a_stop_before_the_app_is_loaded(
    imported: Run, spot_pair: Path, built: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve_app(listener: socket.socket, ready: Callable[[], None]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spore_yolo.evaluation.fiftyone_app.serve_app", serve_app)
    code, out, err = imported("browse", "--pair", spot_pair, "--dataset", "toy", "--split", "val", "--no-browser")
    assert (code, out.splitlines()[-1]) == (0, "stopped; nothing was left running"), err


@pytest.mark.parametrize(("display", "opened"), [(":0", True), ("", False)])
def test_a_browser_opens_where_there_is_a_screen(
    imported: Run, spot_pair: Path, built: list[Any], monkeypatch: pytest.MonkeyPatch, display: str, opened: bool
) -> None:
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    _, out, _ = imported("browse", "--pair", spot_pair, "--dataset", "toy", "--split", "val")
    assert addresses == [line for line in out.splitlines() if line.startswith("http")] * opened


def test_a_taken_port_is_told_before_any_slide_is_looked_at(
    imported: Run, spot_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spore_yolo.inference.pair.load", lambda *_: pytest.fail("looked before"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, _, err = imported("browse", "--pair", spot_pair, "--dataset", "toy", "--port", str(port))
    assert code == 1
    assert err == (
        f"spore-yolo: error: port {port} is taken by another program; choose another with --port, or leave it out\n"
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--dataset", "no"], 2, "unknown dataset 'no'"),
        (["--dataset", "toy", "--port", "70000"], 2, "expected a port from 1 to 65535, found 70000"),
        (["--dataset", "toy", "--split", "calibration"], 1, "has no split 'calibration'"),
        (["--dataset", "toy", "--address", "203.0.113.7"], 2, "--address: expected an address of this machine"),
        (["--dataset", "toy", "--at", "0.001"], 2, "where candidates begin"),
    ],
)
def test_wrong_options(imported: Run, spot_pair: Path, options: list[str], code: int, message: str) -> None:
    told = imported("browse", "--pair", spot_pair, *options)
    assert told[0] == code
    assert message in told[2]


def test_classes_that_do_not_fit(imported: Run, spot_pair: Path) -> None:
    text = (spot_pair / "pair.yaml").read_text()
    (spot_pair / "pair.yaml").write_text(text.replace("one_class: true", "one_class: false"))
    code, _, err = imported("browse", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert "the pair finds spore, dataset toy has" in err


@pytest.mark.parametrize(
    ("dataset", "folder", "name"),
    [
        ("rust", "runs/first/pair", "spore-yolo-rust-first"),
        ("rust", "pairs/2026 wheat", "spore-yolo-rust-2026-wheat"),
        ("BCCD", "/pairs/Größe_1/", "spore-yolo-bccd-gr-e-1"),
        ("x" * 200, "a", "spore-yolo-" + "x" * 89),
    ],
)
def test_dataset_name(dataset: str, folder: str, name: str) -> None:
    assert dataset_name(dataset, Path(folder)) == name


@pytest.mark.parametrize("text", ["0", "65536", "-1"])
def test_port_number(text: str) -> None:
    assert port_number("1") == 1
    assert port_number("65535") == 65535
    with pytest.raises(argparse.ArgumentTypeError):
        port_number(text)
