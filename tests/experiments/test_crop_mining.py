from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spore_yolo.dataset.store import load_dataset
from spore_yolo.experiments.crop_mining import Material, mine_material
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.detector import Detector
from spore_yolo.inference.manifest import DEBRIS
from spore_yolo.inference.pair import load
from tests.conftest import Drawn

Run = Callable[..., tuple[int, str, str]]
Counts = dict[str, dict[str, int]]


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., Material]:
    """Mines the crops of a dataset, with the detector of a run or without."""

    def call(name: str = "toy", run: Path | None = None) -> Material:
        dataset = load_dataset(name, tmp_path / "datasets.yaml")
        return mine_material(dataset, None if run is None else load(run), run or tmp_path)

    return call


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each slide that a detector looks at."""
    seen: list[str] = []
    slide = Detector.slide

    def counted(self: Detector, *arguments: Any, **options: Any) -> Any:
        seen.append("a slide")
        return slide(self, *arguments, **options)

    monkeypatch.setattr(Detector, "slide", counted)
    return seen


def numbers(crops: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {key: int(count) for key, count in crops.groupby(["class", "origin"]).size().items()}


def table_row(text: str, name: str) -> list[str]:
    """The cells of the first line that begins with a name."""
    return next(line.split() for line in text.splitlines() if line.startswith(f"{name} "))


def test_with_a_detector(
    toy: Run,
    detector_run: Path,
    counts: Counts,
    mine: Callable[..., Material],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    material = mine(run=detector_run)
    train, val = counts["train"], counts["val"]
    # Each labelled spot once as it was labelled and once as it was found; what has no label is debris.
    assert numbers(material.crops["train"]) == {
        (DEBRIS, "detector"): train[DEBRIS],
        ("rust", "detector"): train["rust"],
        ("rust", "label"): train["rust"],
        ("smut", "detector"): train["smut"],
        ("smut", "label"): train["smut"],
    }
    # Validation is looked at through the detector's boxes only, as a slide will be.
    assert numbers(material.crops["val"]) == {(name, "detector"): val[name] for name in val}
    assert material.classes == ["rust", "smut", DEBRIS]
    assert material.candidates is not None
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    assert set(material.candidates["slide"]) == set(images.loc[images["split"] == "val", "image"])
    out = capsys.readouterr().out
    for name in ("rust", "smut"):
        assert table_row(out, name) == [name, str(train[name]), str(train[name]), "0", str(val[name])]
    assert table_row(out, DEBRIS) == [DEBRIS, "0", str(train[DEBRIS]), "0", str(val[DEBRIS])]
    assert f"{train[DEBRIS]} crops of debris: what the detector proposes on training slides and nobody labelled" in out


def test_without_a_detector_there_are_labels_only(
    toy: Run, counts: Counts, mine: Callable[..., Material], capsys: pytest.CaptureFixture[str]
) -> None:
    material = mine()
    for split in ("train", "val"):
        assert numbers(material.crops[split]) == {(name, "label"): counts[split][name] for name in ("rust", "smut")}
    assert material.classes == ["rust", "smut"]
    assert material.candidates is None
    assert DEBRIS not in capsys.readouterr().out


def test_the_detector_looks_once(toy: Run, detector_run: Path, mine: Callable[..., Material], looks: list[str]) -> None:
    first = mine(run=detector_run)
    assert len(looks) == 8, "six slides to train on, two of validation"
    second = mine(run=detector_run)
    assert len(looks) == 8
    assert first.candidates is not None
    assert second.candidates is not None
    pd.testing.assert_frame_equal(second.candidates, first.candidates)
    for split in ("train", "val"):
        pd.testing.assert_frame_equal(second.crops[split], first.crops[split])


@pytest.mark.parametrize("other", ["detector", "dataset"])
def test_what_another_detector_or_dataset_gave_is_not_used(
    toy: Run, detector_run: Path, looks: list[str], other: str
) -> None:
    dataset, pair = load_dataset("toy", Path("datasets.yaml")), load(detector_run)
    first = mine_material(dataset, pair, detector_run)
    table = pd.read_csv(detector_run / "proposals-train.csv")
    table.iloc[:0].to_csv(detector_run / "proposals-train.csv", index=False)
    if other == "dataset":
        dataset = replace(dataset, fingerprint="0" * 64)
    else:
        part = pair.manifest.detector.model_copy(update={"sha256": "0" * 64})
        pair = replace(pair, manifest=pair.manifest.model_copy(update={"detector": part}))
    second = mine_material(dataset, pair, detector_run)
    assert len(looks) == 2 * 8
    pd.testing.assert_frame_equal(second.crops["train"], first.crops["train"])
    pd.testing.assert_frame_equal(pd.read_csv(detector_run / "proposals-train.csv"), table)


def test_weak_proposals_do_not_measure_the_classifier(
    toy: Run, detector_run: Path, mine: Callable[..., Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are candidates all the same, of which the operating point decides."""
    slide = Detector.slide

    def weak(self: Detector, *arguments: Any, **options: Any) -> Any:
        found = slide(self, *arguments, **options)
        found.scores[::2] = 0.049
        return found

    monkeypatch.setattr(Detector, "slide", weak)
    material = mine(run=detector_run)
    assert material.candidates is not None
    strong = material.candidates["detector_score"] >= 0.05
    assert 0 < strong.sum() < len(strong)
    assert len(material.crops["val"]) == strong.sum()
    of_train = material.crops["train"]
    assert (of_train["detector_score"] == 0.049).any()


