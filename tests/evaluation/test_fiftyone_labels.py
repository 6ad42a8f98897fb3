"""Labels out of FiftyOne: conversions on samples as it gives them, and one real database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spore_yolo.evaluation.fiftyone_labels import Labelled, Shape, choose_field, labels_of_samples
from spore_yolo.files.errors import UsageError
from spore_yolo.files.images import ImageSize
from spore_yolo.labels.codes import OTHER_SIZE, UNKNOWN_IMAGE, UNREADABLE_LABEL
from spore_yolo.labels.image_index import KnownImages, NamedImages
from spore_yolo.labels.readers.options import ReadOptions
from spore_yolo.labels.table import COORDINATES, check_boxes

SIZE = ImageSize(200, 100)
TURNED = ImageSize(200, 100, orientation=6)
"""Displayed 200 x 100, stored 100 x 200."""


def known(**sizes: ImageSize) -> KnownImages:
    return KnownImages({name.replace("_", "."): size for name, size in sizes.items()}, Path("/slides"), "below /slides")


def box(*corners: float, **more: Any) -> Shape:
    return Shape("rust", list(corners), **more)


def test_shares_become_pixels() -> None:
    samples = [Labelled("/elsewhere/a.jpg", None, [box(0.1, 0.2, 0.3, 0.5, confidence=0.7, ignored=True)])]
    labels = labels_of_samples("farm", samples, known(a_jpg=SIZE))
    (found,) = labels.boxes
    assert found[2:6] == pytest.approx((20, 20, 80, 70))
    assert (found.image, found.class_name, found.ignored, found.score) == ("a.jpg", "rust", True, None)
    assert labels.labelled_images == {"a.jpg"}
    assert not labels.problems


def test_confidence_is_the_score_of_predictions() -> None:
    shapes = [box(0, 0, 1, 1, confidence=0.7), box(0, 0, 1, 1), box(0, 0, 1, 1, confidence=1.5)]
    labels = labels_of_samples("farm", [Labelled("a.jpg", None, shapes)], known(a_jpg=SIZE), ReadOptions(scores=True))
    assert [found.score for found in labels.boxes] == [0.7, None]
    (problem,) = labels.problems
    assert problem.code == UNREADABLE_LABEL
    assert "expected a score from 0 to 1, found 1.5" in problem.message


def test_polylines_become_the_boxes_round_them_if_they_go_round_something() -> None:
    ring = Shape("rust", points=[[[0.1, 0.1], [0.5, 0.3]], [[0.2, 0.9]]])
    line = Shape("rust", points=[[[0.1, 0.1], [0.5, 0.3]]], closed=False)
    labels = labels_of_samples("farm", [Labelled("a.jpg", None, [ring, line, line])], known(a_jpg=SIZE))
    assert [found[2:6] for found in labels.boxes] == [pytest.approx((20, 10, 100, 90))]
    assert labels.notes == [
        "1 closed polylines were turned into the boxes round them",
        "2 open polylines are no boxes and were left out",
    ]


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(Shape(None, [0, 0, 1, 1]), id="no class"),
        pytest.param(Shape("rust", [0, 0, 1]), id="three numbers"),
        pytest.param(Shape("rust", ["a", 0, 1, 1]), id="a word"),
        pytest.param(Shape("rust", points=[]), id="no points"),
        pytest.param(Shape("rust", points=[[[0.1, 0.2], [0.3]]]), id="half a point"),
    ],
)
def test_what_is_no_box_is_a_problem(shape: Shape) -> None:
    labels = labels_of_samples("farm", [Labelled("a.jpg", None, [shape])], known(a_jpg=SIZE))
    assert not labels.boxes
    assert [problem.code for problem in labels.problems] == [UNREADABLE_LABEL]


def test_images_that_are_not_there_and_samples_that_nobody_labelled() -> None:
    samples = [
        Labelled("gone.jpg", None, [box(0, 0, 1, 1)]),
        Labelled("gone too.jpg", None, None),
        Labelled("a.jpg", None, None),
        Labelled("b.jpg", None, []),
    ]
    labels = labels_of_samples("farm", samples, known(a_jpg=SIZE, b_jpg=SIZE))
    assert [problem.code for problem in labels.problems] == [UNKNOWN_IMAGE]
    assert labels.labelled_images == {"b.jpg"}
    assert labels.notes == ["1 samples have nothing in this field; their images count as not labelled"]


@pytest.mark.parametrize(
    ("image", "stated", "corners"),
    [
        pytest.param("a.jpg", None, (0, 0, 100, 10), id="no size: as displayed"),
        pytest.param("a.jpg", (200, 100), (0, 0, 100, 10), id="FiftyOne's own size of a JPEG: as displayed"),
        # On the stored pixels the box is 50 wide and 20 high; a quarter turn to the right brings it to the right edge.
        pytest.param("a.jpg", (100, 200), (180, 0, 200, 50), id="a JPEG's stored size: turned with the image"),
        pytest.param("a.png", (100, 200), (0, 0, 100, 10), id="FiftyOne's own size of a PNG says nothing"),
    ],
)
def test_images_with_an_exif_turn(image: str, stated: tuple[int, int] | None, corners: tuple[float, ...]) -> None:
    sizes = {image: TURNED}
    labels = labels_of_samples(
        "farm", [Labelled(image, stated, [box(0, 0, 0.5, 0.1)])], KnownImages(sizes, Path("/s"), "there")
    )
    checked = check_boxes(labels.boxes, sizes)
    assert not checked.problems
    assert checked.table[COORDINATES].to_numpy().tolist() == [pytest.approx(corners)]
    assert bool(labels.notes) == image.endswith(".png")


def test_a_size_of_another_image() -> None:
    labels = labels_of_samples("farm", [Labelled("a.jpg", (400, 300), [box(0, 0, 0.5, 0.1)])], known(a_jpg=SIZE))
    checked = check_boxes(labels.boxes, {"a.jpg": SIZE})
    assert [problem.code for problem in checked.problems] == [OTHER_SIZE]


def test_without_images_the_metadata_tell_the_size() -> None:
    samples = [Labelled("/s/a.jpg", (50, 40), [box(0, 0, 0.5, 0.5)]), Labelled("/s/b.jpg", None, [box(0, 0, 1, 1)])]
    labels = labels_of_samples("farm", samples, NamedImages(Path("/s")))
    assert [found[2:6] for found in labels.boxes] == [(0, 0, 25, 20)]
    assert labels.stated_sizes == {"s/a.jpg": (50, 40)}
    (problem,) = labels.problems
    assert "the size of s/b.jpg is not known; run dataset.compute_metadata()" in problem.message


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 10_000),
    st.integers(1, 10_000),
    st.tuples(*[st.floats(0, 1)] * 2),
    st.tuples(*[st.floats(0, 1)] * 2),
)
def test_any_box_comes_back(width: int, height: int, low: tuple[float, float], extent: tuple[float, float]) -> None:
    labels = labels_of_samples(
        "farm", [Labelled("a.jpg", None, [box(*low, *extent)])], known(a_jpg=ImageSize(width, height))
    )
    x_min, y_min, x_max, y_max = labels.boxes[0][2:6]
    shares = (x_min / width, y_min / height, (x_max - x_min) / width, (y_max - y_min) / height)
    assert shares == pytest.approx((*low, *extent), abs=1e-9)


def test_which_field_is_read() -> None:
    two = {"truth": "Detections", "found": "Polylines"}
    assert choose_field("farm", {"truth": "Detections"}, None) == ("truth", "Detections")
    assert choose_field("farm", two, "found") == ("found", "Polylines")
    with pytest.raises(UsageError, match=r"it has: truth \(Detections\), found \(Polylines\)"):
        choose_field("farm", two, None)
    with pytest.raises(UsageError, match="has no field 'other'"):
        choose_field("farm", two, "other")
    with pytest.raises(UsageError, match="it has: none"):
        choose_field("farm", {}, None)


MAKE = """
import sys
import fiftyone
dataset = fiftyone.Dataset("farm", persistent=True)
for number in range(6):
    sample = fiftyone.Sample(filepath=f"{sys.argv[1]}/{number}.jpg")
    crowd = fiftyone.Detection(label="blight", bounding_box=[0.5, 0.5, 0.25, 0.5], iscrowd=True)
    rust = fiftyone.Detection(label="rust", bounding_box=[0.1, 0.2, 0.3, 0.4], confidence=0.9)
    sample["truth"] = fiftyone.Detections(detections=[rust, crowd])
    ring = fiftyone.Polyline(label="rust", points=[[(0.1, 0.1), (0.5, 0.1), (0.3, 0.6)]], closed=True)
    sample["rings"] = fiftyone.Polylines(polylines=[ring])
    dataset.add_sample(sample)
