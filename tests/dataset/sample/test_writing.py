from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spore_yolo.dataset.sample import SAMPLE_TAXA, SAMPLE_UM_PER_PX, TARGET, write_sample
from spore_yolo.files.errors import UsageError
from spore_yolo.files.images import find_images, read_image
from spore_yolo.labels.image_index import ImageIndex
from spore_yolo.labels.readers.coco import read_coco

FIELDS = 2


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "drawn"
    write_sample(folder, fields=FIELDS, seed=5, quiet=True)
    return folder


@pytest.fixture(scope="module")
def truth(sample: Path) -> pd.DataFrame:
    return pd.read_csv(sample / "truth.csv")


def test_our_own_reader_takes_the_labels(sample: Path, truth: pd.DataFrame) -> None:
    labels = read_coco(sample / "labels.json", ImageIndex(sample / "images"))
    assert not labels.problems
    assert labels.classes == [taxon.name for taxon in SAMPLE_TAXA]
    assert len(labels.labelled_images) == FIELDS
    spores = truth[truth["labelled"]]
    expected = spores[["slide", "kind", "x_min", "y_min", "x_max", "y_max"]].to_numpy().tolist()
    found = [[box.image, box.class_name, box.x_min, box.y_min, box.x_max, box.y_max] for box in labels.boxes]
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_no_debris_is_labelled(sample: Path, truth: pd.DataFrame) -> None:
    names = {taxon.name for taxon in SAMPLE_TAXA}
    assert set(truth[truth["labelled"]]["kind"]) <= names
    debris = truth[~truth["labelled"]]
    assert len(debris) > 20 and not set(debris["kind"]) & names
    content = json.loads((sample / "labels.json").read_text())
    assert len(content["annotations"]) == truth["labelled"].sum()
    assert content["info"]["um_per_px"] == SAMPLE_UM_PER_PX


def test_masks_agree_with_the_truth(sample: Path, truth: pd.DataFrame) -> None:
    for slide, rows in truth[truth["labelled"]].groupby("slide"):
        with Image.open((sample / "masks" / str(slide)).with_suffix(".png")) as image:
            assert image.mode == "I;16"
            mask = np.asarray(image)
        assert mask.shape == (1520, 2028)
        assert set(np.unique(mask)) == {0, *rows["id"]}
        for row in rows.itertuples():
            ys, xs = np.nonzero(mask == row.id)
            assert row.x_min <= xs.min() and xs.max() < row.x_max and row.y_min <= ys.min() and ys.max() < row.y_max
            assert len(ys) * SAMPLE_UM_PER_PX**2 <= row.area_um2 + 0.01


def test_sizes_are_those_of_the_taxa(truth: pd.DataFrame) -> None:
    medians = truth[truth["labelled"]].groupby("kind")["length_um"].median()
    for taxon in SAMPLE_TAXA:
        assert medians[taxon.name] == pytest.approx(taxon.length * SAMPLE_UM_PER_PX, rel=0.3)
    assert truth["focus_um"].abs().max() > 20  # the discs, far off the focal plane
    assert truth[truth["labelled"]]["focus_um"].abs().max() < 12


def test_images_are_whole_and_masks_lie_beside_them(sample: Path) -> None:
    images = find_images(sample / "images")
    assert len(images) == FIELDS
    for path in images:
        assert read_image(path).shape == (1520, 2028, 3)
        assert (sample / "masks" / path.relative_to(sample / "images")).with_suffix(".png").is_file()
    groups = pd.read_csv(sample / "groups.csv")
    assert list(groups.columns) == ["image", "group"] and len(groups) == FIELDS
    assert sorted(groups["image"]) == [path.relative_to(sample / "images").as_posix() for path in images]


def test_the_same_seed_gives_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    write_sample(tmp_path / "again", fields=FIELDS, seed=5, quiet=True)
    assert content(tmp_path / "again") == content(sample)


def test_an_earlier_sample_is_replaced_only_by_force(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_sample(folder, fields=1, seed=0, quiet=True)
    before = (folder / "truth.csv").read_bytes()
    with pytest.raises(UsageError, match="--force"):
        write_sample(folder, fields=1, seed=1, quiet=True)
    assert (folder / "truth.csv").read_bytes() == before
    write_sample(folder, fields=1, seed=1, force=True, quiet=True)
    assert (folder / "truth.csv").read_bytes() != before


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds other files"):
        write_sample(tmp_path, fields=1, force=True, quiet=True)
    with pytest.raises(UsageError, match="found a file"):
        write_sample(tmp_path / "thesis.tex", fields=1, force=True, quiet=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spore_yolo.dataset.sample import writing

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "draw_sample_field", stop)
    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "out", fields=1, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_target_is_on_some_field(truth: pd.DataFrame) -> None:
    assert (truth["kind"] == TARGET).any()