def test_three_variants_of_a_source_are_enough(toy: Run, detector_run: Path, looks: list[str]) -> None:
    dataset = load_dataset("toy", Path("datasets.yaml"))
    train = dataset.images["split"] == "train"
    dataset.images.loc[train, "source"] = ["one", "one", "one", "one", "one", "two"]
    material = mine_material(dataset, load(detector_run), detector_run)
    assert len(looks) == 4 + 2
    assert set(material.crops["train"]["slide"]) <= set(dataset.images.loc[train, "image"].iloc[[0, 1, 2, 5]])


def test_one_class_alone_is_nothing_to_tell_apart(spore_yolo: Run, drawn: Drawn, mine: Callable[..., Material]) -> None:
    drawn.labels.write_text(drawn.labels.read_text().replace("smut", "rust"))
    assert spore_yolo("import", "mono", "--images", drawn.folder, "--labels", drawn.labels, "--format", "csv")[0] == 0
    with pytest.raises(SporeYoloError) as error:
        mine("mono")
    expected = (
        "the crops show only rust; a classifier needs two classes or more (with a detector, --run, debris is one)"
    )
    assert str(error.value) == expected


def test_a_class_without_crops_is_told(
    toy: Run, drawn: Drawn, mine: Callable[..., Material], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    images[["group", "split"]].to_csv("split.csv", index=False)
    spores = pd.read_csv(drawn.labels)
    unseen = ~spores["image"].isin(images.loc[images["split"] == "train", "image"])
    spores.loc[unseen & (spores["class"] == "smut"), "class"] = "ergot"
    spores.to_csv(drawn.labels, index=False)
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "split.csv"]
    code, _, err = toy("import", "rare", *options)
    assert code == 0, err
    material = mine("rare")
    assert "warning: no crop of ergot to train on; the classifier will never name them" in capsys.readouterr().out
    # It is a class all the same, so that what is missed of it is counted.
    assert material.classes == ["ergot", "rust", "smut"]
    assert "ergot" in set(material.crops["val"]["class"])


def test_a_detector_that_finds_nothing(
    toy: Run, detector_run: Path, mine: Callable[..., Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = Detector.slide
    monkeypatch.setattr(
        Detector,
        "slide",
        lambda self, pixels, *others, **options: slide(self, np.full_like(pixels, 200), *others, **options),
    )
    with pytest.raises(SporeYoloError, match="validation gives no crop to choose temperature and thresholds on"):
        mine(run=detector_run)
