from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from spore_yolo.files.errors import UsageError
from spore_yolo.inference.manifest import EmptyPart, read_manifest
from spore_yolo.inference.pair import load
from tests.conftest import GROUND, SPOT

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def imported(spore_yolo: Run, drawn: Any) -> Run:
    """The dataset ``toy`` of drawn slides, each with bare ground on its right half."""
    for name, boxes in drawn.boxes.items():
        path = drawn.folder / name
        pixels = np.array(Image.open(path))
        rng = np.random.default_rng(len(boxes))
        bare = rng.integers(GROUND - 6, GROUND + 6, pixels.shape).astype(np.uint8)
        Image.fromarray(np.concatenate([pixels, bare], axis=1)).save(path)
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "40,30,30"]
    code, _, err = spore_yolo("import", "toy", *options)
    assert code == 0, err
    return spore_yolo


def images_of(tmp_path: Path, split: str) -> pd.DataFrame:
    images = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")
    return images[images["split"] == split]


def stored(pair: Path) -> EmptyPart:
    part = read_manifest(pair).empty
    assert part is not None
    return part


def test_the_threshold_is_stored_with_what_it_does(imported: Run, spot_pair: Path, tmp_path: Path, drawn: Any) -> None:
    before = read_manifest(spot_pair)
    code, out, err = imported("learn-empty", "--run", "runs/spots", "--dataset", "toy", "--test")
    assert code == 0, err
    part = stored(spot_pair)
    assert part.faintest == pytest.approx((GROUND - SPOT) / GROUND, abs=0.1)
    assert part.threshold == pytest.approx(0.75 * part.faintest)
    assert (part.margin, part.dataset) == (0.75, "toy")
    assert part.dataset_fingerprint == json.loads((tmp_path / "data/toy/manifest.json").read_text())["fingerprint"]
    assert list(part.figures) == ["val", "test"]
    for split, figures in part.figures.items():
        names = images_of(tmp_path, split)["image"]
        assert figures.slides == len(names)
        assert figures.spores == sum(len(drawn.boxes[name]) for name in names)
        assert (figures.lost, figures.fainter) == (0, 0)
        assert figures.tiles / 3 < figures.skipped < figures.tiles
        assert figures.bare > 0.5
    assert read_manifest(spot_pair).model_copy(update={"empty": None}) == before
    figures = part.figures["val"]
    row = next(line for line in out.splitlines() if line.startswith("val "))
    assert f"{figures.skipped} ({figures.skipped / figures.tiles:.1%})" in row
    assert "a look at a tile takes" in out
    assert "note:" not in out
    assert out.splitlines()[-1].startswith(f"next: spore-yolo predict --pair {Path('runs/spots/pair')} --skip-empty")


def test_what_is_stored_leaves_out_what_was_said(imported: Run, spot_pair: Path, tmp_path: Path, drawn: Any) -> None:
    assert imported("learn-empty", "--pair", spot_pair, "--dataset", "toy", "--test")[0] == 0
    pair = load(spot_pair)
    for split, figures in stored(spot_pair).figures.items():
        skipped = 0
        for name in images_of(tmp_path, split)["image"]:
            found = pair.candidates(drawn.folder / name, skip_empty=True)
            every = pair.candidates(drawn.folder / name)
            assert every.metadata["skipped_tiles"] == 0
            assert found.xyxy.tolist() == every.xyxy.tolist()
            skipped += found.metadata["skipped_tiles"]
        assert skipped == figures.skipped


def test_a_pair_that_never_learnt_it_says_how(spot_pair: Path) -> None:
    pixels = np.full((100, 100, 3), GROUND, dtype=np.uint8)
    with pytest.raises(UsageError, match="cannot tell empty tiles; .*spore-yolo learn-empty --pair .* --dataset NAME"):
        load(spot_pair).candidates(pixels, skip_empty=True)


def test_test_slides_do_not_choose(imported: Run, spot_pair: Path) -> None:
    assert imported("learn-empty", "--pair", spot_pair, "--dataset", "toy")[0] == 0
    alone = stored(spot_pair)
    assert list(alone.figures) == ["val"]
    assert imported("learn-empty", "--pair", spot_pair, "--dataset", "toy", "--test")[0] == 0
    both = stored(spot_pair)
    assert (both.threshold, both.reduction, both.figures["val"]) == (
        alone.threshold,
        alone.reduction,
        alone.figures["val"],
    )


def test_a_lower_margin_leaves_out_less(imported: Run, spot_pair: Path) -> None:
    assert imported("learn-empty", "--pair", spot_pair, "--dataset", "toy", "--margin", "0.05")[0] == 0
    part = stored(spot_pair)
    assert part.threshold == pytest.approx(0.05 * part.faintest)