dataset.compute_metadata(progress=False)
fiftyone.Dataset("clips", persistent=True).add_sample(fiftyone.Sample(filepath="clip.mp4"))
"""


@pytest.mark.slow
def test_a_real_database(tmp_path: Path) -> None:
    """In processes of their own, since FiftyOne keeps to the database that a process used first."""
    rng = np.random.default_rng(0)
    (tmp_path / "slides").mkdir()
    for number in range(6):
        Image.fromarray(rng.integers(0, 255, (100, 200, 3), dtype=np.uint8)).save(tmp_path / f"slides/{number}.jpg")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")}
    environment |= {"FIFTYONE_DATABASE_DIR": str(tmp_path / "database"), "FIFTYONE_DO_NOT_TRACK": "true"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    def imported(labels: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = ["-m", "spore_yolo.cli.main", "import", "x", "--images", "slides", "--format", "fiftyone"]
        return run(*command, "--labels", labels, *more)

    made = run("-c", MAKE, str(tmp_path / "slides"))
    assert made.returncode == 0, made.stderr
    wrong = {"farm": "truth (Detections), rings (Polylines)", "clips": "holds samples of the kind video", "no": "farm"}
    for labels, message in wrong.items():
        told = imported(labels)
        assert told.returncode in (1, 2)
        assert message in told.stderr
        assert "Traceback" not in told.stderr
    done = imported("farm", "--field", "truth")
    assert done.returncode == 0, done.stderr
    boxes = pd.read_csv(tmp_path / "data" / "x" / "boxes.csv")
    assert len(boxes) == 12
    first = boxes[boxes["image"] == "0.jpg"].set_index("class")
    assert first.loc["rust", COORDINATES].tolist() == pytest.approx([20, 20, 80, 60])
    assert first.loc["blight", COORDINATES].tolist() == pytest.approx([100, 50, 150, 100])
    assert first["ignored"].to_dict() == {"rust": False, "blight": True}
