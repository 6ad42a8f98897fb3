"""The App of FiftyOne for real: the program in a process of its own, and a browser that looks at it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from spore_yolo.cli.main import main
from spore_yolo.dataset.store import load_dataset
from spore_yolo.experiments.remembering import features_of, look_once
from spore_yolo.inference.manifest import ClassifierPart, OperatingPoint, read_manifest
from spore_yolo.inference.pair import write_pair
from spore_yolo.labels.table import COORDINATES
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS
from spore_yolo.prediction.looking import Caps
from tests.conftest import Drawn, draw_slides, spot_manifest
from tests.slow.chromium import Chromium, find_chromium

pytestmark = pytest.mark.slow

BOXES, MISSED, ALARMS = 81, 3, 2
"""Labelled boxes, those on which nothing is found, and detections on the slide that is empty."""


def found_by_a_good_pair(drawn: Drawn) -> pd.DataFrame:
    """Every labelled box exactly but for three, and two on the empty slide."""
    rows = []
    for slide, boxes in drawn.boxes.items():
        rows += [(slide, "rust" if box[0] % 4 else "smut", 0.9, *map(float, box)) for box in boxes]
    rows = rows[MISSED:]
    rows += [("slide_9.png", "rust", 0.8 - 0.2 * n, 40.0, 30 + 60.0 * n, 60.0, 50 + 60.0 * n) for n in range(ALARMS)]
    table = pd.DataFrame(rows, columns=["slide", "class", "score", *COORDINATES])
    return table.assign(detector_class="spore", detector_score=table["score"], class_score=1.0)[CANDIDATE_COLUMNS]


@dataclass
class Served:
    """The program while it serves the App."""

    process: subprocess.Popen[str]
    said: str
    url: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn slides that are imported, and a pair whose candidates and crops are remembered."""
    find_chromium()
    root = tmp_path_factory.mktemp("browse")
    drawn = draw_slides(root)
    part = {"file": "classifier.pt", "sha256": "", "model": "yolov8n-cls", "classes": ["debris", "rust", "smut"]}
    classifier = ClassifierPart.model_validate({**part, "crop_size": 32, "margin": 0.25, "temperature": 1.0})
    manifest = spot_manifest(
        classes=["rust", "smut"], classifier=classifier, operating_point=OperatingPoint(detector=0.5)
    )
    # No model is read where everything is remembered.
    (root / "model").write_bytes(b"no model")
    write_pair(root / "pair", manifest, root / "model", root / "model")
    seen = SimpleNamespace(features=lambda crops: crops.reshape(len(crops), -1)[:, :60].astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        detector = SimpleNamespace(runner=SimpleNamespace(precision="float32"))
        pair = SimpleNamespace(manifest=manifest, detector=detector, classifier=seen)
        patch.setattr("spore_yolo.inference.pair.load", lambda *_: pair)
        patch.setattr("spore_yolo.prediction.looking.look_at", lambda *_: (found_by_a_good_pair(drawn), Caps(0.5)))
        assert main(["import", "toy", "--images", "slides", "--labels", "labels.csv", "--format", "csv"]) == 0
        dataset = load_dataset("toy", Path("datasets.yaml"))
        looked = look_once(Path("pair"), read_manifest(Path("pair")), dataset, dataset.images, "all", None)
        labels = dataset.boxes.rename(columns={"image": "slide"})
        features_of(looked, Path("pair"), dataset, pd.concat([looked.candidates, labels]), None)
    return root


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    arguments = ["browse", "--pair", "pair", "--dataset", "toy", "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-m", "spore_yolo.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell's background job ignores Ctrl-C and hands that down; the tests may run in one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    said = ""
    while not (found := re.search(r"^http://\S+$", said, re.MULTILINE)):
        line = process.stdout.readline()
        assert line, said
        said += line
    yield Served(process, said, found.group())
    process.kill()
    process.communicate()


@pytest.fixture
def page(served: Served) -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


def says(text: str) -> str:
    """Whether the page says something in a line of its own, in JavaScript."""
    return f"document.body.innerText.split('\\n').includes({text!r})"


def bearing(text: str) -> str:
    """The last element that bears a text, in JavaScript."""
    return f"[...document.querySelectorAll('*')].filter(e => !e.children.length && e.innerText == {text!r}).pop()"


def click_until(page: Chromium, element: str, true: str) -> None:
    """Clicks on an element until something is true; a page that is busy may draw itself anew and forget a click."""
    page.until(f"!!({element})")
    end = time.monotonic() + 240
    while not page.evaluate(true):
        assert time.monotonic() < end, f"not true: {true}; the page says: {page.text()[-1500:]}"
        page.evaluate(f"{element}?.click()")
        with contextlib.suppress(AssertionError):
            page.until(true, 20)


def test_the_page_shows_slides_and_views_and_calls_no_other_machine(served: Served, page: Chromium) -> None:
    page.open(served.url)
    page.until(says("10 samples"))
    page.until("document.querySelectorAll('[data-cy=looker]').length > 3")
    for view, shown in {"missed": MISSED, "false-alarms": ALARMS, "touching-spores": 0}.items():
        page.open(f"{served.url}?view={view}")
        page.until(says(f"{shown} patches"))
        page.until(says(view.replace("-", " ")))
    asked = {url for url in page.requested() if not url.startswith(("data:", "blob:", "about:", "chrome:"))}
    here = served.url.partition("/datasets")[0]
    assert len(asked) > 10
    assert {url for url in asked if not url.startswith(here)} == set()


def test_crops_are_laid_out_and_coloured_by_outcome(served: Served, page: Chromium) -> None:
    page.open(f"{served.url}?view=crops&workspace=embeddings")
    page.until(says(f"{BOXES + ALARMS} patches"))
    click_until(page, bearing("pre-computed embeddings (PCA)"), says(f"{BOXES + ALARMS} points"))
    outcome_field = bearing("crops.detections.outcome")
    click_until(page, "document.querySelector('.emb-colorby button')", f"!!({outcome_field})")
    click_until(page, outcome_field, "/(^|\\n)tp\\n/.test(document.body.innerText)")
    for outcome, count in {"tp": BOXES - MISSED, "fp": ALARMS, "fn": MISSED}.items():
        page.until(f"/(^|\\n){outcome}\\n+{count}(\\n|$)/.test(document.body.innerText)")


def test_ctrl_c_stops_it_and_leaves_nothing(served: Served) -> None:
    port = int(re.search(r":(\d+)/", served.url).group(1))  # type: ignore[union-attr]
    served.process.send_signal(signal.SIGINT)
    said = served.process.communicate(timeout=120)[0]
    assert served.process.returncode == 0, said
    assert "Traceback" not in said
    assert said.endswith("stopped; nothing was left running\n")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