def test_spores_that_fall_short_on_test_are_counted(imported: Run, spot_pair: Path, tmp_path: Path, drawn: Any) -> None:
    # On every test slide one spot fades so far that nothing but its neighbours could keep its tile.
    for name in images_of(tmp_path, "test")["image"]:
        pixels = np.array(Image.open(drawn.folder / name))
        for x0, y0, x1, y1 in drawn.boxes[name]:
            pixels[y0:y1, x0:x1] = GROUND - 12
        Image.fromarray(pixels).save(drawn.folder / name)
    code, _, err = imported("learn-empty", "--pair", spot_pair, "--dataset", "toy", "--test")
    assert code == 0, err
    figures = stored(spot_pair).figures["test"]
    assert figures.lost == figures.fainter == figures.spores > 0
    assert figures.skipped == figures.tiles
    assert stored(spot_pair).figures["val"].lost == 0


def test_labels_on_bare_ground_are_shown_and_nothing_is_stored(
    imported: Run, spot_pair: Path, tmp_path: Path, drawn: Any
) -> None:
    name = next(name for name in images_of(tmp_path, "val")["image"] if drawn.boxes[name])
    with drawn.labels.open("a") as file:
        file.write(f"{name},400,100,420,120,rust\n")
    groups = pd.read_csv(tmp_path / "data" / "toy" / "images.csv")[["group", "split"]].drop_duplicates()
    groups.to_csv(tmp_path / "split.csv", index=False)
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "split.csv", "--force"]
    code, _, err = imported("import", "toy", *options)
    assert code == 0, err
    before = (spot_pair / "pair.yaml").read_bytes()
    code, _, err = imported("learn-empty", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert "bare ground stands out as much as 0.75 of the faintest labelled spore" in err
    assert f"{name}: spore at 400, 100, 420, 120" in err
    assert (spot_pair / "pair.yaml").read_bytes() == before


@pytest.mark.slow
def test_slides_without_an_empty_tile_get_a_note(spore_yolo: Run, spot_pair: Path, tmp_path: Path, drawn: Any) -> None:
    content = yaml.safe_load((spot_pair / "pair.yaml").read_text())
    content["detector"]["tile_size"] = 320
    (spot_pair / "pair.yaml").write_text(yaml.safe_dump(content))
    split = pd.DataFrame({"group": [Path(name).stem for name in drawn.boxes]})
    split["split"] = ["train", "val"] * (len(split) // 2)
    # The last slide is bare.
    split.loc[len(split) - 1, "split"] = "test"
    split.to_csv(tmp_path / "split.csv", index=False)
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--format", "csv", "--split", "split.csv"]
    code, _, err = spore_yolo("import", "toy", *options)
    assert code == 0, err
    code, out, err = spore_yolo("learn-empty", "--pair", spot_pair, "--dataset", "toy")
    assert code == 0, err
    assert stored(spot_pair).figures["val"].skipped == 0
    assert "note: no tile of validation is empty" in out


def test_a_pair_that_was_trained_anew_meanwhile(
    imported: Run, spot_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spore_yolo.inference import emptiness

    original = emptiness.threshold_for

    def choose(*arguments: Any) -> float:
        content = yaml.safe_load((spot_pair / "pair.yaml").read_text())
        content["detector"]["max_detections_per_tile"] = 299
        (spot_pair / "pair.yaml").write_text(yaml.safe_dump(content))
        return original(*arguments)

    monkeypatch.setattr(emptiness, "threshold_for", choose)
    code, _, err = imported("learn-empty", "--pair", spot_pair, "--dataset", "toy")
    assert code == 1
    assert "the pair was trained anew meanwhile" in err
    assert read_manifest(spot_pair).empty is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--margin", "0"], "expected a number above 0 and at most 1, found 0"),
        (["--margin", "1.5"], "expected a number from 0 to 1, found 1.5"),
        (["--dataset", "other"], "unknown dataset 'other'"),
        (["--pair", "nowhere"], "no such folder"),
    ],
)
def test_wrong_options(imported: Run, spot_pair: Path, options: list[str], message: str) -> None:
    code, _, err = imported("learn-empty", "--pair", spot_pair, "--dataset", "toy", *options)
    assert code == 2
    assert message in err


def test_the_margin_of_the_command_line_is_that_of_emptiness() -> None:
    from spore_yolo.cli import learn_empty
    from spore_yolo.inference import emptiness

    assert learn_empty.MARGIN == emptiness.MARGIN
